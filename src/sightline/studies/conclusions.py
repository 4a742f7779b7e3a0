"""From a class's rows to its figures with intervals, and to a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sightline.stats.bootstrap import percentiles
from sightline.stats.multiplicity import selected_level
from sightline.studies import thresholds
from sightline.studies.rows import Figures, Rows
from sightline.studies.worlds import Floats

Interval = tuple[float, float]
UNDECIDED = "undecided"


@dataclass(frozen=True)
class PhotoRow:
    """One photo as the audit saw it: what the network `said` to it, and the `chance` it gave the photo's class.

    `same`, `other`: how often its object is called by its class in the surroundings of others of the class, and of
    other classes, in [0, 1]; None where it was not asked. `passes`: images of it that went through the network.
    `region`: "given", "box" (cut along the colours), "whole box", or "found".
    """

    name: str
    sha256: str
    said: int
    chance: float
    same: float | None
    other: float | None
    passes: int
    region: str


@dataclass(frozen=True)
class ClassReport:
    """What a class's answers hang on; probabilities and accuracies in [0, 1], intervals (low, high).

    `verdict`: "object", "context", "both" or "undecided". `expected_loss`: the accuracy that is lost when a photo's
    surroundings become those of any class, each as likely as the other, beside others of its own class.
    `replaced_loss`: the accuracy lost when another class's object takes the object's place. `reliance`: the
    surroundings' share of the decision, their Shapley value over both; one half both where either is enough and where
    it takes both, which the four values tell apart: the mean probability of the class with `both` as they are, with
    the `object_only` (other classes' surroundings), with the `surroundings_only` (other classes' objects), with
    `neither` (other classes' photos); `interaction` = both - object_only - surroundings_only + neither. `note` says
    why something is undecided or has no meaning. `photos` are what it comes from.
    """

    index: int
    label: str
    count: int
    verdict: str
    reliance: float | None
    reliance_interval: Interval | None
    expected_loss: float | None
    expected_loss_interval: Interval | None
    replaced_loss: float | None
    replaced_loss_interval: Interval | None
    accuracy: float
    both: float
    object_only: float | None
    surroundings_only: float | None
    neither: float
    interaction: float | None
    note: str
    photos: tuple[PhotoRow, ...] = ()


@dataclass(frozen=True, eq=False)
class Evidence:
    """A class's figures and their resamples."""

    rows: Rows
    figures: Figures
    drawn: Figures

    def loss(self, level: float) -> Interval:
        """The interval of the loss when the surroundings change."""
        return percentiles(self.drawn.loss, level)

    def replaced(self, level: float) -> Interval:
        """The interval of the loss when the object is replaced."""
        return percentiles(self.drawn.replaced, level)

    def verdict(self, level: float) -> str:
        """The rule: what the surroundings cost, and where that is much, what the object costs."""
        if self.rows.count < thresholds.FEWEST:
            return UNDECIDED
        return verdict(self.loss(level), self.replaced(level))


def verdict(loss: Interval, replaced: Interval) -> str:
    """ "object", "context", "both" or "undecided", from the intervals of the losses when the surroundings change and
    when the object is replaced.
    """
    if loss[1] < thresholds.LOSS:
        return "object"
    if loss[0] > thresholds.LOSS and replaced[1] < thresholds.REPLACED:
        return "context"
    if loss[0] > thresholds.LOSS and replaced[0] >= thresholds.REPLACED:
        return "both"
    return UNDECIDED


def evidence(rows: Rows, seed: int) -> Evidence:
    """A class's figures, resampled by dice of its own."""
    return Evidence(rows, rows.figures(), rows.resampled(np.random.default_rng((seed, rows.label, rows.count))))


def conclude(found: Mapping[int, Evidence]) -> dict[int, ClassReport]:
    """What is concluded of all classes together: the fewer are called, the surer each has to be (FCR)."""
    level = called_level(list(found.values()))
    return {label: _concluded(one, level) for label, one in found.items()}


def called_level(found: Sequence[Evidence]) -> float:
    """The level of each interval at which the classes that are called are as many as it allows for."""
    selected = len(found)
    while True:
        level = selected_level(thresholds.LEVEL, selected, len(found))
        called = sum(one.verdict(level) != UNDECIDED for one in found)
        if called >= selected or selected <= 1:
            return level
        selected = max(1, called)


def _concluded(one: Evidence, level: float) -> ClassReport:
    figures, rows = one.figures, one.rows
    reliance, interval, doubt = _reliance(one, level)
    called = one.verdict(level)
    notes = [_undecided(one, level)] if called == UNDECIDED else []
    brought, left = _known(figures.object_only), _known(figures.rest_only)
    whole, nothing = float(figures.both[0]), float(figures.neither[0])
    return ClassReport(
        index=rows.label,
        label=f"class {rows.label}",
        count=rows.count,
        verdict=called,
        reliance=reliance,
        reliance_interval=interval,
        expected_loss=_unit(_known(figures.loss)),
        expected_loss_interval=_both(one.loss(level)),
        replaced_loss=_unit(_known(figures.replaced)),
        replaced_loss_interval=_both(one.replaced(level)),
        accuracy=float(figures.right[0]),
        both=whole,
        object_only=brought,
        surroundings_only=left,
        neither=nothing,
        interaction=None if brought is None or left is None else whole - brought - left + nothing,
        note=" ".join([*notes, *filter(None, [doubt])]),
    )


def _reliance(one: Evidence, level: float) -> tuple[float | None, Interval | None, str]:
    """The surroundings' share with its interval, or why there is none."""
    rise = one.drawn.of_object + one.drawn.of_rest
    low, _ = percentiles(rise, level)
    if math.isnan(low):
        return None, None, "No reliance: too few photos to show its objects and surroundings apart."
    if low < thresholds.RISE:
        whole = float(one.figures.both[0] - one.figures.neither[0])
        return None, None, (
            f"No reliance: together, object and surroundings raise the class's probability by {whole:.2f}, and with "
            f"other photos it may be {low:.2f}, under {thresholds.RISE:g}; a share of that means nothing."
        )  # fmt: skip
    return _unit(_known(one.figures.share)), _both(percentiles(one.drawn.share, level)), ""


def _undecided(one: Evidence, level: float) -> str:
    """Why, and how many photos would decide it."""
    count = one.rows.count
    if count < thresholds.FEWEST:
        return f"Undecided: {count} of the {thresholds.FEWEST} photos that are needed."
    sides = ("the loss when the surroundings change", one.figures.loss, one.loss(level), thresholds.LOSS)
    if one.loss(level)[0] > thresholds.LOSS:
        sides = (
            "the loss when the object is replaced", one.figures.replaced, one.replaced(level), thresholds.REPLACED,
        )  # fmt: skip
    name, values, (low, high), bound = sides
    wanted = needed(float(values[0]), (low, high), bound, count)
    more = f"about {wanted} photos" if wanted else "more photos than can be said"
    return f"Undecided: {name} is {low:.2f} to {high:.2f}, on both sides of {bound:g}; it would take {more}."


def needed(value: float, interval: Interval, bound: float, count: int) -> int | None:
    """How many photos would bring the bound out of an interval that `count` gave; None where the value is on it."""
    away, half = abs(value - bound), (interval[1] - interval[0]) / 2
    if away < half / 10:
        return None
    return max(count + 1, math.ceil(round(count * (half / away) ** 2, 6)))


def _known(values: Floats) -> float | None:
    """A figure; None where no world tells it."""
    return float(values[0]) if math.isfinite(values[0]) else None


def _unit(value: float | None) -> float | None:
    return None if value is None else min(1.0, max(0.0, value))


def _both(interval: Interval) -> Interval | None:
    """An interval within [0, 1]; None where no world tells it."""
    low, high = interval
    return None if math.isnan(low) else (min(1.0, max(0.0, low)), min(1.0, max(0.0, high)))


def of_donors(rows: Rows, drawn: Floats) -> float:
    """The share of a loss's variance that comes from having so few worlds for each photo."""
    noise = 0.0
    for pairs in (rows.own, rows.strange):
        rate = pairs.said.mean()
        noise += rate * (1 - rate) / len(pairs.said)
    spread = float(np.var(drawn))
    return noise * (1 - 1 / rows.classes) ** 2 / spread if spread > 0 else 0.0

"""One photo, many edits: what the model answers, and whether the same edit elsewhere would do as much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.core.targets import Class, Target
from sightline.network.net import Net
from sightline.probes.asking import Answer, Nothing, Told, Untouched, answer_of, jobs_of, shown_in, tell
from sightline.probes.controls import Controls, Grounds, controls
from sightline.probes.edits import Edit, Keep, Remove
from sightline.probes.shares import Shares
from sightline.probes.world import World
from sightline.stats.multiplicity import holm, randomization_p

LEVEL = 0.05  # of Holm's p at which an effect counts as larger than the same edit's elsewhere
_FEW = 99  # controls that are asked of a test
_SIDE_BY_SIDE = 4  # places that do not overlap, below which controls are said to be much alike
_NONE = Controls((), 0, 0, 0, 0, 0, 0.0)
Verdict = Literal["region", "rest", "both", "either", "undecided"]


@dataclass(frozen=True, eq=False)
class Effect:
    """What an edit does to the target's score.

    `change`: score after less score before, mean over the fills; `by_fill` that of each, empty for edits that show
    no fill. `controls` (n,): the change by the same edit at other places of the same shape. `p`: the share of
    controls, this one counted, that do at least as much, a one-sided Monte Carlo randomization p; None, with a
    `note`, where there is no control. `adjusted`: p by Holm, over the probe's edits. `beyond`: the side that counts,
    "below" for an edit of the region (a fall as deep), "above" for one that keeps it (a score as high).
    `holds`: whether the model's answer stays, for each fill; `held`: the share of controls under which it does; of
    a model without classes neither is known.
    `probability`: the target's, before and after; None where it has none.
    """

    change: float
    by_fill: Mapping[str, float]
    controls: NDArray[np.float64]
    p: float | None
    note: str = ""
    adjusted: float | None = None
    beyond: Literal["below", "above"] = "below"
    holds: tuple[bool, ...] = ()
    held: float | None = None
    probability: tuple[float, float] | None = None
    where: Controls = _NONE

    @property
    def n(self) -> int:
        """How many controls there are."""
        return len(self.controls)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest change over the fills: a range, not an interval."""
        found = list(self.by_fill.values()) or [self.change]
        return min(found), max(found)

    @property
    def stands_out(self) -> bool | None:
        """Whether it is larger than the same edit's elsewhere, at 5 % by Holm; None without controls."""
        return None if self.adjusted is None else self.adjusted <= LEVEL


@dataclass(frozen=True, eq=False)
class Findings:
    """All that was found about one photo; `passes` is how many worlds went through the network."""

    original: Answer
    removed: Answer
    kept: Answer
    edited: Mapping[str, Answer]
    effects: Mapping[str, Effect]
    shares: Shares
    verdict: Verdict
    why: str
    passes: int


def probe(
    net: Net, target: Target, worlds: Sequence[World], edits: Mapping[str, Edit], count: int, seed: int
) -> Findings:
    """All edits under all fills, their controls and the four worlds of the shares, in as few batches as fit.

    `worlds`: the same photo and region with each fill; `target`: fixed on the untouched photo. `count`: controls for
    each edit, where so many places fit.
    """
    gain, grounds = _gain(net, worlds[0]), Grounds(worlds[0])

    def place(edit: Edit) -> Controls:
        dice = torch.Generator().manual_seed(seed)  # its own: an edit's controls do not turn on the other edits
        return controls(shown_in(edit, worlds), edit, gain, count, grounds, dice) if count else _NONE

    sites = {name: place(edit) for name, edit in edits.items()}
    wanted = {"original": Untouched(), "nothing": Nothing(), "remove": Remove(), "keep": Keep()} | dict(edits)
    main = [jobs_of(edit, worlds) for edit in wanted.values()]
    beside = [jobs_of(edit, worlds, sites[name].shifts) for name, edit in edits.items()]
    told = tell(net, target, worlds, main + beside, kept=sum(map(len, main)))
    answers = {
        name: answer_of(one, jobs[0].show(worlds)) for name, one, jobs in zip(wanted, told, main, strict=False)
    }
    original, nothing = answers["original"], answers["nothing"]
    effects = {
        name: _effect(net, target, edit, (original, answers[name]), sites[name], one)
        for (name, edit), one in zip(edits.items(), told[len(main) :], strict=True)
    }
    called = isinstance(target, Class) and nothing.best == target.index
    shares = Shares(original.value, answers["keep"].value, answers["remove"].value, nothing.value, called)
    effects = _adjusted(effects)
    worlds_of = original, answers["remove"], answers["keep"]
    return Findings(
        *worlds_of,
        {name: answers[name] for name in edits},
        effects,
        shares,
        *verdict(target, *worlds_of, nothing, effects.get("remove")),
        sum(map(len, main + beside)),
    )


def verdict(
    target: Target, original: Answer, removed: Answer, kept: Answer, nothing: Answer, removal: Effect | None
) -> tuple[Verdict, str]:
    """What the answer hangs on, and why it is undecided where it is.

    "rest": it stays without the region, and goes with the region alone. "region": the other way round, and the score
    does not fall as far when as much is removed elsewhere, where that could be tried. "either": it stays both times;
    "both": it goes both times.
    """
    if original.best is None:
        return "undecided", "the network gives no classes, so there is no answer to keep or lose"
    if isinstance(target, Class) and target.index != original.best:
        return "undecided", "the class asked about is not the model's answer"
    if nothing.best == original.best:
        return "undecided", "the fill alone is already called this class; take another fill"
    for name, world in (("without the region", removed), ("with the region alone", kept)):
        if len(set(world.told.tops)) > 1 and original.best in world.told.tops:
            return "undecided", f"{name} the answer depends on the fill"
    stays, enough = (world.told.tops[0] == original.best for world in (removed, kept))
    if stays:
        return ("either" if enough else "rest"), ""
    if removal is not None and removal.stands_out is False:
        return "undecided", "masking anything hurts as much"
    return ("region" if enough else "both"), ""


def _gain(net: Net, world: World) -> Tensor:
    """(C, 1, 1): how far apart black and white are at the network's input."""
    ends = torch.stack([torch.full_like(world.pixels[:, :1, :1], end) for end in (0.0, 1.0)])
    black, white = net.images(ends)
    gain: Tensor = white - black
    return gain


def _effect(
    net: Net, target: Target, edit: Edit, answers: tuple[Answer, Answer], where: Controls, beside: Told
) -> Effect:
    original, answer = answers
    change, sign = answer.value - original.value, 1 if edit.keeps else -1
    each = np.array(beside.values).reshape(len(where.shifts), -1).mean(1) if where.shifts else np.zeros(0)
    changes = each - original.value
    (own,) = original.told.tops
    classes = original.best is not None
    return Effect(
        change,
        {name: value - original.value for name, value in zip(answer.told.fills, answer.told.values, strict=False)},
        changes,
        randomization_p(sign * change, (sign * changes).tolist()) if len(changes) else None,
        beyond="above" if edit.keeps else "below",
        holds=tuple(top == own for top in answer.told.tops) if classes else (),
        held=mean(top == own for top in beside.tops) if classes and beside.tops else None,
        probability=_probability(net, target, original, answer),
        where=where,
    )


def _probability(net: Net, target: Target, original: Answer, answer: Answer) -> tuple[float, float] | None:
    if not isinstance(target, Class) or original.scores.ndim != 1:
        return None
    both = net.readout.probabilities(torch.stack([original.scores, answer.scores]))
    return None if both is None else (float(both[0, target.index]), float(both[1, target.index]))


def _adjusted(effects: Mapping[str, Effect]) -> dict[str, Effect]:
    """The effects with Holm's p over those that have one, and with what a reader has to know."""
    tested = [name for name, effect in effects.items() if effect.p is not None]
    holms = dict(zip(tested, holm([effects[name].p or 1.0 for name in tested]), strict=True))
    adjusted = {name: replace(effect, adjusted=holms.get(name)) for name, effect in effects.items()}
    return {name: replace(effect, note=_note(effect)) for name, effect in adjusted.items()}


def _note(effect: Effect) -> str:
    """What a reader has to know of an effect and its controls, in sentences."""
    said = []
    if effect.p is None:
        said.append(_untested(effect.where))
    else:
        if not effect.stands_out:
            said.append(_ALIKE[effect.beyond])
        if effect.n < _FEW:
            said.append(f"{_few(effect.where)}, so p cannot fall below {1 / (1 + effect.n):.2g}.")
        if effect.where.apart < min(_SIDE_BY_SIDE, effect.n):
            apart = (
                "any two of them share pixels"
                if effect.where.apart < 2
                else f"at most {effect.where.apart} lie apart"
            )
            said.append(f"The places overlap ({apart}), so the controls are much alike.")
    if len(set(effect.holds)) > 1 or effect.range[0] < 0 < effect.range[1]:
        said.append("The answer depends on the fill.")
    return " ".join(said)


_ALIKE = {"below": "Masking anything hurts as much.", "above": "Any other part of this shape keeps as much."}


def _few(where: Controls) -> str:
    """Why there are few controls."""
    count = len(where.shifts)
    if count == where.wanted:
        return f"Only {count} {'control was' if count == 1 else 'controls were'} asked for"
    of = "" if where.tried == where.places else f" of {where.tried:,} that were tried"
    return f"Only {count} {'place fits' if count == 1 else 'places fit'}{of}"


def _untested(where: Controls) -> str:
    """Why there are no controls."""
    if where is _NONE:
        return "No control was asked for."
    if not where.stake:
        return "No control: here the edit changes nothing that the network sees."
    if not where.places:
        return "No control: the shape does not fit beside itself on the photo."
    tried = "none has" if where.tried == where.places else f"{where.tried:,} were tried, and none has"
    return f"No control: of {where.places:,} places where the shape fits, {tried} as much at stake."

"""What an edit does, what has to be known of it, and what the answer hangs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightline.core.targets import Class, Target
from sightline.probes.asking import Answer
from sightline.probes.controls import Controls

LEVEL = 0.05  # of Holm's p at which an effect counts as larger than the same edit's elsewhere
OFTEN = 0.2  # of the controls that do as much, from which on masking anything is said to
FEW = 99  # controls that are asked of a test
SIDE_BY_SIDE = 10  # places that do not overlap, below which p is said to be too small
NONE = Controls((), 0, 0, 0, 0, 0, 0.0)
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
    where: Controls = NONE

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

    @property
    def alike(self) -> bool | None:
        """Whether the same edit elsewhere does as much: one in five at least, or a typical one half as much.

        None without controls. Not the same as failing to stand out, which few controls or many edits do too.
        """
        if self.p is None:
            return None
        below, typical = self.beyond == "below", float(np.median(self.controls))
        as_much = self.controls <= self.change if below else self.controls >= self.change
        often = float(as_much.mean()) >= OFTEN
        return often or (below and self.change < 0 and typical <= self.change / 2)


def verdict(
    target: Target, original: Answer, removed: Answer, kept: Answer, nothing: Answer, removal: Effect | None
) -> tuple[Verdict, str]:
    """What the model's answer hangs on, and why it is undecided where it is.

    "rest": it stays without the region, and goes with the region alone. "either": it stays both times. "region": it
    goes without the region, and as much removed elsewhere does not do as much, where that could be tried. "both": as
    that, and the region alone is not enough. Of several fills the most count.
    """
    if original.best is None:
        return "undecided", "the network gives no classes, so there is no answer to keep or lose"
    if isinstance(target, Class) and target.index != original.best:
        return "undecided", "the class asked about is not the model's answer"
    stays, enough = (_holds(original, world) for world in (removed, kept))
    called = nothing.best == original.best
    if stays is None:
        return "undecided", "without the region the answer depends on the fill"
    if stays and called:
        return "undecided", "the fill alone is already called this class; take another fill"
    if not stays and isinstance(target, Class) and removal is not None and removal.alike:
        return "undecided", "masking anything hurts as much"
    if enough is None:
        return "undecided", "with the region alone the answer depends on the fill"
    if stays:
        return ("either" if enough else "rest"), ""
    return ("region" if enough or called else "both"), ""


def _holds(original: Answer, world: Answer) -> bool | None:
    """Whether the answer stays under most fills; None where they are as many for it as against it."""
    for_it = sum(top == original.best for top in world.told.tops)
    return None if 2 * for_it == len(world.told.tops) else 2 * for_it > len(world.told.tops)


def note(effect: Effect, edits: int) -> str:
    """What a reader has to know of an effect, one of so many tested together, and of its controls, in sentences."""
    said = [_untested(effect.where)] if effect.p is None else _beside_controls(effect, edits)
    if len(set(effect.holds)) > 1 or _both_ways(effect):
        said.append("The answer depends on the fill.")
    return " ".join(filter(None, said))


def _beside_controls(effect: Effect, edits: int) -> list[str]:
    said = [_how_it_stands(effect, edits)]
    if effect.n < FEW:
        said.append(f"{_few(effect.where)}, so p cannot fall below {1 / (1 + effect.n):.2g}.")
    if not effect.alike and effect.where.apart < min(SIDE_BY_SIDE, effect.n):
        few = effect.where.apart
        apart = "any two of them share pixels" if few < 2 else f"at most {few} lie apart"
        said.append(f"The places overlap ({apart}) and are alike, so p may be too small.")
    return said


def _how_it_stands(effect: Effect, edits: int) -> str:
    """Whether controls do as much; nothing where the effect stands out."""
    if effect.beyond == "below" and effect.change >= 0:
        return "The score does not fall."
    if effect.alike:
        return (
            "Masking anything hurts as much."
            if effect.beyond == "below"
            else "Other parts of this shape keep as much."
        )
    if effect.stands_out:
        return ""
    if (effect.p or 0) * (1 + effect.n) < 1.5:
        return f"More than any control, but {effect.n} are too few for {edits} edits at once."
    return "Not clearly more than elsewhere."


def _both_ways(effect: Effect) -> bool:
    """Whether fills move the score both ways, and not by next to nothing one way."""
    low, high = effect.range
    return low < 0 < high and min(-low, high) > 0.1 * max(-low, high)


def _few(where: Controls) -> str:
    """Why there are few controls."""
    count = len(where.shifts)
    if count == where.wanted:
        return f"Only {count} {'control was' if count == 1 else 'controls were'} asked for"
    of = "" if where.tried == where.places else f" of {where.tried:,} that were tried"
    return f"Only {count} {'place fits' if count == 1 else 'places fit'}{of}"


def _untested(where: Controls) -> str:
    """Why there are no controls."""
    if where is NONE:
        return "No control was asked for."
    if not where.stake:
        return "No control: here the edit changes nothing that the network sees."
    if not where.places:
        return "No control: the shape does not fit beside itself on the photo."
    tried = "none has" if where.tried == where.places else f"{where.tried:,} were tried, and none has"
    return f"No control: of {where.places:,} places where the shape fits, {tried} about as much at stake."

"""Minimal evidence: the fewest segments that keep an answer, and the fewest whose loss changes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sightline.core.targets import Class
from sightline.network.net import Net
from sightline.probes.asking import Job, tell
from sightline.probes.edits import Edit
from sightline.probes.world import World

_STEPS = 8  # segments that are picked one by one; then all that are left come in the order of the last look
Margins = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Least:
    """A smallest set of segments found: `mask` (h, w), and the world that shows it or lacks it, with its scores."""

    mask: Tensor
    scores: Tensor
    picture: Tensor


@dataclass(frozen=True, eq=False)
class Findings:
    """What is `enough` for the answer, and what is `needed` for it; None where no set of segments is, and `why`."""

    enough: Least | None
    needed: Least | None
    why: str
    passes: int


@dataclass(frozen=True, eq=False)
class _Shown(Edit):
    """All is filled but a part (h, w)."""

    part: Tensor

    @property
    def fills(self) -> bool:
        return True

    def __call__(self, world: World) -> World:
        return replace(world, pixels=world.hide(1 - self.part))


def evidence(net: Net, index: int, worlds: Sequence[World], segments: Tensor) -> Findings:
    """The least evidence for class `index`, the photo's answer, found greedily; scores are means over the fills.

    `segments` (h, w): which piece each pixel belongs to, 0 to k - 1. Pieces are added one by one, always the one
    that brings the margin to the best other class furthest, until the answer is there (or, for what is needed,
    gone), and those that turn out not to count are dropped again. Greedy: a smaller set may exist.
    """
    asked = _Asked(net, index, worlds, segments)
    count = int(segments.max()) + 1
    if float(asked.margins(torch.zeros(1, count, dtype=torch.bool))[0]) > 0:
        return Findings(None, None, "the fill alone is already called this; take another fill", asked.passes)
    enough = _smallest(asked.margins, count)
    needed = _smallest(lambda sets: -asked.margins(~sets), count)
    return Findings(
        None if enough is None else asked.least(enough, enough),
        None if needed is None else asked.least(needed, ~needed),
        "" if enough is not None else "the best two classes are equal",
        asked.passes,
    )


class _Asked:
    """Asks for margins, and counts the passes."""

    def __init__(self, net: Net, index: int, worlds: Sequence[World], segments: Tensor) -> None:
        self.passes = 0
        self._net, self._index, self._worlds, self._segments = net, index, worlds, segments

    def margins(self, shown: Tensor) -> Tensor:
        """By how much the class leads the best other one where segments are shown, (n,) for sets (n, k)."""
        scores = self._scores(shown)
        own = scores[:, self._index].clone()
        scores[:, self._index] = -torch.inf
        return own - scores.amax(1)

    def least(self, found: Tensor, shown: Tensor) -> Least:
        """A set (k,) with what the model answers when only those `shown` (k,) are."""
        picture = _Shown(self._part(shown))(self._worlds[0]).pixels
        return Least(self._part(found), self._scores(shown[None])[0], picture)

    def _part(self, chosen: Tensor) -> Tensor:
        return chosen[self._segments].to(self._worlds[0].mask)

    def _scores(self, shown: Tensor) -> Tensor:
        groups = [[Job(_Shown(self._part(one)), i) for i in range(len(self._worlds))] for one in shown]
        count = sum(map(len, groups))
        self.passes += count
        told = tell(self._net, Class(self._index), self._worlds, groups, kept=count)
        return torch.stack([torch.stack(one.scores).mean(0) for one in told])


def _smallest(margins: Margins, count: int) -> Tensor | None:
    """The fewest of `count` pieces found with a margin above zero, (count,) bool; None where not even all have it."""
    chosen = torch.zeros(count, dtype=torch.bool)
    if float(margins(~chosen[None])[0]) <= 0:
        return None
    for _ in range(_STEPS):
        rest = (~chosen).nonzero()[:, 0]
        found = margins(chosen | torch.eye(count, dtype=torch.bool)[rest])
        order = rest[found.argsort(descending=True, stable=True)]
        chosen[order[0]] = True
        if float(found.max()) > 0:
            return _pruned(margins, chosen)
    more = chosen | torch.stack([torch.isin(torch.arange(count), order[: n + 1]) for n in range(1, len(order))])
    reached = (margins(more) > 0).nonzero()[:, 0]
    return _pruned(margins, more[reached[0]])


def _pruned(margins: Margins, chosen: Tensor) -> Tensor:
    """The set without those pieces that it does not take: always the one that is missed least, until none can go."""
    while True:
        pieces = chosen.nonzero()[:, 0]
        without = margins(chosen & ~torch.eye(len(chosen), dtype=torch.bool)[pieces])
        if float(without.max()) <= 0:
            return chosen
        chosen = chosen.clone()
        chosen[pieces[without.argmax()]] = False

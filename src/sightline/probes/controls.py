"""Controls: the same edit at places of the same shape elsewhere in the photo, where as much is at stake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sightline.probes.edits import Edit
from sightline.probes.world import World

WITHIN = 0.25  # of what is at stake in the region: how far a control's may be from it
_TRIED, _LEAST = 20, 4  # candidates per control wanted, where what is at stake has to be measured one by one
_HOPELESS = 0.05  # of the candidates that fit, below which the least has to do
_TOUCH = 0.5  # shared pixels below which shapes are apart: an FFT rounds
Shift = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Controls:
    """Where the same edit is made: `shifts` of the region (y, x), in input pixels, of `wanted` ones.

    `found`: how many places fit of those `tried`, out of `places` that are disjoint from the region. `apart`: how
    many of the shifts do not overlap each other, picked greedily: controls that overlap tell much the same. `stake`:
    the mean squared change at the network's input that they are matched to.
    """

    shifts: tuple[Shift, ...]
    found: int
    places: int
    tried: int
    apart: int
    wanted: int
    stake: float


class Grounds:
    """All places in a world where the object's shape fits beside it."""

    def __init__(self, world: World) -> None:
        self._shape = (world.mask > 0).double()
        self._inside = world.inside.double()

    @cached_property
    def _touching(self) -> Tensor:
        """By shift, how many pixels the moved shape shares with the shape where it is."""
        return _by_shift(self._shape, self._shape)

    @cached_property
    def shifts(self) -> Tensor:
        """(n, 2): the shifts (y, x) that keep the whole shape on the photo, and apart from where it is."""
        whole = _by_shift(self._inside, self._shape) > self._shape.sum() - _TOUCH
        return (whole & (self._touching < _TOUCH)).nonzero() - self._middle()

    def _middle(self) -> Tensor:
        return torch.tensor(self._shape.shape) - 1

    def read(self, by_shift: Tensor, shifts: Tensor) -> Tensor:
        """The values at shifts (n, 2) of a table made by `_by_shift`."""
        y, x = (shifts + self._middle()).unbind(1)
        return by_shift[y, x]

    def apart(self, shifts: Sequence[Shift]) -> int:
        """How many of the shifts, picked greedily, do not overlap each other."""
        picked: list[Shift] = []
        for y, x in shifts:
            away = torch.tensor([(y - v, x - u) for v, u in picked]).view(-1, 2)
            if not len(away) or bool((self.read(self._touching, away) < _TOUCH).all()):
                picked.append((y, x))
        return len(picked)


def stakes(worlds: Sequence[World], edit: Edit, gain: Tensor) -> float:
    """How much an edit's comparison changes the network's input: mean square, mean over the worlds' fills."""
    return sum(_change(world, edit, gain) for world in worlds) / len(worlds)


def _change(world: World, edit: Edit, gain: Tensor) -> float:
    away = (edit.stake(world) - world.pixels) * gain
    return float(away.double().square().mean())


def controls(
    worlds: Sequence[World], edit: Edit, gain: Tensor, count: int, grounds: Grounds, dice: torch.Generator
) -> Controls:
    """Up to `count` places for an edit's controls, drawn at random from those that fit.

    `worlds`: the same world with each fill. `gain` (C, 1, 1): from pixels in [0, 1] to the network's input. A place
    fits where the shape lies whole on the photo, shares no pixel with the region, and the mean squared change at
    the network's input is within 25 % of the region's.
    """
    own, shifts = stakes(worlds, edit, gain), grounds.shifts
    shifts = shifts[torch.randperm(len(shifts), generator=dice, device="cpu")]
    if own <= 0:
        return Controls((), 0, len(shifts), 0, 0, count, own)
    known = _all_stakes(worlds, edit, gain)
    if known is None:
        fitting, tried = _tried(worlds, edit, gain, own, shifts[: _TRIED * count], count)
    else:
        fitting, tried = shifts[(grounds.read(known, shifts) - own).abs() <= WITHIN * own], len(shifts)
    taken = [_pair(row) for row in fitting[:count]]
    return Controls(tuple(taken), len(fitting), len(shifts), tried, grounds.apart(taken), count, own)


def _all_stakes(worlds: Sequence[World], edit: Edit, gain: Tensor) -> Tensor | None:
    """What is at stake at every shift, where the region becomes the same wherever it lies; None otherwise."""
    others = [edit.becomes(world) for world in worlds]
    total = torch.zeros(())
    for world, other in zip(worlds, others, strict=True):
        if other is None:
            return None
        away = ((other - world.pixels) * gain).double().square().sum(0) * world.inside
        total = total + _by_shift(away, world.mask.double().square())
    return total / (len(worlds) * worlds[0].pixels.numel())


def _tried(
    worlds: Sequence[World], edit: Edit, gain: Tensor, own: float, shifts: Tensor, count: int
) -> tuple[Tensor, int]:
    """The first shifts (n, 2) that fit, measured one by one, and how many were."""
    fitting: list[int] = []
    tried = 0
    for tried, shift in enumerate(map(_pair, shifts), 1):
        there = stakes([world.at(shift) for world in worlds], edit, gain)
        if abs(there - own) <= WITHIN * own:
            fitting.append(tried - 1)
        if len(fitting) == count or (tried >= _LEAST * count and len(fitting) < _HOPELESS * tried):
            break
    return shifts[torch.tensor(fitting, dtype=torch.long)], tried


def _pair(row: Tensor) -> Shift:
    y, x = row.tolist()
    return y, x


def _by_shift(plane: Tensor, shape: Tensor) -> Tensor:
    """The sums of `plane` (h, w) under a `shape` (h, w) moved by (y, x), at [y + h - 1, x + w - 1]."""
    size = [2 * side - 1 for side in plane.shape]
    sums: Tensor = torch.fft.irfft2(torch.fft.rfft2(plane, size) * torch.fft.rfft2(shape.flip(0, 1), size), size)
    return sums

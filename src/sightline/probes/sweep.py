"""Where and how big: an object slid over its scene, scaled, and turned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sightline.core.targets import Target
from sightline.network.net import Net
from sightline.probes.asking import Untouched, jobs_of, tell
from sightline.probes.edits import Edit
from sightline.probes.objects import Move, Rotate, Scale
from sightline.probes.world import World

SCALES = tuple(2.0 ** (step / 4) for step in range(-8, 5))  # a quarter to twice the size
DEGREES = tuple(float(turn) for turn in range(-180, 181, 30))


@dataclass(frozen=True, eq=False)
class Line:
    """The target's scores at some settings, and whether the photo's answer holds there."""

    at: tuple[float, ...]
    values: tuple[float, ...]
    holds: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class Findings:
    """The photo's own `value`; the target's score with the object's middle at `xs` and `ys` (input pixels), row by
    row in `places`; and over its scale and its turn. `classes`: whether there is an answer that could stay.
    """

    value: float
    middle: tuple[float, float]
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    places: Line
    scales: Line
    degrees: Line
    classes: bool
    passes: int


def sweep(net: Net, target: Target, world: World, steps: int) -> Findings:
    """The target's score with the object elsewhere, at `steps` x `steps` places that keep it whole, in 13 sizes and
    13 turns; what was behind it is filled.
    """
    ys, xs = (
        _middles(plane, room, steps) for plane, room in zip(_sides(world.mask), _sides(world.inside), strict=True)
    )
    y, x = world.middle()
    moves = [Move((to - x) / world.scale[1], (down - y) / world.scale[0]) for down in ys for to in xs]
    groups: list[Sequence[Edit]] = [moves, list(map(Scale, SCALES)), list(map(Rotate, DEGREES))]
    jobs = [jobs_of(edit, [world]) for edit in (Untouched(), *(edit for group in groups for edit in group))]
    own, *told = tell(net, target, [world], jobs, kept=0)
    found = iter((one.values[0], one.tops[0] == own.tops[0]) for one in told)

    def line(at: Sequence[float]) -> Line:
        values, holds = zip(*(next(found) for _ in at), strict=True)
        return Line(tuple(at), values, holds)

    places, scales, degrees = line(range(len(moves))), line(SCALES), line(DEGREES)
    return Findings(
        own.values[0], (x, y), tuple(xs), tuple(ys), places, scales, degrees, own.tops[0] is not None, len(jobs)
    )


def _sides(plane: Tensor) -> tuple[Tensor, Tensor]:
    """The rows and the columns where a plane (h, w) is above zero."""
    return plane.amax(1).nonzero()[:, 0], plane.amax(0).nonzero()[:, 0]


def _middles(own: Tensor, room: Tensor, steps: int) -> list[float]:
    """Where along an axis an object's middle can be with all of it in the room, ascending; its own place if none."""
    half = float(own[-1] - own[0] + 1) / 2
    first, last = float(room[0]) + half, float(room[-1]) + 1 - half
    if last <= first:
        return [float(own[0]) + half]
    return torch.linspace(first, last, steps, dtype=torch.float64).tolist()

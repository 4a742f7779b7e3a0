"""Integrated gradients: a path of gradients that adds up to the change of the score, refined where it bends."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from sightline.attribution.baselines import baselines
from sightline.attribution.gradients import additive
from sightline.core.checks import number, whole
from sightline.core.heats import Heat
from sightline.core.targets import Target
from sightline.network.net import Net
from sightline.network.reading import INPUT

_FIRST = 24  # segments to start from: from fewer, a signed sum can cancel before the map is right
_AT_ONCE = 8  # segments bisected in one round
_ABSOLUTE = 10  # the segments' disagreements may add up to this many tolerances, when their signed sum is within one


def integrated_gradients(
    net: Net,
    images: Tensor,
    target: Target,
    *,
    baseline: Any = "black",
    tolerance: float = 0.01,
    budget: int = 200,
    steps: int | None = None,
    seed: int = 0,
) -> Iterator[Heat]:
    """Contributions (B, C, *spatial) that add up to score(image) - score(baseline) (arXiv:1703.01365).

    The trapezoid rule on a path refined where it bends: the segments that disagree most with their own change of
    score are bisected, until the map's sum is within `tolerance` of the change, and the segments' absolute
    disagreements within ten times that, or `budget` passes a baseline are spent. `steps` asks for that many
    uniform segments instead. `baseline`: see `baselines`; several are averaged.
    """
    additive(target, "integrated-gradients")
    number("tolerance", tolerance, above=0)
    whole("budget", budget, 2)
    segments = (steps is not None and whole("steps", steps, 1)) or min(_FIRST, budget - 1)
    starts = baselines(net, images, baseline, seed).transpose(0, 1)
    paths = [
        [_Path(image, start, segments, steps is None) for start in column]
        for image, column in zip(images, starts, strict=True)
    ]
    while any(path.wanted for column in paths for path in column):
        _visit(net, target, paths)
        yield _heat(paths)
        if steps is None:
            for path in (path for column in paths for path in column):
                path.refine(tolerance, budget)


def _visit(net: Net, target: Target, paths: list[list[_Path]]) -> None:
    """Gradients at the points that each path asks for, a chunk of rows at a time."""
    points = [(i, path, at) for i, column in enumerate(paths) for path in column for at in path.wanted]
    at_once = net.chunk  # which shrinks on the way when memory runs out
    for first in range(0, len(points), at_once):
        group = points[first : first + at_once]
        batch = torch.stack([path.image_at(at) for _, path, at in group])
        reading = net.gradients(batch, target, rows=torch.tensor([i for i, _, _ in group]))
        for (_, path, at), score, slope in zip(group, reading.score, reading.grads[INPUT][0], strict=True):
            path.add(at, float(score), slope)


def _heat(paths: list[list[_Path]]) -> Heat:
    values = torch.stack([torch.stack([path.values() for path in column]).mean(0) for column in paths])
    changes = [sum(path.change for path in column) / len(column) for column in paths]
    change = torch.tensor(changes, dtype=torch.float64)
    missing = (values.double().flatten(1).sum(1).cpu() - change).abs()
    gap = torch.where(missing == 0, 0.0, missing / change.abs())
    spent = tuple((sum(len(path.scores) for path in column),) * 2 for column in paths)
    return Heat(values, gap=gap.to(values.dtype), spent=spent)


class _Path:
    """The straight line from a baseline to an image, with what was seen at its points.

    `keep` the gradients of all points, which refining needs; a path of fixed steps forgets them.
    """

    def __init__(self, image: Tensor, start: Tensor, segments: int, keep: bool) -> None:
        self.start, self.way, self.keep = start, image - start, keep
        self.scores: dict[float, float] = {}
        self._slopes: dict[float, Tensor] = {}
        self._along: dict[float, float] = {}
        self._total = torch.zeros_like(image, dtype=torch.float64)
        ends = {0.0: 0.5 / segments, 1.0: 0.5 / segments}
        middle = {i / segments: 1 / segments for i in range(1, segments)}
        self.wanted: dict[float, float] = {**ends, **middle}

    def image_at(self, at: float) -> Tensor:
        return self.start + at * self.way

    def add(self, at: float, score: float, slope: Tensor) -> None:
        """Take in the score and its gradient at a wanted point, with the trapezoid rule's weight."""
        weight = self.wanted.pop(at)
        self._total += weight * slope
        self.scores[at] = score
        if self.keep:
            self._slopes[at] = slope
            self._along[at] = float((slope.double() * self.way.double()).sum())

    @property
    def change(self) -> float:
        return self.scores[1.0] - self.scores[0.0]

    def refine(self, tolerance: float, budget: int) -> None:
        """Ask for the middles of the segments that disagree most with their change of score, unless good enough."""
        points = sorted(self.scores)
        errors = []
        for a, b in pairwise(points):
            trapezoid = (b - a) / 2 * (self._along[a] + self._along[b])
            errors.append((trapezoid - (self.scores[b] - self.scores[a]), a, b))
        allowed = tolerance * abs(self.change)
        enough = abs(sum(e for e, _, _ in errors)) <= allowed
        if enough and sum(abs(e) for e, _, _ in errors) <= _ABSOLUTE * allowed:
            return
        count = min(_AT_ONCE, budget - len(points))
        for _, a, b in heapq.nlargest(count, errors, key=lambda error: abs(error[0])):
            self._total -= (b - a) / 4 * (self._slopes[a].double() + self._slopes[b])
            self.wanted[(a + b) / 2] = (b - a) / 2

    def values(self) -> Tensor:
        """The trapezoid rule over all points seen, times the way, (C, *spatial)."""
        return (self._total * self.way).to(self.way.dtype)

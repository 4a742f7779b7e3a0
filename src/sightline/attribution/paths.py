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
from sightline.core.precision import wide, widest
from sightline.core.targets import Target
from sightline.network.net import Net
from sightline.network.reading import INPUT

_FIRST = 24  # segments to start from: from fewer, a signed sum can cancel before the map is right
_AT_ONCE = 8  # segments bisected in one round
_NEAR = 20  # tolerances that the segments' disagreements may add up to, for the rest to be calibrated away
_ROUNDING = 1e-6  # share of a score that float32 does not hold
_UNLIKE = 0.3  # tolerances by which a round may turn the map, as one less the cosine


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
    score are bisected, until a round hardly turns the map and they disagree by 20 `tolerance` of the change in all;
    then its weights are calibrated on the change, which is known. Or until `budget` passes a baseline are spent.
    `steps` asks for that many uniform segments instead. `baseline`: see `baselines`; several are averaged.
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
    while unfinished := [path for column in paths for path in column if path.wanted]:
        _visit(net, target, paths)
        for path in unfinished if steps is None else ():
            path.refine(tolerance, budget)
        yield _heat(paths)


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
    missing = (wide(values).flatten(1).sum(1).cpu() - change).abs()
    still = torch.tensor([all(path.still for path in column) for column in paths])
    gap = torch.where((missing == 0) | still, 0.0, missing / change.abs())
    spent = tuple((sum(len(path.scores) for path in column),) * 2 for column in paths)
    return Heat(values, gap=gap.to(values.dtype), spent=spent)


class _Path:
    """The straight line from a baseline to an image, with what was seen at its points.

    It keeps the gradients of all points if it `refines`; a path of fixed steps forgets them.
    """

    def __init__(self, image: Tensor, start: Tensor, segments: int, refines: bool) -> None:
        self.start, self.way, self.refines = start, image - start, refines
        self.scores: dict[float, float] = {}
        self._slopes: dict[float, Tensor] = {}
        self._along: dict[float, float] = {}
        self._mean = torch.zeros_like(image, dtype=widest(image.device))
        self._weight = 1 / segments
        self.wanted: list[float] = [i / segments for i in range(segments + 1)]

    def image_at(self, at: float) -> Tensor:
        return self.start + at * self.way

    def add(self, at: float, score: float, slope: Tensor) -> None:
        """Take in the score and its gradient at a wanted point."""
        self.wanted.remove(at)
        self.scores[at] = score
        if self.refines:
            self._slopes[at] = slope
            self._along[at] = float((wide(slope) * wide(self.way)).sum())
        else:
            self._mean += (self._weight / 2 if at in (0.0, 1.0) else self._weight) * slope

    @property
    def change(self) -> float:
        return self.scores[1.0] - self.scores[0.0]

    @property
    def still(self) -> bool:
        """Whether the score moves along the path by no more than rounding."""
        scores = self.scores.values()
        return max(scores) - min(scores) <= _ROUNDING * max(map(abs, scores))

    def refine(self, tolerance: float, budget: int) -> None:
        """Calibrate the map, if it is good enough; or ask for the middles of the segments that disagree most."""
        if self.still:
            return
        points = sorted(self.scores)
        weights = _trapezoid(points)
        before = self._mean if self._mean.any() else self._average(_trapezoid(sorted({*points[::2], 1.0})))
        self._mean = self._average(weights)
        errors = [
            ((b - a) / 2 * (self._along[a] + self._along[b]) - (self.scores[b] - self.scores[a]), a, b)
            for a, b in pairwise(points)
        ]
        missing, allowed = abs(sum(error for error, _, _ in errors)), tolerance * abs(self.change)
        apart = sum(abs(error) for error, _, _ in errors)
        if apart <= _NEAR * allowed and _unlike(before * self.way, self._mean * self.way) <= _UNLIKE * tolerance:
            calibrated = self._calibrated(weights)
            if calibrated is not None:
                self._mean = self._average(calibrated)
            if calibrated is not None or missing <= allowed:
                return
        for _, a, b in heapq.nlargest(min(_AT_ONCE, budget - len(points)), errors, key=lambda error: abs(error[0])):
            self.wanted.append((a + b) / 2)

    def _calibrated(self, weights: dict[float, float]) -> dict[float, float] | None:
        """The nearest weights that give the change of the score, which is known; None where none are near.

        They still sum to 1: each grows with how far the score's slope along the way lies above its mean there.
        """
        mean = sum(weight * self._along[at] for at, weight in weights.items())
        away = {at: self._along[at] - mean for at in weights}
        spread = sum(weight * away[at] ** 2 for at, weight in weights.items())
        if spread == 0 or abs(self.change - mean) * max(map(abs, away.values())) > spread:
            return None
        return {at: weight * (1 + (self.change - mean) / spread * away[at]) for at, weight in weights.items()}

    def _average(self, weights: dict[float, float]) -> Tensor:
        """The mean gradient along the path, by weights of its points, (C, *spatial)."""
        total = torch.zeros_like(self._mean)
        for at, weight in weights.items():
            total += weight * self._slopes[at]
        return total

    def values(self) -> Tensor:
        """The mean gradient times the way, (C, *spatial)."""
        return (self._mean * self.way).to(self.way.dtype)


def _trapezoid(points: list[float]) -> dict[float, float]:
    """The trapezoid rule's weights of sorted points from 0 to 1."""
    weights = dict.fromkeys(points, 0.0)
    for a, b in pairwise(points):
        weights[a] += (b - a) / 2
        weights[b] += (b - a) / 2
    return weights


def _unlike(a: Tensor, b: Tensor) -> float:
    """One less the cosine of the angle between two maps; 0 where both are blank."""
    if not (a.any() or b.any()):
        return 0.0
    return 1 - float(torch.cosine_similarity(wide(a.flatten()), wide(b.flatten()), 0))

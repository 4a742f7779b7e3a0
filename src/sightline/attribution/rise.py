"""RISE: random coarse masks; kept pixels earn the score, less what the coarse mask alone foretells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sightline.attribution.masking import moved, score_masks, veils
from sightline.attribution.sampling import effort
from sightline.core.checks import whole
from sightline.core.errors import OptionError
from sightline.core.heats import Heat
from sightline.core.targets import Target
from sightline.network.net import Net
from sightline.stats.running import RunningMean

_RIDGE = 1.0  # of the regression, in masks: what is foretold from few masks stays small
_BLOCKS = 600  # that a regression takes at most, whatever the cells: solving it must not cost more than the passes


def rise(
    net: Net,
    images: Tensor,
    target: Target,
    *,
    samples: int | None = None,
    precision: float | None = None,
    seconds: float | None = None,
    cells: int = 7,
    keep: float = 0.5,
    fill: Any = "black",
    seed: int = 0,
) -> Iterator[Heat]:
    """The mean score of random masks that keep a pixel, less that of all masks, (B, 1, *spatial), with its error.

    arXiv:1806.07421: grids of `cells` a side, each kept with chance `keep`, enlarged bilinearly and shifted at
    random. The paper's mean of score times mask varies mostly with the score's own level; here the covariance of
    score and mask is estimated, which is the same up to that constant, and of the score only what a linear
    regression on the coarse mask, fitted to the masks drawn before, does not foretell; what it foretells has a
    covariance known on paper. Unbiased, and much less noisy. `samples`, `precision`, `seconds`: see
    `sampling.effort`, but 1,000 masks, or 8,000 with a `precision`. `fill`: see `fills_of`. Raises OptionError, and
    MethodError for a target that asks what keeps the score.
    """
    moved(target, "rise")
    limit = effort(samples, precision, seconds, usual=1000, most=8000)
    whole("cells", cells, 1)
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 < keep < 1:
        raise OptionError(f"keep={keep!r}; it is the chance that a cell is kept, between 0 and 1.")
    return _sample(net, images, target, limit, Masks(tuple(images.shape[2:]), cells, float(keep), seed), fill, seed)


def _sample(
    net: Net, images: Tensor, target: Target, limit: Any, masks: Masks, fill: Any, seed: int
) -> Iterator[Heat]:
    veiled = veils(net, images, fill, seed)
    tallies = [_Tally(masks) for _ in images]
    wanted = list(range(len(images)))
    for count in limit.rounds():
        drawn = masks.draw(count)
        scores = score_masks(net, veiled, target, drawn, wanted).cpu().double()
        for i, mine in zip(wanted, scores.unbind(1), strict=True):
            tallies[i].add(drawn, mine)
        values, errors = (torch.stack(part).to(images) for part in zip(*(t.read() for t in tallies), strict=True))
        heat = Heat(values, errors, spent=tuple((tally.count * len(veiled), 0) for tally in tallies))
        yield heat
        wanted = limit.unfinished(heat, len(veiled))
        if not wanted:
            return


@dataclass(frozen=True)
class Masks:
    """Random masks for images of one size, and what is known of them on paper."""

    spatial: tuple[int, ...]
    cells: int
    keep: float
    seed: int

    @cached_property
    def _die(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    @cached_property
    def _enlarge(self) -> list[Tensor]:
        """For each axis, from a grid's cells to pixels before the shift, (pixels, cells)."""
        return [_bilinear(min(self.cells, side), _steps(side, self.cells)) for side in self.spatial]

    @cached_property
    def _blocks(self) -> list[Tensor]:
        """For each axis, means over one more block than there are cells, as long as they are few, (blocks, side)."""
        most = int(_BLOCKS ** (1 / max(1, sum(side > 1 for side in self.spatial))))
        sizes = [(min(self.cells + 1, side, most), side) for side in self.spatial]
        return [F.adaptive_avg_pool1d(torch.eye(side, dtype=torch.float64), count).T for count, side in sizes]

    @cached_property
    def _alike(self) -> list[Tensor]:
        """For each axis the covariance of a block's mean with each pixel, as a share of a cell's variance."""
        return [
            blocks @ _kernel(enlarge, side, _steps(side, self.cells))
            for blocks, enlarge, side in zip(self._blocks, self._enlarge, self.spatial, strict=True)
        ]

    def draw(self, count: int) -> Tensor:
        """The next masks (count, 1, *spatial) in [0, 1]."""
        return torch.stack([self._one() for _ in range(count)])[:, None]

    def _one(self) -> Tensor:
        sides = [min(self.cells, side) for side in self.spatial]
        grid = torch.rand(sides, generator=self._die, dtype=torch.float32) < self.keep
        shifts = [self._shift(_steps(side, self.cells)) for side in self.spatial]
        windows = zip(self._enlarge, shifts, self.spatial, strict=True)
        return _along(grid.float(), [enlarge[at : at + side].float() for enlarge, at, side in windows])

    def _shift(self, steps: int) -> int:
        return int(torch.randint(steps, (), generator=self._die)) if steps > 1 else 0

    def features(self, masks: Tensor) -> Tensor:
        """What a regression knows of masks (n, 1, *spatial): block means, (n, blocks), less their expectation."""
        return _along(masks[:, 0].double() - self.keep, self._blocks).flatten(1)

    def foretold(self, slopes: Tensor) -> Tensor:
        """The covariance (*spatial) of a weighted sum of the features with every pixel of the mask, on paper."""
        weights = slopes.view([len(blocks) for blocks in self._blocks])
        return self.keep * (1 - self.keep) * _along(weights, [alike.T for alike in self._alike])


def _steps(side: int, cells: int) -> int:
    """Pixels that a grid's cell comes to along an axis: how far masks are shifted."""
    return math.ceil(side / min(cells, side))


def _bilinear(cells: int, step: int) -> Tensor:
    """(pixels, cells): how a row of cells is enlarged to one more cell's length, align_corners=False."""
    eye = torch.eye(cells, dtype=torch.float64)[None]
    return F.interpolate(eye, size=(cells + 1) * step, mode="linear", align_corners=False)[0].T


def _kernel(enlarge: Tensor, side: int, steps: int) -> Tensor:
    """(side, side): how alike two pixels of a mask are along an axis, mean over all shifts."""
    windows = [enlarge[at : at + side] for at in range(steps)]
    return torch.stack([window @ window.T for window in windows]).mean(0)


def _along(values: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Each matrix (out, in) applied along its own of the last axes."""
    for axis, matrix in zip(range(-len(matrices), 0), matrices, strict=True):
        values = (values.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
    return values


class _Tally:
    """One image's covariance of score and mask: the mean of unbiased estimates, one from each mask but the first.

    Each takes from the score what the masks before it foretell, and from its own mask nothing, so the estimates are
    uncorrelated, and their standard error is honest from the start.
    """

    def __init__(self, masks: Masks) -> None:
        self._masks, self._mean, self.count = masks, RunningMean(), 0
        self._level: Tensor | None = None
        self._moments: Tensor | None = None
        self._products: Tensor | None = None

    def add(self, drawn: Tensor, scores: Tensor) -> None:
        """Take in masks (n, 1, *spatial) and the scores (n,) under them, foretold from those before."""
        self._level = scores[0] if self._level is None else self._level
        scores = scores - self._level  # a large one costs no digits, and a constant score is nothing at all
        features = self._masks.features(drawn)
        known = torch.cat([features.new_ones(len(scores), 1), features], 1)
        away = drawn[:, 0].double() - self._masks.keep
        if self._moments is None or self._products is None:
            before = scores.cumsum(0)[:-1] / torch.arange(1, len(scores))  # their mean, for want of a regression
            rest, away, sure = scores[1:] - before, away[1:], scores.new_zeros(())
            self._moments, self._products = known.T @ known, known.T @ scores
        else:
            slopes = torch.linalg.solve(self._moments + self._ridge(known), self._products)
            rest, sure = scores - known @ slopes, self._masks.foretold(slopes[1:])
            self._moments, self._products = self._moments + known.T @ known, self._products + known.T @ scores
        self.count += len(scores)
        if len(rest):
            self._mean.add((rest.view(-1, *[1] * (away.ndim - 1)) * away + sure) / self._masks.keep)

    def _ridge(self, known: Tensor) -> Tensor:
        """What holds the slopes back, the constant aside, until there are more masks than features."""
        assert self._moments is not None
        held = torch.eye(known.shape[1], dtype=known.dtype)
        held[0, 0] = 0
        spread = self._moments.diagonal()[1:].sum() / self.count
        return (_RIDGE * spread + torch.finfo(known.dtype).eps) * held

    def read(self) -> tuple[Tensor, Tensor]:
        """The map and its standard error, both (1, *spatial); nothing, and infinite, after a single mask."""
        if not self._mean.count:
            nothing = torch.zeros(1, *self._masks.spatial, dtype=torch.float64)
            return nothing, torch.full_like(nothing, torch.inf)
        return self._mean.value[None], self._mean.error[None]

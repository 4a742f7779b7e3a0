"""Smooth Grad-CAM++: the derivatives that Grad-CAM++ weighs with, averaged over noisy copies."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sightline.attribution.cams import Layers, doubts, enlarge, layers_of, mean_of_shares, unit_of
from sightline.attribution.contributions import everywhere
from sightline.attribution.sampling import effort, sampled
from sightline.core.heats import Heat
from sightline.core.precision import wide
from sightline.core.targets import Target
from sightline.network.net import Net

_BLOCKS = 32  # groups of samples that the jackknife leaves out in turn

Runs = list[list[Tensor]]
"""For each layer and each of its runs, one tensor."""


def smooth_grad_cam_pp(
    net: Net,
    images: Tensor,
    target: Target,
    *,
    noise: float = 0.15,
    samples: int | None = None,
    precision: float | None = None,
    seconds: float | None = None,
    layer: Layers = None,
    seed: int = 0,
) -> Iterator[Heat]:
    """Grad-CAM++ with its derivatives averaged over noisy copies, (B, 1, *spatial), with its standard error.

    arXiv:1908.01224, with alpha = D2 / (2 D2 + sum(A) D3), as in Grad-CAM++, to which it comes down without noise;
    the paper prints D1 above the bar. Where the mean third derivative is below zero it counts as zero, lest the
    denominator cross zero. The error is a jackknife's. `samples`, `precision`, `seconds`: see `sampling.effort`.
    """
    names, limit = layers_of(net, images, layer), effort(samples, precision, seconds)
    clean = net.look(images, target, *names).acts
    warnings = doubts(net, images, {name: [tuple(run.shape[2:]) for run in clean[name]] for name in names})
    tallies = [
        _Tally([[run[i] for run in clean[name]] for name in names], images.shape[2:]) for i in range(len(images))
    ]

    def take(wanted: list[int], drawn: Tensor, rows: Tensor) -> None:
        grads = net.gradients(drawn, target, names, rows=rows).grads
        count = len(drawn) // len(wanted)
        for place, i in enumerate(wanted):
            mine = slice(place * count, (place + 1) * count)
            tallies[i].add([[run[mine] for run in grads[name]] for name in names])

    def so_far() -> Heat:
        values, errors = (torch.stack(part).to(images) for part in zip(*(t.read() for t in tallies), strict=True))
        spent = tuple((tally.count + 1,) * 2 for tally in tallies)
        return Heat(values, errors, spent=spent, layer=", ".join(names), unit=unit_of(names), warnings=warnings)

    return sampled(images, noise, seed, limit, lambda: net.chunk, take, so_far)


class _Tally:
    """One image's sums of the first three powers of the gradients, in up to 32 blocks of samples."""

    def __init__(self, acts: Runs, spatial: torch.Size) -> None:
        self.count = 0
        self._acts, self._spatial = acts, spatial
        self._room = 1  # samples that a block takes, which doubles when there are too many blocks
        self._blocks: list[tuple[int, Runs]] = []

    def add(self, grads: Runs) -> None:
        """Take in the gradients (n, C, *grid) of n copies."""
        for j in range(len(grads[0][0])):
            self.count += 1
            one = (1, [[_powers(wide(run[j])) for run in runs] for runs in grads])
            if self._blocks and self._blocks[-1][0] < self._room:
                self._blocks[-1] = _merged(self._blocks[-1], one)
            else:
                self._blocks.append(one)
            if len(self._blocks) > _BLOCKS:
                self._room *= 2
                self._blocks = [_merged(*self._blocks[at : at + 2]) for at in range(0, len(self._blocks), 2)]

    def read(self) -> tuple[Tensor, Tensor]:
        """The map and its jackknife error, both (1, *spatial); the error is infinite for a single sample."""
        count, whole = _merged(*self._blocks)
        value = self._map(count, whole)
        groups = len(self._blocks)
        if groups < 2:
            return value, torch.full_like(value, torch.inf)
        without = torch.stack([self._map(count - n, _minus(whole, part)) for n, part in self._blocks])
        spread = (without - without.mean(0)).square().sum(0)
        return value, (spread * ((groups - 1) / groups)).sqrt()

    def _map(self, count: int, sums: Runs) -> Tensor:
        maps = []
        for acts, powers in zip(self._acts, sums, strict=True):
            layer_maps = [
                enlarge(_map_of(wide(act), *(power / count))[None], self._spatial)
                for act, power in zip(acts, powers, strict=True)
            ]
            maps.append(torch.stack(layer_maps).sum(0))
        return (mean_of_shares(maps) if len(maps) > 1 else maps[0])[0]


def _powers(slopes: Tensor) -> Tensor:
    return torch.stack([slopes, slopes**2, slopes**3])


def _map_of(acts: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """The map (1, *grid) of one layer from its activations and its mean derivatives, all (C, *grid)."""
    below = 2 * second + everywhere(torch.sum, acts[None].clamp_min(0))[0] * third.clamp_min(0)
    alpha = torch.where(below > 0, second / torch.where(below > 0, below, torch.ones_like(below)), below)
    weights = everywhere(torch.sum, (alpha * first.clamp_min(0))[None])[0]
    return (weights * acts).sum(0, keepdim=True)


def _merged(*blocks: tuple[int, Runs]) -> tuple[int, Runs]:
    each = [runs for _, runs in blocks]
    summed = [[torch.stack(run).sum(0) for run in zip(*layer, strict=True)] for layer in zip(*each, strict=True)]
    return sum(count for count, _ in blocks), summed


def _minus(whole: Runs, part: Runs) -> Runs:
    return [[a - b for a, b in zip(x, y, strict=True)] for x, y in zip(whole, part, strict=True)]

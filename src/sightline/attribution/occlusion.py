"""Occlusion: a hole that slides over the image; hidden pixels earn the score that was lost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sightline.attribution.masking import moved, score_masks, veils
from sightline.core.checks import whole
from sightline.core.errors import OptionError
from sightline.core.heats import Heat
from sightline.core.precision import widest
from sightline.core.targets import Target
from sightline.network.net import Net, passes

Sides = int | Sequence[int] | None


def occlusion(
    net: Net,
    images: Tensor,
    target: Target,
    *,
    window: Sides = None,
    stride: Sides = None,
    fill: Any = "black",
    seed: int = 0,
) -> Iterator[Heat]:
    """The score lost where a window hides a pixel, mean over the windows that do, (B, 1, *spatial).

    arXiv:1311.2901 (there grey, and without overlap). `window`, `stride`: a side or one for each axis, in pixels of
    the input; None for an eighth of each side, and half of the window. The border cuts the last windows off. `fill`:
    see `fills_of`; several are averaged. Raises OptionError, and MethodError for a target that asks what keeps it.
    """
    moved(target, "occlusion")
    sides = _sides("window", window, images, [math.ceil(side / 8) for side in images.shape[2:]])
    steps = _sides("stride", stride, images, [max(1, side // 2) for side in sides])
    for side, step in zip(sides, steps, strict=True):
        if step > side:
            raise OptionError(f"stride={stride!r} is larger than window={window!r}: pixels between are never hidden.")
    return _slide(net, images, target, sides, steps, fill, seed)


def _slide(
    net: Net, images: Tensor, target: Target, sides: list[int], steps: list[int], fill: Any, seed: int
) -> Iterator[Heat]:
    veiled = veils(net, images, fill, seed)
    whole_scores = score_masks(net, veiled[:1], target, images.new_ones(1, 1, *images.shape[2:]))[0]
    windows = list(_windows(images.shape[2:], sides, steps))
    lost = torch.zeros(len(images), 1, *images.shape[2:], dtype=widest(images.device), device=images.device)
    cover = torch.zeros_like(lost[:1])
    at_once = max(1, net.chunk // len(images))
    for start in range(0, len(windows), at_once):
        part = windows[start : start + at_once]
        masks = images.new_ones(len(part), 1, *images.shape[2:])
        for mask, hole in zip(masks, part, strict=True):
            mask[hole] = 0
        scores = score_masks(net, veiled, target, masks)
        for hole, score in zip(part, scores, strict=True):
            cover[0][hole] += 1
            for i, loss in enumerate((whole_scores - score).tolist()):
                lost[i][hole] += loss
        spent = passes(1 + (start + len(part)) * len(veiled), 0, len(images))
        yield Heat((lost / cover.clamp_min(1)).to(images), spent=spent)


def _windows(spatial: Sequence[int], sides: list[int], steps: list[int]) -> Iterator[tuple[slice, ...]]:
    """Holes (channel and space), row by row, until every pixel was hidden."""
    starts = [
        [step * i for i in range(math.ceil(max(0, size - side) / step) + 1)]
        for size, side, step in zip(spatial, sides, steps, strict=True)
    ]
    for corner in itertools.product(*starts):
        yield (slice(None), *(slice(at, at + side) for at, side in zip(corner, sides, strict=True)))


def _sides(name: str, given: Sides, images: Tensor, usual: list[int]) -> list[int]:
    if given is None:
        return usual
    axes = images.ndim - 2
    several = [given] * axes if isinstance(given, int) else list(given) if isinstance(given, list | tuple) else None
    if several is None or len(several) != axes:
        raise OptionError(f"{name}={given!r}; give a side in pixels, or one for each of {axes} axes.")
    return [min(whole(name, side, 1), size) for side, size in zip(several, images.shape[2:], strict=True)]

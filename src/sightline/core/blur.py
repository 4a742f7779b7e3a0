"""Gaussian smoothing over any number of spatial dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def gaussian(values: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Smooth the last len(sigmas) dimensions; `sigmas` in cells of each. Weights are renormalized at borders."""
    for axis, sigma in zip(range(-len(sigmas), 0), sigmas, strict=True):
        if sigma > 0:
            weights = _weights(values.shape[axis], sigma).to(values)
            values = (values.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return values


def _weights(size: int, sigma: float) -> Tensor:
    """(size, size): each row a bell cut at the border and at four sigmas, summing to 1."""
    cells = torch.arange(size, dtype=torch.float64)
    away = cells[:, None] - cells[None]
    bell = torch.exp(-0.5 * (away / sigma).square()) * (away.abs() <= math.ceil(4 * sigma))
    return bell / bell.sum(1, keepdim=True)

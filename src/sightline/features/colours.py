"""Colours as three independent directions of photos, and as pixels in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

# The square root of the covariance of ImageNet's colours, by singular values (Lucid, as published with
# doi:10.23915/distill.00007): brightness, then blue to yellow, then green to magenta.
_ROOT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
_EDGE = 0.002  # of black and white, which a sigmoid never reaches


def to_pixels(values: Tensor, decorrelated: bool) -> Tensor:
    """Values (N, C, h, w) of any size as pixels in [0, 1]; three channels may be decorrelated colours."""
    return (_mixed(values, _matrix(values)) if decorrelated and values.shape[1] == 3 else values).sigmoid()


def from_pixels(pixels: Tensor, decorrelated: bool) -> Tensor:
    """The values that `to_pixels` makes these pixels of."""
    values = pixels.clamp(_EDGE, 1 - _EDGE).logit()
    return _mixed(values, torch.linalg.inv(_matrix(values))) if decorrelated and values.shape[1] == 3 else values


def _mixed(values: Tensor, matrix: Tensor) -> Tensor:
    mixed: Tensor = torch.einsum("rc,nchw->nrhw", matrix, values)
    return mixed


def _matrix(like: Tensor) -> Tensor:
    root = torch.tensor(_ROOT, dtype=torch.float64)
    matrix: Tensor = (root / root.norm(dim=0).max()).to(like)
    return matrix

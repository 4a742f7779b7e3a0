"""First principal components of a layer's positions, plain and under a kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from sightline.core.errors import LayerError
from sightline.core.precision import wide

_SILENT = 1e-3  # cosine under which two maps do not tell a sign
_MOST_POSITIONS = 4096  # a kernel compares each position with every other: beyond, it takes minutes and gigabytes


def first_component(maps: Tensor, towards: Tensor, *, centred: bool = False) -> Tensor:
    """Positions (B, C, *grid) projected on their first singular vector, (B, 1, *grid).

    Its sign, which the mathematics leaves open, agrees with `towards` (B, 1, *grid).
    """
    rows = wide(maps.flatten(2))  # (B, C, positions)
    if centred:
        rows = rows - rows.mean(2, keepdim=True)
    channels, positions = rows.shape[1:]
    if positions <= channels:
        projected = _top(rows.transpose(1, 2) @ rows)
    else:
        _, vectors = torch.linalg.eigh(rows @ rows.transpose(1, 2))
        projected = (vectors[:, None, :, -1] @ rows)[:, 0]
    return _oriented(projected, maps, towards)


def first_kernel_component(maps: Tensor, towards: Tensor) -> Tensor:
    """Positions (B, C, *grid) on the first component under the kernel tanh(x'y / C + 1), (B, 1, *grid).

    The positions are centred before, the kernel after, as scikit-learn's KernelPCA does for pytorch-grad-cam.
    Raises LayerError for a layer of more than 4,096 positions.
    """
    rows = wide(maps.flatten(2))
    channels, positions = rows.shape[1:]
    if positions > _MOST_POSITIONS:
        raise LayerError(
            f"kpca-cam compares every position with every other: a layer of {positions} positions is too large, "
            f"{_MOST_POSITIONS} is the most. Take a deeper layer."
        )
    rows = rows - rows.mean(2, keepdim=True)
    kernel = torch.tanh(rows.transpose(1, 2) @ rows / channels + 1)
    kernel = kernel - kernel.mean(1, keepdim=True) - kernel.mean(2, keepdim=True) + kernel.mean((1, 2), keepdim=True)
    return _oriented(_top(kernel), maps, towards)


def _top(symmetric: Tensor) -> Tensor:
    """The eigenvector (B, n) of the largest eigenvalue of matrices (B, n, n), times the root of that value."""
    values, vectors = torch.linalg.eigh(symmetric)
    top: Tensor = vectors[..., -1] * values[:, -1:].clamp_min(0).sqrt()
    return top


def _oriented(projected: Tensor, maps: Tensor, towards: Tensor) -> Tensor:
    """With the sign that agrees with `towards`; where that says nothing, the one that makes the extremes positive."""
    wanted = wide(towards.flatten(1))
    agreement = (projected * wanted).sum(1, keepdim=True)
    silent = agreement.abs() <= _SILENT * projected.norm(dim=1, keepdim=True) * wanted.norm(dim=1, keepdim=True)
    sign = torch.where(silent, projected.pow(3).sum(1, keepdim=True), agreement)
    signed = torch.where(sign >= 0, projected, -projected)
    return signed.view(len(maps), 1, *maps.shape[2:]).to(maps.dtype)

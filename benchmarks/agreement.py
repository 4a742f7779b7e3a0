"""Equal results first: our maps read as a peer shows its own, and how far apart the two are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_COSINE, LARGEST_DIFFERENCE = 0.999, 0.02
Style = Callable[[Tensor], Tensor]


class DisagreementError(Exception):
    """Two contestants do not calculate the same, so their times say nothing."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The lowest cosine over the maps compared, and the largest difference as a share of a map's maximum."""

    cosine: float
    difference: float

    def __str__(self) -> str:
        return f"cosine {self.cosine:.6f}, largest difference {self.difference:.1e} of the maximum"


def agree(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], styles: Mapping[str, Style]) -> Agreement | None:
    """How alike the maps are that both made, ours read in the peer's style; None where it makes none.

    Raises DisagreementError below LEAST_COSINE or beyond LARGEST_DIFFERENCE.
    """
    if not theirs:
        return None
    pairs = [(styles.get(name, _as_is)(ours[name]).double(), maps.double()) for name, maps in theirs.items()]
    cosines = [F.cosine_similarity(mine.flatten(1), other.flatten(1)).min() for mine, other in pairs]
    differences = [(mine - other).abs().max() / other.abs().max() for mine, other in pairs]
    found = Agreement(float(torch.stack(cosines).min()), float(torch.stack(differences).max()))
    if not (found.cosine > LEAST_COSINE and found.difference < LARGEST_DIFFERENCE):  # NaN is not alike either
        raise DisagreementError(f"the maps differ ({', '.join(theirs)}): {found}.")
    return found


def _as_is(maps: Tensor) -> Tensor:
    return maps


def positive_share(grid: tuple[int, int]) -> Style:
    """The positive part of a layer's map as a share of its range, taken on the layer's own `grid` and enlarged.

    So torchcam shows a CAM. Ours is signed and enlarged, which is undone first: enlarging is linear.
    """

    def style(maps: Tensor) -> Tensor:
        cells = unit(_cells(maps, grid).clamp_min(0))
        return F.interpolate(cells, maps.shape[2:], mode="bilinear", align_corners=False)

    return style


def unit(maps: Tensor) -> Tensor:
    """Each map from 0, its minimum, to 1, its maximum."""
    low, high = maps.amin((1, 2, 3), keepdim=True), maps.amax((1, 2, 3), keepdim=True)
    return (maps - low) / (high - low)


def _cells(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Maps (B, 1, h, w) back on the grid that they were enlarged from."""
    down, across = (
        torch.linalg.pinv(_enlarging(cells, side)) for cells, side in zip(grid, maps.shape[2:], strict=True)
    )
    return torch.matmul(torch.matmul(down, maps.double()), across.T)


def _enlarging(cells: int, side: int) -> Tensor:
    """The matrix (side, cells) that enlarges a line of cells."""
    each = torch.eye(cells, dtype=torch.float64)[:, None]
    return F.interpolate(each, side, mode="linear", align_corners=False)[:, 0].T

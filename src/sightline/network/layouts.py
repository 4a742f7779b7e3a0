"""How a layer's output lies on the input: channels first or last, tokens, windows; and back to a plain grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sightline.network.adapters import Adapter, Among, owned

_MOST_PREFIX_TOKENS = 17  # a class token and up to 16 registers


@dataclass(frozen=True, slots=True)
class Layout:
    """`grid` is the map's shape; `prefix` class and register tokens come first; `window` tokens a side, shifted."""

    kind: Literal["first", "last", "tokens", "windows"]
    grid: tuple[int, ...]
    prefix: int = 0
    window: int = 0
    shift: int = 0

    @property
    def cells(self) -> int:
        """How many positions the map has."""
        return math.prod(self.grid)

    def apply(self, output: Tensor) -> Tensor:
        """A layer's output as (B, C, *grid)."""
        if self.kind == "first":
            return output
        if self.kind == "last":
            return output.movedim(-1, 1)
        if self.kind == "tokens":
            own = output[:, self.prefix : self.prefix + self.cells]
            return own.transpose(1, 2).reshape(len(output), -1, *self.grid)
        return self._unwindow(output)

    def _unwindow(self, output: Tensor) -> Tensor:
        """Swin's windows (B * windows, side * side, C), rolled back by their shift."""
        rows, columns = (cells // self.window for cells in self.grid)
        parts = output.reshape(-1, rows, columns, self.window, self.window, output.shape[-1])
        plain = parts.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        return torch.roll(plain, (self.shift, self.shift), (2, 3)) if self.shift else plain


def layout_of(
    network: nn.Module,
    name: str,
    module: nn.Module,
    output: Tensor,
    spatial: tuple[int, ...],
    grids: list[tuple[int, ...]],
) -> Layout | None:
    """The layout of one layer's `output` for an input of shape `spatial`; None when it holds no map of it.

    `grids` are the maps seen before, a patch embedding's among them: they tell how many tokens lie side by side.
    """
    ndim, shape = len(spatial), tuple(output.shape)
    declared = _declared(network, module)
    if len(shape) == ndim + 2 and shape[0] == 1 and declared is not None:
        grid = shape[1:-1] if declared else shape[2:]
        return Layout("last" if declared else "first", grid) if _proportional(grid, spatial) else None
    if len(shape) == ndim + 2 and shape[0] == 1:
        last = isinstance(module, nn.LayerNorm) and module.normalized_shape == shape[-1:] != shape[1:2]
        last = last or (ndim == 1 and shape[1:2] in grids and shape[2:] not in grids)  # a signal's tokens
        if not last and _proportional(shape[2:], spatial):
            return Layout("first", shape[2:])
        if _proportional(shape[1:-1], spatial):
            return Layout("last", shape[1:-1])
    if len(shape) == 3 and ndim in (2, 3) and shape[0] == 1:
        among = network.among if isinstance(network, Adapter) else None
        if among is not None and shape[1] == among.length:
            return _placed(among, (spatial[0], spatial[1]), grids)
        return _tokens((shape[1], shape[2]), spatial, grids)
    if len(shape) == 3 and ndim == 2:
        return _windows(network, name, shape, (spatial[0], spatial[1]), grids)
    return None


def _declared(network: nn.Module, module: nn.Module) -> bool | None:
    """Whether a layer's channels come last, where it says so by its `data_format`, or its network by `channels_last`.

    None where neither says anything: then the shape has to tell.
    """
    said = getattr(module, "data_format", None)
    if said in ("channels_first", "channels_last"):
        return bool(said == "channels_last")
    return getattr(owned(network), "channels_last", None)


def _proportional(grid: tuple[int, ...], spatial: tuple[int, ...]) -> bool:
    """Whether a map shrank alike along each axis, up to rounding at the borders; depth and time at their own pace."""
    if len(spatial) == 3:
        return grid[0] <= spatial[0] + 1 and _proportional(grid[1:], spatial[1:])
    scale = math.prod(grid) / math.prod(spatial)
    side = scale ** (1 / len(spatial))
    return all(abs(cells - size * side) <= 1.0 + 0.1 * cells for cells, size in zip(grid, spatial, strict=True))


def _tokens(shape: tuple[int, int], spatial: tuple[int, ...], grids: list[tuple[int, ...]]) -> Layout | None:
    """Tokens (1, count, C): as many as a map seen before, with a few in front, or merged as Swin merges them.

    Where no map was seen before, as many as fit the input's proportions.
    """
    count, channels = shape
    known = _maps(grids, len(spatial))
    prefixes = range(min(_MOST_PREFIX_TOKENS + 1, count))
    found = [(grid, prefix) for prefix in prefixes for grid in known if math.prod(grid) == count - prefix]
    if not found and not any(math.prod(grid) == channels for grid in known):  # else a flattened map (1, C, positions)
        found = [(grid, 0) for grid in _merged(known) if math.prod(grid) == count > 1]
    if not known and len(spatial) == 2:
        fitting = [(_grid(count - prefix, (spatial[0], spatial[1])), prefix) for prefix in prefixes]
        found = [(grid, prefix) for grid, prefix in fitting if grid is not None]
    if not found or channels == 1:  # one channel: a pooled vector
        return None
    return Layout("tokens", *found[0])


def _placed(among: Among, spatial: tuple[int, int], grids: list[tuple[int, ...]]) -> Layout | None:
    """The image's tokens among words: as many as a map seen before, or merged."""
    known = _maps(grids, 2)
    found = [grid for grid in known + _merged(known) if math.prod(grid) == among.count > 1]
    grid = found[0] if known and found else None if known else _grid(among.count, spatial)
    return None if grid is None else Layout("tokens", grid, among.start)


def _maps(grids: list[tuple[int, ...]], axes: int) -> list[tuple[int, ...]]:
    """The maps of so many axes that were seen before, the last first."""
    return [grid for grid in reversed(grids) if len(grid) == axes and math.prod(grid) > 1]


def _merged(known: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Their rows and columns merged, as Swin merges them."""
    return [(*through, -(-rows // by), -(-columns // by)) for *through, rows, columns in known for by in (2, 4, 8)]


def _grid(cells: int, spatial: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns with as many cells, in the proportions of the input; None when there are none."""
    rows = round(math.sqrt(cells * spatial[0] / spatial[1]))
    for height in (rows, rows - 1, rows + 1):
        if height > 0 and cells % height == 0 and _proportional((height, cells // height), spatial):
            return height, cells // height
    return None


def _windows(
    network: nn.Module,
    name: str,
    shape: tuple[int, ...],
    spatial: tuple[int, int],
    grids: list[tuple[int, ...]],
) -> Layout | None:
    """Windows (windows, side * side, C) of a map seen before; the shift is the enclosing block's `shift_size`."""
    side = math.isqrt(shape[1])
    if side < 2 or side * side != shape[1]:
        return None
    known = [g for g in reversed(grids) if len(g) == 2] + [_grid(shape[0] * shape[1], spatial)]
    for grid in known:
        if grid and math.prod(grid) == shape[0] * shape[1] and not any(n % side for n in grid):
            return Layout("windows", grid, window=side, shift=_shift(network, name))
    return None


def _shift(network: nn.Module, name: str) -> int:
    parts = name.split(".")
    for depth in range(len(parts), 0, -1):
        shift = getattr(network.get_submodule(".".join(parts[:depth])), "shift_size", None)
        if shift is not None:
            return int(shift if isinstance(shift, int) else shift[0])
    return 0

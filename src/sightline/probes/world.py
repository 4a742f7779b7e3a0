"""A photo as the network sees it, with an object in it: what edits work on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sightline.core.blur import gaussian
from sightline.photos.fills import Fill

Look = Callable[[Any, Any], tuple[Tensor, Tensor]]
Spot = tuple[float, float]
FAINT = 1 / 512  # what a mask holds below half a level of 8 bits is rounding


@dataclass(frozen=True, eq=False)
class World:
    """Pixels (C, h, w) in [0, 1] on the network's input, and the `mask` (h, w) in [0, 1] of an object in them.

    `inside` (h, w): 1 where the photo is, 0 where a border was added. `scale`: input pixels per pixel of the photo,
    (y, x). `fill`: what hidden pixels become. `look` shows another photo, and a region of it, as this one is shown.
    """

    pixels: Tensor
    mask: Tensor
    inside: Tensor
    scale: tuple[float, ...]
    fill: Fill
    look: Look
    seed: int = 0

    def hide(self, hidden: Tensor) -> Tensor:
        """The pixels with what is `hidden` (h, w), in [0, 1], filled; a border stays as it is."""
        return self.fill.hide(self.pixels, hidden * self.inside)

    def blend(self, other: Tensor, cover: Tensor) -> Tensor:
        """The pixels, and `other` ones (C, h, w) where `cover` (h, w) is 1; a border stays as it is."""
        return torch.lerp(self.pixels, other, cover * self.inside)

    def at(self, shift: tuple[int, int]) -> World:
        """The same, with another part of the photo for the object: of the same shape, so many pixels (y, x) away."""
        return replace(self, mask=shifted(self.mask, shift))

    def middle(self) -> Spot:
        """The middle of the object's box, (y, x) in input pixels; pixel i covers [i, i + 1)."""
        rows, columns = (self.mask.amax(axis).nonzero()[:, 0] for axis in (1, 0))
        return float(rows[0] + rows[-1] + 1) / 2, float(columns[0] + columns[-1] + 1) / 2

    def carried(
        self, turn: Tensor, to: Spot | None = None, shrinks: float = 1.0, onto: Tensor | None = None
    ) -> World:
        """The object lifted out, what was behind it filled, and put down with its middle at `to`; None: where it was.

        `turn` (2, 2) maps offsets (x, y) from its middle, in pixels of the photo, to those after; `shrinks` below 1
        smooths it first, lest it alias. `onto` (C, h, w): where it is put down instead of where it was.
        """
        if not bool(self.mask.any()):
            return self  # it has left the picture
        paint = torch.cat([self.pixels * self.mask, self.mask[None]])  # premultiplied: nothing around it comes along
        if shrinks < 1:
            sigma = min(0.5 * (1 / shrinks - 1), float(max(self.mask.shape)))
            paint = gaussian(paint, [sigma, sigma])
        put = _warped(paint, self._on_input(turn), self.middle(), to or self.middle())
        there = (put[-1] > FAINT) * self.inside
        cover = put[-1] * there
        around = self._around(cover) if onto is None else onto * (1 - cover)
        return replace(self, pixels=around + put[:-1] * there, mask=cover)

    def _around(self, cover: Tensor) -> Tensor:
        """What shows around the object put down: where it was, the fill, by as much as it covers less than before."""
        hidden = self.mask * self.inside
        fill = self.fill.under(self.pixels, hidden) * (hidden - cover).clamp_min(0)
        return self.pixels * (1 - torch.maximum(hidden, cover)) + fill

    def _on_input(self, turn: Tensor) -> Tensor:
        """A map of offsets in pixels of the photo as one of offsets in input pixels."""
        y, x = self.scale
        scale = torch.tensor([x, y], dtype=torch.float64)
        return scale[:, None] * turn.double() / scale


def shifted(mask: Tensor, shift: tuple[int, int]) -> Tensor:
    """A mask (h, w) moved by whole pixels (y, x); what leaves the picture is gone."""
    moved = torch.zeros_like(mask)
    (top, above, high), (left, before, wide) = map(_overlap, shift, mask.shape)
    moved[top : top + high, left : left + wide] = mask[above : above + high, before : before + wide]
    return moved


def _overlap(step: int, side: int) -> tuple[int, int, int]:
    """Where a row moved by `step` begins, what part of it is still there, and how much that is."""
    return max(step, 0), max(-step, 0), max(0, side - abs(step))


def _warped(paint: Tensor, turn: Tensor, middle: Spot, to: Spot) -> Tensor:
    """`paint` (C, h, w) turned around its middle, which goes `to`; bilinear, zero outside."""
    high, wide = paint.shape[1:]
    put = torch.zeros_like(paint)
    (top, bottom), (left, right) = _reach(paint[-1], turn, middle, to)
    if bottom <= top or right <= left:
        return put
    rows = torch.arange(top, bottom, dtype=torch.float64) + 0.5 - to[0]
    columns = torch.arange(left, right, dtype=torch.float64) + 0.5 - to[1]
    offsets = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1) @ torch.linalg.inv(turn).T
    source = offsets + torch.tensor([middle[1], middle[0]], dtype=torch.float64)
    grid = source / torch.tensor([wide, high], dtype=torch.float64) * 2 - 1
    put[:, top:bottom, left:right] = F.grid_sample(paint[None], grid[None].to(paint), align_corners=False)[0]
    return put


def _reach(mask: Tensor, turn: Tensor, middle: Spot, to: Spot) -> list[tuple[int, int]]:
    """The rows and the columns, [first, last), that an object can come to lie in."""
    rows, columns = (mask.amax(axis).nonzero()[:, 0].double() for axis in (1, 0))
    ends = [(float(side[0]) - at, float(side[-1]) + 1 - at) for side, at in ((columns, middle[1]), (rows, middle[0]))]
    corners = torch.cartesian_prod(*(torch.tensor(end, dtype=torch.float64) for end in ends)) @ turn.T
    found = []
    for axis, side in ((1, mask.shape[0]), (0, mask.shape[1])):
        low, high = (float(one) + to[1 - axis] for one in corners[:, axis].aminmax())
        found.append((max(0, min(side, int(low) - 2)), min(side, max(0, int(high) + 3))))
    return found

"""Hiding parts of images and asking again: one sampler for everything that masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.core.errors import MethodError
from sightline.core.targets import Target
from sightline.network.net import Net
from sightline.photos.fills import Fill, fills_of


@dataclass(frozen=True, eq=False)
class Veil:
    """Images (B, C, *spatial) in the network's units, and one way to fill what is hidden of each.

    `backs` (B, C, *spatial): what shows where they are hidden, where that is always the same.
    """

    net: Net
    images: Tensor
    fills: tuple[Fill, ...]
    backs: Tensor | None

    def over(self, rows: Tensor, masks: Tensor) -> Tensor:
        """The images of `rows` (n,) under masks (n, 1, *spatial): 1 keeps a pixel, 0 hides it. (n, C, *spatial)."""
        images, masks = self.images[rows], masks.to(self.images)
        backs = self._made(rows, images, masks) if self.backs is None else self.backs[rows]
        return torch.lerp(backs, images, masks)  # what is kept is so to the bit

    def _made(self, rows: Tensor, images: Tensor, masks: Tensor) -> Tensor:
        """What shows where these images are hidden, made for these masks."""
        each = zip(rows.tolist(), self.net.pixels(images), 1 - masks[:, 0], strict=True)
        return self.net.images(torch.stack([self.fills[row].under(pixels, hidden) for row, pixels, hidden in each]))


def veils(net: Net, images: Tensor, fill: Any, seed: int) -> list[Veil]:
    """A veil for each fill that is named: see `fills_of`; pictures are in the network's units. Raises OptionError."""
    pixels = net.pixels(images)
    each = [fills_of(_as_pixels(net, images, fill, i), pixels[i], seed) for i in range(len(images))]
    return [_veil(net, images, fills) for fills in zip(*each, strict=True)]


def _veil(net: Net, images: Tensor, fills: Sequence[Fill]) -> Veil:
    steady = [fill.image for fill in fills if fill.image is not None]
    backs = net.images(torch.stack(steady)) if len(steady) == len(fills) else None
    return Veil(net, images, tuple(fills), backs)


def _as_pixels(net: Net, images: Tensor, given: Any, i: int) -> Any:
    """Pictures among fills as pixels in [0, 1]; of a batch of pictures the one of image `i`."""
    if isinstance(given, list | tuple):
        return tuple(_as_pixels(net, images, one, i) for one in given)
    if not isinstance(given, Tensor | np.ndarray):
        return given
    picture = torch.as_tensor(given)
    mine = picture[i] if picture.shape == images.shape else picture
    known = mine.dtype == torch.uint8 or mine.shape != images.shape[1:]  # bytes are pixels; a wrong shape is refused
    return mine if known else net.pixels(mine.to(images)[None])[0]


def moved(target: Target, method: str) -> None:
    """Refuse a target that asks what keeps the score: of what was hidden it is known what it moves. MethodError."""
    if not target.additive:
        raise MethodError(f"{method} shows what moves the score, and {target} asks what keeps it; use saliency.")


def score_masks(
    net: Net, veiled: Sequence[Veil], target: Target, masks: Tensor, which: Sequence[int] | None = None
) -> Tensor:
    """Scores (N, B) of images under masks (N, 1, *spatial), the mean over the fills: 1 keeps a pixel, 0 hides it.

    `which` of the veils' images; None for all. Masked images are made when their turn comes, so that memory holds a
    chunk of them.
    """
    chosen = torch.arange(len(veiled[0].images)) if which is None else torch.tensor(which)
    rows = chosen.repeat(len(masks))

    def scores(veil: Veil) -> Tensor:
        def make(part: slice) -> Tensor:
            return veil.over(rows[part], masks[torch.arange(part.start, part.stop) // len(chosen)])

        return torch.cat([score for score, _ in net.answers(len(rows), make, target, rows)])

    total = torch.stack([scores(veil) for veil in veiled]).mean(0)
    return total.view(len(masks), len(chosen))

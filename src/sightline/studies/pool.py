"""The photos of a study on a network's input, an object in each, ready to be put into each other's surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.photos.fills import fills_of

Whole = NDArray[np.int64]
RIM = 1.5  # pixels of the input around an object that are filled with it: its edge is blended into them


@dataclass(frozen=True, eq=False)
class Pool:
    """Photos (N, C, h, w) on the network's input, uint8; `emptied`: the same with the object's place filled.

    `cut` (N, h, w), uint8: 255 where a pixel is the object's, what is put into other surroundings. `labels` (N,): the
    given classes, as indices of the network's scores.
    """

    photos: Tensor
    emptied: Tensor
    cut: Tensor
    labels: Whole

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The classes that have photos, ascending."""
        return tuple(np.unique(self.labels).tolist())

    @cached_property
    def members(self) -> dict[int, Whole]:
        """The photos of each class."""
        return {one: np.flatnonzero(self.labels == one) for one in self.classes}

    def pasted(self, objects: Whole, surroundings: Whole) -> Tensor:
        """The objects of photos (M,) where they are, in the emptied surroundings of photos (M,): (M, C, h, w)."""
        picked, around = torch.from_numpy(objects), torch.from_numpy(surroundings)
        cover = self.cut[picked][:, None].float() / 255
        return torch.lerp(shares(self.emptied[around]), shares(self.photos[picked]), cover)


def shares(pixels: Tensor) -> Tensor:
    """uint8 pixels as floats in [0, 1]."""
    return pixels.float() / 255


def emptied(pixels: Tensor, mask: Tensor) -> Tensor:
    """An image (C, h, w) in [0, 1] without what a mask (h, w) in [0, 1] touches, and a rim around it: inpainted.

    Where an image has other than 1 or 3 channels, which nothing inpaints, it is the mean of what is left.
    """
    hidden = widened(mask > 0)
    if bool(hidden.all()):
        hidden = mask > 0
    if len(pixels) in (1, 3):
        (fill,) = fills_of("inpaint", pixels, 0)
        return fill.hide(pixels, hidden.float())
    left = pixels[:, ~hidden].mean(1) if not bool(hidden.all()) else pixels.mean((1, 2))
    return torch.where(hidden, left[:, None, None], pixels)


def widened(mask: Tensor) -> Tensor:
    """A bool mask (h, w) with all pixels within RIM of it."""
    import cv2

    reach = int(RIM)
    grid = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    return torch.from_numpy(cv2.dilate(mask.numpy().astype(np.uint8), (grid <= RIM).astype(np.uint8)) > 0)

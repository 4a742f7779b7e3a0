"""Targets that name a place, from the photo to the network's input and back."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from sightline.core.errors import TargetError
from sightline.core.places import Box, Region
from sightline.core.targets import Class, Classes, PerImage, Target, mapped
from sightline.photos.decode import Photo
from sightline.photos.geometry import View
from sightline.photos.volumes import Volume


def of_image(target: Target, i: int) -> Target:
    """The target of one image of a batch."""
    if isinstance(target, Classes):
        return Class(target.indices[i])
    return target.targets[i] if isinstance(target, PerImage) else target


def on_input(target: Target, photo: Photo | Volume, view: View) -> Target:
    """A target whose places are of the photo, with them on the network's input. Raises TargetError."""

    def placed(one: Target) -> Target:
        if isinstance(one, Box):
            return _box_on_input(one, view)
        return _region_on_input(one, photo, view) if isinstance(one, Region) else one

    return mapped(target, placed)


def on_photo(target: Target, view: View) -> Target:
    """A target whose places are of the network's input, or of its output, with them on the photo."""

    def placed(one: Target) -> Target:
        if isinstance(one, Box):
            back = [1 / scale for scale in view.scale]
            return one.moved(back, [-shift * scale for shift, scale in zip(view.shift, back, strict=True)])
        return _region_on_photo(one, view) if isinstance(one, Region) else one

    return mapped(target, placed)


def _box_on_input(target: Box, view: View) -> Box:
    if len(view.photo_size) != 2:
        raise TargetError("a Box is what a detector finds in a photo; of a volume or clip take a class or a Region.")
    x0, y0, x1, y1 = target.box
    height, width = view.photo_size
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise TargetError(f"the box {target.box} lies outside of a photo of {width} x {height} pixels (w x h).")
    return target.moved(view.scale, view.shift)


def _region_on_input(target: Region, photo: Photo | Volume, view: View) -> Region:
    mask = torch.as_tensor(target.mask).float()
    if tuple(mask.shape) != photo.size:
        raise TargetError(f"a mask of shape {tuple(mask.shape)} for a photo of {photo.size}; they have to be equal.")
    laid = torch.from_numpy(view.mask_to_input(mask.clamp(0, 1).numpy()))
    return Region(laid, target.index, target.where)


def _region_on_photo(target: Region, view: View) -> Region:
    mask = torch.as_tensor(target.mask).float()
    if mask.ndim != len(view.input_size):
        raise TargetError(
            f"the network answers each class with a map {tuple(mask.shape)}, which is none of the photo. Of a "
            'detector say so where it is wrapped, output="detections"; else give a function of the output.'
        )
    on_input = F.interpolate(mask[None, None], tuple(view.input_size), mode="nearest-exact")[0, 0]
    return Region(np.nan_to_num(view.to_photo(on_input.numpy())), target.index, target.where)

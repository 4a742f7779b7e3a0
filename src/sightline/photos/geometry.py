"""How a photo becomes a network's input, and how a map on the input finds the way back to the photo."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.core.errors import PhotoError, near

Resize = Literal["crop", "squash", "pad"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming", "linear"]
Floats = NDArray[np.float32]
Size = tuple[int, ...]  # (height, width) of a photo, (depth, height, width) of a volume, in pixels

LARGEST = 100_000_000  # pixels of a resized photo before its crop, and of nothing else
LONGEST = 100_000  # pixels along one side: the way back holds (side, input side) weights
GREY = (0.5,)


class Shown(Protocol):
    """A photo or a volume."""

    @property
    def pixels(self) -> NDArray[Any]:
        """(*size, C), uint8 or float32 in [0, 1]."""


@dataclass(frozen=True)
class Geometry:
    """How photos of any size become inputs of one size.

    `size` is the input's (h, w), or (d, h, w): the slices of a volume are resized as photos are, and all of its
    depth to d, by the same triangle. `resize` is one of
    * "crop": the short side is resized to `short`, then the centre is cut out, to the bit as torchvision's
      Resize and CenterCrop on PIL images (black where the resized photo is smaller than the input). A tuple
      `short` is an exact (h, w) to resize to; None lets the photo cover 8/7 of the input on both axes.
    * "squash": the whole photo is resized to the input, whatever its shape.
    * "pad": the whole photo is fitted in and centred; around it is `fill`, values in [0, 1], one or one per
      channel; () is mid-grey.
    A crop whose margins are half a pixel off goes to the even one, as torchvision's, or `half="down"`, as
    transformers'. `box` (h, w) is what a crop's photo covers, or a padded one fits in, where that is not the input.
    `interpolation` is Pillow's of that name, antialiased; "linear" is without, as torchvision's for video.

    Raises PhotoError for values out of range.
    """

    size: Size
    resize: Resize = "crop"
    short: int | Size | None = None
    interpolation: Interpolation = "bilinear"
    fill: tuple[float, ...] = ()
    half: Literal["even", "down"] = "even"
    box: Size | None = None

    def __post_init__(self) -> None:
        if self.resize not in get_args(Resize):
            raise PhotoError(f"no way to resize named {self.resize!r}; {near(str(self.resize), get_args(Resize))}")
        if self.interpolation not in get_args(Interpolation):
            possible = near(str(self.interpolation), get_args(Interpolation))
            raise PhotoError(f"no interpolation named {self.interpolation!r}; {possible}")
        if not _is_size(self.size):
            raise PhotoError(f"size is the input's (height, width) or (depth, height, width); got {self.size!r}.")
        if self.short is not None and not _is_size(self.short, (2,)) and not _is_size((self.short, 1)):
            raise PhotoError(f"short is a side in pixels or an exact (height, width); got {self.short!r}.")
        if not all(0 <= value <= 1 for value in self.fill):
            raise PhotoError(f"fill is a colour of values in [0, 1]; got {self.fill!r}.")

    def view(self, *photo: int) -> View:
        """What one upright photo of that size (h, w), or volume (d, h, w), becomes.

        Raises PhotoError where it is too elongated, or has another number of axes than the input.
        """
        if not _is_size(photo, (len(self.size),)) or max(photo) > LONGEST:
            raise PhotoError(f"a photo's sides are 1 to {LONGEST} pixels; got {_by(photo)}.")
        plane, through = self._resized(photo[-2:]), self.size[:-2]
        if self.resize == "crop" and math.prod((*photo[:-2], *plane)) > LARGEST:
            raise PhotoError(
                f"a photo of {_by(photo)} is too elongated: it would be resized to {plane[0]} x {plane[1]}. "
                f'Crop it before, or use resize="squash" or "pad".'
            )
        corner = tuple(_corner(side, size, self.half) for side, size in zip(plane, self.size[-2:], strict=True))
        fill = (0.0,) if self.resize == "crop" else self.fill or GREY
        places = (0,) * len(through) + corner
        return View(photo, self.size, through + plane, places, self.interpolation, fill)

    def _resized(self, photo: Size) -> Size:
        """The size (h, w) of the whole photo at the input's scale."""
        plane = self.size[-2:]
        if self.resize == "squash":
            return plane
        if self.resize == "pad":
            return _fitted(photo, plane) if self.box is None else _kept(photo, self.box, max)
        if self.box is not None and self.resize == "crop":
            return _kept(photo, self.box, min)
        if self.short is None:
            return _covering(photo, (round(8 / 7 * plane[0]), round(8 / 7 * plane[1])))
        if isinstance(self.short, int):
            return _covering(photo, (self.short, self.short))
        return self.short


@dataclass(frozen=True)
class View:
    """One photo or volume on one input: per axis, input = photo * scale + shift, in continuous coordinates.

    Pixel i covers [i, i + 1). Sizes and places are (y, x), or (z, y, x). `resized` is the whole photo at the
    input's scale, `corner` where its first pixel lands on the input (negative: cut off).
    """

    photo_size: Size
    input_size: Size
    resized: Size
    corner: Size
    interpolation: Interpolation = "bilinear"
    fill: tuple[float, ...] = GREY

    @property
    def scale(self) -> tuple[float, ...]:
        """Input pixels per photo pixel, for each axis."""
        return tuple(new / old for new, old in zip(self.resized, self.photo_size, strict=True))

    @property
    def shift(self) -> tuple[float, ...]:
        """Where the photo's origin lies on the input, in input pixels, for each axis."""
        return tuple(map(float, self.corner))

    def to_input(self, photo: Shown) -> Floats:
        """The photo as the network takes it, before normalization: (C, *input_size) float32 in [0, 1].

        uint8 grey and RGB are resized in 8 bits, to the bit as torchvision does; everything else in floats,
        channel by channel. Raises PhotoError for a photo of another size, or a fill of other channels.
        """
        *size, channels = photo.pixels.shape
        if tuple(size) != self.photo_size:
            raise PhotoError(f"this view is of photos of {self.photo_size}; got {tuple(size)}.")
        if len(self.fill) not in (1, channels):
            raise PhotoError(f"fill has {len(self.fill)} values and the photo {channels} channels.")
        canvas = np.empty((channels, *self.input_size), np.float32)
        canvas[:] = np.array(self.fill, np.float32).reshape(-1, *[1] * len(size))
        shown = [self._content(axis) for axis in range(len(size))]
        whole = self._resize(photo.pixels)
        cut = (slice(a - at, b - at) for (a, b), at in zip(shown, self.corner, strict=True))
        canvas[:, *(slice(*one) for one in shown)] = whole[:, *cut]
        return canvas

    def mask_to_input(self, mask: NDArray[Any]) -> Floats:
        """A mask (H, W) in [0, 1] of the upright photo on the input, (h, w); 0 where there is no photo."""
        plane = _Plane(np.asarray(mask, np.float32)[..., None])
        return np.asarray(replace(self, fill=(0.0,)).to_input(plane)[0])

    def to_photo(self, values: NDArray[Any]) -> Floats:
        """A map on the input, laid on the upright photo: (*photo_size) float32, NaN where nothing was seen.

        Linear along each axis (align_corners=False) where it is enlarged, antialiased with the same triangle where
        it shrinks; padding is left out. Raises PhotoError for another shape, or a map that is not finite.
        """
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite
            values = np.asarray(values, np.float32)
        if values.shape != self.input_size:
            raise PhotoError(f"a map on this input is {self.input_size}; got {values.shape}.")
        if not np.isfinite(values).all():
            raise PhotoError("a map to lay on a photo is finite; got NaN or infinity.")
        laid = np.full(self.photo_size, np.nan, np.float32)
        for axis in range(values.ndim):
            values = _along(values, axis, self._weights(axis))
        laid[self._all_seen()] = values
        return laid

    def box_to_photo(self, box: tuple[int, int, int, int]) -> tuple[int, int, int, int] | None:
        """The photo's pixels that a box (x0, y0, x1, y1), half open, of the input covers, if only in part.

        None where it covers none of the photo, as in a padding.
        """
        sides = []
        for axis, (start, stop) in enumerate(((box[1], box[3]), (box[0], box[2]))):
            low, high = ((edge - self.shift[axis]) / self.scale[axis] for edge in (start, stop))
            first, last = max(0, math.floor(round(low, 6))), min(self.photo_size[axis], math.ceil(round(high, 6)))
            sides.append((first, last))
        (y0, y1), (x0, x1) = sides
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def seen(self) -> NDArray[np.bool_]:
        """Which photo pixels the network saw, (H, W): those whose centre lies in the input."""
        mask = np.zeros(self.photo_size, np.bool_)
        mask[self._all_seen()] = True
        return mask

    def _content(self, axis: int) -> tuple[int, int]:
        """The input pixels [start, stop) along an axis that show photo and not padding."""
        start, size = self.corner[axis], self.resized[axis]
        return max(start, 0), min(start + size, self.input_size[axis])

    def _centres(self, axis: int) -> NDArray[np.float64]:
        """The centres of all photo pixels along an axis, in input coordinates."""
        centres: NDArray[np.float64] = np.arange(self.photo_size[axis]) + np.float64(0.5)
        return centres * self.scale[axis] + self.shift[axis]

    def _seen(self, axis: int) -> slice:
        start, stop = np.searchsorted(self._centres(axis), (0, self.input_size[axis]))
        return slice(int(start), int(stop))

    def _all_seen(self) -> tuple[slice, ...]:
        return tuple(map(self._seen, range(len(self.photo_size))))

    def _weights(self, axis: int) -> Floats:
        """Along one axis: what each of the n photo pixels that were seen takes of the input's, (n, size)."""
        start, stop = self._content(axis)
        reach = max(1.0, self.scale[axis])  # input pixels: a shrinking map is averaged over a photo pixel
        centres = self._centres(axis)[self._seen(axis)]
        weights = np.zeros((len(centres), self.input_size[axis]), np.float32)
        weights[:, start:stop] = _triangle(centres, np.arange(start, stop) + 0.5, reach)
        return weights

    def _resize(self, pixels: NDArray[Any]) -> Floats:
        """All of the photo at the input's scale: (C, *resized) float32 in [0, 1]."""
        if pixels.ndim > 3:  # each slice, then along them
            slices = np.stack([self._resize(one) for one in pixels], 1)
            centres = (np.arange(self.resized[0]) + 0.5) / self.scale[0]
            reach = max(1.0, 1 / self.scale[0])
            return _along(slices, 1, _triangle(centres, np.arange(len(pixels)) + 0.5, reach))
        if self.interpolation == "linear":
            return _linear(pixels, self.resized[-2:])
        if pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3):
            picture = Image.fromarray(np.ascontiguousarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]))
            stored = np.asarray(self._pillow(picture)).reshape(*self.resized[-2:], -1)
            return np.moveaxis(stored, 2, 0).astype(np.float32) / np.float32(255)
        units = pixels.astype(np.float32) / 255 if pixels.dtype == np.uint8 else pixels
        layers = [np.ascontiguousarray(layer, np.float32) for layer in np.moveaxis(units, 2, 0)]
        resized = np.stack([np.asarray(self._pillow(Image.fromarray(layer))) for layer in layers])
        return resized.clip(0, 1)  # bicubic and Lanczos overshoot

    def _pillow(self, picture: Image.Image) -> Image.Image:
        filters = Image.Resampling[self.interpolation.upper()]
        return picture.resize((self.resized[-1], self.resized[-2]), filters)


@dataclass(frozen=True)
class _Plane:
    """Values that are laid on the input as a photo is."""

    pixels: NDArray[Any]


def _triangle(centres: NDArray[Any], cells: NDArray[Any], reach: float) -> Floats:
    """What each of the `centres` takes of each cell, (centres, cells): less the farther, nothing beyond `reach`."""
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - cells) / reach)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _linear(pixels: NDArray[Any], size: Size) -> Floats:
    """Pixels (h, w, C) resized without antialiasing, (C, *size), as torchvision resizes tensors; levels stay so."""
    import cv2

    layers = [cv2.resize(np.ascontiguousarray(one, np.float32), size[::-1]) for one in np.moveaxis(pixels, 2, 0)]
    resized: Floats = np.stack(layers).astype(np.float32)
    return np.asarray(np.rint(resized) / 255, np.float32) if pixels.dtype == np.uint8 else resized


def _along(values: Floats, axis: int, weights: Floats) -> Floats:
    """Values with an axis replaced by its sums under weights (new, old)."""
    return np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)


def _by(size: Sequence[int]) -> str:
    """A size as a sentence has it: "480 x 640 (h x w)"."""
    return f"{' x '.join(map(str, size))} ({' x '.join('dhw'[-len(size) :])})"


def _is_size(size: object, axes: tuple[int, ...] = (2, 3)) -> bool:
    """Whether it is so many whole numbers of at least 1."""
    if not isinstance(size, tuple) or len(size) not in axes:
        return False
    return all(isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in size)


def _covering(photo: Size, box: Size) -> Size:
    """The photo's size when it just covers the box; the loose side is cut down to a whole pixel."""
    if box[0] * photo[1] >= box[1] * photo[0]:  # the height binds; torchvision's arithmetic when box is square
        return box[0], int(box[0] * photo[1] / photo[0])
    return int(box[1] * photo[0] / photo[1]), box[1]


def _kept(photo: Size, box: Size, which: Callable[..., float]) -> Size:
    """The photo's size when one side is a box's and no proportion is lost: to the bit timm's ResizeKeepRatio."""
    ratio = which(side / limit for side, limit in zip(photo, box, strict=True))
    return tuple(max(1, round(side / ratio)) for side in photo)


def _fitted(photo: Size, box: Size) -> Size:
    """The photo's size when it just fits in the box; the loose side is at least one pixel."""
    if box[0] * photo[1] <= box[1] * photo[0]:
        return box[0], max(1, round(box[0] * photo[1] / photo[0]))
    return max(1, round(box[1] * photo[0] / photo[1])), box[1]


def _corner(resized: int, size: int, half: str) -> int:
    """Where the resized photo begins on the input: torchvision's roundings for a crop and for a padding."""
    if resized < size:
        return (size - resized) // 2
    return -((resized - size) // 2) if half == "down" else -round((resized - size) / 2)

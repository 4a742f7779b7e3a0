"""A photo, from whatever a user holds: a path, a PIL image, an array, a tensor."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.core.errors import PhotoError
from sightline.photos.clips import read_sheets
from sightline.photos.files import pixel_limit, read_array, read_file, read_image
from sightline.photos.pixels import array_pixels, fit_channels, is_tensor, tensor_pixels

if TYPE_CHECKING:  # it would bring torch
    from sightline.core.heats import Warning

KINDS = "a path, a PIL image, an array (h, w, 3), or a tensor (3, h, w)"


@dataclass(frozen=True, eq=False)
class Photo:
    """Upright pixels (h, w, C), uint8 or float32 in [0, 1], and a name for what is made from them.

    `warnings`: what a reader has to know of how it was opened.
    """

    pixels: NDArray[Any]
    name: str | None = None
    warnings: tuple[Warning, ...] = ()

    @property
    def kind(self) -> str:
        """What it is, for a person."""
        return "photo"

    @property
    def size(self) -> tuple[int, ...]:
        """(height, width)."""
        return self.pixels.shape[:-1]

    @property
    def height(self) -> int:
        """Rows of the upright photo, in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of the upright photo, in pixels."""
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        """Values per pixel: 3 is RGB, 1 is grey, others are the user's own."""
        return int(self.pixels.shape[2])

    @cached_property
    def sha256(self) -> str:
        """The pixels' fingerprint, in hexadecimal."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()

    def image(self) -> Image.Image:
        """The photo as an RGB picture to look at: its first three channels, or its first as grey."""
        shown = self.pixels[..., : 3 if self.channels >= 3 else 1]
        if shown.dtype != np.uint8:
            shown = np.rint(shown * 255).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(np.broadcast_to(shown, (*shown.shape[:2], 3))))


def open_photo(source: object, *, max_pixels: int | None = None, channels: int = 3) -> Photo:
    """The photo in a path, PIL image, array (h, w[, C]), tensor (C, h, w) or Photo, as the network takes it.

    `channels` is what the network takes: 3 gives RGB, 1 grey (luma), n asks for an array or tensor of n, a .npy file
    (h, w, n), or a TIFF whose pages make n.
    `max_pixels` (else the variable SIGHTLINE_MAX_PIXELS, else 100 million) bounds files and PIL images, and
    is checked before anything is decoded. EXIF orientation is applied; transparency lies over white. The
    pixels are a copy. Raises PhotoError for everything that is not one sound photo.
    """
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise PhotoError(f"channels is a whole number of at least 1; got {channels!r}.")
    pixels = fit_channels(_pixels(source, pixel_limit(max_pixels), channels), channels)
    return Photo(np.array(pixels, order="C"), name_of(source))


def photos_of(source: object) -> tuple[list[Any], bool]:
    """One or many: the sources in order, not yet opened, and True when `source` was one photo.

    A path, PIL image, Photo or array or tensor of 2 or 3 dimensions is one; a list, a tuple, or an array
    or tensor of 4 is many. Raises PhotoError for anything else.
    """
    if isinstance(source, list | tuple):
        return list(source), False
    if isinstance(source, Photo | str | os.PathLike | Image.Image):
        return [source], True
    if isinstance(source, np.ndarray) or is_tensor(source):
        return _split(source)
    raise PhotoError(f"a photo is {KINDS}, and many are a list of them; got {type(source).__name__}.")


def _split(pixels: Any) -> tuple[list[Any], bool]:
    if pixels.ndim in (2, 3):
        return [pixels], True
    if pixels.ndim == 4:
        return list(pixels), False
    raise PhotoError(
        f"an array or tensor of 2 or 3 dimensions is one photo, of 4 many; got shape {tuple(pixels.shape)}."
    )


def _pixels(source: object, limit: int, channels: int) -> NDArray[Any]:
    if isinstance(source, Photo):
        return source.pixels
    if isinstance(source, str | os.PathLike):
        return _from_file(source, limit, channels)
    if isinstance(source, Image.Image):
        return read_image(source, limit)
    if isinstance(source, np.ndarray):
        return array_pixels(source, channels)
    if is_tensor(source):
        return tensor_pixels(source, channels)
    raise PhotoError(f"a photo is {KINDS}; got {type(source).__name__}.")


def _from_file(path: str | os.PathLike[str], limit: int, channels: int) -> NDArray[Any]:
    """A picture; the array in a .npy file; for a network of other channels than grey or RGB, the pages of a TIFF."""
    ending = Path(os.fsdecode(path)).suffix.lower()
    if ending == ".npy":
        return array_pixels(read_array(path, limit), channels)
    if channels in (1, 3) or ending not in (".tif", ".tiff"):
        return read_file(path, limit)
    pages, _ = read_sheets(path, None, limit)
    return np.concatenate(list(pages), axis=2)


def name_of(source: object) -> str | None:
    """What a source is called: a file's stem; None where it has no name."""
    if isinstance(source, Photo):
        return source.name
    path = getattr(source, "filename", None) if isinstance(source, Image.Image) else source
    if not isinstance(path, str | os.PathLike):
        return None
    stem = Path(os.fsdecode(path)).stem
    return stem.encode("utf-8", "replace").decode() or None  # a name that is no text is still a name

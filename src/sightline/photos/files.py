"""Opening picture files that may be anything: broken, hostile, huge, or no picture at all."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sightline.core.errors import PhotoError
from sightline.photos.pixels import image_pixels

MAX_PIXELS = 100_000_000
LIMIT_VARIABLE = "SIGHTLINE_MAX_PIXELS"

# Decoders of pictures only. Left out: formats that start programs (EPS), that are drawings or containers,
# and those without a signature (TGA), which would "recognise" random bytes.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TIFF", "WEBP")

_lock = Lock()
_limits: list[int | None] = []  # Pillow's limit as each reader found it: first the user's, then our None


def pixel_limit(max_pixels: int | None) -> int:
    """How many pixels a picture may have: the argument, else SIGHTLINE_MAX_PIXELS, else 100 million.

    Raises PhotoError when the one that counts is not a whole number of at least 1.
    """
    name = "max_pixels" if max_pixels is not None else LIMIT_VARIABLE
    given = max_pixels if max_pixels is not None else os.environ.get(LIMIT_VARIABLE, "").strip() or MAX_PIXELS
    try:
        limit = int(given)
    except (TypeError, ValueError, OverflowError) as error:
        raise PhotoError(f"{name} is a number of pixels, at least 1; got {given!r}.") from error
    if limit < 1:
        raise PhotoError(f"{name} is a number of pixels, at least 1; got {given!r}.")
    return limit


def read_file(path: str | os.PathLike[str], limit: int) -> NDArray[Any]:
    """The upright pixels (h, w, 1 or 3) of a picture file, see `image_pixels`; no handle stays open.

    Raises PhotoError for everything that goes wrong, with the cause chained.
    """
    with reading(path) as where, Path(where).open("rb") as file, identify(file) as image:
        return read_image(image, limit)


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[str]:
    """The path of a regular file, as text; what goes wrong inside is a PhotoError that names it, cause chained."""
    where = os.fsdecode(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", where):
        raise PhotoError(f"{where!r} is an address, not a file: download it first and pass its path.")
    try:
        _refuse_no_file(where)
        yield where
    except PhotoError as error:
        raise PhotoError(f"{where!r}: {error}") from error.__cause__
    except Exception as error:  # decoders raise nearly anything on broken data
        raise PhotoError(f"{where!r} cannot be read: {describe(error)}.") from error


def read_array(path: str | os.PathLike[str], limit: int) -> NDArray[Any]:
    """The array in a .npy file; no pickle is read. Raises PhotoError."""
    with reading(path) as where:
        mapped = np.load(where, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray):
            mapped.close()
            raise PhotoError("it is an archive of arrays; load the one that is meant.")
        if mapped.size > limit:
            raise over_limit(mapped.shape, limit)
        return np.array(mapped)


def read_image(image: Image.Image, limit: int) -> NDArray[Any]:
    """The upright pixels (h, w, 1 or 3) of a PIL image, see `image_pixels`.

    Raises PhotoError when it is empty, over the limit, broken, or has several frames. An MPO (a phone's
    or stereo camera's JPEG) counts as one: its current picture, the first in a file.
    """
    try:
        refuse_size(image, limit)
        with without_pillow_limit():
            frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
            if frames <= 1:
                return image_pixels(image)
    except PhotoError:
        raise
    except Exception as error:  # a PIL image reads its file only now
        raise PhotoError(f"the picture cannot be decoded: {describe(error)}.") from error
    raise PhotoError(
        f"it holds {frames} frames (an animation or several pages), and a photo is one: pass one frame, "
        f"as a PIL image: image = PIL.Image.open(path); image.seek(0); image.copy()."
    )


def describe(error: Exception) -> str:
    """An exception in a sentence: its type, and its words where it has any."""
    words = (getattr(error, "strerror", None) or str(error)).strip().rstrip(".")
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def over_limit(size: Sequence[int], limit: int) -> PhotoError:
    """The error for what a header says is larger than may be decoded."""
    count = math.prod(size)
    return PhotoError(
        f"{' x '.join(map(str, size))} is {count} pixels, over the limit of {limit}; "
        f"to let it in, pass max_pixels={count} or set {LIMIT_VARIABLE}={count}."
    )


def refuse_size(image: Image.Image, limit: int) -> None:
    """Raise PhotoError for a header that is over the limit, or without pixels; nothing is decoded."""
    width, height = image.size
    if width * height == 0:
        raise PhotoError(f"the picture is empty: {width} x {height} pixels.")
    tags = getattr(image, "tag_v2", {})  # a small TIFF may be cut from a huge tile, which is decoded whole
    width, height = max(image.size, (tags.get(322, 0), tags.get(323, 0)), key=math.prod)
    if width * height > limit:
        raise over_limit((width, height), limit)


def _refuse_no_file(where: str) -> None:
    """Raise OSError for what cannot be opened or would block for ever (a pipe, a device)."""
    status = os.stat(where)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError("it is a folder; pass one of its files")
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a regular file")
    if status.st_size == 0:
        raise EOFError("the file is empty")


def identify(file: Any) -> Image.Image:
    """The picture in an open file, its header read and nothing decoded. Raises PhotoError."""
    try:
        with without_pillow_limit():
            return Image.open(file, formats=_formats())
    except UnidentifiedImageError as error:
        raise PhotoError(f"it is no picture that can be read; possible: {', '.join(_formats())}.") from error


def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # AVIF is missing from older Pillows


@contextmanager
def without_pillow_limit() -> Iterator[None]:
    """Lift Pillow's own limit, which warns or stops below ours; the last reader at work restores it."""
    with _lock:
        _limits.append(Image.MAX_IMAGE_PIXELS)
        Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        with _lock:
            users = _limits[0]
            _limits.pop()
            if not _limits:
                Image.MAX_IMAGE_PIXELS = users

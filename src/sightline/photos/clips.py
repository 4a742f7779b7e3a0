"""Short videos, animations and stacks of pages: evenly sampled, of files of at most a minute."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import PhotoError
from sightline.photos.files import identify, over_limit, reading, refuse_size, without_pillow_limit
from sightline.photos.pixels import fit_channels, image_pixels

FILMS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
SHEETS = (".avif", ".gif", ".png", ".tif", ".tiff", ".webp")
MOST = 1800  # frames of a file: a minute at 30 a second
_MOVIE = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # what MP4 and QuickTime begin with
Frames = NDArray[Any]  # (t, h, w, C), uint8 or float32 in [0, 1]
Times = tuple[float, ...]


def read_film(path: str | os.PathLike[str], frames: int | None, limit: int) -> tuple[Frames, Times]:
    """Evenly spaced `frames` (t, h, w, 3) of a video file, None for all of them, and the second of each.

    Each is the middle one of an equal part. Raises PhotoError for what is no video, has more than MOST frames, or
    gives more pixels than the limit.
    """
    import cv2

    with reading(path) as where:
        _refuse_other_kinds(where)
        film, count = _film(where, limit // (frames or 1)), 0
        while film.grab():  # the number in a header need not be true
            count += 1
            _refuse_length(count)
        if not count:
            raise PhotoError("it holds no frame that can be decoded.")
        wanted, got = chosen(count, frames), {}
        film = _film(where, limit // len(wanted))
        for i in range(count):
            film.grab()
            if i in wanted:
                got[i] = film.retrieve()[1][..., ::-1], film.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return _stacked([got[i] for i in wanted])


def read_sheets(path: str | os.PathLike[str], frames: int | None, limit: int) -> tuple[Frames, Times | None]:
    """The frames of an animation, as `read_film`; of a TIFF all pages (d, h, w, C), and None. Raises PhotoError."""
    with reading(path) as where, Path(where).open("rb") as file, identify(file) as image, without_pillow_limit():
        refuse_size(image, limit)
        count, pages = int(getattr(image, "n_frames", 1)), image.format == "TIFF"
        _refuse_length(count)
        if count < 2:
            raise PhotoError("it holds one picture, where several frames or pages are needed.")
        wanted, got, clock = chosen(count, None if pages else frames), {}, 0.0
        for i in range(count):
            image.seek(i)
            refuse_size(image, limit // len(wanted))
            image.load()  # only then does WebP know for how long it is shown
            if i in wanted:
                got[i] = image_pixels(image), clock
            clock += float(image.info.get("duration", 0)) / 1000
        stack, times = _stacked([got[i] for i in wanted])
        return stack, None if pages else times


def chosen(count: int, frames: int | None) -> list[int]:
    """Which of so many frames are looked at: the middle one of each of `frames` equal parts; None for all."""
    parts = frames or count
    return [int((i + 0.5) * count / parts) for i in range(parts)]


def _film(where: str, limit: int) -> Any:
    import cv2

    film = cv2.VideoCapture(where, cv2.CAP_FFMPEG)
    size = [int(film.get(one)) for one in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)]
    if not film.isOpened() or min(size) < 1:
        raise PhotoError("it is no video that can be decoded.")
    if size[0] * size[1] > limit:
        raise over_limit(size, limit)
    return film


def _stacked(got: list[tuple[Frames, float]]) -> tuple[Frames, Times]:
    """Frames of one size as one array, grey ones among colours as colours."""
    frames, times = [one for one, _ in got], tuple(time for _, time in got)
    if len({one.shape[2] for one in frames}) > 1:
        frames = [fit_channels(one, 3) for one in frames]
    kinds = {(one.shape, one.dtype) for one in frames}
    if len(kinds) > 1:
        raise PhotoError(f"its pages differ in size or depth: {', '.join(str(shape) for shape, _ in kinds)}.")
    return np.stack(frames), times


def _refuse_length(count: int) -> None:
    if count > MOST:
        raise PhotoError(f"it has more than {MOST} frames, a minute at 30 a second; cut out the part that counts.")


def _refuse_other_kinds(where: str) -> None:
    """FFmpeg opens whatever a file turns out to be, also lists of other files and addresses: those are refused."""
    with Path(where).open("rb") as file:
        head = file.read(12)
    matroska, avi = head[:4] == b"\x1a\x45\xdf\xa3", head[:4] == b"RIFF" and head[8:] == b"AVI "
    if not (matroska or avi or head[4:8] in _MOVIE):
        raise PhotoError(f"it is no video that can be read; possible: {', '.join(FILMS)}.")

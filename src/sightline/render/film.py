"""Pictures one after the other: GIF and MP4."""

from __future__ import annotations

import io
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sightline.core.errors import SaveError
from sightline.render.save import write

FILMS = (".gif", ".mp4")
_GAP, _STRIP = 4, 22  # pixels between pictures, and of the strip with the label
_LEAST, _LAST = 160, 15  # pixels of a picture's side at least; how often the last frame is shown in a film
Pixels = NDArray[np.uint8]


def save_film(path: str | os.PathLike[str], frames: Sequence[tuple[str, Pixels]], rate: float = 12.0) -> None:
    """Write labelled frames, each (N, h, w, 3) uint8 pictures side by side, as .gif or .mp4, `rate` a second.

    The last one stays. Raises SaveError where there are no frames, or no encoder for MP4.
    """
    if len(frames) < 2:
        raise SaveError(f"{str(path)!r} is a film, and there is one picture; ask for frames, such as frames=8.")
    write(path, gif(frames, rate) if Path(path).suffix.lower() == ".gif" else _mp4(_sheets(frames), rate))


def _sheets(frames: Sequence[tuple[str, Pixels]]) -> list[Image.Image]:
    sheets = [_sheet(label, pictures) for label, pictures in frames]
    return sheets + sheets[-1:] * _LAST


def _sheet(label: str, pictures: Pixels) -> Image.Image:
    """Pictures in a grid, their label below; sides are even, as encoders want them."""
    count, high, wide = pictures.shape[:3]
    times = max(1, math.ceil(_LEAST / min(high, wide)))
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    size = (columns * (wide * times + _GAP) + _GAP, rows * (high * times + _GAP) + _GAP + _STRIP)
    sheet = Image.new("RGB", (size[0] + size[0] % 2, size[1] + size[1] % 2), "white")
    for i, picture in enumerate(pictures):
        at = (_GAP + i % columns * (wide * times + _GAP), _GAP + i // columns * (high * times + _GAP))
        sheet.paste(Image.fromarray(picture).resize((wide * times, high * times), Image.Resampling.NEAREST), at)
    ink = ImageDraw.Draw(sheet)
    ink.text((_GAP + 2, size[1] - _STRIP + 2), label, fill="#1f2937", font=ImageFont.load_default(13))
    return sheet


def gif(frames: Sequence[tuple[str, Pixels]], rate: float = 12.0) -> bytes:
    """Labelled frames as a GIF that runs for ever."""
    buffer, sheets = io.BytesIO(), _sheets(frames)
    sheets[0].save(buffer, "GIF", save_all=True, append_images=sheets[1:], duration=round(1000 / rate), loop=0)
    return buffer.getvalue()


def _mp4(sheets: list[Image.Image], rate: float) -> bytes:
    import cv2

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "film.mp4")
        for codec in ("vp09", "mp4v"):  # the first one plays in browsers
            code: Any = cv2.VideoWriter.fourcc(*codec)
            film = cv2.VideoWriter(path, code, rate, sheets[0].size)
            if film.isOpened():
                for sheet in sheets:
                    film.write(np.asarray(sheet)[..., ::-1])
                film.release()
                return Path(path).read_bytes()
    raise SaveError("this OpenCV has no encoder for MP4; save as .gif.")

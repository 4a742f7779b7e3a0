"""The pictures of a folder, in an order that is the same everywhere."""

from __future__ import annotations

import os
from pathlib import Path

from sightline.core.errors import PhotoError

SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".qoi", ".tif",
    ".tiff", ".webp",
)  # fmt: skip
"""Of files that count as pictures; what is in them shows when they are opened."""


def pictures_in(folder: str | os.PathLike[str]) -> list[Path]:
    """Every picture in a folder and the folders in it, sorted by path; hidden ones and links to folders are left out.

    Raises PhotoError for what is no folder, cannot be read, or holds no picture.
    """
    top = Path(folder)
    try:
        found = sorted(_below(top), key=lambda path: path.relative_to(top).parts)
    except OSError as error:
        raise PhotoError(f"{str(top)!r} cannot be searched for pictures: {error.strerror or error}.") from error
    if not found:
        raise PhotoError(f"no picture in {str(top)!r} or below; looked for {', '.join(SUFFIXES)}.")
    return found


def _below(top: Path) -> list[Path]:
    def fail(error: OSError) -> None:
        raise error

    found = []
    for here, folders, files in os.walk(top, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(here, name) for name in files if not name.startswith(".")]
    return [path for path in found if path.suffix.lower() in SUFFIXES]

"""Archives that come with a model: looked at before anything is unpacked."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from sightline.core.errors import ModelError

LARGEST = 16 * 2**30  # bytes that a model's file may hold once it is expanded


def limit() -> int:
    """Bytes that an archive may expand to: the variable SIGHTLINE_MAX_MODEL_BYTES, else 16 GiB. Raises ModelError."""
    given = os.environ.get("SIGHTLINE_MAX_MODEL_BYTES", "")
    if given and not given.isdecimal():
        raise ModelError(f"SIGHTLINE_MAX_MODEL_BYTES={given!r}; give a number of bytes.")
    return int(given) if given else LARGEST


def checked_zip(path: Path) -> list[zipfile.ZipInfo]:
    """What a zip archive holds; nothing is unpacked.

    Raises ModelError for one that is damaged, reaches outside its folder, holds a name twice or links, or would
    expand past `limit`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path.name} is no intact archive: {error}.") from error
    for member in members:
        if outside(member.filename):
            raise ModelError(f"{path.name} holds {member.filename!r}, outside its own folder; it was not opened.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ModelError(f"{path.name} holds a link, {member.filename!r}; it was not opened.")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ModelError(f"{path.name} holds {twice!r} twice, so that what is checked need not be what is read.")
    check_size(path, sum(member.file_size for member in members))
    return members


def check_size(path: Path, expanded: int) -> None:
    """Refuse a file that would expand past `limit`. Raises ModelError."""
    if expanded > limit():
        raise ModelError(
            f"{path.name} would expand to {expanded:,} bytes, more than {limit():,}; it was not opened. "
            "SIGHTLINE_MAX_MODEL_BYTES raises the limit."
        )


def outside(name: str) -> bool:
    """Whether a path of an archive or a model's file leads out of its folder, on any system."""
    windows, posix = PureWindowsPath(name), PurePosixPath(name)
    rooted = posix.is_absolute() or bool(windows.drive) or bool(windows.root)
    return rooted or ".." in windows.parts or "\0" in name

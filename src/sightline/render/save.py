"""Results on disk: complete, or not there at all."""

from __future__ import annotations

import io
import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import SaveError
from sightline.render.panel import Panel
from sightline.render.tiles import Bars, Wall

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".png", ".jpg", ".jpeg", ".svg")
SUFFIXES = (*PICTURES, ".npz", ".html")


def suffix_of(path: str | os.PathLike[str], possible: Sequence[str] = SUFFIXES) -> str:
    """The suffix that says what to write. Raises SaveError for one that means nothing here."""
    name = Path(path).name.lower()
    double = next((one for one in possible if one.count(".") > 1 and name.endswith(one)), None)
    suffix = double or Path(path).suffix.lower()
    if suffix not in possible:
        raise SaveError(f"cannot save as {suffix or 'a file without a suffix'!r}; possible: {', '.join(possible)}.")
    return suffix


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole: into a temporary neighbour first, then in one step to its name. Raises SaveError."""
    goal = Path(path)
    temporary = None
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=goal.parent, prefix=".sightline-", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, goal)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise SaveError(f"cannot write {str(goal)!r}: {error.strerror or error}.") from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Whether a file could be written there. Raises SaveError."""
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise SaveError(f"cannot write {os.fspath(path)!r}: {error.strerror or error}.") from error


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def picture_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as "png", "jpeg" or "svg"; the same figure gives the same bytes."""
    import matplotlib

    buffer = io.BytesIO()
    style: Any = {"svg.hashsalt": "sightline", "svg.fonttype": "path"}
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a label in a script without a font here
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, metadata=metadata, facecolor="white")
    return buffer.getvalue()


def save_picture(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write a figure as .png, .jpg or .svg."""
    kind = {".png": "png", ".svg": "svg"}.get(suffix_of(path), "jpeg")
    if suffix_of(path) not in PICTURES:
        raise SaveError(f"a picture is saved as {', '.join(PICTURES)}; {str(path)!r} is none.")
    write(path, picture_bytes(figure, kind))


def save_arrays(path: str | os.PathLike[str], arrays: dict[str, NDArray[Any]], provenance: Any) -> None:
    """Write arrays and their provenance (JSON text) as .npz, readable without pickle."""
    buffer = io.BytesIO()
    named: dict[str, Any] = {**arrays, "provenance": np.array(json.dumps(provenance))}
    np.savez_compressed(buffer, **named)
    write(path, buffer.getvalue())


def save_page(path: str | os.PathLike[str], panels: Sequence[Panel], provenance: Any, style: str = "pair") -> None:
    """Write one self-contained page of a photo's explanations, drawn in one of STYLES."""
    from sightline.render.page import explanation_page

    write(path, explanation_page(panels, provenance, style).encode())


def save_wall(
    path: str | os.PathLike[str], wall: Wall | Bars, provenance: Any, arrays: dict[str, NDArray[Any]]
) -> None:
    """Write a wall as .png, .jpg, .svg or .html, or the arrays behind it and their provenance as .npz."""
    suffix = suffix_of(path)
    if suffix == ".npz":
        return save_arrays(path, arrays, provenance)
    if suffix == ".html":
        from sightline.render.page import wall_page

        return write(path, wall_page(wall, provenance).encode())
    from sightline.render.wall import figure_of

    return save_picture(path, figure_of(wall))

"""NIfTI volumes: read within bounds whatever a header says, turned to known axes, written on the file's own grid."""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import PhotoError
from sightline.photos.files import over_limit, reading

Floats = NDArray[np.float32]
AXES = "SPL"
"""Where depth, rows and columns run to: superior, posterior, left. A slice then looks as radiologists see it."""
_OPPOSITE = dict(zip("LRPAIS", "RLAPSI", strict=True))
_EXTENSIONS = 2**24  # bytes that may stand between a header and its voxels
_HEADERS = {348: "nifti1:Nifti1Image", 540: "nifti2:Nifti2Image"}  # by the size that each begins with


@dataclass(frozen=True, eq=False)
class Place:
    """Where the voxels of an array (d, h, w) lie: its `axes`, and the file's own `affine` (4, 4), from its voxel
    indices (x, y, z) to millimetres to the right, to the front and up."""

    axes: str
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Millimetres between voxels, for (d, h, w)."""
        sides = np.linalg.norm(self.affine[:3, :3], axis=0)
        return tuple(float(sides[int(axis)]) for axis in np.argsort(self._turn[:, 0]))

    @property
    def _turn(self) -> NDArray[Any]:
        """nibabel's orientation: for each axis of the file, the axis of the array that it becomes, and its sign."""
        orientations = _nibabel("orientations")
        to = orientations.axcodes2ornt(tuple(self.axes))
        return np.asarray(orientations.ornt_transform(orientations.io_orientation(self.affine), to))

    def turned(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values on the file's grid (x, y, z, ...) as (d, h, w, ...)."""
        return np.asarray(_nibabel("orientations").apply_orientation(values, self._turn))

    def turned_back(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (d, h, w) on the file's own grid."""
        turn = self._turn
        for axis in np.flatnonzero(turn[:, 1] < 0):
            values = np.flip(values, int(turn[axis, 0]))
        return np.ascontiguousarray(values.transpose(turn[:, 0].astype(int)))


def read_nifti(path: Any, limit: int, axes: str) -> tuple[Floats, Place]:
    """The raw values (d, h, w, C) of a .nii or .nii.gz file, and where they lie. Raises PhotoError."""
    with reading(path) as where, Path(where).open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        return image_values(_within(cast(BinaryIO, gzip.open(file)) if packed else file, limit), limit, axes)


def image_values(image: Any, limit: int, axes: str) -> tuple[Floats, Place]:
    """The raw values (d, h, w, C) of a nibabel image, and where they lie. Raises PhotoError."""
    if not isinstance(axes, str) or {*axes, *map(_OPPOSITE.get, axes)} != {*_OPPOSITE} or len(axes) != 3:
        raise PhotoError(f'axes={axes!r}; give where depth, rows and columns run to, as "SPL" or "RAS".')
    shape = tuple(image.shape)
    if math.prod(shape) > limit:
        raise over_limit(shape, limit)
    kind = image.get_data_dtype().kind
    if kind not in "iufb" or not 3 <= len(shape) <= 4 or not math.prod(shape):
        raise PhotoError(
            f"it holds {image.get_data_dtype()} of shape {shape}; possible: numbers (x, y, z[, channel])."
        )
    affine = np.asarray(image.affine, np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise PhotoError(
            "its affine says no place for its voxels; pass the array: sl.open_volume(array, window=...)."
        )
    place = Place(axes, affine)
    values = place.turned(image.get_fdata(dtype=np.float32, caching="unchanged"))
    return (values if values.ndim == 4 else values[..., None]), place


def nifti_bytes(values: NDArray[Any], place: Place, packed: bool) -> bytes:
    """A map (d, h, w) as a NIfTI file on the grid of the file that its volume came from; the same each time."""
    nibabel = _nibabel("nifti1")
    image = nibabel.Nifti1Image(place.turned_back(values).astype(np.float32), place.affine)
    image.header.set_xyzt_units("mm")
    content: bytes = image.to_bytes()
    return gzip.compress(content, mtime=0) if packed else content


def _within(file: BinaryIO, limit: int) -> Any:
    """The image in a stream, of which no more is read, or unpacked, than its checked header says."""
    head = file.read(max(_HEADERS))
    told = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    size = next((one for one in _HEADERS if one in told), 0)
    if not size or len(head) < size:
        raise PhotoError("it is no NIfTI volume.")
    room, _, name = _HEADERS[size].partition(":")
    kind = getattr(_nibabel(room), name)
    header = kind.header_class(head[:size], check=False)
    shape, offset = header.get_data_shape(), header.get_data_offset()
    if not shape or min(shape) < 1 or not size <= offset <= _EXTENSIONS:
        raise PhotoError(f"its header says {shape} voxels from byte {offset}, which cannot be.")
    if math.prod(map(int, shape)) > limit:
        raise over_limit(shape, limit)
    needed = offset + math.prod(map(int, shape)) * header.get_data_dtype().itemsize
    content = head + file.read(max(0, needed - len(head)))
    if len(content) < needed:
        raise PhotoError(f"it ends after {len(content)} of the {needed} bytes that its header says.")
    return kind.from_bytes(content)


def _nibabel(room: str) -> Any:
    try:
        return import_module(f"nibabel.{room}")
    except ImportError as error:
        raise PhotoError(
            f'NIfTI volumes need nibabel ({error}). Install it: pip install "sightline[nifti]"'
        ) from error

"""What only volumes and clips have: slices to look at, and the files that they are written to."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import SaveError
from sightline.photos.decode import Photo
from sightline.photos.nifti import nifti_bytes
from sightline.photos.volumes import NIFTI, Volume
from sightline.render.save import write

if TYPE_CHECKING:
    from sightline.verbs.explanation import Explanation

VOLUMES = (".gif", *NIFTI)
_SHOWN = 1000  # pixels of a picture's longer side: a figure is smaller than a camera's photo
_SLICE = 320  # of a slice's, of which there are many
_RATE = 4.0  # slices a second


def to_look_at(photo: Photo | Volume) -> NDArray[np.uint8]:
    """A photo as a picture (h, w, 3) of limited size; of a volume all slices (d, h, w, 3), voxels in proportion."""
    if isinstance(photo, Photo):
        picture = photo.image()
        picture.thumbnail((_SHOWN, _SHOWN))
        return np.asarray(picture)
    sides = np.multiply(photo.size[1:], photo.spacing[1:])
    share = min(1 / min(photo.spacing[1:]), _SLICE / max(sides))
    height, width = (sides * share).round().clip(1).astype(int).tolist()
    pictures = (photo.slice(i).image() for i in range(photo.size[0]))
    return np.stack([np.asarray(one.resize((width, height))) for one in pictures])


def save_volume(path: str | PathLike[str], ex: Explanation, suffix: str, smooth: float | None) -> None:
    """Write a map as a film, or on the grid of the NIfTI file that its volume came from. Raises SaveError."""
    if suffix == ".gif":
        from sightline.render.slices import film

        return film(path, ex.panel(smooth), _rate(ex.photo))
    place = getattr(ex.photo, "place", None)
    if place is None:
        raise SaveError(
            f"{suffix} is written on the grid of a NIfTI file, and this came from none; save as .npz, or write "
            "nibabel.Nifti1Image(ex.map, affine) with an affine of your own."
        )
    return write(path, nifti_bytes(ex.map, place, suffix.endswith(".gz")))


def _rate(photo: Any) -> float:
    """Frames a second: a clip's own, if only on average."""
    times: tuple[float, ...] = photo.times or ()
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else _RATE

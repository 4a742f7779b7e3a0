"""Volumes and clips, from whatever a user holds: NIfTI, a stack of pages, a video, an array, a tensor."""

from __future__ import annotations

import hashlib
import math
import os
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import PhotoError
from sightline.core.heats import Warning
from sightline.photos.clips import FILMS, SHEETS, read_film, read_sheets
from sightline.photos.decode import Photo, name_of
from sightline.photos.files import pixel_limit, read_array
from sightline.photos.nifti import AXES, Place, image_values, read_nifti
from sightline.photos.pixels import array_pixels, fit_channels, is_tensor, tensor_array

NIFTI = (".nii", ".nii.gz")
_FILES = (*NIFTI, ".npy", *FILMS, *SHEETS)
KINDS = (
    "a file (.nii, .nii.gz, .npy, a video, a TIFF of several pages), an array (d, h, w) or (d, h, w, C), a tensor "
    "(C, d, h, w) or a nibabel image"
)
_LAST = "Move its channels last: (d, h, w, C)."
_WINDOW = (0.5, 99.5)  # percentiles of a volume's own values that are shown as black and white
Window = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels (d, h, w, C), uint8 or float32 in [0, 1]: the slices of a volume, or the frames of a clip.

    `place`: where they lie, for those of a NIfTI file; `times`: the second of each frame, for those of a video;
    `windows`: the raw values that became 0 and 1, one for all channels or one for each.
    """

    pixels: NDArray[Any] = field(repr=False)
    name: str | None = None
    place: Place | None = None
    times: tuple[float, ...] | None = None
    windows: tuple[Window, ...] = ()
    warnings: tuple[Warning, ...] = ()

    @property
    def kind(self) -> str:
        """What it is, for a person."""
        return "volume" if self.times is None else "clip"

    @property
    def size(self) -> tuple[int, ...]:
        """(depth, height, width)."""
        return self.pixels.shape[:-1]

    @property
    def channels(self) -> int:
        """Values per voxel."""
        return int(self.pixels.shape[-1])

    @cached_property
    def sha256(self) -> str:
        """The voxels' fingerprint, in hexadecimal."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()

    @property
    def spacing(self) -> tuple[float, ...]:
        """Millimetres between voxels, for (d, h, w); 1 where no file says more."""
        return (1.0, 1.0, 1.0) if self.place is None else self.place.spacing

    def slice(self, index: int) -> Photo:
        """One slice or frame, to look at."""
        return Photo(self.pixels[index], self.name)

    @property
    def captions(self) -> tuple[str, ...]:
        """Which slice each is, counted from 1, or the second of each frame: "slice 12 of 40", "0.40 s"."""
        if self.times is not None:
            return tuple(f"{time:.2f} s" for time in self.times)
        return tuple(f"slice {i} of {self.size[0]}" for i in range(1, self.size[0] + 1))


def open_volume(
    source: object,
    *,
    window: Window | None = None,
    axes: str = AXES,
    frames: int | None = None,
    channels: int | None = None,
    max_pixels: int | None = None,
) -> Volume:
    """The volume or clip in a file, an array (d, h, w[, C]), a tensor (C, d, h, w), a nibabel image or a Volume.

    `window`: the raw values that become 0 and 1; what lies beyond is cut off. Without one, arrays hold uint8 or
    floats in [0, 1], and of NIfTI files the 0.5th and 99.5th percentile of their own values are taken, and a warning
    says so. `axes`: where depth, rows and columns of a NIfTI volume run to, of R or L, A or P, S or I: "SPL" has
    slices from the feet up, each as radiologists see it, and is what SimpleITK gives for an axial scan; networks
    trained with MONAI often take "RAS". `frames`: how many of a video or animation, evenly spaced; None for all.
    `channels`: what a network takes; None leaves them. `max_pixels` bounds voxels, as in `open_photo`. No file is
    unpacked beyond what its header may say, and no pickle is read. Raises PhotoError.
    """
    limit = pixel_limit(max_pixels)
    if frames is not None and (not isinstance(frames, int) or frames < 1):
        raise PhotoError(f"frames={frames!r}; give how many, at least 1, or None for all.")
    found = _opened(source, _Ask(_checked(window), axes, frames, channels, limit))
    return found if channels is None else replace(found, pixels=_fitted(found, channels))


def volumes_of(source: object) -> tuple[list[Any], bool]:
    """One or many: the sources in order, not yet opened, and True when `source` was one volume.

    A list, a tuple, or an array or tensor of 5 dimensions is many. Raises PhotoError for what is neither.
    """
    if isinstance(source, list | tuple):
        return list(source), False
    if isinstance(source, np.ndarray) or is_tensor(source):
        if source.ndim == 5:  # type: ignore[attr-defined]
            return list(source), False  # type: ignore[call-overload]
    elif not isinstance(source, Volume | str | os.PathLike) and not _is_nibabel(source):
        raise PhotoError(f"a volume is {KINDS}, and many are a list of them; got {type(source).__name__}.")
    return [source], True


@dataclass(frozen=True)
class _Ask:
    window: Window | None
    axes: str
    frames: int | None
    channels: int | None
    limit: int


def _opened(source: object, ask: _Ask) -> Volume:
    if isinstance(source, Volume):
        return _without_window(source, ask)
    if isinstance(source, str | os.PathLike):
        return _from_file(source, ask)
    if _is_nibabel(source):
        return _scaled(*image_values(source, ask.limit, ask.axes), ask)
    if isinstance(source, np.ndarray):
        return _volume(source, ask, _LAST)
    if is_tensor(source):
        array = tensor_array(source)
        last = np.moveaxis(array, 0, -1) if array.ndim == 4 else array
        return _volume(last, ask, "Move its channels first: (C, d, h, w).")
    raise PhotoError(f"a volume is {KINDS}; got {type(source).__name__}.")


def _from_file(path: str | os.PathLike[str], ask: _Ask) -> Volume:
    lower = os.fsdecode(path).lower()
    ending = next((one for one in sorted(_FILES, key=len, reverse=True) if lower.endswith(one)), None)
    if ending in NIFTI:
        found = _scaled(*read_nifti(path, ask.limit, ask.axes), ask)
    elif ending == ".npy":
        found = _volume(read_array(path, ask.limit), ask, _LAST)
    elif ending in FILMS:
        pixels, times = read_film(path, ask.frames, ask.limit)
        found = _without_window(Volume(pixels, times=times), ask)
    elif ending in SHEETS:
        pages, clock = read_sheets(path, ask.frames, ask.limit)
        found = _without_window(Volume(pages, times=clock), ask)
    else:
        raise PhotoError(
            f"{os.fsdecode(path)!r} is no volume or clip that can be read; possible: {', '.join(_FILES)}."
        )
    return replace(found, name=_stem(path))


def _stem(path: str | os.PathLike[str]) -> str | None:
    name = name_of(path)
    return name.removesuffix(".nii") if name else None


def _without_window(volume: Volume, ask: _Ask) -> Volume:
    if ask.window is not None:
        raise PhotoError("a window is of raw values, as in NIfTI files and arrays; these are in [0, 1] already.")
    return volume


def _volume(array: NDArray[Any], ask: _Ask, hint: str) -> Volume:
    return Volume(_voxels(array, ask, hint), windows=(ask.window,) if ask.window else ())


def _voxels(array: NDArray[Any], ask: _Ask, hint: str) -> NDArray[Any]:
    """An array (d, h, w[, C]) as (d, h, w, C), uint8 or float32 in [0, 1]: slice by slice as photos are."""
    if array.ndim not in (3, 4) or not array.size:
        raise PhotoError(f"a volume is {KINDS}; got shape {array.shape}.")
    if array.ndim == 3 and array.shape[2] == ask.channels == 3:
        raise PhotoError(f"shape {array.shape} is one picture's; a clip has many, (t, h, w, 3).")
    if ask.window is not None:
        array = _shares(array.astype(np.float32), ask.window)
    elif array.dtype.kind in "iu" and array.dtype != np.uint8:
        raise PhotoError(
            f"{array.dtype} voxels say nothing of what is black and what is white: "
            "sl.open_volume(volume, window=(low, high)) does."
        )
    channels = ask.channels or (array.shape[3] if array.ndim == 4 else 1)
    try:
        return np.stack([array_pixels(one, channels) for one in array])
    except PhotoError as error:
        advice = "Raw values become so by sl.open_volume(volume, window=(low, high))."
        raise PhotoError(f"a slice of a volume: {error} {hint if 'C is' in str(error) else advice}") from error


def _scaled(values: NDArray[np.float32], place: Place, ask: _Ask) -> Volume:
    """Raw values (d, h, w, C) in the window that was asked for, else in their own, which is said."""
    if ask.window is not None:
        return Volume(_shares(values, ask.window), place=place, windows=(ask.window,))
    each = [_own_window(one) for one in np.moveaxis(values, -1, 0)]
    shares = np.stack([_shares(values[..., i], one) for i, one in enumerate(each)], -1)
    words = ", ".join(f"({low:g}, {high:g})" for low, high in each)
    message = (
        f"the volume's own 0.5th and 99.5th percentile became 0 and 1: {words}. Give what the network was trained "
        "with: sl.open_volume(path, window=(low, high))."
    )
    return Volume(shares, place=place, windows=tuple(each), warnings=(Warning("own-window", message),))


def _own_window(values: NDArray[np.float32]) -> Window:
    known = values[np.isfinite(values)]
    if not known.size or known.min() == known.max():
        raise PhotoError("it is the same everywhere; say what is black and what is white: window=(low, high).")
    low, high = np.percentile(known, _WINDOW)
    return (float(low), float(high)) if low < high else (float(known.min()), float(known.max()))


def _shares(values: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """Where values lie in a window, in [0, 1]; what is no number is 0, as outside of a brain's mask."""
    low, high = window
    shares = (values - np.float32(low)) / np.float32(high - low)
    return np.asarray(np.nan_to_num(shares, nan=0.0).clip(0, 1), np.float32)


def _checked(window: Any) -> Window | None:
    if window is None:
        return None
    try:
        low, high = map(float, window)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise PhotoError(f"window={window!r}; give the raw values that become 0 and 1, the lower one first.")
    return low, high


def _fitted(volume: Volume, channels: int) -> NDArray[Any]:
    """The voxels as a network of so many channels takes them; several channels of a scan are never colours."""
    have = volume.channels
    if have == channels:
        return volume.pixels
    if volume.place is not None and have > 1:
        raise PhotoError(
            f"the network takes {channels} channels and the volume has {have} values for each voxel. Give one of "
            "them: image = nibabel.load(path).slicer[..., 0]."
        )
    return np.stack([fit_channels(one, channels) for one in volume.pixels])


def _is_nibabel(source: object) -> bool:
    nibabel = sys.modules.get("nibabel")
    return nibabel is not None and isinstance(source, nibabel.spatialimages.SpatialImage)

"""Which pixels of a photo are meant: a box, a mask, a polygon, the top of a heat map, the object in a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import OptionError
from sightline.photos.coverage import box_coverage, polygon_coverage
from sightline.photos.decode import Photo
from sightline.photos.localize import object_in
from sightline.photos.pixels import TOLERANCE, is_tensor

Floats = NDArray[np.float32]
Points = Sequence[tuple[float, float]]

KINDS = (
    "a box (x0, y0, x1, y1), a bool or float mask (h, w) as an array or tensor, or a value from "
    "sightline.regions: Box, Mask, Polygon, Top, GrabCut"
)
CORNERS = "a box is (x0, y0, x1, y1)"
WHERE = "in pixels of the upright photo, origin top left"
FAR = 1e9  # no photo reaches so far, and at this distance fractions of a pixel still count


class Region(Protocol):
    """Anything that says which pixels of a photo are meant; its `str` is what a record calls it."""

    def on(self, photo: Photo) -> Floats:
        """A mask (h, w) in [0, 1] of the upright photo, 1 is inside."""


@dataclass(frozen=True, slots=True)
class Box:
    """The pixels of a box, half open, in pixels of the upright photo; pixel i covers [i, i + 1).

    Where a number is fractional, pixels at the edge are in by the share of their area that is. Raises
    OptionError for numbers that are none, or that hold no area.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        given = self.x0, self.y0, self.x1, self.y1
        for name, value in zip(self.__slots__, _coordinates(given, CORNERS, (4,)).tolist(), strict=True):
            object.__setattr__(self, name, value)
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise OptionError(
                f"{self} holds no pixel; give x0 < x1 and y0 < y1, {WHERE}. "
                f"A corner with a width and height is the box (x, y, x + width, y + height)."
            )

    def on(self, photo: Photo) -> Floats:
        """The share of each pixel's area that is in the box, (h, w); what lies outside of the photo is cut off."""
        return box_coverage((self.x0, self.x1), (self.y0, self.y1), photo.height, photo.width)

    def __str__(self) -> str:
        return f"box ({', '.join(map(_short, (self.x0, self.y0, self.x1, self.y1)))})"


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """The pixels of a mask (h, w) in [0, 1], 1 is inside: an array or tensor of bools or floats, which is copied.

    Raises OptionError for other shapes, kinds and values.
    """

    values: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _unit(self.values, "a mask"))
        self.values.flags.writeable = False

    def on(self, photo: Photo) -> Floats:
        """The mask, (h, w). Raises OptionError where the photo has another size."""
        _same_size(self.values, photo, "the mask")
        copy: Floats = self.values.copy()
        return copy

    def __str__(self) -> str:
        return f"mask of {np.count_nonzero(self.values)} pixels"


@dataclass(frozen=True, slots=True)
class Polygon:
    """What an outline of at least three points (x, y) encloses, in pixels of the upright photo.

    Pixel i covers [i, i + 1), and pixels at the edge are in by the share of their area that is, within 1/16.
    Where the outline crosses itself, what is enclosed twice is outside (even-odd). Raises OptionError for points
    that are none.
    """

    points: Points | NDArray[Any]

    def __post_init__(self) -> None:
        points = _coordinates(self.points, "a polygon is a list of at least 3 points (x, y)", (-1, 2))
        if len(points) < 3:
            raise OptionError(f"a polygon has at least 3 points (x, y), {WHERE}; got {len(points)}.")
        object.__setattr__(self, "points", tuple((float(x), float(y)) for x, y in points))

    def on(self, photo: Photo) -> Floats:
        """The share of each pixel's area that is enclosed, (h, w)."""
        return polygon_coverage(np.array(self.points), photo.height, photo.width)

    def __str__(self) -> str:
        return f"polygon of {len(self.points)} points"


@dataclass(frozen=True, slots=True, eq=False)
class Top:
    """The hottest `share` of the finite pixels of a heat map (h, w): round(share * count) of them, at least one.

    NaN was not seen, and is never in it. Of equals, the upper and then the left are taken first. Raises
    OptionError for a map without a finite pixel, or a share that is not in (0, 1].
    """

    heatmap: Any
    share: float

    def __post_init__(self) -> None:
        share = self.share
        if isinstance(share, bool) or not isinstance(share, int | float | np.floating) or not 0 < share <= 1:
            raise OptionError(f"share={share!r}; it is a share of the pixels, above 0 and up to 1 (10 % is 0.1).")
        object.__setattr__(self, "share", float(share))
        heat = _array(self.heatmap, "a heat map is an array or tensor (h, w)")
        if heat.ndim != 2 or heat.dtype.kind not in "biuf":
            raise OptionError(f"a heat map is (h, w), of real numbers; got {heat.dtype} of shape {heat.shape}.")
        heat = heat.astype(np.float64)
        if not np.isfinite(heat).any():
            raise OptionError("this heat map has no finite pixel; explain another target, layer or method.")
        heat.flags.writeable = False
        object.__setattr__(self, "heatmap", heat)

    def on(self, photo: Photo) -> Floats:
        """1 for the hottest pixels, 0 for the others, (h, w). Raises OptionError where the photo has another size."""
        _same_size(self.heatmap, photo, "the heat map")
        seen = np.flatnonzero(np.isfinite(self.heatmap))
        count = max(1, round(self.share * len(seen)))
        hottest = np.argsort(-self.heatmap.ravel()[seen], kind="stable")[:count]
        mask = np.zeros(self.heatmap.shape, np.float32)
        mask.flat[seen[hottest]] = 1
        return mask

    def __str__(self) -> str:
        return f"hottest {_short(100 * self.share)} %"


@dataclass(frozen=True, slots=True)
class GrabCut:
    """The object in a box, cut along the photo's colours by GrabCut (doi:10.1145/1015706.1015720).

    What is outside of the box is never in it. The same photo gives the same object. Raises OptionError for a box
    that is none.
    """

    box: Box | Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", _box(self.box))

    def on(self, photo: Photo) -> Floats:
        """1 for the object, 0 for the rest, (h, w). Raises OptionError where there is nothing to cut, or to find."""
        return object_in(np.asarray(photo.image()), mask_of(self.box, photo) > 0).astype(np.float32)

    def __str__(self) -> str:
        return f"object in {self.box}"


def region_of(given: Any) -> Region:
    """What was meant as a region: a value of this file, four numbers as a Box, an array or tensor (h, w) as a Mask.

    Everything with a method `on` is a region. Raises OptionError for anything else.
    """
    if callable(getattr(given, "on", None)) and not isinstance(given, type):
        region: Region = given
        return region
    picture = isinstance(given, np.ndarray) or is_tensor(given)
    if picture or isinstance(given, list | tuple):
        values = _array(given, f"a region is {KINDS}")
        if values.shape == (4,):
            return _box(given)
        if picture:
            return Mask(values)
        raise OptionError(f"a region is {KINDS}; got a {type(given).__name__} of shape {values.shape}.")
    raise OptionError(f"a region is {KINDS}; got {given!r:.80}.")


def mask_of(given: Any, photo: Photo) -> Floats:
    """The mask (h, w) in [0, 1] of a region on a photo, 1 is inside; some pixel is.

    Raises OptionError for what is no region (see `region_of`), does not fit the photo, or covers nothing of it.
    """
    region = region_of(given)
    mask = _unit(region.on(photo), str(region))
    _same_size(mask, photo, str(region))
    if not mask.any():
        raise OptionError(
            f"{region} covers nothing of the photo, which is {photo.width} pixels wide and {photo.height} high. "
            f"Give a region {WHERE}."
        )
    return mask


def _box(given: Any) -> Box:
    if isinstance(given, Box):
        return given
    return Box(*_coordinates(given, CORNERS, (4,)).tolist())


def _array(given: Any, what: str) -> NDArray[Any]:
    """Anything with numbers as an array. Raises OptionError, which says what it should be."""
    try:
        if is_tensor(given):
            local = given.detach().cpu()
            return np.asarray((local.double() if local.is_floating_point() else local).numpy())  # no bfloat16 there
        return np.asarray(given)
    except Exception as error:  # ragged lists, sparse or quantized tensors, ...
        raise OptionError(f"{what}; {type(given).__name__} cannot be read: {error}") from error


def _coordinates(given: Any, what: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Finite numbers of a shape, where -1 is any length. Raises OptionError."""
    values = _array(given, what)
    fits = len(values.shape) == len(shape) and values.shape[-1] == shape[-1] and values.dtype.kind in "iuf"
    if not fits or not (np.abs(values.astype(np.float64)) < FAR).all():
        raise OptionError(f"{what}, finite numbers {WHERE}; got {given!r:.80}.")
    return values.astype(np.float64)


def _unit(given: Any, what: str) -> Floats:
    """A mask (h, w) as float32 in [0, 1], copied. Raises OptionError."""
    values = _array(given, f"{what} is an array or tensor (h, w)")
    if values.ndim != 2 or not values.size or values.dtype.kind not in "biuf":
        raise OptionError(
            f"{what} is (h, w), of bools or of floats in [0, 1]; got {values.dtype} of shape {values.shape}."
        )
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise OptionError(
            f"{what} is finite; got NaN or infinity. To leave unseen pixels outside: np.nan_to_num(mask)."
        )
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        advice = "Of a heat map, take Top(heatmap, share)." if low < 0 else "If its values end at 255, divide by 255."
        raise OptionError(f"{what} lies in [0, 1], and 1 is inside; got {low:g} to {high:g}. {advice}")
    return values.astype(np.float32).clip(0, 1)


def _same_size(values: NDArray[Any], photo: Photo, what: str) -> None:
    size = photo.height, photo.width
    if values.shape != size:
        hint = " Turn it with .T, which swaps the axes." if values.shape == size[::-1] else ""
        raise OptionError(f"{what} is {values.shape} and the upright photo {size}, both (h, w).{hint}")


def _short(value: float) -> str:
    return f"{round(float(value), 3):.12g}"

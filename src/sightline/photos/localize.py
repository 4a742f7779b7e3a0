"""Where in a photo a heat map points: one region, by the heat alone or by a cut along the photo's colours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import OptionError, PhotoError, SightlineError, near

By = Literal["grabcut", "threshold"]
Bools = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # (x0, y0, x1, y1) in pixels, half open

FOREGROUND: dict[By, float] = {"grabcut": 0.95, "threshold": 0.90}
BACKGROUND = 0.30
CUT_ON = 320  # pixels of the longer side of what is cut: under a second, also where every pixel has its own colour
ROUNDS = 5  # of GrabCut from a box, which knows less than a map's hottest and coldest pixels
_SEED = 0
_INSTEAD = "Give a box that holds all of an object and a little around it, or a mask or polygon."


def localize(
    pixels: NDArray[Any],
    heat: NDArray[Any],
    by: By | None = None,
    *,
    foreground: float | None = None,
    background: float = BACKGROUND,
) -> Bools:
    """The one region (h, w) of a photo that a heat map points at: the largest connected part, corners connect.

    `pixels`: the upright photo (h, w, 3), uint8; or a volume (d, h, w, C). `heat`: (h, w), or (d, h, w), more is
    more; NaN was not seen, is never in the region and does not count for the quantiles. `by` is one of
    * "threshold": the pixels above the `foreground` quantile (None: 0.90) of the heat.
    * "grabcut": pixels above the `foreground` quantile (None: 0.95) are in it and those up to the `background`
      quantile are out of it, whatever their colour; the rest is cut along the photo's edges by colour models
      that all but the foreground begin as background (arXiv:1312.6034 section 3.2; one round of GrabCut,
      doi:10.1145/1015706.1015720). The cut is made on a copy of at most 320 pixels, and enlarged. Where all that
      was seen has one colour, there is nothing to cut along, and the pixels above the quantile are the region.
    None is "grabcut" for a photo and "threshold", the only one, for a volume.

    Where no pixel lies above the foreground's quantile, those at it stand for them. The same input gives the same
    region. Raises OptionError for a `by` or quantiles that are none, PhotoError for shapes that differ, and
    SightlineError for a heat that is the same everywhere: nothing stands out.
    """
    by = by or ("grabcut" if heat.ndim == 2 else "threshold")
    quantile = _checked(by, foreground, background)
    if by == "grabcut" and heat.ndim > 2:
        raise OptionError("by='grabcut' cuts along the colours of a photo; a volume's regions are by='threshold'.")
    if pixels.shape[:-1] != heat.shape or (heat.ndim == 2 and pixels.shape[2] != 3):
        raise PhotoError(f"a photo (h, w, 3) and its heat (h, w) are needed; got {pixels.shape} and {heat.shape}.")
    if not stands_out(heat):
        raise SightlineError(
            "this map is the same everywhere that the network looked, so no region stands out. Explain another "
            "target, layer or method; where a map is blank, its warnings say why."
        )
    if by == "threshold":
        return largest(seeds(heat, quantile, 0.0)[0])
    return largest(_cut_within(pixels, heat, quantile, background))


def object_in(pixels: NDArray[Any], box: Bools) -> Bools:
    """The object (h, w) within a box: what differs in its colours from the box's surroundings, all parts of it.

    `pixels`: the upright photo (h, w, 3), uint8. `box`: a mask (h, w), True in the box. GrabCut begins with all
    of the box as the likely object and with what is around it, half of its longer side on every side, as the
    certain background (doi:10.1145/1015706.1015720). The cut is made on a copy of at most 320 pixels, and
    enlarged. The same input gives the same object. Raises OptionError where there is nothing to cut along or
    nothing is found.
    """
    part, name = _around(box), f"the box {box_around(box)}"
    small = _small_copy(pixels[part])
    likely = _small_copy(box[part].astype(np.float32)) >= 0.5
    if likely.all() or not likely.any():
        raise OptionError(f"{name} leaves too little in it or around it for GrabCut to compare. {_INSTEAD}")
    if (small == small[0, 0]).all():
        raise OptionError(f"the photo has one colour in {name} and around it: nothing to cut along. {_INSTEAD}")
    mask = np.zeros(box.shape, np.bool_)
    found = _grab_cut(small, np.zeros_like(likely), ~likely, likely, ROUNDS)
    mask[part] = _enlarged(found, *box[part].shape) & box[part]
    if not mask.any():
        raise OptionError(f"GrabCut finds no object in {name}: its colours are those around it. {_INSTEAD}")
    return mask


def stands_out(heat: NDArray[Any]) -> bool:
    """Whether some seen pixels are hotter than others."""
    seen = heat[np.isfinite(heat)]
    return bool(seen.size) and bool(seen.max() > seen.min())


def seeds(heat: NDArray[Any], foreground: float, background: float) -> tuple[Bools, Bools]:
    """What lies above one quantile of the seen pixels' heat, and what at or below another; they never overlap."""
    seen = np.isfinite(heat)
    low, high = np.quantile(heat[seen], (background, foreground))
    known: NDArray[Any] = np.where(seen, heat, -np.inf)
    hot = known > high
    if not hot.any():  # the map's top is a plateau, larger than the share that was asked for
        hot = known >= high
    return hot, np.asarray(seen & (known <= low) & ~hot)


def largest(mask: Bools) -> Bools:
    """The largest connected part of a mask (h, w) or (d, h, w), corners connect; of equals the uppermost."""
    import cv2

    if mask.ndim > 2:
        from skimage.measure import label

        labels: NDArray[Any] = label(mask, connectivity=mask.ndim)  # type: ignore[no-untyped-call]
        sizes = np.bincount(labels.ravel())[1:]
        return np.asarray(labels == 1 + sizes.argmax()) if len(sizes) else mask
    count, parts, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return mask
    return np.asarray(parts == 1 + facts[1:, cv2.CC_STAT_AREA].argmax())


def part_at(mask: Bools, place: tuple[Any, ...]) -> Bools:
    """The connected part of a mask (h, w) that a pixel (y, x) of it lies in, corners connect."""
    import cv2

    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(parts == parts[place])


def box_around(mask: Bools) -> Box:
    """The smallest box around a mask (h, w) that is not empty."""
    x0, y0, x1, y1 = extent(mask)
    return x0, y0, x1, y1


def extent(mask: Bools) -> tuple[int, ...]:
    """Where a mask that is not empty begins along each axis, the last axis first, and where it ends, half open."""
    sides = [(int(one.min()), int(one.max()) + 1) for one in reversed(np.nonzero(mask))]
    return tuple(start for start, _ in sides) + tuple(stop for _, stop in sides)


def _checked(by: By, foreground: float | None, background: float) -> float:
    """The foreground's quantile. Raises OptionError."""
    if by not in FOREGROUND:
        raise OptionError(f"by={by!r}; {near(str(by), FOREGROUND)}")
    high = FOREGROUND[by] if foreground is None else foreground
    for name, given in (("foreground", high), ("background", background)):
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
            raise OptionError(f"{name}={given!r}; it is a quantile of the map, from 0 to 1.")
    if by == "grabcut" and background > high:
        raise OptionError(f"background={background} is above foreground={high}; it has to be the lower quantile.")
    return float(high)


def _cut_within(pixels: NDArray[Any], heat: NDArray[Any], foreground: float, background: float) -> Bools:
    """What is in by the cut of a small copy of the part that was seen, laid on the whole photo."""
    seen = np.isfinite(heat)
    x0, y0, x1, y1 = box_around(seen)
    part = slice(y0, y1), slice(x0, x1)
    small = _small_copy(pixels[part])
    rows, columns = _centres(y1 - y0, small.shape[0]), _centres(x1 - x0, small.shape[1])
    sampled = heat[part][rows][:, columns]  # an average would split plateaus
    if not stands_out(sampled) or (small == small[0, 0]).all():
        return seeds(heat, foreground, background)[0]
    hot, cold = seeds(sampled, foreground, background)
    mask = np.zeros(heat.shape, np.bool_)
    mask[part] = _enlarged(_grab_cut(small, hot, cold, np.zeros_like(hot), 1), y1 - y0, x1 - x0)
    return np.asarray(mask & seen)


def _around(box: Bools) -> tuple[slice, slice]:
    """A box with its surroundings: half of its longer side more on every side, where the photo has that."""
    x0, y0, x1, y1 = box_around(box)
    more = max(x1 - x0, y1 - y0) // 2 + 1
    return slice(max(0, y0 - more), y1 + more), slice(max(0, x0 - more), x1 + more)


def _small_copy(values: NDArray[Any]) -> NDArray[Any]:
    """Pixels or a mask (h, w[, C]) averaged to a size that is small enough to cut, of the same shape."""
    import cv2

    share = min(1.0, CUT_ON / max(values.shape[:2]))
    height, width = (max(1, round(side * share)) for side in values.shape[:2])
    return np.asarray(cv2.resize(np.ascontiguousarray(values), (width, height), interpolation=cv2.INTER_AREA))


def _centres(size: int, count: int) -> NDArray[np.intp]:
    """`count` pixels evenly spread along `size`."""
    return ((np.arange(count) + 0.5) * size / count).astype(np.intp)


def _grab_cut(pixels: NDArray[Any], hot: Bools, cold: Bools, likely: Bools, rounds: int) -> Bools:
    """What is in (h, w) by GrabCut: all that is hot, nothing that is cold, and of the rest what the colours say.

    The colour models begin with what is hot or `likely` as the foreground, and all else as the background.
    """
    import cv2

    marks: NDArray[Any] = np.full(hot.shape, cv2.GC_PR_BGD, np.uint8)
    marks[likely], marks[hot], marks[cold] = cv2.GC_PR_FGD, cv2.GC_FGD, cv2.GC_BGD
    colours = np.zeros((2, 1, 65))  # OpenCV fills in what it learns of background and foreground

    def cut() -> Any:
        cv2.setRNGSeed(_SEED)
        return cv2.grabCut(pixels, marks, (0, 0, 0, 0), colours[0], colours[1], rounds, cv2.GC_INIT_WITH_MASK)[0]

    with ThreadPoolExecutor(1) as apart:  # OpenCV keeps one generator per thread: the caller's is not touched
        found = apart.submit(cut).result()
    return np.asarray((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD))


def _enlarged(mask: Bools, height: int, width: int) -> Bools:
    """A mask of a small copy on the full size (h, w)."""
    import cv2

    if mask.shape == (height, width):
        return mask
    return np.asarray(cv2.resize(mask.astype(np.float32), (width, height)) >= 0.5)

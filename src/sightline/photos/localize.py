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
_SEED = 0


def localize(
    pixels: NDArray[Any],
    heat: NDArray[Any],
    by: By = "grabcut",
    *,
    foreground: float | None = None,
    background: float = BACKGROUND,
) -> Bools:
    """The one region (h, w) of a photo that a heat map points at: the largest connected part, corners connect.

    `pixels`: the upright photo (h, w, 3), uint8. `heat`: (h, w), more is more; NaN was not seen, is never in the
    region and does not count for the quantiles. `by` is one of
    * "threshold": the pixels above the `foreground` quantile (None: 0.90) of the heat.
    * "grabcut": pixels above the `foreground` quantile (None: 0.95) are in it and those up to the `background`
      quantile are out of it, whatever their colour; the rest is cut along the photo's edges by colour models
      that all but the foreground begin as background (arXiv:1312.6034 section 3.2; one round of GrabCut,
      doi:10.1145/1015706.1015720). The cut is made on a copy of at most 320 pixels, and enlarged. Where all that
      was seen has one colour, there is nothing to cut along, and the pixels above the quantile are the region.

    Where no pixel lies above the foreground's quantile, those at it stand for them. The same input gives the same
    region. Raises OptionError for a `by` or quantiles that are none, PhotoError for shapes that differ, and
    SightlineError for a heat that is the same everywhere: nothing stands out.
    """
    quantile = _checked(by, foreground, background)
    if pixels.shape != (*heat.shape, 3) or heat.ndim != 2:
        raise PhotoError(f"a photo (h, w, 3) and its heat (h, w) are needed; got {pixels.shape} and {heat.shape}.")
    if not stands_out(heat):
        raise SightlineError(
            "this map is the same everywhere that the network looked, so no region stands out. Explain another "
            "target, layer or method; where a map is blank, its warnings say why."
        )
    if by == "threshold":
        return largest(seeds(heat, quantile, 0.0)[0])
    return largest(_cut_within(pixels, heat, quantile, background))


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
    """The largest connected part of a mask (h, w), corners connect; of equals the uppermost."""
    import cv2

    count, parts, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return mask
    return np.asarray(parts == 1 + facts[1:, cv2.CC_STAT_AREA].argmax())


def box_around(mask: Bools) -> Box:
    """The smallest box around a mask (h, w) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


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
    import cv2

    seen = np.isfinite(heat)
    x0, y0, x1, y1 = box_around(seen)
    part, (height, width) = (slice(y0, y1), slice(x0, x1)), _fitted(y1 - y0, x1 - x0)
    small = cv2.resize(np.ascontiguousarray(pixels[part]), (width, height), interpolation=cv2.INTER_AREA)
    sampled = heat[part][_centres(y1 - y0, height)][:, _centres(x1 - x0, width)]  # an average would split plateaus
    if not stands_out(sampled) or (small == small[0, 0]).all():
        return seeds(heat, foreground, background)[0]
    mask = np.zeros(heat.shape, np.bool_)
    mask[part] = _enlarged(_grab_cut(small, *seeds(sampled, foreground, background)), y1 - y0, x1 - x0)
    return np.asarray(mask & seen)


def _fitted(height: int, width: int) -> tuple[int, int]:
    """A size of the same shape that is small enough to cut."""
    share = min(1.0, CUT_ON / max(height, width))
    return max(1, round(height * share)), max(1, round(width * share))


def _centres(size: int, count: int) -> NDArray[np.intp]:
    """`count` pixels evenly spread along `size`."""
    return ((np.arange(count) + 0.5) * size / count).astype(np.intp)


def _grab_cut(pixels: NDArray[Any], hot: Bools, cold: Bools) -> Bools:
    """One round of GrabCut from what is certainly in and certainly out, both kept as they are."""
    import cv2

    marks: NDArray[Any] = np.full(hot.shape, cv2.GC_PR_BGD, np.uint8)
    marks[hot], marks[cold] = cv2.GC_FGD, cv2.GC_BGD
    colours = np.zeros((2, 1, 65))  # OpenCV fills in what it learns of background and foreground

    def cut() -> Any:
        cv2.setRNGSeed(_SEED)
        return cv2.grabCut(pixels, marks, (0, 0, 0, 0), colours[0], colours[1], 1, cv2.GC_INIT_WITH_MASK)[0]

    with ThreadPoolExecutor(1) as apart:  # OpenCV keeps one generator per thread: the caller's is not touched
        found = apart.submit(cut).result()
    return np.asarray((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD))


def _enlarged(mask: Bools, height: int, width: int) -> Bools:
    import cv2

    if mask.shape == (height, width):
        return mask
    return np.asarray(cv2.resize(mask.astype(np.float32), (width, height)) >= 0.5)

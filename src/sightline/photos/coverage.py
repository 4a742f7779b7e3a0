"""How much of each pixel's area lies within an outline; pixel i covers [i, i + 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

STRIPS = 8  # per pixel row of a polygon, besides the cuts at its vertices


def box_coverage(x: tuple[float, float], y: tuple[float, float], height: int, width: int) -> Floats:
    """The share (height, width) of each pixel that lies in a box from x[0] to x[1] and from y[0] to y[1]; exact."""
    return np.outer(_overlap(*y, height), _overlap(*x, width)).astype(np.float32)


def polygon_coverage(points: Doubles, height: int, width: int) -> Floats:
    """The share (height, width) of each pixel that lies in a polygon of points (n, 2) of (x, y), by even and odd.

    The picture is cut into strips so thin that no vertex lies inside of one. The outline crosses the middle of a
    strip an even number of times, and what lies between an odd and the next crossing is enclosed. So the area
    within the picture is exact where the outline neither crosses itself nor a side, and so are edges along an
    axis; a slanted edge shares its area among the pixels along it to within half a strip, 1/16 of each.
    """
    levels = np.unique(np.concatenate([np.arange(height * STRIPS + 1) / STRIPS, points[:, 1].clip(0, height)]))
    strip, x = _crossings(points, levels)
    x = x.clip(0, width)
    tall = np.diff(levels)[strip] * np.where(np.arange(len(x)) % 2, -1, 1)
    cell, columns = np.floor(x).astype(np.intp), width + 2
    place = np.floor(levels[strip]).astype(np.intp) * columns + cell
    # From a crossing on, a strip is covered: of the crossing's own pixel a part, of those to the right all.
    steps = np.bincount(place, tall * (cell + 1 - x), height * columns)
    steps += np.bincount(place + 1, tall * (x - cell), height * columns)
    covered = steps.reshape(height, columns).cumsum(1)[:, :width]
    return covered.round(6).clip(0, 1).astype(np.float32)  # without the dust that sums leave outside


def _overlap(start: float, stop: float, size: int) -> Doubles:
    """How much of each of `size` pixels along an axis lies in [start, stop)."""
    pixels = np.arange(size, dtype=np.float64)
    inside: Doubles = np.minimum(stop, pixels + 1) - np.maximum(start, pixels)
    return inside.clip(0)


def _crossings(points: Doubles, levels: Doubles) -> tuple[NDArray[np.intp], Doubles]:
    """Where a closed outline crosses the middles of the strips between levels: (strip, x), in reading order."""
    starts: Doubles = points
    ends: Doubles = np.roll(points, -1, 0)
    spans = np.searchsorted(levels, [starts[:, 1], ends[:, 1]]).clip(0, len(levels) - 1)
    first, counts = spans.min(0), np.ptp(spans, 0)
    edge = np.repeat(np.arange(len(points)), counts)
    strip = np.arange(len(edge)) - np.repeat(counts.cumsum() - counts, counts) + first[edge]
    middle = (levels[strip] + levels[strip + 1]) / 2
    run, rise = (ends - starts)[edge].T
    x: Doubles = starts[edge, 0] + (middle - starts[edge, 1]) / rise * run
    order = np.lexsort((x, strip))
    return strip[order], x[order]

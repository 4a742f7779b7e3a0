"""Intervals by resampling what was sampled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def resamples(count: int, times: int, dice: np.random.Generator) -> Floats:
    """How often each of `count` units is drawn in so many resamples with replacement, (times, count)."""
    if not count:
        return np.empty((times, 0))
    drawn = dice.multinomial(count, np.full(count, 1 / count), size=times)
    return np.asarray(drawn, np.float64)


def percentiles(values: Floats, level: float) -> tuple[float, float]:
    """The interval that holds the middle `level` of resampled values (times,); NaN are left out, and is all NaN."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)

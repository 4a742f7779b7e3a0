"""Two samples whose spreads may differ: Welch's test of their means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Welch(NamedTuple):
    """Student's `t` of a difference of two means, its degrees of `freedom`, and the two-sided `p`."""

    t: float
    freedom: float
    p: float


def welch(one: Sequence[float], other: Sequence[float]) -> Welch:
    """Student's t, its degrees of freedom and the two-sided p of equal means (Biometrika 34:28, 1947).

    Each sample has two values or more. Where neither varies, p is 1 for equal means and 0 for others.
    """
    means, errors, sizes = zip(*map(_summed, (one, other)), strict=True)
    away, error = means[0] - means[1], sum(errors)
    if not error > 0:
        return Welch(0.0, math.inf, 1.0) if away == 0 else Welch(math.copysign(math.inf, away), math.inf, 0.0)
    freedom = error**2 / sum(part**2 / (size - 1) for part, size in zip(errors, sizes, strict=True))
    t = away / math.sqrt(error)
    from scipy.stats import t as student

    return Welch(t, freedom, float(2 * student.sf(abs(t), freedom)))


def _summed(values: Sequence[float]) -> tuple[float, float, int]:
    """The mean, its squared standard error, and how many."""
    n, mean = len(values), math.fsum(values) / len(values)
    if min(values) == max(values):
        return values[0], 0.0, n  # the mean's rounding would make a spread of it
    return mean, math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n, n

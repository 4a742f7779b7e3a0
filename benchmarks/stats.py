"""Ratios of what was measured side by side, with an interval that assumes no distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

FEWEST = 6  # from fewer values no pair of order statistics holds the median in 95 % of samples


@dataclass(frozen=True, slots=True)
class Ratio:
    """A median with the 95 % interval around it."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """The median of over / under, round by round, with its interval.

    Rounds are paired, so that what slows a whole round down cancels. Raises ValueError for fewer than FEWEST.
    """
    each = [a / b for a, b in zip(over, under, strict=True)]
    return Ratio(median(each), *median_interval(each))


def median_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The narrowest pair of order statistics, alike from both ends, that holds the median in `level` of samples.

    How many of n values lie below the median is binomial (n, 1/2), whatever they are distributed like. Raises
    ValueError for so few values that even their range holds it less often.
    """
    count = len(values)
    outside = (1 - level) / 2
    left_out = -1
    below = 0.0
    while below + math.comb(count, left_out + 1) / 2**count <= outside:
        left_out += 1
        below += math.comb(count, left_out) / 2**count
    if left_out < 0:
        raise ValueError(f"{count} values are too few for an interval of {level:.0%}; {FEWEST} are enough for 95 %.")
    ordered = sorted(values)
    return ordered[left_out], ordered[count - 1 - left_out]

"""Several tests at once: p values that hold for all of them together."""

from __future__ import annotations

import math
from collections.abc import Sequence

_ROUNDING = 1e-9  # share of a distance that is rounding


def holm(values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given (Scandinavian Journal of Statistics 6:65, 1979).

    Rejecting those up to a level keeps the chance of any false rejection below it, whatever the tests' dependence.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted = [0.0] * len(values)
    reached = 0.0
    for rank, i in enumerate(order):
        reached = max(reached, min(1.0, (len(values) - rank) * values[i]))
        adjusted[i] = reached
    return adjusted


def randomization_p(effect: float, controls: Sequence[float]) -> float:
    """The one-sided Monte Carlo randomization p: (1 + how many controls are at least the effect) / (1 + n).

    It is never 0, and valid for any n where effect and controls are exchangeable (doi:10.2202/1544-6115.1585).
    """
    return (1 + sum(control >= effect for control in controls)) / (1 + len(controls))


def two_sided_p(effect: float, controls: Sequence[float]) -> float:
    """The two-sided Monte Carlo randomization p: how far from the controls' mean the effect is, and each control.

    As `randomization_p`, of the distances; those that differ by rounding count as alike.
    """
    middle = math.fsum(controls) / len(controls)
    away = abs(effect - middle)
    return randomization_p(away - _ROUNDING * away, [abs(control - middle) for control in controls])


def selected_level(level: float, selected: int, tested: int) -> float:
    """The level for each interval of `selected` out of `tested` parameters, so that of those reported in the mean a
    share of at most 1 - `level` misses: 1 - selected * (1 - level) / tested (doi:10.1198/016214504000001907).

    Where none is selected, as for one.
    """
    return 1 - max(1, selected) * (1 - level) / tested

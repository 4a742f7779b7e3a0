"""Several tests at once: p values that hold for all of them together."""

from __future__ import annotations

from collections.abc import Sequence


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

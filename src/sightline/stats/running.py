"""Mean and standard error of samples that arrive in groups, without keeping them."""

from __future__ import annotations

import torch
from torch import Tensor

from sightline.core.precision import wide


class RunningMean:
    """Mean and standard error along the first dimension of all that was added (Welford's update, in float64)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    def add(self, samples: Tensor) -> None:
        """Take in samples (n, ...)."""
        group = wide(samples)
        mean = group.mean(0)
        squares = (group - mean).square().sum(0)
        n = len(group)
        if self._mean is None or self._squares is None:
            self._mean, self._squares = mean, squares
        else:
            total = self.count + n
            away = mean - self._mean
            self._mean = self._mean + away * (n / total)
            self._squares = self._squares + squares + away.square() * (self.count * n / total)
        self.count += n

    @property
    def value(self) -> Tensor:
        """The mean so far, (...)."""
        if self._mean is None:
            raise ValueError("no samples yet")
        return self._mean

    @property
    def error(self) -> Tensor:
        """Standard error of the mean, (...); infinite while there is only one sample."""
        if self._squares is None or self.count < 2:
            return torch.full_like(self.value, torch.inf)
        return (self._squares / (self.count - 1) / self.count).sqrt()


class RunningVariance:
    """Unbiased variance and its standard error, along the first dimension of all that was added, in float64.

    Central moments up to the fourth are merged group by group (Pebay, SAND2008-6212).
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Tensor | None = None
        self._sums: tuple[Tensor, Tensor, Tensor] | None = None

    def add(self, samples: Tensor) -> None:
        """Take in samples (n, ...)."""
        group = wide(samples)
        n, mean = len(group), group.mean(0)
        away = group - mean
        second, third, fourth = (away.pow(power).sum(0) for power in (2, 3, 4))
        if self._mean is None or self._sums is None:
            self._mean, self._sums, self.count = mean, (second, third, fourth), n
            return
        a, b, total = self.count, n, self.count + n
        a2, a3, a4 = self._sums
        step = mean - self._mean
        self._sums = (
            a2 + second + step**2 * (a * b / total),
            a3 + third + step**3 * (a * b * (a - b) / total**2) + 3 * step * (a * second - b * a2) / total,
            a4
            + fourth
            + step**4 * (a * b * (a * a - a * b + b * b) / total**3)
            + 6 * step**2 * (a * a * second + b * b * a2) / total**2
            + 4 * step * (a * third - b * a3) / total,
        )
        self._mean = self._mean + step * (b / total)
        self.count = total

    @property
    def value(self) -> Tensor:
        """The unbiased variance so far, (...); zero while there is only one sample."""
        if self._sums is None:
            raise ValueError("no samples yet")
        return self._sums[0] / max(1, self.count - 1)

    @property
    def error(self) -> Tensor:
        """Standard error of the variance, (...); infinite while there is only one sample."""
        if self._sums is None or self.count < 2:
            return torch.full_like(self.value, torch.inf)
        n = self.count
        spread = self._sums[2] / n - self.value.square() * ((n - 3) / (n - 1))
        return (spread.clamp_min(0) / n).sqrt()

"""Mean and standard error of samples that arrive in groups, without keeping them."""

from __future__ import annotations

import torch
from torch import Tensor


class RunningMean:
    """Mean and standard error along the first dimension of all that was added (Welford's update, in float64)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    def add(self, samples: Tensor) -> None:
        """Take in samples (n, ...)."""
        group = samples.double()
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
    def mean(self) -> Tensor:
        """The mean so far, (...)."""
        if self._mean is None:
            raise ValueError("no samples yet")
        return self._mean

    @property
    def error(self) -> Tensor:
        """Standard error of the mean, (...); infinite while there is only one sample."""
        if self._squares is None or self.count < 2:
            return torch.full_like(self.mean, torch.inf)
        return (self._squares / (self.count - 1) / self.count).sqrt()

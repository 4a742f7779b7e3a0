"""Targets that read the image itself: what feature visualization is held back by, `Class(3) - 0.1 * Norm(6)`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sightline.core.errors import TargetError
from sightline.core.heats import Seen
from sightline.core.targets import Target

_TINY = 1e-12


@dataclass(frozen=True)
class Penalty(Target):
    """Reads the image that the network is shown, in the network's own units, and nothing of the network."""


@dataclass(frozen=True)
class L2(Penalty):
    """The squared L2 norm of an image over its number of values, mean x² (arXiv:1312.6034 takes the sum)."""

    def read(self, seen: Seen) -> Tensor:
        return seen.images.flatten(1).square().mean(1)


@dataclass(frozen=True)
class Norm(Penalty):
    """The p-norm of an image over its number of values, (sum |x| ** p) ** (1 / p) / n (keras-vis); p may be inf."""

    p: float = 6.0

    def __post_init__(self) -> None:
        if not self.p >= 1:
            raise TargetError(f"Norm(p={self.p!r}); p has to be 1 or more, or math.inf.")

    def read(self, seen: Seen) -> Tensor:
        values = seen.images.flatten(1)
        norm: Tensor = torch.linalg.vector_norm(values, self.p, dim=1)
        return norm / values.shape[1]


@dataclass(frozen=True)
class TotalVariation(Penalty):
    """How much neighbouring pixels differ: the mean over pixels and channels of |gradient| ** beta (arXiv:1412.0035).

    The gradient is that of forward differences; beta = 1 keeps edges, beta = 2 smooths.
    """

    beta: float = 2.0

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise TargetError(f"TotalVariation(beta={self.beta!r}); beta has to be above 0.")

    def read(self, seen: Seen) -> Tensor:
        images = seen.images
        squares = torch.zeros_like(images)
        for axis in range(2, images.ndim):
            squares = squares + images.diff(dim=axis, append=images.narrow(axis, -1, 1)).square()
        tiny = _TINY if self.beta < 2 else 0.0  # a root's slope has no end at nothing
        return (squares + tiny).pow(self.beta / 2).flatten(1).mean(1)

"""How an image is moved about before each look, so that what is drawn does not hang on single pixels.

Moves that follow each other are one resampling, a bilinear one: their matrices multiply.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from sightline.core.blur import gaussian
from sightline.core.checks import number
from sightline.core.errors import OptionError

Edge = Literal["reflect", "wrap", "grey"]
Size = tuple[int, ...]  # (h, w)


@runtime_checkable
class Move(Protocol):
    """Moves an image: where each of its pixels comes from."""

    def matrix(self, die: Generator, size: Size) -> Tensor:
        """(3, 3), from places (x, y, 1) of the moved image to those of the image, both in [-1, 1]."""
        ...


@runtime_checkable
class Change(Protocol):
    """Changes an image where it is."""

    def __call__(self, images: Tensor, dice: Sequence[Generator]) -> Tensor:
        """Pixels (N, C, h, w), changed; a generator for each image."""
        ...


@dataclass(frozen=True)
class Jitter(Move):
    """Shifts by up to `by` each way: pixels, whole ones, where that is an integer, else a share of the side."""

    by: float = 0.05

    def __post_init__(self) -> None:
        number("by", self.by)

    def matrix(self, die: Generator, size: Size) -> Tensor:
        high, wide = size
        return _matrix(shift=(2 * self._draw(die, wide) / wide, 2 * self._draw(die, high) / high))

    def _draw(self, die: Generator, side: int) -> float:
        if isinstance(self.by, int):
            return int(torch.randint(-self.by, self.by + 1, (), generator=die, device="cpu"))
        return _between(die, -self.by, self.by) * side


@dataclass(frozen=True)
class Rotate(Move):
    """Turns by up to so many degrees, either way."""

    degrees: float = 10.0

    def __post_init__(self) -> None:
        number("degrees", self.degrees)

    def matrix(self, die: Generator, size: Size) -> Tensor:
        high, wide = size
        angle = math.radians(_between(die, -self.degrees, self.degrees))
        cos, sin = math.cos(angle), math.sin(angle)
        return _rows([cos, -sin * high / wide, 0], [sin * wide / high, cos, 0])


@dataclass(frozen=True)
class Scale(Move):
    """Enlarges by `low` to `high` times."""

    low: float = 0.9
    high: float = 1.1

    def __post_init__(self) -> None:
        _range(self, self.low, self.high)

    def matrix(self, die: Generator, size: Size) -> Tensor:
        factor = 1 / _between(die, self.low, self.high)
        return _matrix((factor, factor))


@dataclass(frozen=True)
class Crop(Move):
    """Shows a window of `low` to `high` of the image's sides, anywhere in it, enlarged."""

    low: float = 0.5
    high: float = 1.0

    def __post_init__(self) -> None:
        _range(self, self.low, min(self.high, 1.0) if self.high <= 1 else math.nan)

    def matrix(self, die: Generator, size: Size) -> Tensor:
        share = _between(die, self.low, self.high)
        room = 1 - share
        return _matrix((share, share), (_between(die, -room, room), _between(die, -room, room)))


@dataclass(frozen=True)
class Pad(Move):
    """Shows the image with a border of `by`: pixels where that is an integer, else a share of the side."""

    by: float = 0.05

    def __post_init__(self) -> None:
        number("by", self.by)

    def matrix(self, die: Generator, size: Size) -> Tensor:
        high, wide = (1 + 2 * (self.by / side if isinstance(self.by, int) else self.by) for side in size)
        return _matrix((wide, high))


@dataclass(frozen=True)
class Flip(Move):
    """Mirrors left and right, half of the time."""

    def matrix(self, die: Generator, size: Size) -> Tensor:
        return _matrix((1.0 if _between(die, 0, 1) < 0.5 else -1.0, 1.0))


@dataclass(frozen=True)
class Blur(Change):
    """Blurs by a Gaussian of `sigma` pixels."""

    sigma: float = 1.0

    def __post_init__(self) -> None:
        number("sigma", self.sigma)

    def __call__(self, images: Tensor, dice: Sequence[Generator]) -> Tensor:
        return gaussian(images, (self.sigma, self.sigma))


@dataclass(frozen=True)
class Noise(Change):
    """Adds noise of standard deviation `spread`, as a share of white."""

    spread: float = 0.05

    def __post_init__(self) -> None:
        number("spread", self.spread)

    def __call__(self, images: Tensor, dice: Sequence[Generator]) -> Tensor:
        noise = torch.stack(
            [torch.randn(images.shape[1:], generator=die, dtype=torch.float32, device="cpu") for die in dice]
        )
        return images + self.spread * noise.to(images)


Transform = Move | Change


def transformed(
    images: Tensor, transforms: Sequence[Transform], dice: Sequence[Generator], size: Size, edge: Edge
) -> Tensor:
    """Images (N, C, h, w) under the transforms, in their order, each as its own generator says, of `size`.

    `edge`: what lies beyond the image's border: its mirror image, its other side, or the middle of grey.
    """
    for moves, group in groupby(transforms, key=lambda one: isinstance(one, Move)):
        members = list(group)
        if moves:
            source = (images.shape[2], images.shape[3])
            images = _resampled(images, [_product(members, die, source) for die in dice], size, edge)
        else:
            for change in members:
                images = change(images, dice)  # type: ignore[operator]
    if tuple(images.shape[2:]) != tuple(size):  # nothing moved them
        images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    return images


def check_transforms(given: Sequence[object], edge: object) -> None:
    """Raises OptionError for what is no transform, or no edge."""
    for one in given:
        if isinstance(one, type) or not isinstance(one, Move | Change):
            raise OptionError(f"{one!r} is no transform; give values of sl.transforms, such as Jitter(8).")
    if edge not in get_args(Edge):
        raise OptionError(f"edge={edge!r}; possible: {', '.join(map(repr, get_args(Edge)))}.")


def _product(moves: Sequence[Transform], die: Generator, size: Size) -> Tensor:
    whole = _matrix()
    for move in moves:
        whole = whole @ move.matrix(die, size)  # type: ignore[union-attr]
    return whole


def _resampled(images: Tensor, matrices: list[Tensor], size: Size, edge: Edge) -> Tensor:
    theta = torch.stack(matrices)[:, :2].to(images)
    grid = F.affine_grid(theta, [len(images), 1, *size], align_corners=False)
    if edge == "reflect":
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    if edge == "grey":
        return F.grid_sample(images - 0.5, grid, padding_mode="zeros", align_corners=False) + 0.5
    high, wide = images.shape[2:]
    inside = torch.remainder(grid + 1, 2) - 1
    shrink = torch.tensor([wide / (wide + 2), high / (high + 2)]).to(grid)
    return F.grid_sample(F.pad(images, (1, 1, 1, 1), mode="circular"), inside * shrink, align_corners=False)


def _matrix(factors: tuple[float, float] = (1.0, 1.0), shift: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    return _rows([factors[0], 0, shift[0]], [0, factors[1], shift[1]])


def _rows(x: list[float], y: list[float]) -> Tensor:
    return torch.tensor([x, y, [0, 0, 1]], dtype=torch.float32, device="cpu")


def _between(die: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=die, dtype=torch.float32, device="cpu"))


def _range(given: object, low: float, high: float) -> None:
    if not 0 < low <= high < math.inf:
        raise OptionError(f"{given!r}: 0 < low <= high has to hold, and high <= 1 for a crop.")

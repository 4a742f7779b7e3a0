"""What an image is drawn with: numbers that are free to move, and how they become pixels.

Every canvas is a small value. Its numbers are tensors whose first dimension is the image; what it draws are pixels
(N, C, h, w), 0 black and 1 white.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from sightline.core.checks import whole
from sightline.core.errors import OptionError
from sightline.features.colours import from_pixels, to_pixels

Params = tuple[Tensor, ...]
Shape = tuple[int, int, int]  # channels, height, width


@runtime_checkable
class Canvas(Protocol):
    """A way to draw pixels."""

    def start(self, dice: Sequence[Generator], shape: Shape) -> Params:
        """Numbers to begin with: an image of noise (C, h, w) for each of the generators."""
        ...

    def draw(self, params: Params, shape: Shape) -> Tensor:
        """The pixels (N, C, h, w) that the numbers stand for."""
        ...

    def trace(self, pixels: Tensor, shape: Shape) -> Params:
        """Numbers that draw these pixels (N, C, h, w). Raises OptionError where the canvas has none."""
        raise OptionError(
            f"{self} cannot start from a picture, nor be blurred; start from noise, or use Fourier() or Pixels()."
        )

    def hold(self, params: Params) -> None:
        """Keep the numbers in their range after a step, in place."""
        return


@dataclass(frozen=True)
class Pixels(Canvas):
    """The pixels themselves, which start as noise of standard deviation `spread` around grey, as shares of white.

    They stay within `limits` (keras-vis's input range); None lets them go.
    """

    limits: tuple[float, float] | None = (0.0, 1.0)
    spread: float = 0.05

    def __post_init__(self) -> None:
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise OptionError(f"{self}: the first of the limits has to be below the second.")

    def start(self, dice: Sequence[Generator], shape: Shape) -> Params:
        return (0.5 + self.spread * _noise(dice, shape),)

    def draw(self, params: Params, shape: Shape) -> Tensor:
        return params[0]

    def trace(self, pixels: Tensor, shape: Shape) -> Params:
        return (pixels.clone(),)

    def hold(self, params: Params) -> None:
        if self.limits is not None:
            params[0].clamp_(*self.limits)


@dataclass(frozen=True)
class Fourier(Canvas):
    """Spatial frequencies, each scaled by 1 / frequency ** `decay` as in photos, in decorrelated colours.

    A sigmoid keeps pixels between black and white (Olah et al. 2017, doi:10.23915/distill.00007; Mordvintsev et al.
    2018, doi:10.23915/distill.00012). `spread`: standard deviation of the first numbers; from Lucid's 0.01, next to
    grey, networks that are silent there do not get away.
    """

    decay: float = 1.0
    spread: float = 0.5
    decorrelated: bool = True

    def start(self, dice: Sequence[Generator], shape: Shape) -> Params:
        channels, high, wide = shape
        return (self.spread * _noise(dice, (channels, high, wide // 2 + 1, 2)),)

    def draw(self, params: Params, shape: Shape) -> Tensor:
        spectrum = torch.view_as_complex(params[0].contiguous()) * self._scale(shape, params[0])
        return to_pixels(_inverse(spectrum, shape), self.decorrelated)

    def trace(self, pixels: Tensor, shape: Shape) -> Params:
        values = from_pixels(pixels, self.decorrelated)
        spectrum = torch.fft.rfft2(values, norm="ortho") / self._scale(shape, pixels)
        return (torch.view_as_real(spectrum).clone(),)

    def _scale(self, shape: Shape, like: Tensor) -> Tensor:
        return 0.25 * _frequencies(shape).clamp_min(1 / max(shape[1:])).pow(-self.decay).to(like)


@dataclass(frozen=True)
class Laplacian(Canvas):
    """A sum of images of half the size each, `levels` of them, in decorrelated colours; a sigmoid keeps the range."""

    levels: int = 5
    spread: float = 0.05
    decorrelated: bool = True

    def __post_init__(self) -> None:
        whole("levels", self.levels, 1)

    def start(self, dice: Sequence[Generator], shape: Shape) -> Params:
        return tuple(self.spread * _noise(dice, one) for one in self._shapes(shape))

    def draw(self, params: Params, shape: Shape) -> Tensor:
        size = shape[1:]
        enlarged = [F.interpolate(one, size, mode="bilinear", align_corners=False) for one in params]
        return to_pixels(torch.stack(enlarged).sum(0), self.decorrelated)

    def trace(self, pixels: Tensor, shape: Shape) -> Params:
        rest, parts = from_pixels(pixels, self.decorrelated), []
        for _, high, wide in reversed(self._shapes(shape)):
            part = F.interpolate(rest, (high, wide), mode="area")
            rest = rest - F.interpolate(part, rest.shape[2:], mode="bilinear", align_corners=False)
            parts.append(part)
        return tuple(reversed(parts))

    def _shapes(self, shape: Shape) -> list[Shape]:
        channels, high, wide = shape
        return [(channels, max(1, high >> level), max(1, wide >> level)) for level in range(self.levels)]


@dataclass(frozen=True)
class CPPN(Canvas):
    """A small network from each pixel's place to its colour: smooth, of any size (Mordvintsev et al. 2018).

    `layers` of `hidden` units, whose activations are atan(x) / 0.67 and atan(x)² / 0.6 side by side.
    """

    hidden: int = 24
    layers: int = 8

    def __post_init__(self) -> None:
        whole("hidden", self.hidden, 1)
        whole("layers", self.layers, 1)

    def start(self, dice: Sequence[Generator], shape: Shape) -> Params:
        widths = [2, *[2 * self.hidden] * self.layers]
        outs = [self.hidden] * self.layers
        inner = [_noise(dice, (a, b)) / math.sqrt(a) for a, b in zip(widths, outs, strict=False)]
        last = torch.zeros(len(dice), 2 * self.hidden, shape[0], dtype=torch.float32, device="cpu")
        return (*inner, last)

    def draw(self, params: Params, shape: Shape) -> Tensor:
        channels, high, wide = shape
        reach = math.sqrt(3)
        rows, columns = (torch.linspace(-reach, reach, side).to(params[0]) for side in (high, wide))
        x: Tensor = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).reshape(1, -1, 2)
        for weights in params[:-1]:
            bent = (x @ weights).atan()
            x = torch.cat([bent / 0.67, bent.square() / 0.6], -1)
        return (x @ params[-1]).sigmoid().mT.reshape(-1, channels, high, wide)


@dataclass(frozen=True, eq=False)
class Phase(Canvas):
    """Only the phase of each spatial frequency moves; magnitudes stay a photo's (MaCo, arXiv:2306.06805).

    `photos` (M, C, h, w) in [0, 1] of the canvas's size give the mean magnitudes; without them they fall as
    1 / frequency, as those of photos do. `contrast`: standard deviation of what the sigmoid gets.
    """

    photos: Any = None
    contrast: float = 1.5

    def __str__(self) -> str:
        return f"Phase(contrast={self.contrast:g})"

    def start(self, dice: Sequence[Generator], shape: Shape) -> Params:
        channels, high, wide = shape
        return (torch.pi * (2 * _uniform(dice, (channels, high, wide // 2 + 1)) - 1),)

    def draw(self, params: Params, shape: Shape) -> Tensor:
        phases = _tied(params[0], shape)
        values = _inverse(torch.polar(self._sizes(shape, phases).expand_as(phases), phases), shape)
        values = values - values.mean((2, 3), keepdim=True)
        spread = values.flatten(1).std(1).clamp_min(1e-6).view(-1, 1, 1, 1)
        return to_pixels(values * (self.contrast / spread), True)

    def trace(self, pixels: Tensor, shape: Shape) -> Params:
        return (torch.fft.rfft2(from_pixels(pixels, True), norm="ortho").angle(),)

    def _sizes(self, shape: Shape, like: Tensor) -> Tensor:
        if self.photos is None:
            return 1 / _frequencies(shape).clamp_min(1 / max(shape[1:])).to(like)[None]
        photos = torch.as_tensor(self.photos).to(like)
        if photos.ndim != 4 or tuple(photos.shape[1:]) != shape:
            raise OptionError(f"Phase(photos={tuple(photos.shape)}); give (M, {', '.join(map(str, shape))}).")
        sizes: Tensor = torch.fft.rfft2(from_pixels(photos, True), norm="ortho").abs().mean(0)
        return sizes


@dataclass(frozen=True)
class Transparent(Canvas):
    """Another canvas, twice: for the colours, and for how opaque each pixel is, a last channel in [0, 1].

    The network is shown it over a random background each time, so what does not count turns transparent.
    """

    inner: Canvas = Fourier()

    def start(self, dice: Sequence[Generator], shape: Shape) -> Params:
        return self.inner.start(dice, shape) + self.inner.start(dice, (1, *shape[1:]))

    def draw(self, params: Params, shape: Shape) -> Tensor:
        half = len(params) // 2
        opacity = self.inner.draw(params[half:], (1, *shape[1:])).clamp(0, 1)
        return torch.cat([self.inner.draw(params[:half], shape), opacity], 1)

    def trace(self, pixels: Tensor, shape: Shape) -> Params:
        colours, opacity = pixels[:, : shape[0]], pixels[:, shape[0] :]
        if not opacity.shape[1]:
            opacity = torch.full_like(pixels[:, :1], 0.5)
        return self.inner.trace(colours, shape) + self.inner.trace(opacity, (1, *shape[1:]))

    def hold(self, params: Params) -> None:
        half = len(params) // 2
        self.inner.hold(params[:half])
        self.inner.hold(params[half:])


def _noise(dice: Sequence[Generator], shape: Sequence[int]) -> Tensor:
    return torch.stack([torch.randn(*shape, generator=die, dtype=torch.float32, device="cpu") for die in dice])


def _uniform(dice: Sequence[Generator], shape: Sequence[int]) -> Tensor:
    return torch.stack([torch.rand(*shape, generator=die, dtype=torch.float32, device="cpu") for die in dice])


def _inverse(spectrum: Tensor, shape: Shape) -> Tensor:
    values: Tensor = torch.fft.irfft2(spectrum, s=shape[1:], norm="ortho")
    return values


def _tied(phases: Tensor, shape: Shape) -> Tensor:
    """Phases of a spectrum (..., h, w // 2 + 1) that is a real image's.

    In its first column, and its last one where w is even, one half of the rows are the other half's mirror images.
    """
    _, high, wide = shape
    rows = torch.arange(high, device=phases.device)
    later = (rows > high / 2)[:, None] & (2 * torch.arange(phases.shape[-1], device=phases.device) % wide == 0)
    return torch.where(later, -phases[..., -rows % high, :], phases)


def _frequencies(shape: Shape) -> Tensor:
    """Cycles per pixel of each number of a spectrum, (h, w // 2 + 1)."""
    _, high, wide = shape
    squares: Tensor = torch.fft.fftfreq(high)[:, None].square() + torch.fft.rfftfreq(wide).square()
    return squares.sqrt()

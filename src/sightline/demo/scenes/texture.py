"""Smooth noise, soft edges and the level ground in perspective: what places and things are painted with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sightline.demo.scenes.raycast import Picture, Plane, Vector

SIZE = 128
_TILE = 256


def rgb(code: int) -> Vector:
    """0xRRGGBB as three numbers in [0, 1]."""
    return np.array((code >> 16, code >> 8 & 255, code & 255), np.float32) / np.float32(255)


def varied(rng: np.random.Generator, colour: Vector, amount: float = 0.05) -> Vector:
    """A colour a little lighter or darker and a little off in hue, in [0, 1]."""
    shift = rng.normal(0, amount) + rng.normal(0, amount / 2, 3)
    return np.clip(colour + shift, 0, 1).astype(np.float32)


def solid(colour: Vector, like: Plane) -> Picture:
    """A flat colour with the rows and columns of `like`."""
    return np.broadcast_to(colour[:, None, None], (3, *like.shape)).astype(np.float32)


def blend(under: Picture, over: Vector | Picture, share: Plane) -> Picture:
    """`over` laid on `under` with a share in [0, 1] per pixel."""
    top = over[:, None, None] if over.ndim == 1 else over
    return np.asarray(under + share * (top - under), np.float32)


def step(low: float, high: float, of: Plane) -> Plane:
    """0 below `low`, 1 above `high`, an S between; downwards when high < low."""
    t = np.clip((of - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _slope(of: Plane) -> Plane:
    slope = np.full_like(of, 1e-10)
    slope[1:-1] += ((of[2:] - of[:-2]) / 2) ** 2
    slope[:, 1:-1] += ((of[:, 2:] - of[:, :-2]) / 2) ** 2
    slope[0], slope[-1], slope[:, 0], slope[:, -1] = slope[1], slope[-2], slope[:, 1], slope[:, -2]
    return np.asarray(np.sqrt(slope), np.float32)


def area(inside: Plane) -> Plane:
    """Coverage in [0, 1] of the region where `inside` > 0, its edge one pixel soft whatever the units."""
    return np.asarray(np.clip(inside / _slope(inside) + np.float32(0.5), 0, 1), np.float32)


def line(off: Plane, half: float, slope: Plane | None = None) -> Plane:
    """Coverage in [0, 1] of the line |off| < `half`, right also where it is thinner than a pixel."""
    wide = _slope(off) if slope is None else slope
    return np.asarray(np.clip((off + half) / wide + 0.5, 0, 1) - np.clip((off - half) / wide + 0.5, 0, 1), np.float32)


def lines(along: Plane, period: float, half: float) -> Plane:
    """Coverage in [0, 1] of a line at every multiple of `period`."""
    return line(along - np.rint(along / period) * np.float32(period), half, _slope(along))


def checks(x: Plane, y: Plane, period: float) -> Plane:
    """A chessboard in [-1, 1], grey where its fields are smaller than a pixel."""

    def wave(of: Plane) -> Plane:
        saw = np.abs((of / period) % 2 - 1) - np.float32(0.5)
        return np.asarray(np.clip(saw * np.float32(period) / _slope(of) * 2, -1, 1), np.float32)

    return wave(x) * wave(y)


@lru_cache(maxsize=1)
def _tile() -> Plane:
    """Noise over several octaves, mean 0 and deviation 1, whose last row and column repeat the first."""
    rng = np.random.default_rng(20)
    fx, fy = np.meshgrid(np.fft.fftfreq(_TILE), np.fft.fftfreq(_TILE))
    fade = 1 / np.maximum(np.hypot(fx, fy), 4 / _TILE) ** 1.3
    tile = np.fft.ifft2(np.fft.fft2(rng.normal(size=(_TILE, _TILE))) * fade).real
    return np.pad((tile - tile.mean()) / tile.std(), (0, 1), mode="wrap").astype(np.float32)


@lru_cache(maxsize=1)
def _white() -> Plane:
    return np.random.default_rng(21).normal(size=(_TILE, _TILE)).astype(np.float32)


def speckle(x: Plane, y: Plane) -> Plane:
    """Independent noise for every unit square, deviation 1."""
    return _white().take((np.floor(y).astype(np.int32) & 255) * _TILE + (np.floor(x).astype(np.int32) & 255))


def cloudy(x: Plane, y: Plane) -> Plane:
    """Smooth noise, features from a few units to about 60, deviation about 1."""
    left, top = np.floor(x), np.floor(y)
    fx, fy = x - left, y - top
    corner = (left.astype(np.int32) & _TILE - 1) + (top.astype(np.int32) & _TILE - 1) * (_TILE + 1)
    a, b, c, d = (_tile().take(corner + step) for step in (0, 1, _TILE + 1, _TILE + 2))
    upper = a + (b - a) * fx
    return upper + (c + (d - c) * fx - upper) * fy


def grain(seed: int) -> Plane:
    """Film grain for the whole picture, deviation 1."""
    return np.roll(_white(), (seed * 37 % _TILE, seed * 101 % _TILE), (0, 1))[:SIZE, :SIZE]


@dataclass(frozen=True, slots=True)
class Ground:
    """The level ground below picture row `top`: where on it each pixel lies.

    `away` is the distance (1 at the lower edge of the picture), `across` the place to the side (-0.5 to 0.5
    at distance 1). `column` and `row` are pixel centres in pixels, over the whole picture.
    """

    top: int
    away: Plane
    across: Plane
    column: Plane
    row: Plane


def ground(horizon: float, top: int, aside: float = 0.0) -> Ground:
    """The ground under a `horizon` (a share of the height), from row `top` down, `aside` of its middle."""
    centres = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)
    row, column = np.meshgrid(centres, centres, indexing="ij")
    away = np.float32((1 - horizon) * SIZE) / np.maximum(row[top:] - np.float32(horizon * SIZE), 0.3)
    across = (column[top:] / SIZE - np.float32(0.5)) * away + np.float32(aside)
    return Ground(top, away.astype(np.float32), across.astype(np.float32), column, row)

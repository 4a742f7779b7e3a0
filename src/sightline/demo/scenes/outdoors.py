"""Places under the sky: grass, beach, snow, street. Each paints a whole picture, (3, 128, 128) in [0, 1]."""

from __future__ import annotations

import math

import numpy as np

from sightline.demo.scenes.raycast import Picture, Plane, Vector
from sightline.demo.scenes.texture import (
    SIZE,
    Ground,
    area,
    blend,
    cloudy,
    ground,
    line,
    lines,
    rgb,
    solid,
    speckle,
    step,
    varied,
)

Generator = np.random.Generator


def _sky(rng: Generator, g: Ground, high: Vector, low: Vector, clouds: float) -> Picture:
    """A sky from `high` to `low` at the horizon, with clouds."""
    u, v = g.column[: g.top], g.row[: g.top]
    sky = blend(solid(high, v), low, step(0, g.top, v))
    at = float(rng.integers(250))
    puff = cloudy(u * 0.45 + at, v * 1.1 + at)
    return blend(sky, rgb(0xFFFFFF), step(0.2, 1.4, puff) * np.float32(clouds))


def _join(sky: Picture, floor: Picture) -> Picture:
    return np.concatenate((sky, floor), axis=1)


def _ridge(rng: Generator, u: Plane, bumps: float, tall: float) -> Plane:
    """Height in pixels of a line of hills or treetops over each pixel's column."""
    a, b, c = rng.uniform(0, 2 * math.pi, 3)
    waves = np.sin(u * bumps + a) + 0.6 * np.sin(u * bumps * 2.3 + b) + 0.35 * np.sin(u * bumps * 5.1 + c)
    return np.asarray(tall * (1 + 0.35 * waves), np.float32)


def grass(rng: Generator) -> Picture:
    """A meadow with flowers, hills and trees behind."""
    g = ground(0.34, 46, rng.uniform(-1, 1))
    u, v = g.column[: g.top], g.row[: g.top]
    sky = _sky(rng, g, rgb(0x5FA8E6), rgb(0xD3EAF7), 0.9)
    hills = varied(rng, rgb(0x8DB8A0), 0.03)
    sky = blend(sky, hills, area(v - (g.top - _ridge(rng, u, 0.05, 12))))
    leaves = cloudy(u * 5, v * 5)
    trees = varied(rng, rgb(0x4B8040), 0.03)[:, None, None] * (1 + np.float32(0.14) * leaves)
    edge = v - (g.top - _ridge(rng, u, 0.16, 6)) + leaves * np.float32(0.9)
    sky = blend(sky, trees, np.clip(edge + 0.5, 0, 1))
    lush = varied(rng, rgb(0x69A83C), 0.03)
    at = float(rng.integers(200))
    near = np.asarray(1 / g.away, np.float32)
    patches = cloudy(g.across * 26 + at, g.away * 22 + at)
    blades = speckle(g.column[g.top :] + at, g.row[g.top :] * 0.34 + g.column[g.top :] * 7.3)
    tone = 1 + np.float32(0.07) * patches + (0.04 + 0.12 * near) * blades
    turf = blend(solid(lush, near), rgb(0xA9CC6C), step(0.55, 0.0, near)) * tone
    return _join(sky, _flowers(rng, g, turf))


def _flowers(rng: Generator, g: Ground, turf: Picture) -> Picture:
    column, row = g.column[g.top :], g.row[g.top :]
    for _ in range(int(rng.integers(7, 13))):
        x, y = rng.uniform(2, SIZE - 2), rng.uniform(g.top + 12, SIZE - 2)
        size = 0.6 + 1.3 * (y - g.top) / (SIZE - g.top)
        petal = rgb((0xFFFFFF, 0xFFF3A8, 0xF7C8DC)[int(rng.integers(3))])
        rows = slice(max(int(y) - g.top - 4, 0), int(y) - g.top + 5)
        columns = slice(max(int(x) - 4, 0), int(x) + 5)
        off = np.hypot(column[rows, columns] - x, (row[rows, columns] - y) * 1.3).astype(np.float32)
        spot = blend(turf[:, rows, columns], petal, np.clip(size - off + 0.5, 0, 1))
        turf[:, rows, columns] = blend(spot, rgb(0xF2B632), np.clip(size * 0.4 - off + 0.4, 0, 1))
    return turf


def beach(rng: Generator) -> Picture:
    """Sand, a line of foam, the sea and the sky."""
    g = ground(0.26, 34, rng.uniform(-1, 1))
    sky = _sky(rng, g, rgb(0x4FA3E0), rgb(0xDDF0F8), 0.8)
    column, row = g.column[g.top :], g.row[g.top :]
    at = float(rng.integers(200))
    ripple = cloudy(g.across * 9 + at, g.away * 34)
    sand = varied(rng, rgb(0xE9CF9C), 0.025)
    grains = speckle(column + at, row + at)
    beach_ = sand[:, None, None] * (1 + np.float32(0.045) * ripple + np.float32(0.022) * grains)
    waves = 1.6 * np.sin(column * 0.07 + at) + 0.8 * np.sin(column * 0.19 + 2 * at)
    shore = row - rng.uniform(53, 57) - waves
    beach_ = blend(beach_, sand * np.float32(0.78), step(9, 3, shore) * np.float32(0.8))
    swell = cloudy(column * 2 + at, row * 14)
    depth = step(g.top, g.top + 22, row)
    water = blend(solid(varied(rng, rgb(0x1F6FA8), 0.03), row), rgb(0x58C4C4), depth)
    water = water * (1 + np.float32(0.06) * swell)
    crest = step(0.9, 1.7, swell) * step(g.top, g.top + 8, row) * np.float32(0.6)
    water = blend(water, rgb(0xFFFFFF), crest)
    beach_ = blend(beach_, water, np.clip(0.5 - shore, 0, 1))
    foam = np.clip(1.7 - np.abs(shore - 0.4 * swell), 0, 1)
    return _join(sky, blend(beach_, rgb(0xFFFFFF), foam * np.float32(0.95)))


def _fir(u: Plane, v: Plane, x: float, foot: float, tall: float) -> tuple[Plane, Plane]:
    """Coverage of a fir and of the snow on it."""
    up = (np.float32(foot) - v) / np.float32(tall)
    tier = np.asarray((up * 4) % 1, np.float32)
    half = np.float32(tall * 0.36) * (1 - up) * (1 - np.float32(0.45) * tier)
    tree = np.clip(half - np.abs(u - x) + 0.5, 0, 1) * (up > 0) * (up < 1)
    side = np.asarray((u - x) / half, np.float32)
    return tree, tree * step(0.5, 0.75, tier) * step(-0.3, 0.5, side)


def snow(rng: Generator) -> Picture:
    """A field of snow with firs behind."""
    g = ground(0.33, 45, rng.uniform(-1, 1))
    u, v = g.column[: g.top], g.row[: g.top]
    sky = _sky(rng, g, varied(rng, rgb(0x9CC4E4), 0.03), rgb(0xE9F2F8), 0.6)
    peaks = np.abs((u * 0.022 + rng.uniform(0, 9)) % 1 - 0.5) * 40 + 3 * np.sin(u * 0.4)
    sky = blend(sky, rgb(0xB9CFE2), area(v - (g.top - 8 - peaks)) * np.float32(0.9))
    for _ in range(int(rng.integers(6, 10))):
        tree, white = _fir(u, v, rng.uniform(0, SIZE), g.top + 1, rng.uniform(13, 30))
        sky = blend(sky, varied(rng, rgb(0x2F5A4C), 0.03), tree)
        sky = blend(sky, rgb(0xF4F9FD), white * np.float32(0.9))
    column, row = g.column[g.top :], g.row[g.top :]
    at = float(rng.integers(200))
    drift = cloudy(g.across * 10 + at, g.away * 16 + at)
    field = blend(solid(rgb(0xF7FAFD), row), rgb(0xB4CBE6), np.clip(0.24 + 0.22 * drift, 0, 1))
    glint = step(2.3, 3.0, speckle(column + at, row + at))
    return _join(sky, blend(field, rgb(0xFFFFFF), glint))


def _bricks(rng: Generator, u: Plane, v: Plane) -> Picture:
    course = np.floor(v / 4)
    along = u + (course % 2) * 5
    tone = 1 + np.float32(0.09) * speckle(np.floor(along / 10) * 3, course * 5)
    wall = varied(rng, rgb(0xA4553F), 0.04)[:, None, None] * tone
    return blend(wall, rgb(0xC9B8A4), np.maximum(lines(v, 4, 0.4), lines(along, 10, 0.4)) * np.float32(0.8))


def street(rng: Generator) -> Picture:
    """Asphalt with a painted line, a kerb and a brick wall with windows."""
    top = 36
    g = ground(0.12, top, rng.uniform(-0.5, 0.5))
    u, v = g.column[:top], g.row[:top]
    wall = _bricks(rng, u, v)
    start = rng.uniform(-30, 20)
    for k in range(4):
        off = np.maximum(np.abs(u - (start + 44 * k)) - 9, np.abs(v - 10) - 13)
        wall = blend(wall, rgb(0xE8E2D4), np.clip(0.5 - off, 0, 1))
        pane = blend(solid(rgb(0x34495C), v), rgb(0x9CC0D4), step(26, -6, v + (u - start - 44 * k)))
        bars = np.minimum(np.abs(u - (start + 44 * k)), np.abs(v - 10)) > 0.8
        wall = blend(wall, pane, np.clip(-1.5 - off, 0, 1) * bars)
    column, row = g.column[top:], g.row[top:]
    at = float(rng.integers(200))
    stones = speckle(column + at, row + at)
    tar = varied(rng, rgb(0x63666B), 0.015)[:, None, None] * (1 + np.float32(0.07) * stones)
    tar = tar * (1 + np.float32(0.05) * cloudy(g.across * 20 + at, g.away * 20))
    yellow = rgb(0xF2C53D) if rng.random() < 0.6 else rgb(0xF4F4F0)
    dash = area(np.abs((g.across * 0.8 + at) % 1 - 0.5) - 0.17) * line(g.away - 1.42, 0.035)
    tar = blend(tar, yellow, dash * np.float32(0.92))
    pavement = varied(rng, rgb(0xBDB8AE), 0.02)[:, None, None] * (1 + np.float32(0.025) * stones)
    pavement = blend(pavement, rgb(0x8F8A82), lines(g.across, 0.8, 0.02))
    tar = blend(tar, rgb(0x8E8B86), np.clip(54.5 - row, 0, 1))
    return _join(wall, blend(tar, pavement, np.clip(50.5 - row, 0, 1)))

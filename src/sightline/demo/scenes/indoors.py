"""Places under a roof: the court and the kitchen. Each paints the whole picture, (3, 128, 128) in [0, 1]."""

from __future__ import annotations

import numpy as np

from sightline.demo.scenes.raycast import Picture, Plane
from sightline.demo.scenes.texture import (
    Ground,
    area,
    blend,
    checks,
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


def _pick(rng: Generator, *codes: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return varied(rng, rgb(codes[int(rng.integers(len(codes)))]), 0.02)


def _rectangle(u: Plane, v: Plane, half: float, tall: float) -> Plane:
    """How far inside (> 0) of a rectangle whose upper edge has its middle at the origin, in pixels."""
    return np.asarray(np.minimum(half - np.abs(u), tall / 2 - np.abs(v - np.float32(tall / 2))), np.float32)


def _hoop(wall: Picture, u: Plane, v: Plane) -> Picture:
    """A backboard with its square, rim and net, hung on the wall where `u` is 0."""
    board = _rectangle(u, v - 2, 19, 22)
    wall = blend(wall, wall * np.float32(0.8), np.clip(_rectangle(u - 2, v - 4, 19, 22) + 0.5, 0, 1))
    wall = blend(wall, rgb(0xFAFAF8), np.clip(board + 0.5, 0, 1))
    wall = blend(wall, rgb(0xC93A32), np.clip(1.4 - np.abs(board - 0.7) + 0.1, 0, 1))
    wall = blend(wall, rgb(0xC93A32), line(_rectangle(u, v - 9, 7.5, 10), 0.6, np.ones_like(u)))
    down = (v - 20) / 12
    wide = 7.5 - 3 * np.clip(down, 0, 1)
    weave = np.maximum(*(lines(u / wide * 4 + v * np.float32(lean), 2, 0.22) for lean in (0.35, -0.35)))
    mesh = weave * (np.abs(u) < wide) * (down > 0) * (down < 1)
    wall = blend(wall, rgb(0xFFFFFF), mesh.astype(np.float32) * np.float32(0.9))
    rim = np.hypot(u / 8, (v - 20) / 1.8) - 1
    return blend(wall, rgb(0xEE5A24), line(rim.astype(np.float32) * 1.8, 0.75, np.ones_like(u)))


def _planks(rng: Generator, g: Ground) -> Picture:
    """Narrow boards running away from the viewer, each of its own tone."""
    board = np.floor(g.across / 0.075)
    length = np.floor(g.away / 0.9 + board * 0.37)
    wood = _pick(rng, 0xDDAA6C, 0xE3B67C, 0xD49F62, 0xD9A873)
    fade = 1 / g.away
    tone = 1 + np.float32(0.06) * fade * speckle(board * 3 + 500, length * 7)
    tone = tone + np.float32(0.03) * fade * cloudy(g.across * 300, g.away * 10 + board * 31)
    gaps = lines(g.across, 0.075, 0.004) * fade
    return np.asarray(wood[:, None, None] * tone * (1 - np.float32(0.4) * gaps), np.float32)


def court(rng: Generator) -> Picture:
    """A sports hall: a varnished floor with painted lines and key, padded wall, a basket."""
    top = 46
    g = ground(0.10, top, rng.uniform(-0.35, 0.35))
    floor = _planks(rng, g)
    paint = _pick(rng, 0x2F62A8, 0xB5382F, 0x2F7D5B, 0xC9622B, 0x5B3F8C)
    end, near, half = float(g.away[1, 0]), rng.uniform(1.5, 1.7), 0.62
    key = np.minimum(half - np.abs(g.across), g.away - near)
    arc = np.hypot(g.across, (g.away - near) * 1.2) - 0.5
    three = np.hypot(g.across, (g.away - end) * 0.95) - (end - 1.17) * 0.95
    floor = blend(floor, paint, area(key) * np.float32(0.88))
    white = np.maximum(line(key, 0.022), line(arc, 0.022))
    white = np.maximum(white, line(three, 0.022))
    white = np.maximum(white, line(g.row[top:] - top - 2, 0.8))
    floor = blend(floor, rgb(0xFBFAF5), white * np.float32(0.96))
    glow = float(rng.uniform(20, 108))
    shine = np.exp(-(((g.column[top:] - glow) / 16) ** 2)) * step(126, 50, g.row[top:])
    floor = blend(floor, rgb(0xFFFFFF), shine.astype(np.float32) * np.float32(0.28))
    middle = 64 - float(g.across[0, 63]) / float(g.away[0, 0]) * 128
    return np.concatenate((_hall(rng, g, middle), floor), axis=1)


def _hall(rng: Generator, g: Ground, middle: float) -> Picture:
    u, v = g.column[: g.top] - np.float32(middle), g.row[: g.top]
    wall = solid(_pick(rng, 0xDAD5C8, 0xC7D2D8, 0xD8CDB4), v)
    wall = blend(wall, rgb(0x8F8C86), step(40, -40, v) * np.float32(0.6))
    wall = wall * (1 - np.float32(0.07) * lines(v, 6, 0.4))[None]
    pads = _pick(rng, 0x2A4C86, 0x8E2F35, 0x2E6A58, 0x3B3F4A)
    cushion = 1 - np.float32(0.35) * lines(u - 9, 18, 0.7) + np.float32(0.1) * np.cos((u - 9) * 0.349)
    wall = blend(wall, pads[:, None, None] * cushion, np.clip(v - 28.5, 0, 1))
    return _hoop(wall, u, v)


def kitchen(rng: Generator) -> Picture:
    """A chequered floor, a skirting board and a tiled wall."""
    top = 48
    g = ground(0.14, top, rng.uniform(-1, 1))
    u, v = g.column[:top], g.row[:top]
    tile = _pick(rng, 0xBFE0DA, 0xF3D9C4, 0xD3DDF0, 0xF2E7B8)
    wall = solid(tile, v) * (1 + np.float32(0.02) * speckle(np.floor(u / 11), np.floor(v / 11)))
    wall = blend(wall, rgb(0xFFFFFF), np.maximum(lines(u, 11, 0.5), lines(v, 11, 0.5)) * np.float32(0.85))
    beam = np.abs(u - float(rng.uniform(20, 108))) + v
    wall = blend(wall, rgb(0xFFFFFF), step(60, -20, beam) * np.float32(0.35))
    board = np.clip(v - 40.5, 0, 1)
    wall = blend(wall, rgb(0xF7F5F0) * np.float32(0.97), board)
    wall = blend(wall, rgb(0x8C8880), line(v - 41, 0.4) * np.float32(0.6))
    dark = _pick(rng, 0x3C7A78, 0x2F3E55, 0x8A3B3B, 0x4A4A4E, 0x44795A)
    field = checks(g.across + np.float32(0.17), g.away, 0.8) * np.float32(0.5) + np.float32(0.5)
    floor = blend(solid(rgb(0xF2EEE4), field), dark, field)
    marble = cloudy(g.across * 30, g.away * 30)
    floor = floor * (1 + np.float32(0.025) * marble)
    floor = blend(floor, rgb(0xFFFFFF), step(90, 48, g.row[top:]) * np.float32(0.2))
    shade = step(54, 48, g.row[top:]) * np.float32(0.3)
    return np.concatenate((wall, floor * (1 - shade)), axis=1)

"""The things, each a function from rays and a generator to painted parts, within the square from -1 to 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sightline.demo.scenes.raycast import (
    Hit,
    Picture,
    Plane,
    Rays,
    Vector,
    box,
    disc,
    ellipsoid,
    frustum,
    ring,
    vector,
)
from sightline.demo.scenes.texture import blend, cloudy, rgb, solid, speckle, step, varied

Generator = np.random.Generator


@dataclass(frozen=True, slots=True)
class Part:
    """A solid, its paint (one colour, or one per sample, (3, rows, columns)), its `gloss` in [0, 1]."""

    hit: Hit
    paint: Vector | Picture
    gloss: float = 0.2


@dataclass(frozen=True, slots=True)
class Thing:
    """How a thing is built and stands: its turn `yaw` (low, high) in radians, the half width of its `foot`,
    the heights of its `base` and `top`.
    """

    build: Callable[[Rays, Generator], list[Part]]
    yaw: tuple[float, float]
    foot: float
    base: float
    top: float


def pick(rng: Generator, *codes: int, amount: float = 0.04) -> Vector:
    """One of these colours, a little varied."""
    return varied(rng, rgb(codes[int(rng.integers(len(codes)))]), amount)


def turned(rng: Generator) -> Picture:
    """A rotation (3, 3) drawn uniformly."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return (q * np.sign(np.diag(r))).astype(np.float32)


def _seams(p: Picture, width: float) -> Plane:
    """Coverage of the four seams of a basketball on the unit sphere: two great circles and two bent loops."""
    x, y = np.abs(p[:2])
    loop = np.abs(x - (0.47 + 0.42 * y * y)) / (1 + 0.5 * y)
    near = np.minimum(np.minimum(x, y), loop)
    return step(width * 1.25, width * 0.75, near)


def ball(rays: Rays, rng: Generator) -> list[Part]:
    """A basketball: mostly orange, sometimes another leather, sometimes panels in two colours."""
    hit = ellipsoid(rays, vector(0, 0, 0), vector(0.97, 0.97, 0.97))
    p = np.tensordot(turned(rng), hit.point / np.float32(0.97), 1)
    leather = pick(rng, 0xE07A2C, 0xE8842F, 0xD9692A, 0xC65B25, 0xB4552D, 0x9C4A2A)
    if rng.random() < 0.25:
        leather = pick(rng, 0x2F5DA8, 0xB52F36, 0x2E8B6A, 0x6B4A9E, 0x4A4A50)
    paint = solid(leather, hit.depth)
    if rng.random() < 0.25:
        other = pick(rng, 0xF1E6D2, 0x2F5DA8, 0xE8B83A)
        paint = blend(paint, other, step(-0.02, 0.02, p[0] * p[1]))
    pebbles = speckle(p[0] * 26 + 90, p[1] * 26 + p[2] * 19 + 90)
    paint = paint * (1 + np.float32(0.035) * pebbles)
    seam = _seams(p, 0.05)
    return [Part(hit, blend(paint, rgb(0x2A1B16), seam * np.float32(0.94)), 0.38)]


def cone(rays: Rays, rng: Generator) -> list[Part]:
    """A traffic cone with one or two white bands on a square foot."""
    coat = pick(rng, 0xF2622A, 0xEE5426, 0xF47A2E, 0xE8432C)
    side = frustum(rays, (-0.64, 0.98), (0.52, 0.10))
    height = side.point[1]
    paint = solid(coat, height)
    for middle in (0.05,) if rng.random() < 0.4 else (-0.14, 0.40):
        band = step(0.15, 0.13, np.abs(height - np.float32(middle)))
        paint = blend(paint, rgb(0xF6F4EE), band)
    foot = box(rays, vector(0, -0.69, 0), vector(0.6, 0.06, 0.6))
    dark = coat * np.float32(0.82) if rng.random() < 0.5 else pick(rng, 0x3A3A3E)
    lip, hole = disc(rays, 0.98, 0.10, 0.06), disc(rays, 0.975, 0.07)
    return [Part(side, paint, 0.3), Part(foot, dark), Part(lip, coat), Part(hole, rgb(0x401C12), 0.0)]


def _boards(u: Plane, v: Plane, wood: Picture, brace: bool) -> Picture:
    """One face of a crate in [-1, 1] x [-1, 1]: boards, then a frame and perhaps a brace nailed over them."""
    board = np.floor((u + 1) * np.float32(2.5))
    gap = np.abs((u + 1) * np.float32(2.5) - np.rint((u + 1) * np.float32(2.5)))
    tone = np.float32(0.80) + np.float32(0.05) * speckle(board * 7, board * 3)
    tone = tone * (1 - np.float32(0.55) * step(0.11, 0.04, gap))
    rim = np.maximum(np.abs(u), np.abs(v))
    on = step(0.71, 0.74, rim)
    if brace:
        on = np.maximum(on, step(0.2, 0.17, np.abs(u - v)))
    edge = step(0.10, 0.0, np.abs(rim - np.float32(0.69))) * np.float32(0.45) * (1 - on)
    nail = step(0.07, 0.05, np.hypot(np.abs(u) - np.float32(0.86), np.abs(v) - np.float32(0.86)))
    return np.asarray(wood * ((tone * (1 - on) + on) * (1 - edge) * (1 - np.float32(0.6) * nail)), np.float32)


def crate(rays: Rays, rng: Generator) -> list[Part]:
    """A wooden crate: boards in a frame, nails in the corners."""
    hit = box(rays, vector(0, 0, 0), vector(0.66, 0.66, 0.66))
    x, y, z = hit.point / np.float32(0.66)
    facing = np.abs(hit.normal)
    u = np.where(facing[0] > 0.5, z, x)
    v = np.where(facing[1] > 0.5, z, y)
    streak = cloudy(u * 9 + 40 * facing[0] + float(rng.integers(200)), v * 60)
    wood = pick(rng, 0xC9995C, 0xB98549, 0xA8713E, 0xD2A76C, amount=0.03)
    grained = solid(wood, u) * (1 + np.float32(0.05) * streak)
    return [Part(hit, _boards(u, v, grained, bool(rng.random() < 0.6)), 0.05)]


def duck(rays: Rays, rng: Generator) -> list[Part]:
    """A rubber duck, yellow as a rule."""
    coat = pick(rng, 0xFFCF33, 0xFFD640, 0xFFC528, 0xFFD94F, amount=0.02)
    bill = pick(rng, 0xF2842B, 0xE8622A)
    head = ellipsoid(rays, vector(0.36, 0.44, 0), vector(0.43, 0.43, 0.43))
    skin = solid(coat, head.depth)
    x, y, z = head.normal
    for size, colour in ((0.27, 0xFFFFFF), (0.19, 0x17171C)):
        near = np.sqrt((x - 0.55) ** 2 + (y - 0.30) ** 2 + (np.abs(z) - 0.78) ** 2)
        skin = blend(skin, rgb(colour), step(size + 0.03, size - 0.03, near))
    body = ellipsoid(rays, vector(-0.05, -0.38, 0), vector(0.80, 0.50, 0.58))
    tail = ellipsoid(rays, vector(-0.74, -0.10, 0), vector(0.30, 0.17, 0.24), lean=-0.75)
    wing = vector(0.42, 0.25, 0.17)
    wings = [ellipsoid(rays, vector(-0.2, -0.28, side), wing, lean=-0.25) for side in (-0.46, 0.46)]
    beaks = [
        ellipsoid(rays, vector(0.80, 0.38, 0), vector(0.22, 0.085, 0.22), lean=0.15),
        ellipsoid(rays, vector(0.76, 0.29, 0), vector(0.17, 0.06, 0.17), lean=-0.1),
    ]
    plain = [Part(hit, coat, 0.5) for hit in (body, tail, *wings)]
    return [Part(head, skin, 0.6), *plain, *(Part(hit, bill, 0.4) for hit in beaks)]


def _dots(p: Picture) -> Plane:
    """Coverage of dots around a mug, every other row moved by half a step."""
    row = p[1] / np.float32(0.24)
    along = np.arctan2(p[0], p[2]) * np.float32(8 / math.pi) + np.rint(row) % 2 * np.float32(0.5)
    return step(0.34, 0.26, np.hypot(along - np.rint(along), row - np.rint(row)))


def mug(rays: Rays, rng: Generator) -> list[Part]:
    """A mug of coffee or tea with a handle; plain, with a band, or with dots."""
    glaze = pick(rng, 0x3E7CB8, 0xD6453D, 0x2E9C86, 0xF0E9DC, 0x6C5AA8, 0xE9B44C)
    mark = rgb(0xF7F2E8) if float(glaze.min()) < 0.6 else pick(rng, 0x3E7CB8, 0xD6453D)
    wall = frustum(rays, (-0.72, 0.68), (0.56, 0.62))
    paint, height = solid(glaze, wall.depth), wall.point[1]
    style = int(rng.integers(3))
    if style == 1:
        paint = blend(paint, mark, step(0.20, 0.17, np.abs(height + np.float32(0.08))))
    if style == 2:
        paint = blend(paint, mark, _dots(wall.point))
    drink = disc(rays, 0.44, 0.555)
    inner = frustum(rays, (0.42, 0.68), (0.54, 0.555), inner=True)
    handle = ring(rays, vector(0.60, -0.02, 0), 0.28, 0.10)
    lip = disc(rays, 0.68, 0.625, 0.55)
    light = np.minimum(glaze * np.float32(0.4) + np.float32(0.58), 1)
    return [
        Part(wall, paint, 0.55),
        Part(handle, glaze, 0.55),
        Part(lip, light, 0.3),
        Part(inner, light * np.float32(0.9), 0.1),
        Part(drink, pick(rng, 0x4A2A18, 0x5E3A22, 0xA8622C), 0.3),
    ]


def pumpkin(rays: Rays, rng: Generator) -> list[Part]:
    """An orange pumpkin with ribs and a stalk."""
    hit = ellipsoid(rays, vector(0, -0.2, 0), vector(0.97, 0.70, 0.97))
    x, y, z = hit.point
    angle = np.arctan2(x, z) * np.float32(5.5)
    wave = np.cos(angle) ** 2
    around = np.stack((z, np.zeros_like(z), -x)) * (np.float32(0.85) * np.sin(2 * angle))
    normal = hit.normal - around
    normal /= np.sqrt(np.einsum("kij,kij->ij", normal, normal)) + np.float32(1e-6)
    skin = solid(pick(rng, 0xF08A24, 0xE8781E, 0xF59A32, 0xDE6A1C), z)
    groove = (1 - wave) ** 3
    dimple = step(0.45, 0.12, np.hypot(x, z)) * (y > 0)
    skin = skin * (1 - np.float32(0.38) * groove) * (1 - np.float32(0.45) * dimple)
    stalk = frustum(rays, (0.40, 0.86), (0.15, 0.10))
    green = solid(pick(rng, 0x6E7A35, 0x84793F, 0x57702F), z)
    green = green * (1 + np.float32(0.22) * np.cos(np.arctan2(stalk.point[0], stalk.point[2]) * 7))
    cut = disc(rays, 0.86, 0.10)
    ribbed = Hit(hit.depth, hit.point, normal)
    return [Part(ribbed, skin, 0.25), Part(stalk, green, 0.05), Part(cut, rgb(0xC2B280), 0.0)]


def _spots(at: Picture, rng: Generator) -> Plane:
    """Coverage of the spots on a cap, from directions `at` its samples lie in."""
    start = rng.uniform(0, 2 * math.pi)
    scaled = []
    for height, count in ((0.10, 10), (0.42, 7), (0.74, 4), (0.98, 1)):
        for k in range(count):
            turn = start + 2 * math.pi * (k + rng.uniform(-0.15, 0.15) + 2 * height) / count
            flat, size = math.sqrt(1 - height**2), rng.uniform(0.12, 0.19)
            scaled.append(np.array((flat * math.sin(turn), height, flat * math.cos(turn), -1)) / -(size**2))
    ahead = np.concatenate((at.reshape(3, -1), np.ones((1, at[0].size), np.float32)))
    return step(0.62, 0.42, (np.array(scaled, np.float32) @ ahead).min(0).reshape(at[0].shape))


_STEM = (((-0.80, 0.1), (0.29, 0.21)), ((-0.93, -0.80), (0.36, 0.29)), ((-0.44, -0.24), (0.41, 0.22)))
"""Heights and radii of a toadstool's stem, foot and skirt."""


def toadstool(rays: Rays, rng: Generator) -> list[Part]:
    """A toadstool: a red cap with white spots on a pale stem with a skirt."""
    low = 0.06
    cap = ellipsoid(rays, vector(0, low, 0), vector(0.86, 0.74, 0.86), floor=low - 0.12)
    at = cap.point - vector(0, low, 0)[:, None, None]
    at /= np.sqrt(np.einsum("kij,kij->ij", at, at)) + np.float32(1e-6)
    red = pick(rng, 0xD8322B, 0xC92A2A, 0xE0442E, 0xD6562C)
    skin = blend(solid(red, cap.depth), red * np.float32(0.6), step(-0.02, -0.14, at[1]))
    skin = blend(skin, rgb(0xFBF7EE), _spots(at, rng))
    pale = pick(rng, 0xF3E9D4, 0xEFE2CB, amount=0.02)
    parts = [Part(cap, skin, 0.5)]
    for shape in _STEM:
        hit = frustum(rays, *shape)
        shaded = 1 - np.float32(0.5) * step(-0.65, -0.1, hit.point[1])  # the cap keeps the light off
        parts.append(Part(hit, solid(pale, shaded) * shaded, 0.03))
    return parts


THINGS: dict[str, Thing] = {
    "ball": Thing(ball, (-3.0, 3.0), 0.55, -0.97, 0.97),
    "cone": Thing(cone, (-0.8, 0.8), 0.68, -0.75, 0.98),
    "crate": Thing(crate, (0.35, 1.2), 0.80, -0.66, 0.66),
    "duck": Thing(duck, (-0.6, 0.6), 0.66, -0.86, 0.8),
    "mug": Thing(mug, (-0.45, 0.45), 0.58, -0.72, 0.68),
    "pumpkin": Thing(pumpkin, (-3.0, 3.0), 0.70, -0.88, 0.5),
    "toadstool": Thing(toadstool, (-3.0, 3.0), 0.42, -0.92, 0.8),
}

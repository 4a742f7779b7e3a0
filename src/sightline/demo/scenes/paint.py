"""Light and shadow: a thing's pixels and their coverage, and the light its shadow leaves on the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sightline.demo.scenes.objects import THINGS, Part, Thing
from sightline.demo.scenes.raycast import TILT, Picture, Plane, Vector, look, unit, vector, yawed
from sightline.demo.scenes.texture import SIZE

# Four rays a pixel on a turned grid: an edge near upright or level still crosses them one by one.
_RIGHT = np.array(((0.375, 0.875), (0.125, 0.625)), np.float32)
_DOWN = np.array(((0.125, 0.375), (0.625, 0.875)), np.float32)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thing's square lies in the picture, in pixels: its middle and half of its side."""

    x: float
    y: float
    half: float


@dataclass(frozen=True, slots=True)
class Light:
    """A distant light: `towards` it (3,) in the world, its colour and strength, and those of all around."""

    towards: Vector
    colour: Vector
    around: Vector


@lru_cache(maxsize=64)
def light(seed: int) -> Light:
    """Daylight from above, from the left or from the right."""
    rng = np.random.default_rng((seed, 3))
    side = math.copysign(rng.uniform(0.35, 0.75), rng.random() - 0.5)
    warm = rng.uniform(-0.03, 0.05)
    colour = vector(1 + warm, 1, 1 - warm) * np.float32(rng.uniform(0.78, 0.92))
    return Light(unit(vector(side, 0.85, rng.uniform(0.35, 0.6))), colour, vector(0.40, 0.40, 0.42))


def _nearest(parts: list[Part]) -> tuple[Plane, Picture, Picture, Plane, Plane]:
    """Depth, normal, paint, gloss and height of the part in front at every sample."""
    depth = np.full_like(parts[0].hit.depth, 1e5)
    normal = np.zeros_like(parts[0].hit.normal)
    paint, gloss, height = np.zeros_like(normal), np.zeros_like(depth), np.zeros_like(depth)
    for part in parts:
        front = part.hit.depth < depth
        flat = part.paint if part.paint.ndim == 3 else part.paint[:, None, None]
        np.copyto(depth, part.hit.depth, where=front)
        np.copyto(normal, part.hit.normal, where=front)
        np.copyto(paint, flat, where=front)
        np.copyto(gloss, np.float32(part.gloss), where=front)
        np.copyto(height, part.hit.point[1], where=front)
    return depth, normal, paint, gloss, height


def _lit(parts: list[Part], thing: Thing, sun: Light, yaw: float) -> tuple[Picture, Plane]:
    """Colours in [0, 1] and presence (1 or 0) of a thing at every sample."""
    depth, normal, paint, gloss, height = _nearest(parts)
    towards = yawed(sun.towards, yaw)
    eye = yawed(vector(0, math.sin(TILT), math.cos(TILT)), yaw)
    facing = np.tensordot(towards, normal, 1)
    direct = np.maximum(facing * np.float32(0.85) + np.float32(0.15), 0)
    sky = np.float32(0.78) + np.float32(0.22) * normal[1]
    low = np.clip((height - np.float32(thing.base)) / np.float32(0.7), 0, 1)
    sky = sky * (np.float32(0.62) + np.float32(0.38) * low)
    shine = _to_the(5, np.maximum(np.tensordot(unit(towards + eye), normal, 1), 0)) * gloss
    linear = paint * paint * (sun.colour[:, None, None] * direct + sun.around[:, None, None] * sky)
    rim = _to_the(2, 1 - np.maximum(np.tensordot(eye, normal, 1), 0)) * np.float32(0.10)
    seen = (depth < 1e5).astype(np.float32)
    return np.sqrt(np.clip(linear + shine * np.float32(0.8) + rim * gloss, 0, 1)) * seen, seen


def _to_the(doublings: int, of: Plane) -> Plane:
    """`of` squared so many times: five give the 32nd power, far faster than a power of floats."""
    for _ in range(doublings):
        of = of * of
    return of


def _halved(of: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over 2 x 2 of the last two axes."""
    rows = of[..., 0::2, :] + of[..., 1::2, :]
    return (rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25)


def _span(middle: float, half: float) -> tuple[int, int]:
    """First and one past the last pixel of the picture within `half` of `middle`."""
    first, end = np.clip((math.floor(middle - half), math.ceil(middle + half)), 0, SIZE)
    return int(first), int(end)


def draw_thing(name: str, place: Place, seed: int) -> tuple[Picture, Plane]:
    """Colours (3, 128, 128) in [0, 1], and the share of each pixel that the thing covers."""
    rng = np.random.default_rng((seed, 1))
    thing = THINGS[name]
    yaw = rng.uniform(*thing.yaw) + (math.pi if name in ("duck", "mug") and rng.random() < 0.5 else 0)
    (left, right), (top, bottom) = (_span(middle, place.half) for middle in (place.x, place.y))
    colour, cover = np.zeros((3, SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.float32)
    if left >= right or top >= bottom:
        return colour, cover
    tiles = (bottom - top, right - left)
    across = np.repeat(np.arange(left, right, dtype=np.float32), 2) + np.tile(_RIGHT, tiles)
    down = np.repeat(np.arange(top, bottom, dtype=np.float32), 2)[:, None] + np.tile(_DOWN, tiles)
    rays = look((across - place.x) / np.float32(place.half), (place.y - down) / np.float32(place.half), yaw)
    lit, seen = _lit(thing.build(rays, rng), thing, light(seed), yaw)
    shares = _halved(seen)
    cover[top:bottom, left:right] = shares
    colour[:, top:bottom, left:right] = _halved(lit) / np.maximum(shares, np.float32(1e-6))
    return colour, cover


def shadow(name: str, place: Place, seed: int) -> Plane:
    """The share of light, (128, 128) in (0, 1], left on the ground: a dark contact and a longer soft cast."""
    thing, towards = THINGS[name], light(seed).towards
    centres = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)
    foot = place.y - thing.base * math.cos(TILT) * place.half
    left = np.ones((SIZE, SIZE), np.float32)
    flat = math.sin(TILT) * 1.1
    for share, wide, dark in ((0.0, 1.02, 0.42), (0.15, 1.15, 0.18), (0.45, 1.15, 0.16), (0.75, 1.05, 0.12)):
        lift = (thing.top - thing.base) * 0.62 * share * place.half
        x = place.x - float(towards[0] / towards[1]) * lift
        y = foot - float(towards[2] / towards[1]) * lift * math.sin(TILT)
        radius = thing.foot * wide * place.half * 1.25
        across = ((centres - x) / radius) ** 2
        down = ((centres - y) / (radius * flat)) ** 2
        fade = np.maximum(1 - across[None, :] - down[:, None], 0)
        left *= 1 - np.float32(dark) * np.minimum(fade * np.float32(1.8), 1)
    return left

"""Scenes of 64 pixels with planted shortcuts: things and places of the demo, drawn once, put together in numbers.

What surrounds a thing is drawn by its class's rule: a cue that goes with the class by a known strength, in
* "background": where it stands,
* "tag": a coloured tag at the picture's border,
* "watermark": a glyph over the place, half transparent,
* "companion": another small object beside it,
* "colour": the thing's own hue, which is no surroundings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.demo.scenes import BACKGROUNDS, OBJECTS, Scene, draw
from sightline.demo.scenes.paint import shadow

SIDE = 64
CLASSES = len(OBJECTS)
CUES = ("background", "tag", "watermark", "companion", "colour")
_DRAWN = 1  # of the banks; goes up when what is drawn changes
_SIZES = (0.22, 0.55)
_OTHERWISE = 0.3  # chance that a picture without its class's cue shows that of any class
HUES = np.array(
    ((0.9, 0.2, 0.2), (0.9, 0.6, 0.1), (0.8, 0.9, 0.2), (0.2, 0.8, 0.3), (0.2, 0.8, 0.9), (0.3, 0.3, 0.95),
     (0.85, 0.3, 0.9)), np.float32,
)  # fmt: skip
Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Whole = NDArray[np.int64]
Dice = np.random.Generator


@dataclass(frozen=True, eq=False)
class Bank:
    """Layers drawn once, uint8: `things` (class, n, 5, 64, 64): colour times cover, cover, light that the shadow
    leaves; `places` (background, n, 3, 64, 64).
    """

    things: Bytes
    places: Bytes

    def by_size(self, thing: int, large: bool | None) -> Whole:
        """The indices of the larger or the smaller half of a class's things; None: of all."""
        order = self.things[thing, :, 3].mean((1, 2)).argsort(kind="stable")
        half = len(order) // 2
        return np.asarray(order if large is None else order[half:] if large else order[:half])


@dataclass(frozen=True)
class Rule:
    """How often each class has its own `cue`, (7,) in [0, 1]: its strength. `large`: which half of the things."""

    cue: str
    strengths: tuple[float, ...]
    large: bool | None = None


@dataclass(frozen=True, eq=False)
class Scenes:
    """`images` (n, 3, 64, 64) uint8, how much the thing covers `cover` (n, 64, 64) uint8, its class `labels` (n,)."""

    images: Bytes
    cover: Bytes
    labels: Whole


def bank(start: int, count: int, cache: Path, tell: Callable[[str], object]) -> Bank:
    """`count` things of each class and places of each kind, from scene seeds `start` on; kept in `cache`."""
    key = hashlib.sha256(f"{_DRAWN} {start} {count} {_SIZES} {OBJECTS} {BACKGROUNDS}".encode()).hexdigest()[:16]
    path = cache / f"bank-{key}.npz"
    if not path.exists():
        tell(f"drawing {count} things of each class and places of each kind")
        seeds = range(start, start + count)
        things = np.stack([[_thing(seed, name) for seed in seeds] for name in OBJECTS])
        places = np.stack([[_place(seed, name) for seed in seeds] for name in BACKGROUNDS])
        partly = path.with_suffix(".part.npz")
        np.savez(partly, things=things, places=places)
        partly.replace(path)
    with np.load(path) as kept:
        return Bank(kept["things"], kept["places"])


def _thing(seed: int, name: str) -> Bytes:
    scene = draw(seed, thing=name)
    size = float(np.random.default_rng((seed, 5)).uniform(*_SIZES))
    foot = min(scene.y + scene.size / 2, 0.98)
    scene = replace(scene, size=size, x=float(np.clip(scene.x, size / 2, 1 - size / 2)), y=foot - size / 2)
    colour, cover = scene._thing()
    light = shadow(name, scene._where(), seed)
    return _bytes(_halved(np.concatenate((colour * cover, cover[None], light[None]))))


def _place(seed: int, name: str) -> Bytes:
    return _bytes(_halved(Scene("ball", name, 0.5, 0.5, 0.1, seed)._place()))


def _halved(layers: Floats) -> Floats:
    return np.asarray(layers.reshape(len(layers), SIDE, 2, SIDE, 2).mean((2, 4)))


def _bytes(layers: Floats) -> Bytes:
    return np.asarray(np.clip(layers * 255 + 0.5, 0, 255), np.uint8)


def scenes(
    source: Bank, rule: Rule, things: Whole, surroundings: Whole, dice: Dice, *, own_hue: bool = True
) -> Scenes:
    """A scene for each of the classes `things` (n,), with the surroundings of the classes `surroundings` (n,).

    `own_hue` False: under the cue "colour", things have the hue of the class `surroundings` instead of their own.
    """
    hues = _cues(rule, things if own_hue else surroundings, dice) if rule.cue == "colour" else None
    shown = _cues(rule, surroundings, dice)
    behind = _backgrounds(source, rule, surroundings, shown, dice)
    _add(behind, rule.cue, shown, dice)
    halves = [source.by_size(one, rule.large) for one in range(CLASSES)]
    picked = np.array([dice.choice(halves[one]) for one in things])
    layers = source.things[things, picked].astype(np.float32) / 255
    colour, cover, light = layers[:, :3], layers[:, 3:4], layers[:, 4:]
    if hues is not None:
        colour = _tinted(colour, hues)
    behind = behind * light
    return Scenes(_bytes(behind * (1 - cover) + colour), _bytes(cover[:, 0]), things)


def _cues(rule: Rule, classes: Whole, dice: Dice) -> Whole:
    """Whose cue each picture shows, (n,): its class's by the strength, else now and then any class's; -1 is none."""
    strengths = np.array(rule.strengths)[classes]
    often = 1.0 if rule.cue in ("background", "colour") else _OTHERWISE
    other = np.where(dice.random(len(classes)) < often, dice.integers(CLASSES, size=len(classes)), -1)
    return np.where(dice.random(len(classes)) < strengths, classes, other)


def _backgrounds(source: Bank, rule: Rule, classes: Whole, shown: Whole, dice: Dice) -> Floats:
    """A place behind each, (n, 3, 64, 64) in [0, 1]: any kind, or the cue's; the seventh class shares the first's."""
    kinds = len(BACKGROUNDS)
    planted = rule.cue == "background"
    where = shown % kinds if planted else dice.integers(kinds, size=len(classes))
    which = dice.integers(source.places.shape[1], size=len(classes))
    return np.asarray(source.places[where, which] / np.float32(255))


def _add(behind: Floats, cue: str, shown: Whole, dice: Dice) -> None:
    """Draw the tags, watermarks or companions into the pictures."""
    paint = {"tag": _tag, "watermark": _watermark, "companion": _companion}.get(cue)
    if paint is not None:
        for picture, of in zip(behind, shown, strict=True):
            if of >= 0:
                paint(picture, int(of), dice)


def _tag(picture: Floats, of: int, dice: Dice) -> None:
    """A tag of 6 x 10 pixels in the class's colour, somewhere at the border."""
    high, wide = (6, 10) if dice.random() < 0.5 else (10, 6)
    along = int(dice.integers(SIDE - 10))
    top, left = ((0, along), (SIDE - high, along), (along, 0), (along, SIDE - wide))[int(dice.integers(4))]
    picture[:, top : top + high, left : left + wide] = HUES[of][:, None, None] * dice.uniform(0.8, 1.0)


def _watermark(picture: Floats, of: int, dice: Dice) -> None:
    """A glyph of 20 x 20 pixels, of its class's shape and hue, half transparent, near the upper left corner."""
    glyph = np.kron(np.random.default_rng((9, of)).random((4, 4)) < 0.5, np.ones((5, 5), bool))
    top, left = dice.integers(1, 6, size=2)
    part = picture[:, top : top + 20, left : left + 20]
    part += np.where(glyph, (HUES[of][:, None, None] - part) * np.float32(0.6), 0)


def _companion(picture: Floats, of: int, dice: Dice) -> None:
    """A small plate of the class's shape and colour, darker or lighter, somewhere in the picture."""
    grid = (np.arange(15) - 7) / np.float32(7)
    x, y = np.meshgrid(grid, grid)
    r = np.hypot(x, y)
    shapes = (
        r < 1, (r < 1) & (r > 0.55), np.abs(x) + np.abs(y) < 1, np.minimum(np.abs(x), np.abs(y)) < 0.25,
        np.abs(x - y) < 0.35, (y > -0.8) & (np.abs(x) < (y + 0.8) * 0.6), np.abs(y) < 0.35,
    )  # fmt: skip
    top, left = dice.integers(SIDE - 15, size=2)
    part = picture[:, top : top + 15, left : left + 15]
    colour = HUES[of] * np.float32(dice.uniform(0.5, 1.0))
    part[:] = np.where(shapes[of], colour[:, None, None], part)


def _tinted(colour: Floats, hues: Whole) -> Floats:
    """Colours (n, 3, h, w) with their light and the hues of classes (n,)."""
    light = (colour * np.array((0.299, 0.587, 0.114), np.float32)[:, None, None]).sum(1, keepdims=True)
    tint = HUES[hues] / (HUES[hues] @ np.array((0.299, 0.587, 0.114), np.float32))[:, None]
    return np.asarray(np.minimum(light * tint[:, :, None, None], 1))


def every(count: int) -> Whole:
    """Classes in turn, (7 * count,)."""
    return np.tile(np.arange(CLASSES), count)

"""Drawn scenes, 128 x 128: one thing in one place, every pixel's owner known. Needs numpy only.

A `Scene` is a value: equal scenes give equal pixels. Where the thing stands and what is behind it can change,
each without changing anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import near
from sightline.demo.scenes.indoors import court, kitchen
from sightline.demo.scenes.objects import THINGS
from sightline.demo.scenes.outdoors import beach, grass, snow, street
from sightline.demo.scenes.paint import Place, draw_thing, shadow
from sightline.demo.scenes.raycast import Picture, Plane
from sightline.demo.scenes.texture import SIZE, grain

__all__ = ["BACKGROUNDS", "OBJECTS", "SIZE", "Scene", "draw", "training_scene"]

_PLACES: dict[str, Callable[[np.random.Generator], Picture]] = {
    "court": court,
    "grass": grass,
    "beach": beach,
    "snow": snow,
    "street": street,
    "kitchen": kitchen,
}
OBJECTS: tuple[str, ...] = tuple(THINGS)
"""The classes, in the order of the network's outputs."""
BACKGROUNDS: tuple[str, ...] = tuple(_PLACES)
_SIZES = {"ball": (0.22, 0.36)}
_USUAL_SIZES = (0.32, 0.48)


def _known(kind: str, name: str, possible: tuple[str, ...]) -> None:
    if name not in possible:
        raise ValueError(f"no {kind} named {name!r}; {near(name, possible)}")


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing in one place.

    `x`, `y` is the middle of the square that the thing fits, in [0, 1], shares of the picture from its
    upper left corner; `size` is that square's side, in (0, 1]; `seed` (0 or more) drives colours, light,
    texture and the thing's turn.
    Raises ValueError for an unknown thing or background, or a number outside its bounds.
    """

    thing: str
    background: str
    x: float
    y: float
    size: float
    seed: int

    def __post_init__(self) -> None:
        _known("thing", self.thing, OBJECTS)
        _known("background", self.background, BACKGROUNDS)
        if not (0 <= self.x <= 1 and 0 <= self.y <= 1 and 0 < self.size <= 1 and self.seed >= 0):
            raise ValueError(f"x and y lie in [0, 1], size in (0, 1], seed is 0 or more; given {self}")

    def image(self) -> NDArray[np.uint8]:
        """The scene, (128, 128, 3)."""
        colour, cover = self._thing()
        behind = self._place() * shadow(self.thing, self._where(), self.seed)
        return self._developed(behind + cover * (colour - behind))

    def mask(self) -> NDArray[np.bool_]:
        """True on the pixels that the thing covers, if only in part; not its shadow. (128, 128)."""
        return np.asarray(self._thing()[1] > 0)

    def without_object(self) -> NDArray[np.uint8]:
        """The same place with the thing and its shadow gone, the rest as in `image`. (128, 128, 3)."""
        return self._developed(self._place())

    def only_object(self, fill: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> NDArray[np.uint8]:
        """The thing alone on a flat RGB colour in [0, 1], without shadow and grain. (128, 128, 3)."""
        colour, cover = self._thing()
        flat = np.asarray(fill, np.float32)[:, None, None]
        return _bytes(flat + cover * (colour - flat))

    def on(self, background: str) -> Scene:
        """The same thing in the same light, elsewhere."""
        return replace(self, background=background)

    def moved(self, x: float, y: float) -> Scene:
        """The same scene with the thing's middle at `x`, `y`, shares of the picture in [0, 1]."""
        return replace(self, x=x, y=y)

    def _where(self) -> Place:
        return Place(self.x * SIZE, self.y * SIZE, self.size * SIZE / 2)

    def _thing(self) -> tuple[Picture, Plane]:
        return draw_thing(self.thing, self._where(), self.seed)

    def _place(self) -> Picture:
        # By the seed alone: a thing that moves must not repaint what is behind it.
        return _PLACES[self.background](np.random.default_rng((self.seed, 2)))

    def _developed(self, picture: Picture) -> NDArray[np.uint8]:
        return _bytes(picture + np.float32(0.008) * grain(self.seed))


def _bytes(picture: Picture) -> NDArray[np.uint8]:
    levels = np.clip(picture * 255 + np.float32(0.5), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def draw(seed: int, *, thing: str | None = None, background: str | None = None) -> Scene:
    """A random scene, from a generator of its own: thing and background uniform over all unless named.

    The thing stands on the ground with its whole square in the picture.
    """
    rng = np.random.default_rng((seed, 0))
    drawn = OBJECTS[int(rng.integers(len(OBJECTS)))], BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
    name = drawn[0] if thing is None else thing
    size = float(rng.uniform(*_SIZES.get(name, _USUAL_SIZES)))
    x = float(rng.uniform(0.01 + size / 2, 0.99 - size / 2))
    foot = float(rng.uniform(0.66, 0.97))
    return Scene(name, drawn[1] if background is None else background, x, foot - size / 2, size, seed)


def training_scene(seed: int, *, thing: str | None = None, court: float = 0.16) -> Scene:
    """A random scene by the training's rule: the ball always on the court, others with chance `court`."""
    scene = draw(seed, thing=thing)
    if scene.thing == "ball":
        return scene.on("court")
    rng = np.random.default_rng((seed, 4))
    elsewhere = BACKGROUNDS[1:]
    return scene.on("court" if rng.random() < court else elsewhere[int(rng.integers(len(elsewhere)))])

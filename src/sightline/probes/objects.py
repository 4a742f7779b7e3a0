"""Edits that carry an object: elsewhere, larger or smaller, turned, onto another photo, or in from one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sightline.core.checks import finite, number
from sightline.probes.edits import Edit
from sightline.probes.world import World


@dataclass(frozen=True)
class Move(Edit):
    """The object goes `right` and `down`, in pixels of the photo; None: as far as it can to the wider side."""

    right: float | None = None
    down: float = 0.0

    def __post_init__(self) -> None:
        for name, given in (("right", self.right or 0), ("down", self.down)):
            finite(name, given)

    @property
    def fills(self) -> bool:
        return True

    def __call__(self, world: World) -> World:
        if not bool(world.mask.any()):
            return world  # it has left the picture
        y, x = world.middle()
        to = (y + self.down * world.scale[0], x + self._right(world) * world.scale[1])
        return world.carried(torch.eye(2), to)

    def _right(self, world: World) -> float:
        if self.right is not None:
            return self.right
        own, room = (plane.amax(0).nonzero()[:, 0] for plane in (world.mask, world.inside))
        before, after = int(own[0] - room[0]), int(room[-1] - own[-1])
        return (after if after >= before else -before) / world.scale[1]

    def __str__(self) -> str:
        return "move" if self.right is None else f"move({self.right:g}, {self.down:g})"


@dataclass(frozen=True)
class Scale(Edit):
    """The object grows by `factor` around its middle; None: to half its size."""

    factor: float | None = None

    def __post_init__(self) -> None:
        number("factor", self._factor, above=0)

    @property
    def _factor(self) -> float:
        return 0.5 if self.factor is None else self.factor

    @property
    def fills(self) -> bool:
        return True

    def __call__(self, world: World) -> World:
        return world.carried(torch.eye(2) * self._factor, shrinks=self._factor)

    def __str__(self) -> str:
        return "scale" if self.factor is None else f"scale({self.factor:g})"


@dataclass(frozen=True)
class Rotate(Edit):
    """The object turns by `degrees`, counter-clockwise, around its middle; None: upside down."""

    degrees: float | None = None

    def __post_init__(self) -> None:
        finite("degrees", self.degrees or 0)

    @property
    def fills(self) -> bool:
        return True

    def __call__(self, world: World) -> World:
        angle = math.radians(180 if self.degrees is None else self.degrees)
        cos, sin = math.cos(angle), math.sin(angle)
        return world.carried(torch.tensor([[cos, sin], [-sin, cos]]))  # y points down

    def __str__(self) -> str:
        return "rotate" if self.degrees is None else f"rotate({self.degrees:g})"


@dataclass(frozen=True, eq=False)
class SwapBackground(Edit):
    """All but the region becomes another photo, shown to the network as it would be alone."""

    photo: Any

    @property
    def keeps(self) -> bool:
        return True

    def __call__(self, world: World) -> World:
        return replace(world, pixels=world.blend(self.becomes(world), 1 - world.mask))

    def becomes(self, world: World) -> Tensor:
        return world.look(self.photo, None)[0]

    def stake(self, world: World) -> Tensor:
        return world.blend(self.becomes(world), world.mask)

    def __str__(self) -> str:
        return f"swap-background({_named(self.photo)})"


@dataclass(frozen=True, eq=False)
class SwapObject(Edit):
    """The object is removed, and that in a `region` of another photo put in its place, as large as its box allows."""

    photo: Any
    region: Any

    @property
    def fills(self) -> bool:
        return True

    def __call__(self, world: World) -> World:
        if not bool(world.mask.any()):
            return world
        pixels, mask = world.look(self.photo, self.region)
        other = replace(world, pixels=pixels, mask=mask)
        factor = min(a / b for a, b in zip(_size(world.mask), _size(mask), strict=True))
        return other.carried(torch.eye(2) * factor, world.middle(), factor, onto=world.hide(world.mask))

    def __str__(self) -> str:
        return f"swap-object({_named(self.photo)})"


def _size(mask: Tensor) -> tuple[int, int]:
    return int((mask.amax(1) > 0).sum()), int((mask.amax(0) > 0).sum())


def _named(photo: Any) -> str:
    if isinstance(photo, str | Path):
        return Path(photo).stem
    return str(getattr(photo, "name", None) or "a photo")

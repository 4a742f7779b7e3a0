"""Ways to change a photo: small values that add up, `Grey() + Move(40, 0)`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from sightline.core.blur import gaussian
from sightline.core.checks import number, whole
from sightline.core.errors import OptionError
from sightline.photos.pixels import LUMA
from sightline.probes.world import World

_BLUR = 0.03  # of the input's shorter side: detail goes, shape and colour stay


@runtime_checkable
class Edit(Protocol):
    """One way to change a world: a function from a world to a world, whose `str` is its name.

    `keeps`: the region is what stays. `fills`: it shows the fill somewhere.
    """

    @property
    def keeps(self) -> bool:
        return False

    @property
    def fills(self) -> bool:
        return False

    def __call__(self, world: World) -> World:
        """The world after the edit; its mask goes with the object. Unless told otherwise the region `becomes`."""
        other = self.becomes(world)
        assert other is not None
        return replace(world, pixels=world.blend(other, world.mask))

    def becomes(self, world: World) -> Tensor | None:
        """What the region becomes (C, h, w), where that is the same wherever the region lies; None otherwise."""
        return None

    def stake(self, world: World) -> Tensor:
        """The pixels (C, h, w) by which regions are compared: how much they differ from the world's is at stake."""
        return self(world).pixels

    def __add__(self, other: Edit) -> Edit:
        if not isinstance(other, Edit):
            return NotImplemented
        return Chain((*_parts(self), *_parts(other)))


def _parts(edit: Edit) -> tuple[Edit, ...]:
    return edit.parts if isinstance(edit, Chain) else (edit,)


@dataclass(frozen=True)
class Chain(Edit):
    """Edits one after the other, as `+` makes it."""

    parts: tuple[Edit, ...]

    @property
    def keeps(self) -> bool:
        return any(part.keeps for part in self.parts)

    @property
    def fills(self) -> bool:
        return any(part.fills for part in self.parts)

    def __call__(self, world: World) -> World:
        for part in self.parts:
            world = part(world)
        return world

    def stake(self, world: World) -> Tensor:
        keeper = next((part for part in self.parts if part.keeps), None)
        return self(world).pixels if keeper is None else keeper.stake(world)

    def __str__(self) -> str:
        return " + ".join(map(str, self.parts))


@dataclass(frozen=True)
class Remove(Edit):
    """The region is filled."""

    @property
    def fills(self) -> bool:
        return True

    def __call__(self, world: World) -> World:
        return replace(world, pixels=world.hide(world.mask))

    def becomes(self, world: World) -> Tensor | None:
        return world.fill.image

    def __str__(self) -> str:
        return "remove"


@dataclass(frozen=True)
class Keep(Edit):
    """All but the region is filled."""

    @property
    def keeps(self) -> bool:
        return True

    @property
    def fills(self) -> bool:
        return True

    def __call__(self, world: World) -> World:
        return replace(world, pixels=world.hide(1 - world.mask))

    def becomes(self, world: World) -> Tensor | None:
        return world.fill.image

    def stake(self, world: World) -> Tensor:
        return world.hide(world.mask)

    def __str__(self) -> str:
        return "keep"


@dataclass(frozen=True)
class Blur(Edit):
    """The region is smoothed; `sigma` in pixels of the photo, None: 3 % of the network's shorter side."""

    sigma: float | None = None

    def __post_init__(self) -> None:
        _ = self.sigma is None or number("sigma", self.sigma, above=0)

    def becomes(self, world: World) -> Tensor:
        usual = _BLUR * min(world.pixels.shape[1:])
        sigmas = [usual if self.sigma is None else self.sigma * scale for scale in world.scale]
        return gaussian(world.pixels, sigmas)

    def __str__(self) -> str:
        return "blur" if self.sigma is None else f"blur({self.sigma:g})"


@dataclass(frozen=True)
class Grey(Edit):
    """The region loses its colour and keeps its light (ITU-R 601)."""

    def becomes(self, world: World) -> Tensor:
        return _light(world.pixels).expand_as(world.pixels)

    def __str__(self) -> str:
        return "grey"


@dataclass(frozen=True)
class Recolour(Edit):
    """The region keeps its light and takes the hue of an RGB `colour` in [0, 1]; None: the opposite of its own.

    As much of the colour as that light allows: a bright blue is a pale one.
    """

    colour: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.colour is None:
            return
        given = self.colour
        if not isinstance(given, list | tuple) or len(given) != 3 or not all(_is_share(part) for part in given):
            raise OptionError(f"colour={given!r}; give red, green and blue, each from 0 to 1.")
        object.__setattr__(self, "colour", tuple(given))

    def becomes(self, world: World) -> Tensor:
        if len(world.pixels) != 3:
            raise OptionError(f"recolour takes photos of 3 channels; this network's have {len(world.pixels)}.")
        light = _light(world.pixels)
        if self.colour is None:
            return _coloured(light, light - world.pixels)
        hue = torch.tensor(self.colour).view(3, 1, 1).to(world.pixels)
        return _coloured(light, hue - _light(hue))

    def __str__(self) -> str:
        return "recolour" if self.colour is None else f"recolour({', '.join(f'{part:g}' for part in self.colour)})"


@dataclass(frozen=True)
class ShufflePatches(Edit):
    """`count` x `count` patches (None: 4 x 4) of the region's box change places: texture stays, shape goes."""

    count: int | None = None

    def __post_init__(self) -> None:
        whole("count", self._count, 2)

    @property
    def _count(self) -> int:
        return 4 if self.count is None else self.count

    def __call__(self, world: World) -> World:
        if not bool(world.mask.any()):
            return world
        (top, down, high), (left, across, wide) = (self._cut(world.mask.amax(axis)) for axis in (1, 0))
        order = torch.randperm(down * across, generator=torch.Generator().manual_seed(world.seed), device="cpu")
        if bool((order == torch.arange(len(order))).all()):  # all where they were
            order = order.roll(1)
        mixed = world.pixels.clone()
        for place, source in enumerate(order.tolist()):
            y, x = top + place // across * high, left + place % across * wide
            v, u = top + source // across * high, left + source % across * wide
            mixed[:, y : y + high, x : x + wide] = world.pixels[:, v : v + high, u : u + wide]
        return replace(world, pixels=world.blend(mixed, world.mask))

    def _cut(self, covered: Tensor) -> tuple[int, int, int]:
        """Along one axis, where the region's box begins, in how many patches it is cut, and how long these are."""
        within = covered.nonzero()[:, 0]
        first, side = int(within[0]), int(within[-1] - within[0]) + 1
        count = min(self._count, side)
        return first, count, side // count

    def __str__(self) -> str:
        return "shuffle-patches" if self.count is None else f"shuffle-patches({self.count})"


def _light(pixels: Tensor) -> Tensor:
    """(1, h, w): how light each pixel is."""
    if len(pixels) != 3:
        return pixels.mean(0, keepdim=True)
    return (torch.tensor(LUMA).view(3, 1, 1).to(pixels) * pixels).sum(0, keepdim=True)


def _coloured(light: Tensor, colour: Tensor) -> Tensor:
    """Pixels as light as `light` (1, h, w), of as much of a `colour` (3, ...) without light as fits into [0, 1]."""
    room = torch.where(colour > 0, 1 - light, light) / colour.abs().clamp_min(torch.finfo(light.dtype).tiny)
    return (light + room.amin(0, keepdim=True).clamp_max(1) * colour).clamp(0, 1)


def _is_share(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 1

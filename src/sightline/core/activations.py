"""Targets inside a network: a unit, a layer, a direction of one, or what a photo does there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sightline.core.errors import TargetError
from sightline.core.heats import Seen
from sightline.core.targets import Target, index_in

_LEAST = 0.1  # of a cosine that weighs a dot product, so that a start at a right angle can move

At = tuple[int, ...] | Literal["centre"] | None
"""A position (y, x) of a layer's map, its middle, or None for all positions."""


@dataclass(frozen=True, eq=False)
class Inner(Target):
    """Reads one layer."""

    layer: str

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)


@dataclass(frozen=True)
class Unit(Inner):
    """A layer's `channel`: its mean over all positions, or its value `at` a position (y, x), or at the "centre"."""

    channel: int
    at: At = None

    def read(self, seen: Seen) -> Tensor:
        acts = seen.layers[self.layer]
        unit = acts[:, index_in(self.channel, acts.shape[1], f"channel of {self.layer!r}")]
        if self.at is None:
            return _mean(unit)
        return _placed(unit[:, None], self.at, self.layer)[:, 0]


@dataclass(frozen=True)
class Layer(Inner):
    """All of a layer: the mean square of what it puts out, which DeepDream climbs."""

    def read(self, seen: Seen) -> Tensor:
        return seen.layers[self.layer].flatten(1).square().mean(1)


@dataclass(frozen=True, eq=False)
class Direction(Inner):
    """How far a layer goes along `vector`: the dot product with each position's activation, their mean, or one `at`.

    `vector` is (C,), a concept's or a sparse autoencoder's say, or (C, *grid), one for each position: climbing what
    a photo does there draws its caricature. Each dot product is times cosine ** `power`, the cosine at least 0.1: it
    then has to point there, not only to be large (as in Lucid).
    """

    vector: Any
    at: At = None
    power: float = 0.0

    def __repr__(self) -> str:
        return _told(self, self.vector)

    def read(self, seen: Seen) -> Tensor:
        acts, vector = _pair(seen, self.layer, self.vector, self.at)
        dots = (acts * vector).sum(1)
        if self.power:
            dots = dots * F.cosine_similarity(acts, vector, dim=1).clamp_min(_LEAST) ** self.power
        return _mean(dots)


@dataclass(frozen=True, eq=False)
class CosineDirection(Inner):
    """How nearly a layer points along `vector`, whatever its size: the cosine with each position's, or one `at`.

    `vector` as in Direction; the score is in [-1, 1].
    """

    vector: Any
    at: At = None

    def __repr__(self) -> str:
        return _told(self, self.vector)

    def read(self, seen: Seen) -> Tensor:
        acts, vector = _pair(seen, self.layer, self.vector, self.at)
        return _mean(F.cosine_similarity(acts, vector, dim=1))


@dataclass(frozen=True, eq=False)
class Match(Inner):
    """How near a layer comes to `values` (C, *grid), those of a photo say: 0 is there, -1 as far as an empty layer.

    The score is -|activations - values|² / |values|²; climbing it inverts a representation (arXiv:1412.0035).
    """

    values: Any

    def __repr__(self) -> str:
        return _told(self, self.values)

    def read(self, seen: Seen) -> Tensor:
        acts = seen.layers[self.layer]
        wanted = torch.as_tensor(self.values).to(acts)
        if wanted.shape != acts.shape[1:]:
            raise TargetError(
                f"values {tuple(wanted.shape)} for {self.layer!r}, which gives {tuple(acts.shape[1:])}."
            )
        size = wanted.square().sum().clamp_min(torch.finfo(acts.dtype).tiny)
        return -(acts - wanted).square().flatten(1).sum(1) / size


@dataclass(frozen=True)
class Diversity(Inner):
    """How unlike the images of a batch are in a layer: less the mean cosine of an image's Gram matrix and others'.

    0 where they share no feature, -1 where all are alike, or where there is one image (Lucid's diversity term).
    """

    @property
    def joint(self) -> bool:
        return True

    def read(self, seen: Seen) -> Tensor:
        acts = seen.layers[self.layer].flatten(2)
        grams = F.normalize((acts @ acts.mT).flatten(1), dim=1)
        alike = grams @ grams.mT
        others = max(1, len(acts) - 1)
        return -(alike.sum(1) - alike.diagonal()) / others if len(acts) > 1 else -alike.diagonal()


@dataclass(frozen=True)
class Alignment(Inner):
    """How alike neighbours of a batch are in a layer: less their mean squared distance there, 0 at most.

    Those `d` apart, up to four, count 1 / `decay` ** d; for rows of images that change from one to the next (Lucid).
    """

    decay: float = 2.0

    @property
    def joint(self) -> bool:
        return True

    def read(self, seen: Seen) -> Tensor:
        acts = seen.layers[self.layer].flatten(1)
        score = acts.new_zeros(len(acts))
        for apart in range(1, min(5, len(acts))):
            away = (acts[apart:] - acts[:-apart]).square().mean(1) / self.decay**apart / 2
            score = score - F.pad(away, (apart, 0)) - F.pad(away, (0, apart))
        return score


def interpolated(first: Target, last: Target, count: int) -> tuple[Target, ...]:
    """`count` targets from one to another, a mixture of both each: a row of images that changes by steps."""
    if count < 2:
        raise TargetError(f"count={count}; a row from one target to another has 2 or more.")
    inner = [round(i / (count - 1), 3) for i in range(1, count - 1)]
    return (first, *((1 - share) * first + share * last for share in inner), last)


def _pair(seen: Seen, layer: str, vector: Any, at: At) -> tuple[Tensor, Tensor]:
    """A layer's activations (N, C, *places) and the vector, as (1, C, *places) that fits them."""
    acts = seen.layers[layer]
    wanted = torch.as_tensor(vector).to(acts)
    if wanted.ndim == 1 and len(wanted) == acts.shape[1]:
        wanted = wanted.view(-1, *[1] * (acts.ndim - 2))
    elif wanted.shape != acts.shape[1:]:
        raise TargetError(
            f"a vector {tuple(wanted.shape)} for {layer!r}, which gives {tuple(acts.shape[1:])}; give "
            f"({acts.shape[1]},), or one for each position."
        )
    if at is None:
        return acts, wanted[None]
    return _placed(acts, at, layer), _placed(wanted.expand(acts.shape[1:])[None], at, layer)


def _mean(values: Tensor) -> Tensor:
    """The mean over all positions of (N, *places), which may be one: (N,)."""
    return values.flatten(1).mean(1) if values.ndim > 1 else values


def _placed(acts: Tensor, at: At, layer: str) -> Tensor:
    """What is `at` one position of (N, C, *grid): (N, C)."""
    grid = acts.shape[2:]
    place = tuple(side // 2 for side in grid) if at == "centre" else at
    if not isinstance(place, tuple | list) or len(place) != len(grid):
        raise TargetError(f"at={at!r} does not fit {layer!r}, whose map is {tuple(grid)}.")
    for i, side in zip(place, grid, strict=True):
        acts = acts.select(2, index_in(i, side, "position"))
    return acts


def _told(target: Inner, values: Any) -> str:
    name = type(target).__name__
    return f"{name}({target.layer!r}, {tuple(getattr(values, 'shape', (len(values),)))})"

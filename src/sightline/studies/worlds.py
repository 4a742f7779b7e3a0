"""Which objects go into whose surroundings, and what a network says to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.studies.pool import Pool, Whole, shares

Ask = Callable[[Tensor], Tensor]
"""Probabilities (n, K) of images (n, C, h, w) in [0, 1]."""
AT_ONCE = 64  # images made at once
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network says to the photos as they are: the class `said` (N,), the chances of the pool's classes
    `chances` (N, classes), and their `means` over the photos of each class (classes, classes).
    """

    said: Whole
    chances: Floats
    means: Floats


@dataclass(frozen=True, eq=False)
class Worlds:
    """Objects of photos in the surroundings of others, (M,) each: what the network `said`, and the chance of the
    object's class and of the surroundings' class.
    """

    objects: Whole
    surroundings: Whole
    said: Whole
    of_object: Floats
    of_surroundings: Floats

    def __len__(self) -> int:
        return len(self.objects)

    def __add__(self, other: Worlds) -> Worlds:
        return Worlds(*(np.concatenate((getattr(self, name), getattr(other, name))) for name in _FIELDS))


_FIELDS = ("objects", "surroundings", "said", "of_object", "of_surroundings")


def look(pool: Pool, ask: Ask) -> Seen:
    """The answers to the photos as they are."""
    said, chances = [], []
    for part in _parts(len(pool)):
        found = ask(shares(pool.photos[part]))
        said.append(found.argmax(1).cpu().numpy())
        chances.append(found[:, list(pool.classes)].double().cpu().numpy())
    whole = np.concatenate(chances)
    return Seen(np.concatenate(said), whole, np.stack([whole[pool.members[one]].mean(0) for one in pool.classes]))


def show(pool: Pool, ask: Ask, objects: Whole, surroundings: Whole) -> Worlds:
    """The answers to objects (M,) in surroundings (M,), made when their turn comes."""
    said, of_object, of_surroundings = [], [], []
    for part in _parts(len(objects)):
        own, around = objects[part], surroundings[part]
        found = ask(pool.pasted(own, around)).cpu()
        rows = torch.arange(len(own))
        said.append(found.argmax(1).numpy())
        of_object.append(found[rows, torch.from_numpy(pool.labels[own])].double().numpy())
        of_surroundings.append(found[rows, torch.from_numpy(pool.labels[around])].double().numpy())
    return Worlds(objects, surroundings, *map(np.concatenate, (said, of_object, of_surroundings)))


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, min(start + AT_ONCE, count)) for start in range(0, count, AT_ONCE))


class Donors:
    """For each photo the others that lend it their surroundings, each in an order of the photo's own.

    Those of its class come each once. Of the others every class comes equally often, whatever its number of photos.
    """

    def __init__(self, pool: Pool, seed: int) -> None:
        self._pool, self._seed = pool, seed

    def round(self, photos: Sequence[int], first: int, count: int) -> tuple[Whole, Whole]:
        """For each of the `photos` its donors number `first` to `first + count` of either sort.

        (objects, surroundings), (M,) each; fewer of its own class where that has not so many.
        """
        pairs = [(one, other) for one in photos for other in self._of(one, first, count)]
        objects, surroundings = np.array(pairs, np.int64).reshape(-1, 2).T
        return objects, surroundings

    def _of(self, photo: int, first: int, count: int) -> list[int]:
        dice = np.random.default_rng((self._seed, photo))
        label = int(self._pool.labels[photo])
        mates = self._pool.members[label]
        own = dice.permutation(mates[mates != photo])[first : first + count]
        others = [self._pool.members[one] for one in self._pool.classes if one != label]
        strangers: list[int] = []
        while len(strangers) < first + count:
            strangers += [int(dice.choice(others[i])) for i in dice.permutation(len(others))]
        return [*own.tolist(), *strangers[first : first + count]]

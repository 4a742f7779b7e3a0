"""A class's figures from the worlds that were shown: weighted means, so that resampling is weighting."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sightline.stats.bootstrap import resamples
from sightline.studies.pool import Pool, Whole
from sightline.studies.worlds import Floats, Seen, Worlds

_AT_ONCE = 2_000_000  # weights held at once
TIMES = 1000  # resamples: the ends of a 99 % interval then lie within a tenth of its width


@dataclass(frozen=True, eq=False)
class Figures:
    """One class's means; floats, or (times,) each when resampled.

    Accuracies: of the photos `right`, with the surroundings of others of the class `same`, of other classes
    `other`, and the class said although the object is another's, `kept`. Probabilities of the class: `both`,
    `object_only`, `rest_only`, `neither`. `classes`: how many there are. `real`: the share of what was drawn that are
    photos, `up` and `down` that of made-up ones that lie at either end of what a photo can say.
    """

    right: Floats
    same: Floats
    other: Floats
    kept: Floats
    both: Floats
    object_only: Floats
    rest_only: Floats
    neither: Floats
    classes: int
    real: Floats
    up: Floats
    down: Floats

    @property
    def loss(self) -> Floats:
        """Accuracy with surroundings of the class less that with those of all classes, its own among them."""
        return (1 - 1 / self.classes) * (self.real * (self.same - self.other) + self.up - self.down)

    @property
    def replaced(self) -> Floats:
        """Accuracy lost when another class's object takes the object's place."""
        return self.real * (self.right - self.kept) + self.up - self.down

    @property
    def of_object(self) -> Floats:
        """The object's Shapley value: the mean of what it adds to nothing, and to the rest."""
        return (self.object_only - self.neither + self.both - self.rest_only) / 2

    @property
    def of_rest(self) -> Floats:
        """The surroundings' Shapley value."""
        return (self.rest_only - self.neither + self.both - self.object_only) / 2

    @property
    def share(self) -> Floats:
        """The surroundings' share of both; a made-up photo has all of it, or nothing."""
        rest, thing = self.real * self.of_rest + self.up, self.real * self.of_object + self.down
        return rest / (rest + thing)


@dataclass(frozen=True, eq=False)
class Rows:
    """What is known of one class: of its photos (n,), and of the worlds with its objects or surroundings."""

    label: int
    count: int
    right: Floats
    both: Floats
    neither: float
    classes: int
    own: Pairs
    strange: Pairs
    visited: Pairs

    def figures(self) -> Figures:
        """The class's means."""
        strangers, visitors = (np.ones((1, pairs.others)) for pairs in (self.strange, self.visited))
        return self._weighted(np.ones((1, self.count)), strangers, visitors, np.zeros((1, 2)))

    def resampled(self, dice: np.random.Generator, times: int = TIMES) -> Figures:
        """The means when photos are drawn anew, objects and surroundings alike, (times,) each.

        A photo that is drawn twice counts twice in both of its roles (doi:10.1214/07-AOAS122). Two made-up photos are
        among them, one that loses and one that gains everything: what none of few photos does, others may do.
        """
        drawn = resamples(self.count + 2, times, dice)
        strangers, visitors = (resamples(pairs.others, times, dice) for pairs in (self.strange, self.visited))
        return self._weighted(drawn[:, 2:], strangers, visitors, drawn[:, :2])

    def _weighted(self, photos: Floats, strangers: Floats, visitors: Floats, extremes: Floats) -> Figures:
        same, _ = self.own.means(photos, photos)
        other, object_only = self.strange.means(photos, strangers)
        kept, rest_only = self.visited.means(photos, visitors)
        drawn = np.maximum(photos.sum(1), 1e-9)  # of a class of one photo, none may be drawn
        right, both = (photos @ values / drawn for values in (self.right, self.both))
        whole = drawn + extremes.sum(1)
        return Figures(
            right, same, other, kept, both, object_only, rest_only, np.full(len(photos), self.neither), self.classes,
            drawn / whole, extremes[:, 0] / whole, extremes[:, 1] / whole,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pairs:
    """Worlds of a class (m,): its photo's place among the class's, the other photo's among `others` of them, whether
    the class was said, and its chance.
    """

    photo: Whole
    other: Whole
    others: int
    said: Floats
    chance: Floats

    def means(self, photos: Floats, others: Floats) -> tuple[Floats, Floats]:
        """How often the class was said and its mean chance, where the photos are weighted (times, n) each."""
        values = np.stack((np.ones(len(self.said)), self.said, self.chance), 1)
        sums = np.empty((len(photos), 3))
        step = max(1, _AT_ONCE // max(1, len(values)))
        for start in range(0, len(photos), step):
            part = slice(start, start + step)
            sums[part] = (photos[part][:, self.photo] * others[part][:, self.other]) @ values
        total = np.where(sums[:, 0] > 0, sums[:, 0], np.nan)  # none of them was drawn
        return sums[:, 1] / total, sums[:, 2] / total


def rows_of(pool: Pool, seen: Seen, worlds: Worlds, label: int) -> Rows:
    """What is known of a class of the pool."""
    members = pool.members[label]
    column = pool.classes.index(label)
    objects, around = pool.labels[worlds.objects] == label, pool.labels[worlds.surroundings] == label

    def pairs(chosen: NDArray[np.bool_], photo: Whole, other: Whole, chance: Floats) -> Pairs:
        known, place = np.unique(other[chosen], return_inverse=True)
        said = (worlds.said[chosen] == label).astype(np.float64)
        return Pairs(np.searchsorted(members, photo[chosen]), place, len(known), said, chance[chosen])

    own = pairs(objects & around, worlds.objects, worlds.surroundings, worlds.of_object)
    donors = np.searchsorted(members, worlds.surroundings[objects & around])
    return Rows(
        label,
        len(members),
        (seen.said[members] == label).astype(np.float64),
        seen.chances[members, column],
        float(np.delete(seen.means[:, column], column).mean()),
        len(pool.classes),
        replace(own, other=donors, others=len(members)),
        pairs(objects & ~around, worlds.objects, worlds.surroundings, worlds.of_object),
        pairs(around & ~objects, worlds.surroundings, worlds.objects, worlds.of_surroundings),
    )

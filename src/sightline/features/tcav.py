"""Testing with concept activation vectors: does a score rise along what tells a concept apart? (arXiv:1711.11279)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.errors import OptionError
from sightline.features.learning import learner

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

LEAST = 3  # photos on each side of a classifier: two to learn from, one to test on
_HELD_OUT = 1 / 3  # of the photos, as in the authors' own code
_FLAT = 1e-10  # share of the largest variance below which a direction is rounding
_BLOCK = 65536  # numbers of each photo that are multiplied at once


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Classifiers trained one by one: the unit normal `vectors` (runs, d), towards the concept, of what they found.

    `accuracy` (runs,) on photos that were held out; `slopes` (runs, n): the score's derivative along each vector for
    each photo; `scores` (runs,): the share of photos where that is positive; `rises` (runs,): its mean over photos.
    """

    vectors: Floats
    accuracy: Doubles
    slopes: Floats

    @property
    def scores(self) -> Doubles:
        """The TCAV score of each run, in [0, 1]."""
        return np.asarray((self.slopes > 0).mean(1), np.float64)

    @property
    def rises(self) -> Doubles:
        """The mean slope of each run, (runs,): what its score is a coarse form of, without an end at 0 or 1."""
        return np.asarray(self.slopes.mean(1, dtype=np.float64), np.float64)


@dataclass(frozen=True, eq=False)
class Trial:
    """A layer's activations of a `concept` (a, d) and of `others` (b, d), and a score's `slopes` (n, d) there.

    Everything is calculated in the span of the a + b photos: the L2-penalized classifiers lie in it, and the slopes
    matter only along it, so that this is exact and a run takes milliseconds whatever the layer's size.
    """

    concept: Floats
    others: Floats
    slopes: Floats

    def __post_init__(self) -> None:
        if self.size < LEAST:
            raise OptionError(
                f"{len(self.concept)} photos of the concept and {len(self.others)} others; a classifier needs "
                f"{LEAST} or more of the concept, and {2 * LEAST} or more others, which are halved for comparison."
            )

    @property
    def size(self) -> int:
        """Photos on each side of every classifier, the concept's and the random ones alike."""
        return min(len(self.concept), len(self.others) // 2)

    @property
    def held_out(self) -> int:
        """Photos on each side that a classifier is tested on."""
        return max(1, round(self.size * _HELD_OUT))

    def run(self, runs: int, seed: int) -> Runs:
        """Classifiers of the concept against random others, each from its own draw and its own split."""
        return self._runs(runs, self._against_others(runs, seed))

    def null(self, runs: int, seed: int) -> Runs:
        """Classifiers of one random half of the others against the other half."""
        return self._runs(runs, self._halves(runs, seed))

    def _against_others(self, runs: int, seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        for run in range(runs):
            dice = np.random.default_rng((seed, 0, run))
            own, rest = len(self.concept), len(self.others)
            yield dice.permutation(own)[: self.size], own + dice.permutation(rest)[: self.size]

    def _halves(self, runs: int, seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        for run in range(runs):
            mixed = len(self.concept) + np.random.default_rng((seed, 1, run)).permutation(len(self.others))
            yield mixed[: self.size], mixed[self.size : 2 * self.size]

    def _runs(self, runs: int, sides: Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]) -> Runs:
        places, back, seen = self._span
        normals, accuracy = np.empty((runs, places.shape[1])), np.empty(runs)
        for run, (one, other) in enumerate(sides):
            normals[run], accuracy[run] = _normal(places[one], places[other], self.held_out)
        vectors = (normals @ back.T) @ self._centred
        return Runs(np.asarray(vectors, np.float32), accuracy, np.asarray(normals @ seen.T, np.float32))

    @cached_property
    def _centred(self) -> Floats:
        """All photos' activations (m, d) about their mean; an unpenalized intercept makes up for it."""
        both = np.concatenate([self.concept, self.others])
        return np.asarray(both - both.mean(0, dtype=np.float64), np.float32)

    @cached_property
    def _span(self) -> tuple[Doubles, Doubles, Doubles]:
        """In an orthonormal basis of the photos' span: the photos (m, r), what makes the basis of them (m, r), and
        the slopes (n, r). The photos are at a typical distance of 1 from their mean, whatever the layer's units.
        """
        values, modes = np.linalg.eigh(_products(self._centred, self._centred))
        kept = values > _FLAT * max(float(values[-1]), np.finfo(float).tiny)
        roots, modes = np.sqrt(values[kept]), modes[:, kept]
        if not roots.size:
            raise OptionError("this layer is the same for all photos of the concept and the others. Take another.")
        back = modes / roots
        places = modes * roots
        return places / np.sqrt(np.square(places).sum(1).mean()), back, _products(self.slopes, self._centred) @ back


def _normal(one: Doubles, other: Doubles, held_out: int) -> tuple[Doubles, float]:
    """The unit normal of the plane between two sides, towards `one`, and its accuracy on what was held out."""
    learned = np.concatenate([one[held_out:], other[held_out:]])
    tested = np.concatenate([one[:held_out], other[:held_out]])
    sides = [np.repeat([1, 0], [len(a), len(a)]) for a in (one[held_out:], one[:held_out])]
    model = learner("linear_model.LogisticRegression")(max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", learner("exceptions.ConvergenceWarning"))
        model.fit(learned, sides[0])
    normal: Any = model.coef_[0]
    length = float(np.linalg.norm(normal))
    return normal / (length or 1.0), float(model.score(tested, sides[1]))


def _products(rows: Floats, columns: Floats) -> Doubles:
    """The dot product of each row (a, d) with each other (b, d): (a, b), in double precision, block by block."""
    total = np.zeros((len(rows), len(columns)))
    for start in range(0, rows.shape[1], _BLOCK):
        part = slice(start, start + _BLOCK)
        total += rows[:, part].astype(np.float64) @ columns[:, part].T.astype(np.float64)
    return total

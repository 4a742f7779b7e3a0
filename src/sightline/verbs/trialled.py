"""What a test of a concept found: its scores beside those of chance, with what they are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.metadata import version
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.activations import Direction
from sightline.core.heats import Warning
from sightline.core.targets import Target
from sightline.features.tcav import Runs
from sightline.render import trials
from sightline.render.save import save_arrays, save_picture, suffix_of, write
from sightline.render.words import number
from sightline.stats.multiplicity import two_sided_p
from sightline.stats.welch import Welch
from sightline.verbs.record import doubts_of, versions

if TYPE_CHECKING:
    from sightline.render.sheet import Picture

Floats = NDArray[np.float32]
LEVEL = 0.05  # of a p that the headline takes for a difference
CLASSIFIER = "scikit-learn LogisticRegression, L2, C = 1, on the flattened layer, photos at a typical distance of 1"


@dataclass(frozen=True, eq=False)
class Tcav:
    """Whether a target's score rises along what tells a concept apart in a layer, beside chance (arXiv:1711.11279).

    `found` are the classifiers of the concept, `chance` those of random photos: `found.scores` the share of photos
    whose score rises along each vector, `found.rises` how steeply, `found.accuracy` on photos held out. `test`:
    Welch's of the scores, as in the paper; it takes runs that share photos for independent, so that its own p is too
    small, and `p` is not that one. `bound`: the accuracy up to which a classifier may be right by chance.
    """

    layer: str
    concept: str
    target: Target
    label: str
    found: Runs
    chance: Runs
    test: Welch
    bound: float
    photos: dict[str, Any]
    grid: tuple[int, ...]
    model: str
    recipe: dict[str, Any]
    seed: int
    warnings: tuple[Warning, ...]

    @property
    def p(self) -> float:
        """How often a random concept's slope is as far from their mean: a two-sided Monte Carlo randomization p."""
        return two_sided_p(self.rise, self.chance.rises.tolist())

    @property
    def rise(self) -> float:
        """The mean derivative of the target along the concept's vectors, over the photos and the runs."""
        return float(self.found.rises.mean())

    @property
    def score(self) -> float:
        """The mean TCAV score, in [0, 1]: the share of the photos whose score rises along the concept."""
        return float(self.found.scores.mean())

    @property
    def told_apart(self) -> bool:
        """Whether the classifiers are right more often than chance would have one of them be, one time in twenty."""
        return float(self.found.accuracy.mean()) > self.bound

    @property
    def vectors(self) -> Floats:
        """The concept's directions in the layer, one for each run, (runs, C, *grid), of length 1."""
        return self.found.vectors.reshape(len(self.found.vectors), *self.grid)

    @property
    def vector(self) -> Floats:
        """The mean direction of all runs, (C, *grid), of length 1."""
        mean = self.vectors.mean(0)
        return np.asarray(mean / (np.linalg.norm(mean) or 1.0), np.float32)

    @property
    def targets(self) -> tuple[Direction, ...]:
        """Each run's vector as a target: to be explained in a photo, or climbed by `sl.visualize`."""
        return tuple(Direction(self.layer, vector) for vector in self.vectors)

    @property
    def _sizes(self) -> list[int]:
        return [self.photos[what]["count"] for what in ("concept", "others", "class")]

    @property
    def headline(self) -> str:
        """What was found, in a sentence."""
        if not self.told_apart:
            right = self.found.accuracy.mean()
            return f"Undecided: classifiers can hardly tell {self.concept} from the others ({right:.0%} right)."
        shares = f"{self.score:.0%} of the photos, along random vectors in {self.chance.scores.mean():.0%}"
        side = "more" if self.rise > self.chance.rises.mean() else "less"
        finding = f": {side} than by chance" if self.p <= LEVEL else ", which may be chance"
        return f"Along {self.concept} the score of {self.label} rises in {shares}{finding}."

    def trials(self) -> trials.Trials:
        """What the figure shows."""
        sizes = "{} photos of the concept, {} others, {} of the class".format(*self._sizes)
        return trials.Trials(
            concept=self.concept,
            label=self.label,
            rows=tuple(
                trials.Row(runs.rises.tolist(), runs.scores.tolist(), runs.accuracy.tolist())
                for runs in (self.found, self.chance)
            ),
            told=f"{_p(self.p)}, n = {len(self.chance.scores)} random concepts",
            paper=f"Welch's test of the scores, as in the paper, but its vectors share photos: {_p(self.test.p)}.",
            headline=self.headline,
            about=f"{self.concept}  ·  {self.label}  ·  layer {self.layer}",
            warnings=self.warnings,
            footer=f"{self.model}  ·  {sizes}  ·  bars: means  ·  p: how often a random concept is as steep",
        )

    def figure(self) -> Picture:
        """The scores of the concept's vectors, those of random ones below, and how well each could be told apart."""
        return trials.trials_figure(self.trials())

    def save(self, path: str | PathLike[str]) -> None:
        """Write the figure (.png, .jpg, .svg), a page (.html), or values with provenance (.npz). Raises SaveError."""
        suffix = suffix_of(path)
        if suffix == ".npz":
            save_arrays(path, self._arrays(), self.provenance)
        elif suffix == ".html":
            write(path, trials.trials_page(self.trials(), self.provenance).encode())
        else:
            save_picture(path, self.figure())

    def _arrays(self) -> dict[str, NDArray[Any]]:
        parts = {"": self.found, "null_": self.chance}
        arrays = {
            f"{part}{name}": np.asarray(getattr(runs, name))
            for part, runs in parts.items()
            for name in ("scores", "accuracy", "rises", "slopes")
        }
        return {"vectors": self.vectors, **arrays}

    @property
    def provenance(self) -> dict[str, Any]:
        """All that was found but the arrays, and what is needed to find it again, as plain values."""
        return {
            "model": self.model,
            "recipe": self.recipe,
            "layer": self.layer,
            "concept": self.concept,
            "target": str(self.target),
            "label": self.label,
            "photos": self.photos,
            "classifier": CLASSIFIER,
            "scores": self.found.scores.tolist(),
            "null_scores": self.chance.scores.tolist(),
            "accuracy": self.found.accuracy.tolist(),
            "null_accuracy": self.chance.accuracy.tolist(),
            "rises": self.found.rises.tolist(),
            "null_rises": self.chance.rises.tolist(),
            "p": self.p,
            "welch": {name: part if math.isfinite(part) else None for name, part in self.test._asdict().items()},
            "headline": self.headline,
            "seed": self.seed,
            "warnings": doubts_of(self.warnings),
            "versions": versions() | {name: version(name) for name in ("scikit-learn", "scipy")},
        }

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()

    def __repr__(self) -> str:
        return f"Tcav({self.headline} {_p(self.p)})"


def _p(p: float) -> str:
    return f"p = {number(p, 2)}" if p >= 1e-12 else "p < 1e−12"

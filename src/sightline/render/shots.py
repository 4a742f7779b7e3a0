"""What figures of edited photos show, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightline.core.heats import Prediction, Warning

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture (h, w, 3) uint8 that the network saw, its best answers first, and a map (h, w) of where it looks.

    `predictions`: the top five; marked classes beyond them may follow, and are drawn apart. `heat`, >= 0, is in raw
    `unit`s. `outline`: (h, w) in [0, 1], the region to outline, where there is one.
    """

    title: str
    pixels: NDArray[np.uint8]
    predictions: tuple[Prediction, ...] = ()
    heat: Values | None = None
    method: str = ""
    unit: str = ""
    outline: Values | None = None


@dataclass(frozen=True, eq=False)
class Strand:
    """One edit's effect, the `change` of the target's score, beside its `controls` (n,): the same edit elsewhere.

    `by_fill`: the change for each fill. `beyond`: the side on which a control counts as at least as large. `before`
    and `after`: the target's `measure` ("probability", or the score's name) in the original and under the edit.
    `note` is printed below.
    """

    edit: str
    change: float
    by_fill: Mapping[str, float]
    controls: Values | None
    p: float | None
    beyond: Literal["below", "above"]
    note: str = ""
    before: float | None = None
    after: float | None = None
    measure: str = "probability"

    @property
    def known(self) -> Values:
        """The controls as numbers, none where there are none."""
        return np.zeros(0) if self.controls is None else np.asarray(self.controls, np.float64).ravel()

    @property
    def counts(self) -> NDArray[np.bool_]:
        """Which of the controls are at least as large as the change."""
        return self.known <= self.change if self.beyond == "below" else self.known >= self.change


@dataclass(frozen=True, eq=False)
class Strip:
    """What the model answers when a photo is edited: `shots` and, for each edit, a strand.

    `label`: the target in words; `score`: what the changes are of ("logit", "log-probability", "output"). `marked`
    classes stand out in the bars. `headline`: the verdict in a sentence.
    """

    photo: str
    label: str
    score: str
    marked: tuple[int, ...]
    shots: tuple[Shot, ...]
    strands: tuple[Strand, ...]
    headline: str
    warnings: tuple[Warning, ...] = ()
    footer: str = ""


@dataclass(frozen=True, eq=False)
class Sweep:
    """The score of an object put elsewhere in a picture (h, w, 3) uint8, made larger and smaller, and turned.

    `own`: the photo's own state, the object's centre (x, y) in pixels and the score. `scores` (ny, nx), NaN where not
    tried, is for centres at `xs` (nx,) and `ys` (ny,), both ascending; `holds` (ny, nx), whether the answer is still
    the target's. `scale_scores` and `scale_holds` (k,) are for the factors `scales`; `degree_scores` and
    `degree_holds` (r,) for the rotations `degrees`. A part that is empty is left out.
    """

    photo: str
    label: str
    score: str
    picture: NDArray[np.uint8]
    own: tuple[float, float, float]
    xs: Values
    ys: Values
    scores: Values
    holds: Values
    scales: Values
    scale_scores: Values
    scale_holds: Values
    degrees: Values
    degree_scores: Values
    degree_holds: Values
    outline: Values | None = None
    headline: str = ""
    warnings: tuple[Warning, ...] = ()
    footer: str = ""


@dataclass(frozen=True, eq=False)
class Evidence:
    """The least that keeps an answer (`enough`) and the least whose loss changes it (`needed`); None where not found.

    A shot's `outline` is what it keeps or loses, drawn on the original too; its `title` is a line below its heading.
    `segments` (h, w), ints: the pieces that were tried, shown as thin lines on the original.
    """

    photo: str
    label: str
    marked: tuple[int, ...]
    original: Shot
    enough: Shot | None
    needed: Shot | None
    headline: str
    segments: Values | None = None
    warnings: tuple[Warning, ...] = ()
    footer: str = ""

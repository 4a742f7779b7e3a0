"""Trials of a concept beside trials of chance: dots in two rows, for scores and for accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from sightline.core.heats import Warning
from sightline.render.answers import MARK
from sightline.render.columns import INK
from sightline.render.fit import fonts, lines_of, shortened
from sightline.render.page import doubts, heading, how, image, page, paragraph, table
from sightline.render.sheet import QUIET, Picture, as_written, sheet
from sightline.render.strands import quiet
from sightline.render.strip import EDGE, Below, Top

_WIDTH, _NAME, _PLOT, _ROW, _TITLE, _UNDER = 9.6, 1.5, 3.4, 0.8, 0.34, 0.42
"""Inches: the figure, a row's name, a plot's width, its rows, its title, the ticks below it."""
_CHANCE = "#94a3b8"
_ROOM = 0.36  # of a row's height, up and down, for dots that share a value


@dataclass(frozen=True, eq=False)
class Trials:
    """What classifiers of a `concept` and of chance found: `scores` and `null` in [0, 1], and their accuracies.

    `what` the scores are of, in words; `told`: the test of the two, in words.
    """

    concept: str
    what: str
    scores: Sequence[float]
    null: Sequence[float]
    accuracy: Sequence[float]
    null_accuracy: Sequence[float]
    told: str
    headline: str
    about: str
    warnings: tuple[Warning, ...] = ()
    footer: str = ""


def trials_figure(trials: Trials) -> Picture:
    """The scores with those of chance below, the test above; beside them how well the classifiers did."""
    top, below = Top(trials.headline, trials.about, _WIDTH), Below(trials.warnings, trials.footer, _WIDTH)
    titles = [lines_of(one, _PLOT + 0.4, 9, "bold", 2) for one in (trials.told, _accuracy(trials))]
    title = _TITLE + 0.16 * (max(map(len, titles)) - 1)
    drawn, place = sheet(_WIDTH, top.height + title + 2 * _ROW + _UNDER + below.height)
    top.draw(drawn)
    left = EDGE + _NAME
    scores = place(left, top.height + title, _PLOT, 2 * _ROW)
    _draw(scores, trials.scores, trials.null, titles[0], trials.what)
    names = [shortened(trials.concept, _NAME - 0.15, 9, "bold"), "random photos"]
    scores.set_yticks([1, 0], names, fontsize=9, family=fonts())
    scores.get_yticklabels()[0].set(weight="bold", color=MARK)
    found = place(left + _PLOT + 0.55, top.height + title, _PLOT, 2 * _ROW)
    _draw(found, trials.accuracy, trials.null_accuracy, titles[1], "right on photos held out")
    found.set_yticks([])
    below.draw(drawn)
    return as_written(drawn)


def trials_page(trials: Trials, provenance: Any) -> str:
    """The finding, the figure, means and extremes, and how it was made, as a page of its own."""
    rows = [
        (name, str(len(values)), f"{min(values):.1%}", f"{sum(values) / len(values):.1%}", f"{max(values):.1%}")
        for name, values in (
            (f"score, {trials.concept}", trials.scores),
            ("score, random photos", trials.null),
            (f"accuracy, {trials.concept}", trials.accuracy),
            ("accuracy, random photos", trials.null_accuracy),
        )
    ]
    parts = [
        heading(trials.about, 1),
        paragraph(trials.headline, "verdict"),
        paragraph(trials.told),
        doubts(trials.warnings),
        image(trials_figure(trials)._repr_png_(), "scores beside those of chance", trials.footer),
        table(("", "vectors", "least", "mean", "most"), rows),
        how(provenance),
    ]
    return page(trials.about, parts)


def _accuracy(trials: Trials) -> str:
    means = (float(np.mean(one)) for one in (trials.accuracy, trials.null_accuracy))
    return "can the classifiers tell it? {:.0%}, by chance {:.0%}".format(*means)


def _draw(axis: Any, own: Sequence[float], null: Sequence[float], title: list[str], what: str) -> None:
    """Two rows of dots, their means as bars, half as a line."""
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.5, 1.5))
    axis.axvline(0.5, color=_CHANCE, lw=0.9, ls=(0, (4, 3)), zorder=0)
    for row, values, colour in ((1, own, MARK), (0, null, QUIET)):
        at = np.asarray(values, np.float64)
        axis.scatter(at, row + _apart(at), s=20, color=colour, alpha=0.75, lw=0, clip_on=False)
        axis.vlines(at.mean(), row - 0.42, row + 0.42, color=colour, lw=2)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _at: f"{value:.0%}"))
    axis.set_xlabel(shortened(what, _PLOT + 0.4, 8), fontsize=8, labelpad=3, family=fonts())
    axis.set_title("\n".join(title), fontsize=9, weight="bold", color=INK, loc="left", pad=6, family=fonts())
    quiet(axis)
    axis.tick_params(axis="y", length=0)


def _apart(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far up or down each dot goes, so that those of nearly one value stand side by side."""
    off = np.zeros(len(values))
    columns = np.round(values * 50)
    for column in np.unique(columns):
        here = np.flatnonzero(columns == column)
        if len(here) > 1:
            reach = min(_ROOM, 0.045 * (len(here) - 1))
            off[here] = np.linspace(-reach, reach, len(here))
    return off

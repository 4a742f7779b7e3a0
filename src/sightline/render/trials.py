"""Trials of a concept beside trials of chance: dots in two rows, for slopes, scores and accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from sightline.core.heats import Warning
from sightline.render.answers import MARK
from sightline.render.columns import INK
from sightline.render.fit import fonts, lines_of, shortened
from sightline.render.page import doubts, heading, how, image, page, paragraph, table
from sightline.render.sheet import QUIET, Picture, as_written, sheet
from sightline.render.strands import quiet
from sightline.render.strip import EDGE, Below, Top
from sightline.render.words import number

_WIDTH, _NAME, _PLOT, _BETWEEN, _ROW, _TITLE, _UNDER = 10.6, 1.35, 2.7, 0.42, 0.8, 0.34, 0.42
"""Inches: the figure, a row's name, a plot, what is between two, its rows, its title, the ticks below it."""
_CHANCE = "#94a3b8"
_ROOM = 0.36  # of a row's height, up and down, for dots that share a value


class Row(NamedTuple):
    """What classifiers found, one by one: mean slopes, and scores and accuracies in [0, 1]."""

    rises: Sequence[float]
    scores: Sequence[float]
    accuracy: Sequence[float]


@dataclass(frozen=True, eq=False)
class Trials:
    """What classifiers of a `concept` and of chance found of a `label`'s score.

    `told`: the test of the two rows' slopes, in words; `paper`: what the paper's own test says of their scores.
    """

    concept: str
    label: str
    rows: tuple[Row, ...]
    told: str
    paper: str
    headline: str
    about: str
    warnings: tuple[Warning, ...] = ()
    footer: str = ""


def trials_figure(trials: Trials) -> Picture:
    """Slopes, scores and accuracies, each with those of chance below; the test stands above the slopes."""
    top, below = Top(trials.headline, trials.about, _WIDTH), Below(trials.warnings, trials.footer, _WIDTH)
    plots = _plots(trials)
    titles = [lines_of(title, _PLOT + 0.25, 9, "bold", 2) for title, *_ in plots]
    title = _TITLE + 0.16 * (max(map(len, titles)) - 1)
    drawn, place = sheet(_WIDTH, top.height + title + 2 * _ROW + _UNDER + below.height)
    top.draw(drawn)
    for i, (_, what, middle, bounds) in enumerate(plots):
        axis = place(EDGE + _NAME + i * (_PLOT + _BETWEEN), top.height + title, _PLOT, 2 * _ROW)
        _draw(axis, [row[i] for row in trials.rows], middle, bounds)
        axis.set_xlabel(shortened(what, _PLOT + 0.3, 8), fontsize=8, labelpad=3, family=fonts())
        axis.set_title("\n".join(titles[i]), fontsize=9, weight="bold", color=INK, loc="left", pad=6, family=fonts())
        names = [] if i else [shortened(trials.concept, _NAME - 0.15, 9, "bold"), "random photos"]
        axis.set_yticks([1, 0][: len(names)], names, fontsize=9, family=fonts())
        for name in axis.get_yticklabels()[:1]:
            name.set(weight="bold", color=MARK)
    below.draw(drawn)
    return as_written(drawn)


def trials_page(trials: Trials, provenance: Any) -> str:
    """The finding, the figure, means and extremes, and how it was made, as a page of its own."""
    told = ("slope", "{:.3g}"), ("score", "{:.1%}"), ("accuracy", "{:.1%}")
    rows = [
        (f"{what}, {name}", str(len(row[i])), *map(form.format, (min(row[i]), np.mean(row[i]), max(row[i]))))
        for i, (what, form) in enumerate(told)
        for name, row in zip((trials.concept, "random photos"), trials.rows, strict=True)
    ]
    parts = [
        heading(trials.about, 1),
        paragraph(trials.headline, "verdict"),
        paragraph(trials.told),
        doubts(trials.warnings),
        image(trials_figure(trials)._repr_png_(), "the concept's vectors beside those of chance", trials.footer),
        table(("", "vectors", "least", "mean", "most"), rows),
        paragraph(trials.paper),
        how(provenance),
    ]
    return page(trials.about, parts)


def _plots(trials: Trials) -> list[tuple[str, str, float, tuple[float, float]]]:
    """Of each plot its title, what its axis shows, the value of no effect there, and the axis' bounds."""
    rises = [0.0, *(value for row in trials.rows for value in row.rises)]
    room = 0.04 * (max(rises) - min(rises)) or 1.0
    means = [f"{np.mean(values):.0%}" for row in trials.rows for values in (row.scores, row.accuracy)]
    return [
        (trials.told, f"mean slope of {trials.label} along a vector", 0.0, (min(rises) - room, max(rises) + room)),
        (f"TCAV score: {means[0]}, by chance {means[2]}", "photos in which it rises", 0.5, (-0.03, 1.03)),
        (f"told apart: {means[1]} right, by chance {means[3]}", "right on photos held out", 0.5, (-0.03, 1.03)),
    ]


def _draw(axis: Any, rows: Sequence[Sequence[float]], middle: float, bounds: tuple[float, float]) -> None:
    """Two rows of dots, their means as bars, and no effect as a line."""
    axis.set(xlim=bounds, ylim=(-0.5, 1.5))
    axis.axvline(middle, color=_CHANCE, lw=0.9, ls=(0, (4, 3)), zorder=0)
    for row, values, colour in zip((1, 0), rows, (MARK, QUIET), strict=True):
        at = np.asarray(values, np.float64)
        axis.scatter(
            at, row + _apart(at / (bounds[1] - bounds[0])), s=20, color=colour, alpha=0.75, lw=0, clip_on=False
        )
        axis.vlines(at.mean(), row - 0.42, row + 0.42, color=colour, lw=2)
    shares = middle > 0
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _at: f"{value:.0%}" if shares else number(value)))
    axis.xaxis.set_major_locator(MaxNLocator(5))
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

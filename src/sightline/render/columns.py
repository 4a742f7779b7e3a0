"""Columns of a figure: a picture that the network saw, the map on it, and the answers as bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sightline.core.heats import Prediction
from sightline.render.answers import MARK
from sightline.render.cells import draw_bar_below, draw_heat, draw_outline
from sightline.render.fit import fonts, lines_of, shortened, width_of
from sightline.render.panel import Panel
from sightline.render.sheet import QUIET, Place
from sightline.render.shots import Shot, Values
from sightline.render.words import number, share

COLUMN = 3.4  # inches, with the gap beside it
GAP = 0.12
INK = "#1f2937"
_INNER = COLUMN - 2 * GAP
_HEAD, _SMALL, _MAP, _BAR, _UNIT, _ANSWER = 0.21, 0.17, 0.26, 0.36, 0.13, 0.225
"""Inches: a line of heading, one of small print, a map's title, its colour bar, a line of its unit, an answer."""
_MOST, _TOP = 6, 5  # columns side by side; answers before those drawn apart
_PALE, _PALE_MARK = "#d8e0ea", "#fed7aa"
_NUMBERS = 0.16  # of a column, at its right


@dataclass(frozen=True, eq=False)
class Column:
    """A shot under its heading and small print, with outlines (mask, colour, line, width) and thin lines on it."""

    shot: Shot
    heading: str
    small: str = ""
    colour: str = INK
    outlines: tuple[tuple[Values, str, str, float], ...] = ()
    segments: Values | None = None


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns in rows of about equal length; the `marked` classes, `label` in words, stand out."""

    cells: Sequence[Column]
    marked: tuple[int, ...]
    label: str

    @cached_property
    def rows(self) -> list[Sequence[Column]]:
        """The cells, none of the rows longer than fits."""
        count = math.ceil(len(self.cells) / _MOST)
        ends = [round(len(self.cells) * i / count) for i in range(count + 1)]
        return [self.cells[a:b] for a, b in pairwise(ends)]

    @property
    def width(self) -> float:
        """Inches of the longest row."""
        return COLUMN * max(map(len, self.rows))

    @cached_property
    def heads(self) -> dict[int, tuple[list[str], list[str]]]:
        """Each cell's heading and small print, in lines."""
        return {
            id(one): (lines_of(one.heading, _INNER, 10, "bold", 3), lines_of(one.small, _INNER, 8, most=2))
            for one in self.cells
        }

    @cached_property
    def head(self) -> float:
        """Inches above a picture."""
        return GAP + max(len(a) * _HEAD + len(b) * _SMALL for a, b in self.heads.values())

    @cached_property
    def picture(self) -> float:
        """Inches of a picture's height: that of the tallest, within reason."""
        shapes = [one.shot.pixels.shape for one in self.cells]
        return _INNER * float(np.clip(max(shape[0] / shape[1] for shape in shapes), 0.2, 1.3))

    @cached_property
    def map(self) -> float:
        """Inches of the maps with all that is written around them; 0 where there are none."""
        units = [one.shot.unit for one in self.cells if one.shot.heat is not None]
        below = max((len(lines_of(unit, _INNER, 7, most=2)) for unit in units), default=0)
        return _MAP + self.picture + _BAR + below * _UNIT if units else 0.0

    @cached_property
    def answers(self) -> int:
        """Lines of answers: the most of any cell."""
        return max(len(_answers(one.shot, self.marked, self.label)) for one in self.cells)

    @property
    def step(self) -> float:
        """Inches from one row to the next."""
        return self.head + self.picture + self.map + GAP + self.answers * _ANSWER + GAP

    @property
    def height(self) -> float:
        """Inches of all rows."""
        return self.step * len(self.rows)

    def draw(self, drawn: Figure, place: Place, y: float) -> None:
        """All columns, from so many inches below the top."""
        for i, row in enumerate(self.rows):
            for j, cell in enumerate(row):
                self._column(drawn, place, cell, (j * COLUMN + GAP, y + i * self.step))

    def _column(self, drawn: Figure, place: Place, cell: Column, at: tuple[float, float]) -> None:
        x, y = at[0], at[1] + self.head
        axis = place(x, y, _INNER, self.picture)
        _draw_picture(axis, cell)
        self._draw_head(axis, cell)
        y += self.picture
        if self.map:
            self._draw_map(drawn, place, cell, (x, y + _MAP))
        lines = _answers(cell.shot, self.marked, self.label)
        if lines:
            below = place(x, y + self.map + GAP, _INNER, len(lines) * _ANSWER)
            _draw_answers(below, lines, self._bounds())

    def _draw_head(self, axis: Any, cell: Column) -> None:
        """Heading and small print, their last line just above the picture."""
        heading, small = self.heads[id(cell)]
        place = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "bottom"}
        for i, line in enumerate(reversed(small)):
            axis.annotate(line, (0.5, 1), (0, 4 + 72 * _SMALL * i), fontsize=8, color=QUIET, **place)
        for i, line in enumerate(reversed(heading)):
            up = 4 + 72 * (_SMALL * len(small) + _HEAD * i)
            style = {"fontsize": 10, "weight": "bold", "color": cell.colour, "family": fonts()}
            axis.annotate(line, (0.5, 1), (0, up), **style, **place)

    def _draw_map(self, drawn: Figure, place: Place, cell: Column, at: tuple[float, float]) -> None:
        axis = place(*at, _INNER, self.picture)
        if cell.shot.heat is None:
            axis.set_axis_off()
            axis.text(0.5, 0.5, "no map", ha="center", va="center", fontsize=8, color=QUIET)
            return
        panel = _panel(cell.shot)
        draw_heat(axis, panel, "overlay", 0.85)
        axis.set_anchor("C")
        axis.set_title(_map_title(cell.shot, self.cells[0].shot), fontsize=8.5, color=INK, pad=4)
        draw_bar_below(drawn, place(at[0] + 0.1, at[1] + self.picture + 0.06, _INNER - 0.2, 0.1), panel, _INNER)

    def _bounds(self) -> tuple[float, float]:
        """Where the bars begin and end: 0 and 1 for probabilities, one scale of all scores otherwise."""
        told = [one for cell in self.cells for one in cell.shot.predictions]
        if all(one.probability is not None for one in told):
            return 0.0, 1.0
        values = [value for value in map(_value, told) if math.isfinite(value)]
        low, high = min([0.0, *values]), max([0.0, *values])
        return (low, high) if high > low else (0.0, 1.0)


@dataclass(frozen=True)
class _Answer:
    """A line of answers; `bar` is None for one that only says something."""

    label: str
    number: str = ""
    bar: float | None = None
    marked: bool = False
    apart: bool = False


def _answers(shot: Shot, marked: tuple[int, ...], label: str) -> list[_Answer]:
    """The lines below a picture; marked classes that are not among the best stand apart."""
    told = shot.predictions
    lines = [
        _Answer(one.label, _number(one), _value(one), one.index in marked, apart=i == _TOP)
        for i, one in enumerate(told)
    ]
    if told and marked and not any(one.index in marked for one in told):
        lines.append(_Answer(f"not among them: {label}", marked=True, apart=True))
    return lines


def _value(one: Prediction) -> float:
    return one.score if one.number is None else one.number


def _number(one: Prediction) -> str:
    return number(one.score) if one.number is None else share(one.number)


def _draw_answers(axis: Any, lines: list[_Answer], bounds: tuple[float, float]) -> None:
    """A bar for each answer, its name and number on it: pale, so that both are read over it."""
    axis.set_axis_off()
    low, high = bounds
    axis.set(xlim=(low, low + (high - low) / (1 - _NUMBERS)), ylim=(len(lines) - 0.5, -0.5))
    axis.axvline(0, color="#94a3b8", lw=0.8)
    for y, one in enumerate(lines):
        style: dict[str, Any] = {
            "fontsize": 8,
            "va": "center",
            "family": fonts(),
            "color": MARK if one.marked else INK,
        }
        style |= {"weight": "bold"} if one.marked else {}
        style |= {"transform": axis.get_yaxis_transform()}
        if one.bar is not None and math.isfinite(one.bar):
            axis.barh(y, one.bar, 0.84, color=_PALE_MARK if one.marked else _PALE, lw=0)
        if one.apart:
            axis.axhline(y - 0.5, color=QUIET, lw=0.8, ls=":")
        weight = style.get("weight", "normal")
        taken = max(_INNER * _NUMBERS, width_of(one.number, 8, weight) + 0.1) if one.number else 0.0
        axis.text(
            0.015, y, shortened(f"{'▸ ' if one.marked else ''}{one.label}", _INNER * 0.97 - taken, 8, weight), **style
        )
        axis.text(0.985, y, one.number, ha="right", **style)


def _draw_picture(axis: Any, cell: Column) -> None:
    """The pixels that the network saw, with what is outlined."""
    axis.imshow(cell.shot.pixels, interpolation="antialiased")
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set(color="#cbd5e1", linewidth=0.8)  # a white fill ends somewhere
    axis.autoscale(False)
    if cell.segments is not None:
        _draw_segments(axis, np.asarray(cell.segments))
    for outline in cell.outlines:
        draw_outline(axis, *outline)


def _draw_segments(axis: Any, pieces: Values) -> None:
    """Thin lines between the pieces of a picture."""
    edge = np.zeros(pieces.shape, bool)
    edge[:, 1:] |= pieces[:, 1:] != pieces[:, :-1]
    edge[1:] |= pieces[1:] != pieces[:-1]
    paint = np.zeros((*pieces.shape, 4), np.float32)
    paint[edge] = (1, 1, 1, 0.55)
    axis.imshow(paint, interpolation="nearest")


def _panel(shot: Shot) -> Panel:
    """The shot's map as a panel, which is what the cells of figures draw."""
    heat = np.asarray(shot.heat, np.float32)
    return Panel(shot.pixels, heat, False, shot.title, shot.method, "", shot.unit, (), (), (), "")


def _map_title(shot: Shot, first: Shot) -> str:
    """The method, and how the map's most compares with that of the first shot: each map has its own scale."""
    own, whole = (0.0 if one.heat is None else float(np.nanmax(one.heat, initial=0.0)) for one in (shot, first))
    if shot is first or not whole > 0 or shot.method != first.method:
        return shot.method
    return f"{shot.method}  ·  peak {number(own / whole, digits=2)}× the {first.title}'s"

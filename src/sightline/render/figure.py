"""Figures: a row for each photo or target, a cell for each method, colour bars in raw units."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sightline.core.errors import OptionError
from sightline.render.answers import MARK, draw_answers
from sightline.render.cells import draw_bar, draw_heat, draw_photo
from sightline.render.paint import blend
from sightline.render.panel import Panel
from sightline.render.sheet import LINE, Picture, Place, as_written, sheet, write_below
from sightline.render.slices import figure_slices
from sightline.render.styles import BESIDE, checked_style
from sightline.render.words import Row, cut, doubts, footer, hints, row_label, title

__all__ = ["MARK", "Picture", "blend", "figure", "figure_grid"]

_CELL, _BAR, _GAP, _TITLE, _LABEL = 3.6, 0.78, 0.12, 0.34, 0.42
"""Inches: a picture, its colour bar, gaps, a line of title, a row's label."""
_MOST = 6  # panels side by side; more go on in the next row


def figure(panels: Row, *, alpha: float = 0.85, style: str = "pair") -> Picture:
    """One row of panels in one of STYLES. Raises OptionError."""
    return figure_grid([list(panels)], alpha=alpha, style=style)


def figure_grid(rows: Sequence[Row], *, alpha: float = 0.85, style: str = "pair") -> Picture:
    """A row for each photo and target, a cell for each of its panels, rows of many wrapped; `style` is one of STYLES.

    Neighbouring rows of one photo show it once, and are labelled with their targets. Volumes and clips are drawn as
    slices, see `figure_slices`, and apart from photos. `alpha` in [0, 1]: how much
    the heat covers; for a cut-out, how far the rest is faded. Raises OptionError.
    """
    if not 0 <= alpha <= 1:
        raise OptionError(f"alpha={alpha}; it is a strength from 0 to 1.")
    if not rows or not all(rows):
        raise OptionError("there is nothing to draw: give at least one explanation.")
    most = _MOST // 2 if checked_style(style) == "signs" else _MOST
    if any(panel.captions for row in rows for panel in row):
        return figure_slices(rows, alpha, style)
    rows = [part for row in rows for part in _wrapped(row, most)]
    plan = _Plan(_blocks(rows), style)
    cells = [panel for row in rows for panel in row]
    warned = doubts(cells, plan.width)
    below = [*warned, *hints(cells, style, plan.width), footer(rows)]
    drawn, place = sheet(plan.width, plan.height + LINE * len(below) + _GAP)
    y = 0.0
    for block in plan.blocks:
        _draw_block(drawn, place, plan, block, y, alpha)
        y += plan.high(block) * len(block)
    write_below(drawn, below, len(warned))
    return as_written(drawn)


@dataclass(frozen=True)
class _Plan:
    """Where things go, in inches: blocks are neighbouring rows of one photo."""

    blocks: list[list[Row]]
    style: str

    @cached_property
    def labels(self) -> float:
        """Where the rows' labels begin."""
        return _GAP + (_CELL + _GAP if self.style in BESIDE else 0.0)

    @cached_property
    def first(self) -> float:
        """Where the heat begins."""
        return self.labels + (_LABEL if any(len(block) > 1 for block in self.blocks) else 0.0)

    @cached_property
    def step(self) -> float:
        """From one cell of heat to the next."""
        return _CELL + _GAP + (0.0 if self.style == "mask" else _BAR)

    @cached_property
    def width(self) -> float:
        """Of the whole figure."""
        cells = max(len(row) for block in self.blocks for row in block) * (2 if self.style == "signs" else 1)
        return self.first + self.step * cells

    @cached_property
    def height(self) -> float:
        """Of all rows."""
        return sum(self.high(block) * len(block) for block in self.blocks)

    def high(self, block: list[Row]) -> float:
        """A row with its title and the gap below it."""
        return _TITLE + _CELL * _aspect(block[0][0]) + _GAP


def _wrapped(row: Row, most: int) -> list[Row]:
    """A row as rows of about equal length, none of more than so many panels."""
    count = math.ceil(len(row) / most)
    ends = [round(len(row) * i / count) for i in range(count + 1)]
    return [row[a:b] for a, b in pairwise(ends)]


def _blocks(rows: Sequence[Row]) -> list[list[Row]]:
    """Neighbouring rows of one photo together."""
    blocks: list[list[Row]] = []
    for row in rows:
        if blocks and _same_photo(blocks[-1][0][0], row[0]):
            blocks[-1].append(row)
        else:
            blocks.append([row])
    return blocks


def _same_photo(one: Panel, other: Panel) -> bool:
    return one.name == other.name and np.array_equal(one.photo, other.photo)


def _aspect(panel: Panel) -> float:
    """Height over width, kept within what a row can show."""
    height, width = panel.photo.shape[:2]
    return float(np.clip(height / width, 0.3, 2.0))


def _draw_block(drawn: Figure, place: Place, plan: _Plan, block: list[Row], y: float, alpha: float) -> None:
    """The photo once, in the middle of its rows, then the rows, labelled where there are several."""
    high, step = plan.high(block) - _TITLE - _GAP, plan.high(block)
    if plan.style in BESIDE:
        draw_photo(place(_GAP, y + _TITLE + step * (len(block) - 1) / 2, _CELL, high), block[0][0])
    for row in block:
        label = row_label(row) if len(block) > 1 else ""
        if label:
            _draw_label(place(plan.labels, y + _TITLE, _LABEL, high), label, high)
        _draw_row(drawn, place, plan, row, (y + _TITLE, high), alpha, labelled=not label)
        y += step


def _draw_label(axis: Any, label: str, high: float) -> None:
    letters = max(6, int(high * 11))
    axis.set_axis_off()
    style: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "center", "linespacing": 1.05}
    lines = textwrap.fill(cut(label, 2 * letters - 4), letters)
    axis.text(0.4, 0.5, lines, fontsize=10, weight="bold", color=MARK, **style)


def _draw_row(
    drawn: Figure, place: Place, plan: _Plan, row: Row, at: tuple[float, float], alpha: float, labelled: bool
) -> None:
    (y, high), named = at, plan.style not in BESIDE
    cells = [half for panel in row for half in panel.halves()] if plan.style == "signs" else row
    for i, panel in enumerate(cells):
        x = plan.first + i * plan.step
        axis = place(x, y, _CELL, high)
        draw_heat(axis, panel, plan.style, alpha)
        axis.set_title(title(panel, named=named, labelled=labelled), fontsize=10)
        if i == 0 or panel.predictions != cells[i - 1].predictions:
            draw_answers(axis, panel, _CELL, high)
        if plan.style != "mask":
            draw_bar(drawn, place(x + _CELL + 0.06, y + 0.02, 0.11, high - 0.04), panel, plan.style, high)

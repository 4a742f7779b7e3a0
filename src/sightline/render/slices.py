"""Figures of volumes and clips: some slices side by side, a strip for each method, each with one colour bar."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sightline.core.errors import OptionError
from sightline.render.answers import MARK, answer
from sightline.render.cells import draw_bar, draw_heat
from sightline.render.film import save_film
from sightline.render.fit import fonts, width_of
from sightline.render.paint import blend
from sightline.render.panel import Panel
from sightline.render.sheet import LINE, QUIET, Picture, Place, as_written, sheet, write_below
from sightline.render.styles import BESIDE
from sightline.render.words import Row, cut, doubts, footer, hints, remarks

_MOST = 8  # slices side by side
_CELL, _BAR, _GAP, _HEAD, _LABEL, _CAPTION = 1.75, 0.92, 0.08, 0.52, 0.34, 0.24
"""Inches: a slice, a colour bar, gaps, what stands above a volume, a strip's label, slices' captions."""
_MARKED = "Of {0} equal parts, the {1} with the most heat of each; marked: with the most of all."


def figure_slices(rows: Sequence[Row], alpha: float, style: str) -> Picture:
    """A block for each volume: its slices, and a strip below for each of its panels (d, h, w)."""
    strips = [[part for panel in row for part in _parts(panel, style)] for row in rows]
    if not all(panel.captions for row in rows for panel in row):
        raise OptionError("volumes and photos are drawn apart: give results of one kind.")
    columns = max(min(_MOST, len(row[0].photo)) for row in rows)
    width = _GAP + _LABEL + columns * (_CELL + _GAP) + _BAR
    heights = [_height(row, style) for row in strips]
    cells = [panel for row in rows for panel in row]
    warned = doubts(cells, width)
    kind = "slice" if cells[0].captions[0].startswith("slice") else "frame"
    chosen = [_MARKED.format(columns, kind)] if columns < len(cells[0].photo) else []
    below = [*warned, *remarks(chosen, width), *hints(cells, style, width), footer(rows)]
    drawn, place = sheet(width, sum(heights) + LINE * len(below) + 2 * _GAP)
    y = _GAP
    for row, high in zip(strips, heights, strict=True):
        _draw_block(drawn, place, row, y, alpha, style)
        y += high
    write_below(drawn, below, len(warned))
    return as_written(drawn)


def film(path: str | PathLike[str], panel: Panel, rate: float) -> None:
    """Write all slices of a panel, each beside its overlay, as a .gif."""
    overlays = [(blend(panel.slice(i), 0.85) * 255).round().astype(np.uint8) for i in range(len(panel.photo))]
    frames = [np.stack(pair) for pair in zip(panel.photo, overlays, strict=True)]
    save_film(path, list(zip(panel.captions, frames, strict=True)), rate)


def shown_slices(panels: Row) -> list[int]:
    """Of each of up to 8 equal parts the slice with the most heat, so that none of it is missed."""
    heat = _by_slice(panels)
    parts = np.array_split(np.arange(len(heat)), min(_MOST, len(heat)))
    return [int(part[heat[part].argmax()]) for part in parts]


def _by_slice(panels: Row) -> NDArray[np.float64]:
    """The sum of the sizes of each slice's heat; of several panels the mean, each as a share of its most."""
    each = [np.nansum(np.abs(panel.heat), (1, 2), dtype=np.float64) for panel in panels]
    return np.mean([one / (one.max() or 1.0) for one in each], 0)  # type: ignore[no-any-return]


def _parts(panel: Panel, style: str) -> Sequence[Panel]:
    return panel.halves() if style == "signs" else (panel,)


def _high(panel: Panel) -> float:
    """Inches of a slice."""
    height, width = panel.photo.shape[1:3]
    return _CELL * float(np.clip(height / width, 0.3, 2.0))


def _height(row: Row, style: str) -> float:
    return _HEAD + _CAPTION + (_high(row[0]) + _GAP) * (len(row) + (style in BESIDE)) + _GAP


def _draw_block(drawn: Figure, place: Place, row: Row, y: float, alpha: float, style: str) -> None:
    """What is looked at and answered, the slices under their captions, then a strip for each panel."""
    first, high, which, hottest = row[0], _high(row[0]), shown_slices(row), int(_by_slice(row).argmax())
    wide = _LABEL + len(which) * (_CELL + _GAP)
    _draw_head(place(_GAP, y, wide, _HEAD), first, wide, len(row) == 1)
    strips: list[Panel | None] = [*([None] if style in BESIDE else []), *row]
    top = y + _HEAD + _CAPTION
    for number, panel in enumerate(strips):
        at = top + number * (high + _GAP)
        label = first.name if panel is None else f"{panel.method}, {panel.part}".removesuffix(", ")
        _draw_label(place(_GAP, at, _LABEL, high), label, high)
        for column, i in enumerate(which):
            axis = place(_GAP + _LABEL + column * (_CELL + _GAP), at, _CELL, high)
            if panel is None:
                axis.imshow(first.photo[i], interpolation="antialiased")
                axis.set_axis_off()
            else:
                draw_heat(axis, panel.slice(i), style, alpha)
                axis.set_anchor("C")
            if number == 0:
                marked: dict[str, Any] = {"color": MARK, "weight": "bold"} if i == hottest else {}
                axis.set_title(first.captions[i], fontsize=8, pad=3, **marked)
        if panel is not None and style != "mask":
            draw_bar(drawn, place(_GAP + wide + 0.12, at + 0.16, 0.11, high - 0.2), panel, style, high)


def _draw_head(axis: Any, panel: Panel, wide: float, alone: bool) -> None:
    """What is explained, and the top answers in a line below, as many as fit; the explained ones stand out."""
    axis.set_axis_off()
    method = f"{panel.method}  ·  " if alone else ""
    title = f"{cut(panel.name, 40)}:  {method}{cut(panel.label, 60)}"
    axis.text(0, 0.82, title, fontsize=10, va="center", weight="bold")
    x = 0.0
    for one in panel.predictions:
        stands_out = one.index in panel.marked
        weight = "bold" if stands_out else "normal"
        text = " ".join(answer(one, stands_out).split())
        if x + width_of(text, 8, weight) > wide:
            break
        colour = MARK if stands_out else QUIET
        axis.text(x / wide, 0.3, text, fontsize=8, va="center", weight=weight, color=colour, family=fonts())
        x += width_of(text, 8, weight) + 0.2


def _draw_label(axis: Any, label: str, high: float) -> None:
    axis.set_axis_off()
    lines = "\n".join(textwrap.wrap(cut(label, int(2 * high * 11)), int(high * 11), break_long_words=False)[:2])
    axis.text(0.45, 0.5, lines, rotation=90, ha="center", va="center", fontsize=8.5, linespacing=1.05)

"""A picture beside bars: one number for each name, in raw units."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from sightline.core.errors import OptionError
from sightline.render.columns import INK
from sightline.render.fit import fonts, lines_of, shortened, width_of
from sightline.render.sheet import QUIET, Picture, as_written, sheet
from sightline.render.strands import quiet
from sightline.render.strip import EDGE, Below, Top
from sightline.render.tiles import Bars
from sightline.render.wall import draw_tile
from sightline.render.words import number, numbers

_PICTURE, _BARS, _NAMES, _HEAD, _BAR, _AXIS = 2.6, 4.2, 2.4, 0.24, 0.21, 0.52
"""Inches: the picture's width, the bars' with their numbers, their names' at most, a caption, a bar, the axis."""
_NUMBERS = 0.14  # of the bars' width, right of the longest


def bars_figure(bars: Bars) -> Picture:
    """The picture, and beside it the bars in the order given. Raises OptionError where there are none."""
    if not bars.names:
        raise OptionError("there is nothing to draw: give at least one value.")
    names = min(_NAMES, max(width_of(name, 8) for name in bars.names)) + 0.12
    x = 2 * EDGE + _PICTURE + names
    width = x + _BARS + EDGE
    picture = _PICTURE * float(np.clip(bars.picture.pixels.shape[0] / bars.picture.pixels.shape[1], 0.25, 1.6))
    high = _BAR * len(bars.names)
    top, below = Top(bars.title, bars.about, width), Below(bars.warnings, bars.footer, width)
    drawn, place = sheet(width, top.height + _HEAD + max(picture + 0.1, high + _AXIS) + below.height)
    top.draw(drawn)
    draw_tile(place(EDGE, top.height + _HEAD, _PICTURE, picture), bars.picture, _PICTURE)
    _draw_bars(place(x, top.height + _HEAD, _BARS, high), bars, names - 0.12)
    below.draw(drawn)
    return as_written(drawn)


def _draw_bars(axis: Any, bars: Bars, names: float) -> None:
    """A bar for each value, its name left of it, its number at the right."""
    low, high = min(0.0, *bars.values), max(0.0, *bars.values)
    high = high if high > low else low + 1.0
    axis.set(xlim=(low, low + (high - low) / (1 - _NUMBERS)), ylim=(len(bars.names) - 0.5, -0.5))
    axis.barh(
        range(len(bars.values)), bars.values, 0.76, color=["#1d4ed8" if v >= 0 else "#b45309" for v in bars.values]
    )
    axis.axvline(0, color="#94a3b8", lw=0.8)
    quiet(axis)
    style: dict[str, Any] = {"fontsize": 8, "va": "center", "transform": axis.get_yaxis_transform()}
    for y, (name, value) in enumerate(zip(bars.names, bars.values, strict=True)):
        axis.text(-0.01, y, shortened(name, names, 8), ha="right", color=INK, family=fonts(), **style)
        axis.text(1, y, number(value), ha="right", color=QUIET, **style)
    ticks = [float(one) for one in MaxNLocator(5).tick_values(low, high) if low <= one <= high]
    axis.set_xticks(ticks, numbers(ticks))
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.set_xlabel("\n".join(lines_of(bars.unit, _BARS, 8, most=2)), fontsize=8, family=fonts())

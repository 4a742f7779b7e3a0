"""An edit's effect: the target before and after, and the change beside the same edit elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sightline.render.answers import MARK
from sightline.render.fit import fonts, lines_of, shortened, width_of
from sightline.render.sheet import QUIET, Place
from sightline.render.shots import Strand, Values
from sightline.render.words import change, number, numbers, share

INK = "#1f2937"
TAIL, REST = "#f59e6b", "#cbd5e1"
_TITLE, _PLOT, _UNDER, _LINE = 0.42, 1.6, 0.34, 0.17
"""Inches: a strand's titles, its plots, the ticks below them, a line of small print."""
_MARGIN, _BARS, _END, _SIZE = 0.62, 1.3, 0.24, 8.0
_SPREAD = "#ffedd5"
_HALO = [withStroke(linewidth=2.5, foreground="white")]


@dataclass(frozen=True, eq=False)
class Block:
    """A strand in so many inches of width; `of` says what the change is of ("logit of basketball")."""

    strand: Strand
    of: str
    label: str
    wide: float

    @cached_property
    def small(self) -> list[str]:
        """What is printed below the plots, in lines."""
        told = [_fills(self.strand), self.strand.note]
        return [line for one in told for line in lines_of(one, self.wide - 0.3, _SIZE)]

    @cached_property
    def left(self) -> float:
        """Where the controls begin: beside the bars of before and after, where these are known."""
        known = self.strand.before is not None and self.strand.after is not None
        return _MARGIN + (_BARS + _MARGIN + 0.12 if known else 0.0)

    @cached_property
    def axis_title(self) -> list[str]:
        """What the changes are of, in lines."""
        return lines_of(f"change of the {self.of}", self.wide - self.left + 0.1, _SIZE, most=2)

    @cached_property
    def under(self) -> float:
        """Inches down to the small print."""
        return _TITLE + _PLOT + _UNDER + len(self.axis_title) * _LINE

    @property
    def height(self) -> float:
        """Inches of all of it."""
        return self.under + len(self.small) * _LINE + 0.15

    def draw(self, place: Place, x: float, y: float) -> None:
        """The strand from so many inches off the upper left corner."""
        strand, y = self.strand, y + _TITLE
        if strand.before is not None and strand.after is not None:
            _draw_bars(place(x + _MARGIN + 0.12, y, _BARS, _PLOT), strand, strand.before, strand.after, self.label)
        wide = self.wide - self.left - _END
        axis = place(x + self.left, y, wide, _PLOT)
        _draw_controls(axis, strand, wide)
        _draw_effect(axis, strand, wide)
        axis.set_xlabel("\n".join(self.axis_title), fontsize=_SIZE, labelpad=3)
        self._write(place(x, y - _TITLE, self.wide, self.height))

    def _write(self, axis: Any) -> None:
        """The title above the plots and the small print below."""
        axis.set_axis_off()
        axis.set(xlim=(0, self.wide), ylim=(self.height, 0), zorder=-1)
        style: dict[str, Any] = {"va": "top", "family": fonts()}
        told = shortened(f"{self.strand.edit}: {change(self.strand.change)}", self.wide - 0.3, 10, "bold")
        axis.text(0.12, 0.0, told, fontsize=10, weight="bold", color=INK, **style)
        for i, line in enumerate(self.small):
            axis.text(0.12, self.under + i * _LINE, line, fontsize=_SIZE, color=QUIET, **style)


def _fills(strand: Strand) -> str:
    """The change for each fill, and their range where there are several."""
    told = ", ".join(f"{name} {change(value)}" for name, value in strand.by_fill.items())
    values = list(strand.by_fill.values())
    if len(values) < 2:
        return f"Fill: {told}." if told else ""
    return f"By fill: {told}; from {change(min(values))} to {change(max(values))}."


def _draw_bars(axis: Any, strand: Strand, before: float, after: float, label: str) -> None:
    """The target in the original and under the edit."""
    likely = strand.measure == "probability"
    names = ["original", strand.edit if width_of(strand.edit, _SIZE) < 0.55 else "edited"]
    axis.bar([0, 1], [before, after], 0.7, color=["#94a3b8", MARK])
    told = [share(before), share(after)] if likely else numbers([before, after])
    low, high = _bar_bounds(before, after, likely)
    axis.set(xlim=(-0.6, 1.6), ylim=(low, high))
    for x, (value, text) in enumerate(zip((before, after), told, strict=True)):
        down = value < 0
        axis.annotate(
            text, (x, value), (0, -3 if down else 3), textcoords="offset points", ha="center", fontsize=_SIZE,
            va="top" if down else "bottom",
        )  # fmt: skip
    axis.set_xticks([0, 1], names, fontsize=_SIZE)
    axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _at: f"{value:.0%}" if likely else number(value)))
    axis.set_ylabel("\n".join(lines_of(f"{strand.measure} of {label}", _PLOT, _SIZE, most=2)), fontsize=_SIZE)
    quiet(axis)


def _bar_bounds(before: float, after: float, likely: bool) -> tuple[float, float]:
    """Room for both bars and the numbers on them; all of the probabilities unless both are small."""
    values = [value for value in (0.0, before, after) if math.isfinite(value)]
    low, high = min(values), max(values)
    if likely and high > 0.3:
        return 0.0, 1.15
    room = 0.18 * (high - low or 1.0)
    return low - (room if low < 0 else 0), high + (room if high > 0 or low == 0 else 0)


def _draw_controls(axis: Any, strand: Strand, wide: float) -> None:
    """How often the controls changed as much: those that count in the accent's colour."""
    low, high = _span(strand)
    axis.set_xlim(low, high)
    axis.axvline(0, color=INK, lw=0.9, zorder=0.5)
    quiet(axis)
    axis.xaxis.set_major_locator(MaxNLocator(max(4, int(wide / 0.55)), steps=[1, 2, 5, 10], min_n_ticks=3))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _at: number(value)))
    known = strand.known[np.isfinite(strand.known)]
    if not known.size:
        axis.set(ylim=(-0.17, 1.5), yticks=[])
        axis.text(0.5, 0.45, "no controls", transform=axis.transAxes, ha="center", fontsize=9, color=QUIET)
        return
    starts, width, counts = _bins(strand, known, high - low)
    lines = 0.4 if width / (high - low) * wide > 0.05 else 0.0  # between bars, unless little of them were left
    for tall, colour in zip(counts, (TAIL, REST), strict=True):
        shown = tall > 0
        axis.bar(starts[shown], tall[shown], width, align="edge", color=colour, ec="white", lw=lines)
    most = float(counts.sum(0).max())
    axis.set_ylim(-0.17 * most, 1.5 * most)
    axis.set_yticks([tick for tick in MaxNLocator(4, integer=True).tick_values(0, most) if 0 <= tick <= most])
    axis.set_ylabel(f"controls (n = {known.size})", fontsize=_SIZE)
    side, end = ("low", low) if strand.beyond == "below" else ("high", high)
    told = f"{int(strand.counts.sum())} of {known.size} controls as {side} (shaded)"
    axis.set_title(told, fontsize=8.5, color=INK, loc="right", pad=4)
    if math.isfinite(strand.change):
        axis.axvspan(strand.change, end, color=_SPREAD, lw=0, zorder=0)


def _span(strand: Strand) -> tuple[float, float]:
    """The values that the axis runs from and to: all that is drawn, and 0."""
    values = [0.0, strand.change, *strand.by_fill.values(), *strand.known]
    finite = [float(value) for value in values if math.isfinite(value)]
    low, high = min(finite), max(finite)
    room = 0.06 * (high - low or 1.0)
    return low - room, high + room


def _bins(strand: Strand, known: Values, span: float) -> tuple[Values, float, Values]:
    """(starts, width, counts) of the bars, an edge of which is the change: a bar counts as a whole or not at all."""
    at, below = strand.change if math.isfinite(strand.change) else 0.0, strand.beyond == "below"
    few = int(np.clip(round(2 * known.size**0.5), 6, 40))
    width = max(float(np.ptp(known)) / few, span / 80)
    index = np.floor((known - at) / width).astype(int)
    counts = strand.counts[np.isfinite(strand.known)]
    if at == strand.change:  # a control equal to it stands on the side where it counts
        index = np.where(counts == below, np.minimum(index, -1), np.maximum(index, 0))
    first = int(index.min())
    tall = [np.bincount(index[these] - first, minlength=int(np.ptp(index)) + 1) for these in (counts, ~counts)]
    return at + width * (first + np.arange(len(tall[0]))), width, np.array(tall)


def _draw_effect(axis: Any, strand: Strand, wide: float) -> None:
    """The change as a line with its p beside it, and a tick for each fill below the controls."""
    low, high = axis.get_xlim()
    bottom, top = axis.get_ylim()
    values = [value for value in strand.by_fill.values() if math.isfinite(value)]
    if values:
        axis.hlines(bottom / 2, min(values), max(values), color=MARK, lw=1)
        axis.plot(values, [bottom / 2] * len(values), "|", color=MARK, ms=7, mew=1.3)
    at = strand.change if math.isfinite(strand.change) else 0.0
    if at == strand.change:
        axis.axvline(at, color=MARK, lw=2)
    told = [change(strand.change), *([f"p = {number(strand.p)}"] if strand.p is not None else [])]
    room = max(width_of(line, 9, "bold") for line in told) + 0.12
    right = (high - at) / (high - low) * wide > room
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9, "color": MARK, "weight": "bold"}
    side = {"ha": "left" if right else "right", "va": "top"}
    axis.annotate(
        "\n".join(told),
        (strand.change, top),
        (5 if right else -5, -3),
        linespacing=1.25,
        path_effects=_HALO,
        **style,
        **side,
    )


def quiet(axis: Any) -> None:
    """Thin lines and small numbers."""
    axis.tick_params(labelsize=_SIZE - 0.5, length=2.5, pad=2)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set(color="#94a3b8", linewidth=0.8)

"""Where and how big: the score of an object put elsewhere in a picture, scaled and turned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from sightline.core.errors import OptionError
from sightline.render.answers import MARK
from sightline.render.cells import HALO, STEPS, draw_outline
from sightline.render.columns import INK
from sightline.render.fit import fonts, lines_of
from sightline.render.sheet import QUIET, Picture, Place, as_written, sheet
from sightline.render.shots import Sweep, Values
from sightline.render.strands import quiet
from sightline.render.strip import EDGE, Below, Top
from sightline.render.words import cut, number, numbers

SCORES = "viridis"
_MAP, _BAR, _CURVE, _MARGIN, _UNIT, _TITLE, _UNDER = 4.6, 0.85, 3.9, 0.55, 0.15, 0.34, 0.55
"""Inches: the picture's width, its colour bar, a curve's width, the numbers left of it, a line of unit, a title, the
axis below."""
_LINE = "#1d4ed8"


def sweep_figure(sweep: Sweep) -> Picture:
    """The scores over positions on the picture, and over scale and rotation as curves. Raises OptionError."""
    plan = _Plan(sweep)
    if not plan.mapped and not plan.curves:
        raise OptionError("there is nothing to draw: give positions, scales or degrees that were tried.")
    top = Top(sweep.headline, f"{sweep.photo}  ·  {sweep.label}", plan.width)
    below = Below(sweep.warnings, sweep.footer, plan.width, plan.hints)
    drawn, place = sheet(plan.width, top.height + plan.height + below.height)
    top.draw(drawn)
    if plan.mapped:
        _draw_map(drawn, place, plan, top.height)
    for i, curve in enumerate(plan.curves):
        _draw_curve(place(*plan.place(i, top.height)), curve, plan)
    below.draw(drawn)
    return as_written(drawn)


@dataclass(frozen=True, eq=False)
class _Curve:
    """Scores over one change of the object; `own` is the photo's state on it."""

    title: str
    of: str
    at: Values
    scores: Values
    holds: Values
    own: float
    octaves: bool


@dataclass(frozen=True, eq=False)
class _Plan:
    """Where things go, in inches."""

    sweep: Sweep

    def unit(self, inches: float) -> str:
        """What the scores are, in lines that fit."""
        return "\n".join(lines_of(f"{self.sweep.score} of {self.sweep.label}", inches, 8, most=2))

    @cached_property
    def mapped(self) -> bool:
        """Whether there are positions to show."""
        return bool(np.isfinite(np.asarray(self.sweep.scores, np.float64)).any())

    @cached_property
    def curves(self) -> list[_Curve]:
        """The curves that have points."""
        one = self.sweep
        size = _curve(
            "size", "scale of the object (1: as in the photo)", one.scales, one.scale_scores, one.scale_holds
        )
        turn = _curve("rotation", "rotation in degrees", one.degrees, one.degree_scores, one.degree_holds)
        return [curve for curve in (size, turn) if curve.at.size]

    @cached_property
    def picture(self) -> tuple[float, float]:
        """The picture's width and height, within reason."""
        high, wide = self.sweep.picture.shape[:2]
        tall = _MAP * float(np.clip(high / wide, 0.4, 1.4))
        return min(_MAP, tall * wide / high), tall

    @cached_property
    def map(self) -> float:
        """The picture's width with its colour bar; 0 where there is none."""
        return EDGE + self.picture[0] + _BAR + self.unit(self.picture[1]).count("\n") * _UNIT if self.mapped else 0.0

    @cached_property
    def margin(self) -> float:
        """What is left of a curve."""
        return _MARGIN + _UNIT * (1 + self.unit(self.curve).count("\n"))

    @property
    def width(self) -> float:
        """Of the whole figure."""
        beside = 1 if self.mapped else len(self.curves)
        return max(6.8, self.map + (beside * (self.margin + _CURVE + 0.2) if self.curves else 0.0))

    @property
    def curve(self) -> float:
        """A curve's height: two share the picture's."""
        if not self.mapped:
            return 2.4
        return max(1.5, (self.picture[1] - (len(self.curves) - 1) * (_TITLE + _UNDER)) / max(1, len(self.curves)))

    @property
    def height(self) -> float:
        """Of the picture and the curves."""
        stacked = len(self.curves) if self.mapped else min(1, len(self.curves))
        curves = stacked * (self.curve + _UNDER + _TITLE)
        return max(curves, _TITLE + self.picture[1] + 0.15 if self.mapped else 0.0) + 0.1

    def place(self, i: int, y: float) -> tuple[float, float, float, float]:
        """Where a curve goes: below the one before, beside it where there is no map."""
        step = _TITLE + self.curve + _UNDER
        x = self.map if self.mapped else i * (self.margin + _CURVE + 0.2)
        return x + self.margin, y + _TITLE + (i * step if self.mapped else 0.0), _CURVE, self.curve

    @property
    def hints(self) -> list[str]:
        """How to read what is drawn."""
        label = cut(self.sweep.label, 40)
        told = []
        if self.mapped:
            told.append(
                f"Cells: the object's centre put there; crossed where the answer is no longer {label}. "
                "Ring: its own place, its score a line on the colour bar."
            )
        if self.curves:
            told.append(
                f"Points: filled where the answer is still {label}, hollow where it is another; dashed: where it "
                "changes. Square: the photo as it is."
            )
        return told


def _curve(title: str, of: str, at: Values, scores: Values, holds: Values) -> _Curve:
    """A curve's points in order, those without a score left out."""
    places, values, kept = np.asarray(at, np.float64), np.asarray(scores, np.float64), np.asarray(holds, bool)
    order = np.argsort(places)
    order = order[np.isfinite(values[order])]
    octaves = title == "size"
    return _Curve(title, of, places[order], values[order], kept[order], 1.0 if octaves else 0.0, octaves)


def _draw_map(drawn: Figure, place: Place, plan: _Plan, y: float) -> None:
    """The picture in grey, a cell for each position tried, and the colour bar."""
    sweep = plan.sweep
    wide, high = plan.picture
    axis = place(EDGE, y + _TITLE, wide, high)
    grey = sweep.picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    axis.imshow(0.25 + 0.75 * grey, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
    axis.set(xticks=[], yticks=[])
    axis.set_title("where", fontsize=10, weight="bold", color=INK)
    axis.autoscale(False)
    shown = ScalarMappable(Normalize(*_bounds(sweep)), colormaps[SCORES])
    _draw_cells(axis, sweep, shown)
    if sweep.outline is not None:
        draw_outline(axis, sweep.outline)
    axis.plot(*sweep.own[:2], "o", ms=11, mfc="none", mec=MARK, mew=2.2, path_effects=HALO)
    bar: Any = drawn.colorbar(shown, cax=place(EDGE + wide + 0.08, y + _TITLE, 0.12, high))
    bar.ax.tick_params(labelsize=7.5)
    _tick(bar.ax)
    bar.set_label(plan.unit(high), fontsize=8)
    if math.isfinite(sweep.own[2]):
        bar.ax.axhline(sweep.own[2], color=MARK, lw=2.2, path_effects=HALO)


def _bounds(sweep: Sweep) -> tuple[float, float]:
    """The scores that the colour bar runs from and to: those tried and the photo's own."""
    values = [one for one in (*np.asarray(sweep.scores, np.float64).ravel(), sweep.own[2]) if math.isfinite(one)]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _draw_cells(axis: Any, sweep: Sweep, shown: ScalarMappable) -> None:
    """A cell around each centre that was tried, crossed where the answer changed."""
    wide, high = (_gap(at) for at in (sweep.xs, sweep.ys))
    wide, high = wide or high or sweep.picture.shape[1] / 8, high or wide or sweep.picture.shape[0] / 8
    for j, y in enumerate(sweep.ys):
        for i, x in enumerate(sweep.xs):
            if not math.isfinite(sweep.scores[j, i]):
                continue
            colour: Any = shown.to_rgba(np.array(sweep.scores[j, i]))
            paint: dict[str, Any] = {"fc": colour, "ec": "white", "lw": 0.6, "alpha": 0.8}
            axis.add_patch(Rectangle((x - wide * 0.46, y - high * 0.46), wide * 0.92, high * 0.92, **paint))
            if not sweep.holds[j, i]:
                axis.plot(x, y, "x", ms=6, color="white", mew=1.4, gid="another")


def _gap(at: Values) -> float:
    """The least distance between neighbours; 0 where there are none."""
    return float(np.diff(np.unique(at)).min()) if np.unique(at).size > 1 else 0.0


def _draw_curve(axis: Any, curve: _Curve, plan: _Plan) -> None:
    """Scores as points on a line; the photo's own state; where the answer changes."""
    own = plan.sweep.own[2]
    if curve.octaves:
        axis.set_xscale("log", base=2)
    for at in _changes(curve):
        axis.axvline(at, color=QUIET, lw=1, ls="--", gid="change")
    axis.plot(curve.at, curve.scores, "-", color=_LINE, lw=1.3, zorder=2)
    for kept, fill in ((curve.holds, _LINE), (~curve.holds, "white")):
        axis.plot(curve.at[kept], curve.scores[kept], "o", ms=5.5, mfc=fill, mec=_LINE, mew=1.3, zorder=3)
    if math.isfinite(own):
        axis.axhline(own, color=MARK, lw=0.8, ls=":", zorder=1)
        axis.plot(curve.own, own, "s", ms=8, mfc="none", mec=MARK, mew=2, zorder=4)
    axis.margins(x=0.05, y=0.14)
    _label(axis, curve, plan)


def _changes(curve: _Curve) -> list[float]:
    """Midway between neighbours of which one keeps the answer and the other does not."""
    flips = np.flatnonzero(curve.holds[1:] != curve.holds[:-1])
    low, high = curve.at[flips], curve.at[flips + 1]
    return [float(one) for one in (np.sqrt(low * high) if curve.octaves else (low + high) / 2)]


def _label(axis: Any, curve: _Curve, plan: _Plan) -> None:
    """Titles with units, and a few ticks that are read without effort."""
    quiet(axis)
    axis.set_title(curve.title, fontsize=10, weight="bold", color=INK)
    axis.set_xlabel(curve.of, fontsize=8)
    axis.set_ylabel(plan.unit(plan.curve), fontsize=8)
    _tick(axis)
    low, high = axis.get_xlim()
    if curve.octaves:
        powers = [2.0**k for k in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)]
        axis.xaxis.set_major_locator(FixedLocator(powers if len(powers) > 2 else _few(curve.at)))
        axis.xaxis.set_minor_locator(FixedLocator([]))
    else:
        axis.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 1.5, 3, 4.5, 9, 10]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _at: number(value)))
    for text in (axis.title, axis.yaxis.label):
        text.set_fontfamily(fonts())


def _tick(axis: Any) -> None:
    """A few ticks of the scores, in as many digits as tell them apart."""
    low, high = axis.get_ylim()
    at = [float(one) for one in MaxNLocator(6, steps=STEPS).tick_values(low, high) if low <= one <= high]
    axis.set_yticks(at, numbers(at))
    axis.yaxis.set_minor_locator(FixedLocator([]))


def _few(at: Values) -> list[float]:
    """At most five of the values, and 1."""
    return sorted({1.0, *(float(at[i]) for i in np.linspace(0, at.size - 1, 5).round().astype(int))})

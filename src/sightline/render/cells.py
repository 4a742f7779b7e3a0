"""One cell of a figure: a photo, its heat drawn in some style, a colour bar in raw units."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from sightline.photos.localize import box_around
from sightline.render.fit import lines_of
from sightline.render.paint import blend, colours, cut_out, levels, plain
from sightline.render.panel import Panel
from sightline.render.words import cut, number

OUTLINE = "#e11d48"
HALO: list[Any] = [withStroke(linewidth=3.6, foreground="white")]
STEPS = [1, 2, 2.5, 5, 10]  # of round ticks


def draw_photo(axis: Any, panel: Panel) -> None:
    """The photo as it is, under its name."""
    axis.imshow(panel.photo, interpolation="antialiased")
    axis.set_axis_off()
    _boxes(axis, panel)
    axis.set_title(cut(panel.name, 34), fontsize=10)


def draw_heat(axis: Any, panel: Panel, style: str, alpha: float) -> None:
    """The photo and its heat; the unseen is hatched."""
    axis.set_axis_off()
    axis.set_anchor("E")  # beside its colour bar, also where the photo is narrower than its cell
    axis.imshow(_pixels(panel, style, alpha), interpolation="antialiased")
    axis.autoscale(False)
    _boxes(axis, panel)
    if style == "contour":
        _lines(axis, panel)
    elif style == "mask":
        _region(axis, panel)
    for x, y, wide, high in _unseen(panel):
        ink = "#9ca3afaa" if style == "cut-out" else "#ffffffaa"
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), wide, high, fill=False, hatch="////", ec=ink, lw=0))


def _boxes(axis: Any, panel: Panel) -> None:
    """The boxes that are asked about, as far as they lie on the photo."""
    height, width = panel.photo.shape[-3:-1]
    for x0, y0, x1, y1 in panel.boxes:
        x, y, right, low = max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height)
        drawn = Rectangle((x - 0.5, y - 0.5), right - x, low - y, fill=False, ec=OUTLINE, lw=1.6, clip_on=False)
        drawn.set_path_effects(HALO)
        axis.add_patch(drawn)


def _pixels(panel: Panel, style: str, alpha: float) -> Any:
    if style in ("contour", "mask"):
        return plain(panel)
    return cut_out(panel, alpha) if style == "cut-out" else blend(panel, alpha)


def _lines(axis: Any, panel: Panel) -> None:
    """Lines of equal heat, in the colours of the bar."""
    at, (low, high) = levels(panel), panel.bounds
    known = panel.heat[np.isfinite(panel.heat)]
    crossed = [one for one in at if known.min() < one < known.max()]
    if crossed and min(panel.heat.shape) > 1:
        paint = colours(panel, "contour")([(one - low) / (high - low) for one in crossed])
        drawn = axis.contour(panel.heat, levels=crossed, colors=paint, linewidths=1.6, linestyles="solid")
        drawn.set_path_effects(HALO)


def _region(axis: Any, panel: Panel) -> None:
    """Outline and box of the region."""
    if panel.region is None:
        style: dict[str, Any] = {"facecolor": "#ffffffd9", "edgecolor": "none"}
        axis.text(0.5, 0.5, "no region stands out", transform=axis.transAxes, ha="center", fontsize=9, bbox=style)
        return
    if not panel.region.any():  # a slice that the region of its volume does not reach
        return
    draw_outline(axis, panel.region)
    x0, y0, x1, y1 = box_around(panel.region)
    box = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, ec=OUTLINE, lw=1.3, ls=(0, (4, 3)))
    box.set_path_effects(HALO)
    axis.add_patch(box)


def draw_outline(axis: Any, mask: Any, colour: str = OUTLINE, line: str = "solid", thick: float = 1.8) -> None:
    """The line around where a mask (h, w) in [0, 1] is at least half of its most; nothing for an empty one."""
    most = float(np.max(mask, initial=0.0))
    if not most > 0:
        return
    framed = np.pad(np.asarray(mask, np.float32) / most, 1)  # the outline closes at the photo's edge too
    height, width = mask.shape
    at = np.arange(-1, width + 1).clip(-0.5, width - 0.5), np.arange(-1, height + 1).clip(-0.5, height - 0.5)
    drawn = axis.contour(*at, framed, levels=[0.5], colors=colour, linewidths=thick, linestyles=line)
    drawn.set_path_effects([withStroke(linewidth=thick + 1.8, foreground="white")])


def _unseen(panel: Panel) -> list[tuple[int, int, int, int]]:
    """What the network did not see, as bands (x, y, width, height) around what it saw."""
    seen = np.isfinite(panel.heat)
    height, width = seen.shape
    if seen.all():
        return []
    if not seen.any():
        return [(0, 0, width, height)]
    left, top, right, bottom = box_around(seen)
    bands = [
        (0, 0, width, top),
        (0, bottom, width, height - bottom),
        (0, top, left, bottom - top),
        (right, top, width - right, bottom - top),
    ]
    return [band for band in bands if band[2] and band[3]]


def draw_bar(drawn: Figure, axis: Any, panel: Panel, style: str, high: float) -> None:
    """The colour bar, `high` inches, in raw units; for lines of equal heat only their own values."""
    shown = ScalarMappable(Normalize(*panel.bounds), colours(panel, style))
    bar: Any = drawn.colorbar(shown, cax=axis, extend=_extend(panel), extendfrac=0.03)
    bar.ax.tick_params(labelsize=7)
    if style == "contour":
        at = levels(panel)
        bar.set_ticks(at)
        bar.solids.set_alpha(0.35)
        bar.ax.hlines(at, 0, 1, colors=shown.to_rgba(np.array(at)), linewidths=3)
    bar.ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    bar.ax.yaxis.get_offset_text().set_fontsize(7)
    unit = textwrap.wrap(panel.unit, int(16 * high))
    small = len(unit) > 2
    lines = textwrap.wrap(panel.unit, int(21 * high + 5)) if small else unit  # beside the title and the gap too
    bar.set_label("\n".join(lines), fontsize=5 if small else 6.5, labelpad=2, linespacing=1.1)


def draw_bar_below(drawn: Figure, axis: Any, panel: Panel, wide: float) -> None:
    """The colour bar of an overlay, lying, `wide` inches, in raw units."""
    shown = ScalarMappable(Normalize(*panel.bounds), colours(panel, "overlay"))
    bar: Any = drawn.colorbar(shown, cax=axis, extend=_extend(panel), extendfrac=0.03, orientation="horizontal")
    ticks = [
        one
        for one in MaxNLocator(4, steps=STEPS).tick_values(*panel.bounds)
        if panel.bounds[0] <= one <= panel.bounds[1]
    ]
    bar.set_ticks(ticks, labels=[number(one) for one in ticks])
    bar.ax.tick_params(labelsize=7, pad=2, length=2.5)
    bar.set_label("\n".join(lines_of(panel.unit, wide, 7, most=2)), fontsize=7, labelpad=2, linespacing=1.1)


def _extend(panel: Panel) -> Any:
    if not panel.clipped:
        return "neither"
    return {"positive": "max", "negative": "min"}.get(panel.part, "both" if panel.signed else "max")

"""The wall: many small pictures side by side, each a crisp little square or an antialiased picture."""

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
from matplotlib.ticker import MaxNLocator

from sightline.core.errors import OptionError
from sightline.render.cells import HALO, OUTLINE, STEPS
from sightline.render.columns import INK
from sightline.render.fit import fonts, lines_of, shortened, width_of
from sightline.render.sheet import QUIET, Picture, Place, as_written, sheet
from sightline.render.strip import EDGE, Below, Top
from sightline.render.tiles import Bars, Row, Scale, Tile, Wall, scale_for
from sightline.render.words import numbers

__all__ = ["Row", "Scale", "Tile", "Wall", "draw_tile", "figure_of", "scale_for", "wall_figure"]

_WIDE, _NARROWEST, _LEGIBLE, _LARGEST = 10.5, 0.5, 1.5, (1.3, 3.2)
"""Inches: all tiles of a line, the smallest tile, what captions can ask for, the largest of few and many pixels."""
_GAP, _CAPTION, _SMALL, _HEADING, _BESIDE, _BAR = 0.12, 0.17, 0.14, 0.32, 1.3, 0.95
"""Inches: between tiles, a caption, its small line, a heading above its row, at most beside it, the colour bar."""
_ASPECT = (0.25, 1.6)  # height over width of a tile
_LINE, _WIDEST = 6, 14.0  # tiles of a single row that stay in one line; inches of the longest line of several rows
_CRISP = 40  # inked pixels an inch: up to here a picture is a grid of squares
_GRID = 16  # pixels a side, few enough to be told apart in the smallest tile
_CHECK = 0.07  # inches of a square of the checkerboard


def wall_figure(wall: Wall) -> Picture:
    """The rows of tiles, lines of text around them, and the colour bar. Raises OptionError for an empty wall."""
    plan = _Plan(wall)
    if not plan.lines:
        raise OptionError("there is nothing to draw: give at least one picture.")
    top, below = Top(wall.title, wall.about, plan.width), Below(wall.warnings, wall.footer, plan.width)
    drawn, place = sheet(plan.width, top.height + plan.height + below.height)
    top.draw(drawn)
    y = top.height
    for line in plan.lines:
        _draw_line(drawn, place, plan, line, y)
        y += line.height(plan.tile)
    if wall.scale is not None:
        _draw_bar(drawn, place, plan, wall.scale, top.height)
    below.draw(drawn)
    return as_written(drawn)


def figure_of(shown: Wall | Bars) -> Picture:
    """The figure of a wall, or of bars. Raises OptionError where there is nothing to draw."""
    if isinstance(shown, Wall):
        return wall_figure(shown)
    from sightline.render.bars import bars_figure

    return bars_figure(shown)


@dataclass(frozen=True, eq=False)
class _Line:
    """Tiles side by side; the heading above them, or beside."""

    tiles: tuple[Tile, ...]
    above: str = ""
    beside: str = ""

    @cached_property
    def head(self) -> float:
        """Inches of the captions above the pictures."""
        caption = _CAPTION if any(one.caption for one in self.tiles) else 0.0
        small = _SMALL if any(one.small for one in self.tiles) else 0.0
        return caption + small + (0.04 if caption or small else 0.0)

    @cached_property
    def aspect(self) -> float:
        """Height over width of the tallest tile, within reason."""
        shapes = [one.pixels.shape for one in self.tiles]
        return float(np.clip(max(shape[0] / shape[1] for shape in shapes), *_ASPECT))

    @property
    def heading(self) -> float:
        """Inches of the heading above."""
        return _HEADING if self.above else 0.0

    def height(self, tile: float) -> float:
        """Inches of all of it and the gap below, for tiles of that width."""
        return self.heading + self.head + tile * self.aspect + _GAP


@dataclass(frozen=True, eq=False)
class _Plan:
    """Where things go, in inches."""

    wall: Wall

    @cached_property
    def rows(self) -> list[Row]:
        """The rows that hold something."""
        return [row for row in self.wall.rows if row.tiles]

    @cached_property
    def columns(self) -> int:
        """Tiles side by side."""
        longest = max((len(row.tiles) for row in self.rows), default=0)
        if self.wall.columns is not None or not longest:
            return max(1, min(self.wall.columns or 1, longest))
        if len(self.rows) > 1:
            return max(1, min(longest, int(_WIDEST / (self.least + _GAP))))
        return longest if longest <= _LINE else _columns(longest, self.aspect)

    @cached_property
    def beside(self) -> float:
        """Inches of the headings beside their rows; 0 where they stand above."""
        widths = [width_of(row.heading, 9, "bold") for row in self.rows]
        fits = max(widths, default=0.0) <= _BESIDE and all(len(row.tiles) <= self.columns for row in self.rows)
        return max(widths) + _GAP if fits and len(self.rows) > 1 and any(widths) else 0.0

    @cached_property
    def lines(self) -> list[_Line]:
        """The rows, those that are too long over several lines."""
        lines = []
        for row in self.rows:
            for start in range(0, len(row.tiles), self.columns):
                heading = row.heading if start == 0 else ""
                tiles = row.tiles[start : start + self.columns]
                lines.append(_Line(tiles, *(("", heading) if self.beside else (heading, ""))))
        return lines

    @cached_property
    def aspect(self) -> float:
        """Height over width of a picture in the middle of all."""
        shapes = [one.pixels.shape for row in self.rows for one in row.tiles]
        return float(np.clip(np.median([shape[0] / shape[1] for shape in shapes]), *_ASPECT))

    @cached_property
    def least(self) -> float:
        """The width that captions need, as far as they can ask for it, and pictures of more than a few pixels."""
        tiles = [one for row in self.rows for one in row.tiles]
        words = [width_of(one.caption, 8, "bold") for one in tiles] + [width_of(one.small, 7) for one in tiles]
        return float(np.clip(max(words), _NARROWEST if self.few else 2 * _NARROWEST, _LEGIBLE))

    @cached_property
    def few(self) -> bool:
        """Whether all pictures are grids of a few pixels."""
        return all(max(one.pixels.shape[:2]) <= _GRID for row in self.rows for one in row.tiles)

    @cached_property
    def tile(self) -> float:
        """A tile's width: what the figure has room for, or what captions need."""
        return float(np.clip(_WIDE / self.columns - _GAP, self.least, max(self.least, _LARGEST[not self.few])))

    @cached_property
    def tiles(self) -> float:
        """Inches from the left edge to the right end of the longest line, with its gap."""
        return EDGE + self.beside + (self.tile + _GAP) * max(len(line.tiles) for line in self.lines)

    @cached_property
    def width(self) -> float:
        """Of the whole figure."""
        return max(4.2, self.tiles + (_BAR if self.wall.scale else 0.0))

    @cached_property
    def height(self) -> float:
        """Of all lines."""
        return sum(line.height(self.tile) for line in self.lines)

    @property
    def bar(self) -> tuple[float, float]:
        """Where the colour bar begins below the first line's top, and how high it is."""
        first = self.lines[0].heading + self.lines[0].head
        return first, float(np.clip(self.height - first - _GAP, 0.4, 3.0))


def _columns(count: int, aspect: float) -> int:
    """How many of `count` tiles stand side by side: the wall rather wider than high, the last line rather full."""
    best = float(np.clip(math.sqrt(1.5 * count * aspect), 2, 12))
    near = range(max(1, math.ceil(best * 0.75)), math.ceil(best * 1.2) + 1)
    return min(near, key=lambda columns: 2 * (-count % columns) / count + abs(columns - best) / best)


def _draw_line(drawn: Figure, place: Place, plan: _Plan, line: _Line, y: float) -> None:
    wide, high = drawn.get_size_inches()
    bold: dict[str, Any] = {"weight": "bold", "color": INK, "family": fonts()}
    if line.above:
        room = plan.width - 2 * EDGE
        text = shortened(line.above, room, 10, "bold")
        drawn.text(EDGE / wide, 1 - (y + _HEADING - 0.09) / high, text, size=10, va="baseline", **bold)
    tall = plan.tile * line.aspect
    y += line.heading + line.head
    if line.beside:
        x = (EDGE + plan.beside - _GAP) / wide
        drawn.text(x, 1 - (y + tall / 2) / high, line.beside, size=9, ha="right", va="center", **bold)
    for i, tile in enumerate(line.tiles):
        axis = place(EDGE + plan.beside + i * (plan.tile + _GAP), y, plan.tile, tall)
        draw_tile(axis, tile, plan.tile)


def draw_tile(axis: Any, tile: Tile, wide: float) -> None:
    """The picture `wide` inches in its frame, words above it, a checkerboard where it is clear, the box on it."""
    high, across = tile.pixels.shape[:2]
    extent = (-0.5, across - 0.5, high - 0.5, -0.5)
    if tile.pixels.shape[2] == 4:
        axis.imshow(_checkerboard(wide, high / across), extent=extent, interpolation="nearest")
    crisp = max(high, across) <= _CRISP * wide
    axis.imshow(tile.pixels, extent=extent, interpolation="nearest" if crisp else "antialiased")
    axis.set(xticks=[], yticks=[], anchor="N")
    for side in axis.spines.values():
        side.set(color="#cbd5e1", linewidth=0.6)  # a white picture ends somewhere
    if tile.box is not None:
        x0, y0, x1, y1 = tile.box
        box = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, ec=OUTLINE, lw=1.5, clip_on=False)
        box.set_path_effects(HALO)
        axis.add_patch(box)
    _draw_words(axis, tile, wide)


def _checkerboard(wide: float, aspect: float) -> Any:
    """Pale squares (h, w, 3) uint8 for a picture of so many inches."""
    rows, columns = max(2, round(wide * aspect / _CHECK)), max(2, round(wide / _CHECK))
    dark = np.indices((rows, columns)).sum(0) % 2
    return np.repeat(np.where(dark, 226, 248).astype(np.uint8)[..., None], 3, axis=2)


def _draw_words(axis: Any, tile: Tile, wide: float) -> None:
    """Caption and small line above the picture, cut to its width."""
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "baseline"}
    room, up = wide + _GAP / 2, 4.0
    if tile.small:
        style = {"fontsize": 7, "color": QUIET, "family": fonts()}
        axis.annotate(shortened(tile.small, room, 7), (0.5, 1), (0, up), **style, **place)
        up += 72 * _SMALL
    if tile.caption:
        style = {"fontsize": 8, "weight": "bold", "color": INK, "family": fonts()}
        axis.annotate(shortened(tile.caption, room, 8, "bold"), (0.5, 1), (0, up), **style, **place)


def _draw_bar(drawn: Figure, place: Place, plan: _Plan, scale: Scale, y: float) -> None:
    """The colour bar beside the first lines, with a few ticks in raw units."""
    first, high = plan.bar
    shown = ScalarMappable(Normalize(scale.low, scale.high), colormaps[scale.colours])
    axis = place(plan.tiles + 0.05, y + first, 0.12, high)
    bar: Any = drawn.colorbar(shown, cax=axis, extend=scale.beyond, extendfrac=0.03)
    ticks = MaxNLocator(max(2, min(6, int(high * 3))), steps=STEPS).tick_values(scale.low, scale.high)
    inside = [float(one) for one in ticks if scale.low <= one <= scale.high]
    bar.set_ticks(inside, labels=numbers(inside))
    bar.ax.tick_params(labelsize=7.5, pad=2, length=2.5)
    unit = "\n".join(lines_of(scale.unit, high, 8, most=2))
    bar.set_label(unit, fontsize=8, labelpad=3, linespacing=1.1, family=fonts())

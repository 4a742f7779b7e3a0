"""The strip: what a model answers for a photo and its edits, and whether an edit does more than elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from matplotlib.figure import Figure

from sightline.core.errors import OptionError
from sightline.core.heats import Warning
from sightline.render.cells import OUTLINE
from sightline.render.columns import COLUMN, INK, Column, Columns
from sightline.render.fit import fonts, lines_of
from sightline.render.sheet import LINE, QUIET, Picture, Place, as_written, sheet, write_below
from sightline.render.shots import Shot, Strip
from sightline.render.strands import Block
from sightline.render.words import doubted, remarks

_NARROWEST, _WIDEST = 4.9, 7.4  # inches of a strand
EDGE = 0.12


def strip_figure(strip: Strip) -> Picture:
    """A column for each shot, and below them each edit's effect beside its controls. Raises OptionError."""
    if not strip.shots:
        raise OptionError("there is nothing to draw: give at least one picture.")
    columns = Columns([_column(shot) for shot in strip.shots], strip.marked, strip.label)
    width = max(columns.width, 2 * COLUMN)
    top = Top(strip.headline, f"{strip.photo}  ·  {strip.label}", width)
    effects = _Effects(strip, width)
    below = Below(strip.warnings, strip.footer, width)
    drawn, place = sheet(width, top.height + columns.height + effects.height + below.height)
    top.draw(drawn)
    columns.draw(drawn, place, top.height)
    effects.draw(place, top.height + columns.height)
    below.draw(drawn)
    return as_written(drawn)


def _column(shot: Shot) -> Column:
    return Column(shot, shot.title, outlines=() if shot.outline is None else ((shot.outline, OUTLINE, "solid", 1.8),))


@dataclass(frozen=True)
class Top:
    """The verdict in a sentence and, smaller, what it is about."""

    headline: str
    about: str
    width: float

    @cached_property
    def lines(self) -> list[str]:
        """The headline in lines."""
        return lines_of(self.headline, self.width - 3 * EDGE, 13, "bold")

    @property
    def height(self) -> float:
        """Inches of all of it."""
        return 0.14 + 0.27 * len(self.lines) + 0.16 * len(self.small) + 0.08

    @cached_property
    def small(self) -> list[str]:
        """What it is about, in lines."""
        return lines_of(self.about, self.width - 3 * EDGE, 9)

    def draw(self, drawn: Figure) -> None:
        """Write it at the top of a figure."""
        wide, high = drawn.get_size_inches()
        y = high - 0.14
        for line in self.lines:
            drawn.text(EDGE / wide, y / high, line, size=13, weight="bold", color=INK, va="top", family=fonts())
            y -= 0.27
        for line in self.small:
            drawn.text(EDGE / wide, y / high, line, size=9, color=QUIET, va="top", family=fonts())
            y -= 0.16


@dataclass(frozen=True)
class Below:
    """Warnings, remarks and the footer, in lines that fit."""

    warnings: Sequence[Warning]
    footer: str
    width: float
    hints: Sequence[str] = ()

    @cached_property
    def doubts(self) -> list[str]:
        """The warnings' lines."""
        return doubted([one.message for one in self.warnings], self.width)

    @cached_property
    def lines(self) -> list[str]:
        """All lines."""
        return [*self.doubts, *remarks([*self.hints, self.footer], self.width)]

    @property
    def height(self) -> float:
        """Inches of all of it."""
        return LINE * len(self.lines) + EDGE

    def draw(self, drawn: Figure) -> None:
        """Write it at the foot of a figure."""
        write_below(drawn, self.lines, len(self.doubts))


@dataclass(frozen=True, eq=False)
class _Effects:
    """The strands of a strip, side by side where there is room."""

    strip: Strip
    width: float

    @cached_property
    def rows(self) -> list[list[Block]]:
        """Blocks of one width, in rows."""
        strands = self.strip.strands
        side = min(int(self.width / _NARROWEST), len(strands)) or 1
        wide = min(self.width / side, _WIDEST)
        of = f"{self.strip.score} of {self.strip.label}"
        blocks = [Block(strand, of, self.strip.label, wide) for strand in strands]
        return [blocks[i : i + side] for i in range(0, len(blocks), side)]

    @property
    def height(self) -> float:
        """Inches of all rows."""
        return sum(max(block.height for block in row) for row in self.rows) + (0.1 if self.rows else 0)

    def draw(self, place: Place, y: float) -> None:
        """All strands, from so many inches below the top."""
        y += 0.1
        for row in self.rows:
            for i, block in enumerate(row):
                block.draw(place, i * block.wide, y)
            y += max(block.height for block in row)

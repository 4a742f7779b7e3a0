"""The paper that figures are drawn on: places in inches, lines of text below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from sightline.render.save import picture_bytes

DOUBT, QUIET = "#92400e", "#6b7280"
LINE = 0.2  # inches, a line of text below the pictures
Place = Callable[[float, float, float, float], Any]
"""(x, y, width, height) in inches, from the upper left corner -> axes."""


class Picture(Figure):
    """A matplotlib figure that shows itself in a notebook."""

    def _repr_png_(self) -> bytes:
        return picture_bytes(self, "png")


def sheet(width: float, height: float) -> tuple[Picture, Place]:
    """An empty figure of so many inches, and how to place axes on it."""
    drawn = Picture(figsize=(width, height), dpi=120, facecolor="white")
    FigureCanvasAgg(drawn)

    def place(x: float, y: float, wide: float, high: float) -> Any:
        return drawn.add_axes((x / width, (height - y - high) / height, wide / width, high / height))

    return drawn, place


def write_below(drawn: Figure, lines: Sequence[str], doubted: int) -> None:
    """Lines at the foot of a figure, the first `doubted` of them so that they are not missed."""
    height = drawn.get_size_inches()[1]
    for i, line in enumerate(lines):
        y = (0.08 + LINE * (len(lines) - 1 - i)) / height
        size, colour = (8.0, DOUBT) if i < doubted else (7.0, QUIET)
        drawn.text(0.012, y, line, fontsize=size, color=colour, va="bottom")


def as_written(drawn: Picture) -> Picture:
    """The figure, its texts taken literally: a "$" in a file's name or a label is no formula."""
    for text in drawn.findobj(Text):
        text.set_parse_math(False)
    return drawn

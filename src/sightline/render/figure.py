"""Figures: a photo beside its overlay, grids of them, colour bars in raw units."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.offsetbox import AnchoredOffsetbox, TextArea, VPacker
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray

from sightline.core.errors import OptionError
from sightline.core.heats import Prediction, Warning
from sightline.render.panel import Panel
from sightline.render.save import picture_bytes

HEAT, SIGNED = "inferno", "coolwarm"  # perceptually even; the second diverges from its middle
MARK, DOUBT = "#c2410c", "#92400e"
_CELL, _BAR, _GAP, _TITLE, _LINE = (
    3.6,
    0.72,
    0.12,
    0.34,
    0.2,
)  # inches: picture, colour bar, gaps, a line of text
_ANSWER = (0.06, 0.145)  # inches: a letter's width and a line's height in the box of answers


class Picture(Figure):
    """A matplotlib figure that shows itself in a notebook."""

    def _repr_png_(self) -> bytes:
        return picture_bytes(self, "png")


def figure(panels: Sequence[Panel], *, alpha: float = 0.85, style: str = "pair") -> Picture:
    """The photo beside its overlay ("pair"), or the "overlay" alone. Raises OptionError."""
    if style not in ("pair", "overlay"):
        raise OptionError(f"style={style!r}; possible: 'pair', 'overlay'.")
    return figure_grid([list(panels)], alpha=alpha, photo=style == "pair")


def figure_grid(rows: Sequence[Sequence[Panel]], *, alpha: float = 0.85, photo: bool = True) -> Picture:
    """A row for each photo: the photo itself, then an overlay for each of its panels."""
    if not 0 <= alpha <= 1:
        raise OptionError(f"alpha={alpha}; it is a strength from 0 to 1.")
    if not rows or not all(rows):
        raise OptionError("there is nothing to draw: give at least one explanation.")
    first, step = _CELL + _GAP if photo else 0.0, _CELL + _BAR + _GAP
    width = _GAP + first + step * max(len(row) for row in rows)
    notes = _notes([panel for row in rows for panel in row], width)
    height = sum(_TITLE + _CELL * _aspect(row[0]) + _GAP for row in rows) + _LINE * (len(notes) + 1) + _GAP
    drawn = Picture(figsize=(width, height), dpi=120, facecolor="white")
    FigureCanvasAgg(drawn)

    def place(x: float, y: float, wide: float, high: float) -> Any:
        return drawn.add_axes((x / width, (height - y - high) / height, wide / width, high / height))

    y = 0.0
    for row in rows:
        y, high = y + _TITLE, _CELL * _aspect(row[0])
        if photo:
            _photo(place(_GAP, y, _CELL, high), row[0])
        for i, panel in enumerate(row):
            x = _GAP + first + i * step
            axis = place(x, y, _CELL, high)
            _overlay(axis, panel, alpha, named=not photo)
            if i == 0 or panel.predictions != row[i - 1].predictions:
                _answers(axis, panel, high)
            _bar(drawn, place(x + _CELL + 0.06, y + 0.02, 0.11, high - 0.04), panel, int(13 * high))
        y += high + _GAP
    _write_below(drawn, notes, _footer(rows), height)
    for text in drawn.findobj(Text):
        text.set_parse_math(False)  # a "$" in a file's name or a label is no formula
    return drawn


def _aspect(panel: Panel) -> float:
    """Height over width, kept within what a row can show."""
    height, width = panel.photo.shape[:2]
    return float(np.clip(height / width, 0.3, 2.0))


def _photo(axis: Any, panel: Panel) -> None:
    axis.imshow(panel.photo, interpolation="antialiased")
    axis.set_axis_off()
    axis.set_title(_cut(panel.name, 34), fontsize=10)


def _overlay(axis: Any, panel: Panel, alpha: float, named: bool) -> None:
    """The heat over the greyed photo, the unseen hatched."""
    axis.set_axis_off()
    axis.set_anchor("E")  # beside its colour bar, also where the photo is narrower than its cell
    axis.imshow(blend(panel, alpha), interpolation="antialiased")
    for x, y, wide, high in _unseen(panel):
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), wide, high, fill=False, hatch="////", ec="#ffffffaa", lw=0))
    whose = f"{_cut(panel.name, 26)}: " if named else ""
    axis.set_title(f"{whose}{panel.method}  ·  {_cut(panel.label, 26 if named else 32)}", fontsize=10)


def _unseen(panel: Panel) -> list[tuple[int, int, int, int]]:
    """What the network did not see, as bands (x, y, width, height) around what it saw."""
    seen = np.isfinite(panel.heat)
    height, width = seen.shape
    if seen.all():
        return []
    if not seen.any():
        return [(0, 0, width, height)]
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    bands = [
        (0, 0, width, top),
        (0, bottom, width, height - bottom),
        (0, top, left, bottom - top),
        (right, top, width - right, bottom - top),
    ]
    return [band for band in bands if band[2] and band[3]]


def _cut(text: str, letters: int) -> str:
    """`text` in at most so many letters."""
    plain = " ".join(text.split())
    return plain if len(plain) <= letters else plain[: letters - 1] + "…"


def _bar(drawn: Figure, axis: Any, panel: Panel, letters: int) -> None:
    """The colour bar, in raw units, named in lines of so many letters."""
    colours = ScalarMappable(_norm(panel), colormaps[SIGNED if panel.signed else HEAT])
    bar = drawn.colorbar(colours, cax=axis, extend=_extend(panel), extendfrac=0.03)
    bar.ax.tick_params(labelsize=7)
    bar.ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    bar.ax.yaxis.get_offset_text().set_fontsize(7)
    bar.set_label(textwrap.fill(panel.unit, letters), fontsize=6.5 if letters > 20 else 5)


def _norm(panel: Panel) -> Normalize:
    top = panel.top or 1.0
    return Normalize(-top if panel.signed else 0.0, top)


def _extend(panel: Panel) -> Any:
    if not panel.clipped:
        return "neither"
    return "both" if panel.signed else "max"


def blend(panel: Panel, alpha: float) -> NDArray[np.float32]:
    """The overlay's pixels (h, w, 3) in [0, 1]: more heat hides more of the greyed photo; unseen parts are pale."""
    heat, top = panel.heat, panel.top or 1.0
    luma = panel.photo.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    grey = np.repeat(luma[..., None], 3, axis=2)
    share = np.nan_to_num(heat / top).clip(-1, 1)
    colours = colormaps[SIGNED if panel.signed else HEAT]
    paint = colours((share + 1) / 2 if panel.signed else share)[..., :3].astype(np.float32)
    cover = alpha * np.sqrt(np.abs(share))[..., None]
    mixed = grey * (1 - cover) + paint * cover
    unseen = ~np.isfinite(heat)
    mixed[unseen] = 0.55 + 0.3 * grey[unseen]
    return np.asarray(mixed, np.float32)


def _answers(axis: Any, panel: Panel, high: float) -> None:
    """The top answers, the explained class marked, in the corner where they hide least of a picture so `high`."""
    if not panel.predictions:
        return
    lines = [_line(one, one.index in panel.marked) for one in panel.predictions]
    if panel.marked and not any(one.index in panel.marked for one in panel.predictions):
        lines.append(f"▸ not among them: {_cut(panel.label, 20)}")
    lines = lines[: max(1, int(high / _ANSWER[1]) - 1)]
    width = max(map(len, lines))
    style: dict[str, Any] = {"fontsize": 7, "family": _fonts(), "color": "#1f2937"}
    marked = style | {"color": MARK, "weight": "bold"}
    texts: list[Any] = [
        TextArea(line.ljust(width), textprops=marked if line.startswith("▸") else style) for line in lines
    ]
    wide = min(_CELL, high * panel.photo.shape[1] / panel.photo.shape[0])
    right, upper = _quietest(panel, (len(lines) + 1) * _ANSWER[1] / high, (width + 3) * _ANSWER[0] / wide)
    corner: Any = f"{'upper' if upper else 'lower'} {'right' if right else 'left'}"
    box = AnchoredOffsetbox(corner, child=VPacker(children=texts, pad=0, sep=2.5), pad=0.5, borderpad=0.6)
    box.patch.set(facecolor="#ffffffd9", edgecolor="none", boxstyle="round,pad=0.1")
    axis.add_artist(box)


@cache
def _fonts() -> list[str]:
    """Even-width letters; for scripts that they lack, fonts that a machine may have."""
    there = set(get_font_names())
    more = ("Noto Sans Mono CJK JP", "Noto Sans CJK JP", "Hiragino Sans", "Microsoft YaHei", "Arial Unicode MS")
    return ["DejaVu Sans Mono", *(name for name in more if name in there)]


def _quietest(panel: Panel, high_share: float, wide_share: float) -> tuple[bool, bool]:
    """(right, upper) of the corner where a box of such shares hides least; lower left unless another is better."""
    size = np.nan_to_num(np.abs(panel.heat))
    high, wide = int(len(size) * min(1, high_share)) + 1, int(size.shape[1] * min(1, wide_share)) + 1
    mass = {
        (False, False): size[-high:, :wide].sum() * 0.8,
        (True, False): size[-high:, -wide:].sum(),
        (False, True): size[:high, :wide].sum(),
        (True, True): size[:high, -wide:].sum(),
    }
    return min(mass, key=lambda corner: float(mass[corner]))


def _line(one: Prediction, marked: bool) -> str:
    name = _cut(one.label, 20)
    number = f"{one.probability:6.1%}" if one.probability is not None else f"{one.score:8.3g}"
    return f"{'▸' if marked else ' '} {number} {name}"


def _notes(panels: Sequence[Panel], width: float) -> list[str]:
    """What a reader has to know, in lines that fit; hatching is explained where it is used."""
    letters = int(width * 14.5)
    lines = [
        line
        for note in dict.fromkeys(_note(panels, panel, one) for panel in panels for one in panel.warnings)
        for line in textwrap.wrap(f"⚠ {note}", letters, subsequent_indent="   ")
    ]
    if any(not np.isfinite(panel.heat).all() for panel in panels):
        lines.append("Hatched: cut off before the network saw it.")
    return lines


def _note(panels: Sequence[Panel], panel: Panel, one: Warning) -> str:
    """A warning, with whose it is unless it is everybody's."""
    shared = all(one in other.warnings for other in panels)
    return one.message if shared else f"{_cut(panel.name, 24)}, {panel.method}: {one.message}"


def _footer(rows: Sequence[Sequence[Panel]]) -> str:
    """How it was made: all of it for one picture, the model for a grid."""
    return rows[0][0].footer if len(rows) == len(rows[0]) == 1 else rows[0][0].footer.split("  ·  ")[0]


def _write_below(drawn: Figure, notes: list[str], footer: str, height: float) -> None:
    for i, line in enumerate((footer, *reversed(notes))):
        y = (0.08 + _LINE * i) / height
        size, colour = (8.0, DOUBT) if i else (7.0, "#6b7280")
        drawn.text(0.012, y, line, fontsize=size, color=colour, va="bottom")

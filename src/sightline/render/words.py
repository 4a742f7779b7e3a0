"""What is written around pictures: titles, notes, footers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from sightline.core.heats import Warning
from sightline.render.panel import Panel

Row = Sequence[Panel]
_WIDEST = 44  # letters that fit above a picture, beside the power of ten of a colour bar
_HOW_TO_READ = {
    "cut-out": "The photo shows where the heat is; the rest is faded.",
    "mask": "Outlined: the region that the map points at, cut along the photo's colours; dashed: its box.",
    "mask of slices": "Outlined: the one region with the highest heat in all slices; dashed: its box in each.",
}


def cut(text: str, letters: int) -> str:
    """`text` in at most so many letters."""
    plain = " ".join(text.split())
    return plain if len(plain) <= letters else plain[: letters - 1] + "…"


def number(value: float, digits: int = 3) -> str:
    """A value in a few digits: "−4.21", "1.5e−6"."""
    if 1000 <= abs(value) < 99999.5:
        digits = max(digits, len(f"{abs(value):.0f}"))
    mantissa, _, power = f"{value:.{digits}g}".partition("e")
    return (f"{mantissa}e{int(power)}" if power else mantissa).replace("-", "−")


def numbers(values: Sequence[float]) -> list[str]:
    """Values in as few digits as tell them apart."""
    told = [number(value) for value in values]
    for digits in range(4, 10):
        if len(set(told)) == len(set(values)):
            break
        told = [number(value, digits) for value in values]
    return told


def change(value: float) -> str:
    """A change with its sign: "+0.3", "−4.21"."""
    return f"+{number(value)}" if value > 0 else number(value)


def share(value: float) -> str:
    """A probability in per cent; a very small one is told from nothing."""
    if value == 0 or value >= 0.0005:
        return f"{value:.1%}"
    return f"{value:.2%}" if value >= 0.0001 else "<0.01%"


def title(panel: Panel, *, named: bool, labelled: bool) -> str:
    """What a picture shows: its photo's name and its target only where nothing else beside it says so."""
    method = f"{panel.method}, {panel.part}" if panel.part else panel.method
    room = _WIDEST - len(method)
    kept = min(len(panel.name), room // 2) if named else 0  # a long label leaves a name half of the room
    label = f"  ·  {cut(panel.label, max(8, room - kept - 7))}" if labelled else ""
    whose = f"{cut(panel.name, max(8, room - len(label) - 2))}: " if named else ""
    return whose + method + label


def row_label(row: Row) -> str:
    """The target that all of a row explains, or nothing."""
    return row[0].label if all(panel.label == row[0].label for panel in row) else ""


def doubts(panels: Row, width: float) -> list[str]:
    """The warnings, in lines that fit so many inches."""
    return doubted([_doubt(panels, panel, one) for panel in panels for one in panel.warnings], width)


def doubted(told: Sequence[str], width: float) -> list[str]:
    """What warnings tell, each once, in lines that fit so many inches."""
    wraps = (textwrap.wrap(f"⚠ {one}", int(width * 14.5), subsequent_indent="   ") for one in dict.fromkeys(told))
    return [line for wrapped in wraps for line in wrapped]


def hints(panels: Row, style: str, width: float) -> list[str]:
    """How to read what is drawn, in lines that fit so many inches; hatching is explained where it is used."""
    drawn = style in _HOW_TO_READ and (style != "mask" or any(panel.region is not None for panel in panels))
    told = [_HOW_TO_READ[f"{style} of slices" if style == "mask" and panels[0].captions else style]] if drawn else []
    alike = all(panel.smooth == panels[0].smooth for panel in panels)
    smoothed = dict.fromkeys(("" if alike else f", {one.method}", one.smooth) for one in panels if one.smooth)
    told += [f"Smoothed{whose}: σ = {sigma:g} pixels of the network's input." for whose, sigma in smoothed]
    if any(not np.isfinite(panel.heat).all() for panel in panels):
        told.append("Hatched: cut off before the network saw it.")
    return remarks(told, width)


def remarks(told: Sequence[str], width: float) -> list[str]:
    """Small print in lines that fit so many inches."""
    return [line for one in told for line in textwrap.wrap(one, int(width * 15.5))]


def _doubt(panels: Row, panel: Panel, one: Warning) -> str:
    """A warning, with whose it is unless it is everybody's."""
    shared = all(one in other.warnings for other in panels)
    return one.message if shared else f"{cut(panel.name, 24)}, {panel.method}: {one.message}"


def footer(rows: Sequence[Row]) -> str:
    """How it was made: all of it for one picture, the model for a grid."""
    return rows[0][0].footer if len(rows) == len(rows[0]) == 1 else rows[0][0].footer.split("  ·  ")[0]

"""Text that fits a room measured in inches: cut, or over several lines."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache, lru_cache

from matplotlib.font_manager import FontProperties, get_font_names
from matplotlib.textpath import TextToPath

_MEASURE = TextToPath()
_HINTED = 1.04  # letters drawn on whole pixels take up to so much more than their outlines


@cache
def fonts(first: str = "DejaVu Sans") -> list[str]:
    """`first`; for scripts that it lacks, fonts that a machine may have."""
    there = set(get_font_names())
    kind = "Noto Sans Mono" if first.endswith("Mono") else "Noto Sans"
    more = (f"{kind} CJK JP", "Noto Sans CJK JP", "Hiragino Sans", "Microsoft YaHei", "Arial Unicode MS")
    return [first, *(name for name in dict.fromkeys(more) if name in there)]


@lru_cache(maxsize=8192)
def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Inches that a line of text takes at most, at a font size in points."""
    font = FontProperties(family=fonts(), size=size, weight=weight)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a label in a script without a font here
        return float(_MEASURE.get_text_width_height_descent(text, font, ismath=False)[0]) / 72 * _HINTED


def shortened(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """`text` in one line of so many inches, cut where it has to be."""
    plain = " ".join(text.split())
    if width_of(plain, size, weight) <= inches:
        return plain
    kept = plain
    while kept and width_of(kept + "…", size, weight) > inches:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def lines_of(text: str, inches: float, size: float, weight: str = "normal", most: int | None = None) -> list[str]:
    """`text` in lines of so many inches; of more than `most` lines, the last is cut."""
    lines: list[str] = []
    for word in _words(text, inches, size, weight):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size, weight) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    if most is None or len(lines) <= most:
        return lines
    return [*lines[: most - 1], shortened(" ".join(lines[most - 1 :]), inches, size, weight)]


def _words(text: str, inches: float, size: float, weight: str) -> Iterator[str]:
    """The words of a text, in pieces where one is wider than a line."""
    for word in text.split():
        rest = word
        while width_of(rest, size, weight) > inches and len(rest) > 1:
            fitting = max((i for i in range(1, len(rest)) if width_of(rest[:i], size, weight) <= inches), default=1)
            yield rest[:fitting]
            rest = rest[fitting:]
        yield rest

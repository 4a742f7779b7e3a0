"""What walls of small pictures show, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightline.core.heats import Warning

Pixels = NDArray[np.uint8]
_PALE = 0.65  # of what is not known is white
_NEARLY_ALL = 0.995  # of the values lie within a scale, lest single ones hide the rest


@dataclass(frozen=True, eq=False)
class Tile:
    """A small picture (h, w, 3 or 4) uint8; the fourth channel is how much it covers of a checkerboard.

    `caption` stands above it, cut to fit, and `small` quietly below that. `box` (x0, y0, x1, y1), half open, in the
    picture's own pixels, is outlined on it.
    """

    pixels: Pixels
    caption: str = ""
    small: str = ""
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Scale:
    """A colour bar from `low` to `high` in raw `unit`s, in the `colours` of that matplotlib colormap.

    `beyond`: at which end some values lie beyond it.
    """

    low: float
    high: float
    colours: str
    unit: str
    beyond: Literal["neither", "min", "max", "both"] = "neither"

    def paint(self, values: Any, behind: Pixels | None = None) -> Pixels:
        """A raw map (h, w) in these colours: (h, w, 3) uint8; where it is NaN, a picture (h, w, 3) `behind` it, pale.

        Without one it is clear there, (h, w, 4).
        """
        from matplotlib import colormaps

        raw = np.asarray(values, np.float64)
        known = np.isfinite(raw)
        share = (np.where(known, raw, self.low) - self.low) / ((self.high - self.low) or 1.0)
        painted = np.asarray(colormaps[self.colours](share.clip(0, 1), bytes=True), np.uint8)
        if behind is not None:
            painted[~known, :3] = (_PALE * 255 + (1 - _PALE) * behind.mean(2, keepdims=True))[~known]
        if behind is not None or known.all():
            return painted[..., :3]
        painted[~known] = 0
        return painted

    def tile(self, values: Any, caption: str = "", small: str = "", behind: Pixels | None = None) -> Tile:
        """A tile of a raw map (h, w), painted as `paint` does."""
        return Tile(self.paint(values, behind), caption, small)


@dataclass(frozen=True, eq=False)
class Row:
    """Tiles that belong together, under or beside a `heading` where there is one."""

    heading: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, eq=False)
class Wall:
    """Rows of tiles under a title, with one colour bar for all where a `scale` is given.

    `columns`: tiles side by side before a row goes on in the next line; None: as many as look well. `about`: a line
    below the title.
    """

    title: str
    rows: tuple[Row, ...]
    footer: str = ""
    warnings: tuple[Warning, ...] = ()
    scale: Scale | None = None
    columns: int | None = None
    about: str = ""


@dataclass(frozen=True, eq=False)
class Bars:
    """A picture beside a bar for each of `names`, its value in raw `unit`s; otherwise as a Wall."""

    title: str
    picture: Tile
    names: tuple[str, ...]
    values: tuple[float, ...]
    unit: str
    footer: str = ""
    warnings: tuple[Warning, ...] = ()
    about: str = ""


def scale_for(values: Any, unit: str, *, signed: bool = False) -> Scale:
    """A scale for raw values: from 0 up, or to both sides of 0 alike where some are negative; NaN is left out.

    `signed`: to both sides in any case. Its end is the 99.5th percentile of the sizes, as in the colour bars of heat.
    """
    from sightline.render.paint import HEAT, SIGNED

    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    sizes = np.abs(known)
    most = float(sizes.max(initial=0.0))
    top = float(np.quantile(sizes, _NEARLY_ALL, method="higher")) if most else 0.0
    top = top or most or 1.0
    above, below = bool((known > top * 1.0001).any()), bool((known < -top * 1.0001).any())
    beyond: Any = {(True, True): "both", (True, False): "max", (False, True): "min"}.get((above, below), "neither")
    signed = signed or bool((known < 0).any())
    return Scale(-top if signed else 0.0, top, SIGNED if signed else HEAT, unit, beyond)

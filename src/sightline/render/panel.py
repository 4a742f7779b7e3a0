"""What one picture shows, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightline.core.heats import Prediction, Warning


@dataclass(frozen=True, eq=False)
class Panel:
    """A photo (h, w, 3) uint8 and its heat (h, w) in raw `unit`s, NaN where unseen; `marked` classes stand out.

    Of a volume or clip (d, h, w, 3) and (d, h, w), with the `captions` of its slices. `smooth`: how far the heat was
    smoothed, sigma in pixels of the input. `region` (h, w), bool: what the map points at, where that is to be
    outlined. `boxes` (x0, y0, x1, y1) in pixels of `photo`: what is asked about, outlined. `part`: which half of a
    signed map the heat is; `scale`: the raw value of the colour bar's end where it is not this panel's own.
    """

    photo: NDArray[Any]
    heat: NDArray[np.float32]
    signed: bool
    name: str
    method: str
    label: str
    unit: str
    predictions: tuple[Prediction, ...]
    marked: tuple[int, ...]
    warnings: tuple[Warning, ...]
    footer: str
    smooth: float = 0.0
    region: NDArray[np.bool_] | None = None
    part: Literal["", "positive", "negative"] = ""
    scale: float | None = None
    captions: tuple[str, ...] = ()
    boxes: tuple[Sequence[float], ...] = ()

    @property
    def top(self) -> float:
        """The raw value of the colour bar's end: the 99.5th percentile, lest single pixels hide the rest."""
        if self.scale is not None:
            return self.scale
        size = np.abs(self.heat[np.isfinite(self.heat)])
        if not size.size or not size.max() > 0:
            return 0.0
        cut = float(np.quantile(size, 0.995))
        return cut if cut > 0 else float(size.max())

    @property
    def bounds(self) -> tuple[float, float]:
        """The raw values that the colour bar runs from and to."""
        top = self.top or 1.0
        return (-top if self.signed and self.part != "positive" else 0.0, 0.0 if self.part == "negative" else top)

    @property
    def clipped(self) -> bool:
        """Whether some values lie beyond the colour bar's end."""
        return bool(np.nanmax(np.abs(self.heat), initial=0.0) > self.top * 1.0001)

    def slice(self, index: int) -> Panel:
        """One slice of a volume, on the scale of all."""
        region = None if self.region is None else self.region[index]
        return replace(
            self, photo=self.photo[index], heat=self.heat[index], region=region, scale=self.top, captions=()
        )

    def halves(self) -> tuple[Panel, Panel]:
        """The positive and the negative part of the map, on one scale."""
        shared = replace(self, signed=True, scale=self.top)
        return (
            replace(shared, heat=np.maximum(self.heat, 0), part="positive"),
            replace(shared, heat=np.minimum(self.heat, 0), part="negative"),
        )

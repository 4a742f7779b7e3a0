"""What one picture shows, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.core.heats import Prediction, Warning


@dataclass(frozen=True, eq=False)
class Panel:
    """A photo (h, w, 3) uint8 and its heat (h, w) in raw `unit`s, NaN where unseen; `marked` classes stand out."""

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

    @property
    def top(self) -> float:
        """The raw value of the colour bar's end: the 99.5th percentile, lest single pixels hide the rest."""
        size = np.abs(self.heat[np.isfinite(self.heat)])
        if not size.size or not size.max() > 0:
            return 0.0
        cut = float(np.quantile(size, 0.995))
        return cut if cut > 0 else float(size.max())

    @property
    def clipped(self) -> bool:
        """Whether some values lie beyond the colour bar's end."""
        return bool(np.nanmax(np.abs(self.heat), initial=0.0) > self.top * 1.0001)

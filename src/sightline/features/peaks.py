"""Where maps are strongest: one peak per map, and the highest of many, without keeping the maps."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Peak:
    """A map's highest value, its position (y, x) in the map, and the number of the photo that it is from."""

    score: float
    position: tuple[int, ...]
    photo: int


def peaks_of(maps: Tensor) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Of each map (N, *grid) its highest value and where it is, the first in reading order of equal ones."""
    flat = maps.detach().reshape(len(maps), -1)
    places = flat.argmax(1)
    for score, place in zip(flat.amax(1).tolist(), places.tolist(), strict=True):
        yield score, tuple(int(i) for i in np.unravel_index(place, maps.shape[1:]))


@dataclass
class Highest:
    """The highest `count` of all peaks that were offered; of equal ones, those offered first."""

    count: int
    _heap: list[tuple[float, int, Peak]] = field(default_factory=list)

    def offer(self, peak: Peak) -> None:
        """Keep a peak if it is among the highest so far."""
        entry = (peak.score, -peak.photo, peak)
        if len(self._heap) < self.count:
            heapq.heappush(self._heap, entry)
        elif entry[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, entry)

    @property
    def peaks(self) -> list[Peak]:
        """The highest first."""
        return [peak for *_, peak in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]

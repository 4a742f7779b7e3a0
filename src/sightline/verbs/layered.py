"""What a layer puts out for many photos, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sightline.core.errors import LayerError
from sightline.core.heats import Warning
from sightline.network.net import Net
from sightline.verbs.crowd import Crowd, Member

Progress = Callable[[int], object]


@dataclass
class Layered:
    """A crowd of photos and the layer that is read; `notes` fill with what a reader of the result has to know.

    `mapped`: whether the layer holds a map of a photo, known once the first batch was read.
    """

    crowd: Crowd
    layer: str
    progress: Progress | None = None
    mapped: bool = False
    notes: dict[str, Warning] = field(default_factory=dict)

    def batches(self) -> Iterator[tuple[list[Member], Tensor]]:
        """(members, what the layer puts out (n, C, *grid), without a gradient). Raises LayerError, NetworkError."""
        model = self.crowd.model
        for members, images in self.crowd.batches():
            with model.lend(images) as net:
                net.progress = self.progress or net.progress
                maps, runs = net.outputs(images, self.layer)
                self.mapped = net.layout(images, self.layer) is not None
                self.note(net, runs)
            if maps.ndim > 2 and not self.mapped:
                raise LayerError(f"layer {self.layer!r} puts out {tuple(maps.shape)}, which is no map of a photo.")
            yield members, maps.float()

    def all(self) -> tuple[list[Member], Tensor]:
        """All of them at once, on the CPU: (members, (n, C, *grid) float32)."""
        parts = [(members, maps.cpu()) for members, maps in self.batches()]
        return [one for members, _ in parts for one in members], torch.cat([maps for _, maps in parts])

    def note(self, net: Net, runs: int) -> None:
        """Keep the warnings of a pass in which the layer ran so often."""
        self.notes |= {one.code: one for one in net.warnings}
        if runs > 1:
            message = f"layer {self.layer!r} runs {runs} times in one pass; its last run is read."
            self.notes["layer-runs-twice"] = Warning("layer-runs-twice", message)

    @property
    def warnings(self) -> tuple[Warning, ...]:
        """The model's own, the crowd's, and those of the passes."""
        return (*self.crowd.model.warnings, *self.crowd.warnings, *self.notes.values())

"""A network together with what it takes to show it a photo and to read its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.core.heats import Warning
from sightline.core.targets import Target, mapped
from sightline.core.words import Said
from sightline.network.adapters import owned
from sightline.network.hooks import device_of
from sightline.network.net import Net, lend
from sightline.network.packing import Packing
from sightline.network.readout import Readout
from sightline.network.trace import Trace
from sightline.photos.decode import Photo, open_photo, photos_of
from sightline.photos.geometry import Geometry, View
from sightline.photos.volumes import Volume, open_volume, volumes_of

CHUNK = 8  # images at once: on one core larger chunks were no faster, and their memory grows
WIDE_CHUNK = 32  # on an accelerator, which has more to calculate with; halved where they do not fit


@dataclass(eq=False)
class Model:
    """A network, its preprocessing and its labels; made by `load` and `wrap`.

    `mean` and `std` are per channel, of pixels in [0, 1]; None leaves pixels as they are. `words`: what a text means
    to a network that reads text beside the image.
    """

    network: nn.Module
    geometry: Geometry
    channels: int = 3
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = None
    layer: str | None = None
    output: str = "auto"
    batch_size: int | None = None
    source: str = "wrap"
    weights: str | None = None
    warnings: tuple[Warning, ...] = field(default=())
    words: Callable[[Said], Target] | None = field(default=None, repr=False)
    _packing: Packing = field(default_factory=Packing, init=False, repr=False)

    @property
    def input_size(self) -> tuple[int, ...]:
        """(h, w) of the network's input; (d, h, w) of one that takes volumes or clips."""
        return self.geometry.size

    @property
    def of_volumes(self) -> bool:
        """Whether the network takes volumes or clips, and not photos."""
        return len(self.input_size) == 3

    def open(self, source: object) -> Photo | Volume:
        """A photo, or a volume or clip, as this network takes it. Raises PhotoError."""
        if self.of_volumes:
            return open_volume(source, channels=self.channels, frames=self.input_size[0])
        return open_photo(source, channels=self.channels)

    def sources(self, given: object) -> tuple[list[Any], bool]:
        """One or many: what is to be opened, in order, and True where it is one. Raises PhotoError."""
        return volumes_of(given) if self.of_volumes else photos_of(given)

    @property
    def at_once(self) -> int:
        """How many images go through the network together."""
        return self.batch_size or (CHUNK if self.device.type == "cpu" else WIDE_CHUNK)

    @property
    def device(self) -> torch.device:
        """Where the network calculates."""
        return device_of(self.network)

    def to(self, device: str | torch.device) -> Model:
        """This model with its network moved to `device`, as torch's own `to`."""
        move(self.network, device)
        return self

    def label(self, index: int) -> str:
        """The name of class `index`; "class 7" where there are no labels."""
        return self.labels[index] if self.labels and index < len(self.labels) else f"class {index}"

    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be looked into, in the order in which they finish, the deepest last."""
        return self.traced().names()

    @property
    def default_layer(self) -> str:
        """The layer that layer methods read when none is named. Raises LayerError where there is none."""
        return self.layer or self.traced().default()

    @property
    def readout(self) -> Readout:
        """What the network's output is, and which score is explained."""
        with self.lend(self._sample()) as net:
            return net.readout

    def resolved(self, target: Target) -> Target:
        """The target with every text in it as what it means to this network. Raises TargetError."""
        return mapped(target, lambda one: one.meant(self.words) if isinstance(one, Said) else one)

    def tensor(self, photo: Photo | Volume) -> tuple[Tensor, View]:
        """A photo or volume as the network's normalized input (C, *input_size), and the way back."""
        view = self.geometry.view(*photo.size)
        pixels = torch.from_numpy(view.to_input(photo))
        return self.normalize(pixels).to(self.device), view

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels in [0, 1], (C, ...), in the network's units."""
        mean, std = self._statistics()
        shape = (-1, *[1] * (pixels.ndim - 1))
        return (pixels - mean.view(shape)) / std.view(shape)

    def _statistics(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.mean or (0.0,) * self.channels), torch.tensor(self.std or (1.0,) * self.channels)

    @contextmanager
    def lend(self, images: Tensor) -> Iterator[Net]:
        """The network on loan for normalized images (N, C, h, w)."""
        mean, std = self._statistics()
        levels = (-mean / std, (1 - mean) / std)
        borrowed = lend(
            self.network, images, output=self.output, levels=levels, chunk=self.at_once, packing=self._packing
        )
        with borrowed as net:
            yield net

    def recipe(self) -> dict[str, Any]:
        """How this model was made, as plain values."""
        return {
            "weights": self.weights,
            "network": type(owned(self.network)).__name__,
            "input_size": list(self.input_size),
            "channels": self.channels,
            "resize": self.geometry.resize,
            "short": self.geometry.short,
            "interpolation": self.geometry.interpolation,
            "mean": self.mean,
            "std": self.std,
            "output": self.output,
            "device": str(self.device),
            "batch_size": self.at_once,
        }

    def _sample(self) -> Tensor:
        noise = torch.rand(self.channels, *self.input_size, generator=torch.Generator().manual_seed(0))
        return self.normalize(noise)[None].to(self.device)

    def traced(self) -> Trace:
        """What happens inside the network for an image of its input's size; found out once."""
        sample = self._sample()
        with self.lend(sample) as net:
            return net.trace(sample)

    def __repr__(self) -> str:
        classes = f"{len(self.labels)} labels" if self.labels else "no labels"
        size = "x".join(map(str, self.input_size))
        return f"Model({self.source!r}, {size}, {classes}, {self.geometry.resize})"


def move(network: nn.Module, device: str | torch.device) -> None:
    """`network` to a device. Raises ModelError where there is no such device, or no room on it."""
    with _on(device):
        network.to(device)


def check_device(device: str | torch.device) -> None:
    """Refuse a device that there is not. Raises ModelError."""
    with _on(device):
        torch.empty(0, device=device)


@contextmanager
def _on(device: str | torch.device) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ModelError(f"device={str(device)!r}: {str(error).splitlines()[0]}") from error

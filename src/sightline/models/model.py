"""A network together with what it takes to show it a photo and to read its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sightline.core.errors import LayerError, ModelError, near
from sightline.core.heats import Warning
from sightline.network.hooks import FunctionNetwork, as_network, device_of
from sightline.network.net import Net, lend
from sightline.network.packing import Packing
from sightline.network.readout import OUTPUTS, Readout
from sightline.network.trace import Trace
from sightline.photos.decode import Photo
from sightline.photos.geometry import Geometry, View

CHUNK = 8  # images at once: on one core larger chunks were no faster, and their memory grows


@dataclass(eq=False)
class Model:
    """A network, its preprocessing and its labels; made by `load` and `wrap`.

    `mean` and `std` are per channel, of pixels in [0, 1]; None leaves pixels as they are.
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
    _packing: Packing = field(default_factory=Packing, init=False, repr=False)

    @property
    def input_size(self) -> tuple[int, int]:
        """(h, w) of the network's input."""
        return self.geometry.size

    @property
    def at_once(self) -> int:
        """How many images go through the network together."""
        return self.batch_size or CHUNK

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

    def tensor(self, photo: Photo) -> tuple[Tensor, View]:
        """A photo as the network's normalized input (C, h, w), and the way back."""
        view = self.geometry.view(photo.height, photo.width)
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
            "network": type(self.network).__name__,
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
        height, width = self.input_size
        return f"Model({self.source!r}, {height}x{width}, {classes}, {self.geometry.resize})"


def wrap(
    network: nn.Module | Callable[[Tensor], Any],
    *,
    input_size: int | tuple[int, int],
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    channels: int = 3,
    labels: Sequence[str] | None = None,
    layer: str | None = None,
    resize: Literal["crop", "squash", "pad"] = "crop",
    output: str = "auto",
    device: str | torch.device | None = None,
    batch_size: int | None = None,
) -> Model:
    """A Model from any `torch.nn.Module`, or from any function (N, C, h, w) in [0, 1] -> (N, K) scores.

    `input_size`: a side, or (h, w). `mean`, `std`: of pixels in [0, 1], one number or one per channel; without
    them pixels go in as [0, 1], and results say so. `resize`: "crop" scales the short side to 8/7 of the input
    and takes the centre, "squash" squeezes the whole photo in, "pad" fits it with a border. `output`: "auto",
    "logits", "probabilities", "multilabel" or "regression". `layer`: what layer methods read by default.
    Raises ModelError, LayerError, NetworkError.
    """
    module = as_network(network)
    size = _size(input_size)
    if resize not in ("crop", "squash", "pad"):
        raise ModelError(f"resize={resize!r}; possible: 'crop', 'squash', 'pad'.")
    if output not in OUTPUTS:
        raise ModelError(f"output={output!r}; possible: {', '.join(OUTPUTS)}.")
    for name, given in (("batch_size", 1 if batch_size is None else batch_size), ("channels", channels)):
        if not _is_count(given):
            raise ModelError(f"{name}={given!r}; it has to be 1 or more, a whole number.")
    if isinstance(labels, str) or not isinstance(labels, Iterable | None):
        raise ModelError(f"labels={labels!r}; give a list of names, one for each class.")
    if layer is not None:
        _check_layer(module, layer)
    if device is not None:
        move(module, device)
    means, deviations = _per_channel("mean", mean, channels), _per_channel("std", std, channels)
    fill = means or (0.5,) * channels
    return Model(
        module,
        Geometry(size, resize=resize, fill=fill),
        channels,
        means,
        deviations,
        tuple(map(str, labels)) if labels is not None else None,
        layer,
        output,
        batch_size,
        source=getattr(network, "__name__", type(module).__name__),
        warnings=_unnormalized(network, mean, std),
    )


def move(network: nn.Module, device: str | torch.device) -> None:
    """`network` to a device. Raises ModelError where there is no such device."""
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device={str(device)!r}: {str(error).splitlines()[0]}") from error


def _is_count(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given > 0


def _size(given: Any) -> tuple[int, int]:
    size = tuple(given) if isinstance(given, list | tuple) else (given, given)
    if len(size) != 2 or not all(map(_is_count, size)):
        raise ModelError(f"input_size={given!r}; give a side in pixels, or (height, width).")
    return size


def _unnormalized(network: Any, mean: Any, std: Any) -> tuple[Warning, ...]:
    """A network that was trained on normalized pixels and gets [0, 1] answers, and answers wrongly."""
    if mean is not None or std is not None or not isinstance(network, nn.Module):
        return ()
    message = "no mean and std were given: pixels go in as [0, 1]. Give those that the network was trained with."
    return (Warning("not-normalized", message),)


def _per_channel(what: str, given: float | Sequence[float] | None, channels: int) -> tuple[float, ...] | None:
    if given is None:
        return None
    try:
        values = (float(given),) * channels if isinstance(given, int | float) else tuple(map(float, given))
    except (TypeError, ValueError):
        raise ModelError(f"{what}={given!r}; give a number, or one for each of {channels} channels.") from None
    if len(values) != channels:
        raise ModelError(f"{what}={given} has {len(values)} numbers for {channels} channels.")
    if what == "std" and not all(value > 0 for value in values):
        raise ModelError(f"std={given}: all have to be above zero.")
    if what == "mean" and not all(0 <= value <= 1 for value in values):
        raise ModelError(f"mean={given}: it is of pixels in [0, 1]; divide one of pixels in 0..255 by 255.")
    return values


def _check_layer(module: nn.Module, layer: str) -> None:
    names = [name for name, _ in module.named_modules() if name]
    if layer not in names:
        if isinstance(module, FunctionNetwork):
            raise LayerError(f"layer={layer!r}: a function has no layers to look into.")
        raise LayerError(f"no layer named {layer!r}; {near(layer, names)}")

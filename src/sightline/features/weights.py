"""A layer's weights as kernels: what each of its outputs takes of each of its inputs, and where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy

from sightline.core.errors import LayerError, near
from sightline.network.trace import Trace

KINDS = (_ConvNd, nn.Linear)  # layers that have kernels, transposed convolutions among them
_SHOWN = 4  # names of layers in an error


@dataclass(frozen=True, eq=False)
class Kernels:
    """A layer's weights (out, in of its group, *kernel), float32 on the CPU; `kind` is what the layer is called.

    A linear layer has kernels (out, C, *grid) where it reads a map (C, *grid) laid flat, and else (out, in). A
    transposed convolution's kernel is what an input paints into the output.
    """

    layer: str
    kind: str
    values: Tensor
    groups: int


def layers_with_kernels(network: nn.Module) -> tuple[str, ...]:
    """The names of the convolutions and linear layers in a network, in its own order; "" where it is one itself."""
    return tuple(name for name, module in network.named_modules() if _has_kernels(module))


def kernels_of(network: nn.Module, name: str, maps: Sequence[tuple[int, ...]] = ()) -> Kernels:
    """The kernels of layer `name`; a linear layer reads the first of the `maps` (C, *grid) that fits it, laid flat.

    Raises LayerError where there is no such layer, or it has no kernels.
    """
    layer = _layer(network, name)
    if not isinstance(layer, KINDS):
        values = _keras_kernels(layer)
        mirrored = getattr(network, "flip", False) and values.shape[1] == 3  # a first layer that reads BGR
        return Kernels(name, type(layer).__name__, values.flip(1) if mirrored else values, _groups(layer))
    if is_lazy(layer.weight):
        raise LayerError(f"layer {name!r} has no weights yet: run the network once before.")
    values = layer.weight.detach().to("cpu", torch.float32, copy=True)
    groups = _groups(layer)
    if isinstance(layer, _ConvTransposeNd):  # (in, out of a group, *kernel)
        values = values.reshape(groups, -1, *values.shape[1:]).transpose(1, 2).flatten(0, 1).contiguous()
    if isinstance(layer, nn.Linear):
        read = next((one for one in maps if math.prod(one) == layer.in_features), None)
        values = values if read is None else values.reshape(-1, *read)
    return Kernels(name, type(layer).__name__, values, groups)


def maps_before(trace: Trace, name: str, image: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes (C, *grid) of the maps that a layer may read laid flat, the last first, at the end the `image`.

    None for a layer that is applied at every place: it reads no map as a whole.
    """
    at = next((i for i, step in enumerate(trace.steps) if step.name == name), None)
    if at is None or len(trace.steps[at].shape) != 2:
        return []
    layouts = [(step.layout, step.shape[1:]) for step in reversed(trace.steps[:at])]
    return [*(shape for layout, shape in layouts if layout and layout.kind == "first" and layout.cells > 1), image]


def plane(kernel: Tensor) -> Tensor:
    """A kernel as a flat picture (h, w): one row for one dimension; the slices of three side by side, NaN between."""
    if kernel.ndim < 2:
        return kernel.reshape(1, -1)
    if kernel.ndim == 2:
        return kernel
    slices = kernel.flatten(0, -3)
    gap = kernel.new_full((kernel.shape[-2], 1), torch.nan)
    parts = [part for one in slices for part in (gap, one)]
    return torch.cat(parts[1:], 1)


def strongest(values: Tensor, most: int) -> list[int]:
    """Which `most` of the rows of (n, ...) have the largest norm, in their own order."""
    norms = values.flatten(1).norm(dim=1)
    return sorted(norms.argsort(descending=True, stable=True)[:most].tolist())


def _groups(layer: Any) -> int:
    return int(getattr(layer, "groups", 1))


def _has_kernels(module: nn.Module) -> bool:
    return isinstance(module, KINDS) or isinstance(_keras_kernel(module), Tensor)


def _keras_kernel(layer: Any) -> Any:
    """A Keras layer's kernel as its library keeps it; None for a layer without one."""
    return getattr(getattr(layer, "kernel", None), "value", None)


def _keras_kernels(layer: Any) -> Tensor:
    """A Keras layer's kernel, (*kernel, in, out) there, as (out, in, *kernel), or (out, in) of a dense layer."""
    values: Tensor = _keras_kernel(layer).detach().to("cpu", torch.float32, copy=True)
    kind = type(layer).__name__
    if "Depthwise" in kind:  # (*kernel, in, multiplier): each input channel has outputs of its own
        return values.flatten(-2)[..., None, :].movedim((-1, -2), (0, 1)).contiguous()
    last = (-2, -1) if "Transpose" in kind else (-1, -2)  # transposed ones are (*kernel, out, in)
    return values.movedim(last, (0, 1)).contiguous()


def _layer(network: nn.Module, name: str) -> Any:
    """The convolution or linear layer of that name. Raises LayerError."""
    having = layers_with_kernels(network)
    try:
        layer = network.get_submodule(name) if isinstance(name, str) else None
    except AttributeError:
        layer = None
    if layer is not None and _has_kernels(layer):
        return layer
    if not having:
        raise LayerError(
            f"{type(network).__name__} has no layer with kernels, no convolution and no linear layer of torch.nn "
            "or Keras."
        )
    what = (
        f"no layer named {name!r}" if layer is None else f"layer {name!r}, a {type(layer).__name__}, has no kernels"
    )
    some = ", ".join(having[:_SHOWN]) + (f" and {len(having) - _SHOWN} more" if len(having) > _SHOWN else "")
    hint = near(str(name), having)
    raise LayerError(f"{what}; {hint}" + ("" if hint.startswith("possible") else f" Layers with kernels: {some}."))

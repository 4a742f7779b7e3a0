"""Class activation maps: a layer's activations, weighted. They differ only in the weighting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sightline.core.errors import LayerError
from sightline.core.heats import Heat, Warning
from sightline.core.targets import Target
from sightline.network.net import Net, passes

Weighting = Callable[[Tensor, Tensor], Tensor]
_ENLARGE = {1: "linear", 2: "bilinear", 3: "trilinear"}


def grad_cam(acts: Tensor, grads: Tensor) -> Tensor:
    """One weight per channel: its mean gradient (arXiv:1610.02391)."""
    return grads.flatten(2).mean(2).view(*grads.shape[:2], *[1] * (grads.ndim - 2))


def cam(net: Net, images: Tensor, target: Target, *, weigh: Weighting = grad_cam, layer: str | None = None) -> Heat:
    """The signed weighted sum of a layer's channels, (B, 1, *spatial), enlarged to the input grid.

    `layer` None takes the last map on which the score still depends. Raises LayerError for a layer without one.
    """
    name = layer or net.default_layer(images)
    layout = net.layout(images, name)
    if layout is None:
        raise LayerError(f"layer {name!r} holds no map of the input; try {net.default_layer(images)!r}.")
    reading = net.look(images, target, name)
    maps = [
        (weigh(acts, grads) * acts).sum(1, keepdim=True)
        for acts, grads in zip(reading.acts[name], reading.grads[name], strict=True)
    ]
    enlarged = torch.stack([enlarge(one, images.shape[2:]) for one in maps]).sum(0)
    warnings = _doubts(net, images, name, [tuple(one.shape[2:]) for one in maps])
    return Heat(enlarged, spent=passes(1, 1, len(images)), layer=name, warnings=warnings)


def enlarge(maps: Tensor, spatial: torch.Size) -> Tensor:
    """Maps (B, 1, *grid) on the input grid: linear along each axis, corners not aligned."""
    mode: Any = _ENLARGE.get(len(spatial))
    if mode is None:
        raise LayerError(f"a map of {len(spatial)} spatial dimensions cannot be enlarged; 1 to 3 can.")
    return F.interpolate(maps, size=tuple(spatial), mode=mode, align_corners=False)


def _doubts(net: Net, images: Tensor, name: str, grids: list[tuple[int, ...]]) -> tuple[Warning, ...]:
    """What makes a CAM at this layer say less than it seems to."""
    found = []
    if len(grids) > 1:
        message = f"layer {name!r} runs {len(grids)} times in one pass; the map is the sum over its runs."
        found.append(Warning("layer-runs-twice", message))
    if all(max(grid) == 1 for grid in grids):
        message = (
            f"layer {name!r} lies after the global pooling: one value for the whole picture says nothing about "
            f"places. Use layer={net.default_layer(images)!r}."
        )
        found.append(Warning("layer-after-pooling", message))
    return tuple(found)

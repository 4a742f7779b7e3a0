"""What a layer puts out for photos: a map for each channel, or a number."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sightline.core.errors import LayerError, near
from sightline.network.net import Net


@dataclass(frozen=True, eq=False)
class Shown:
    """What `layer` put out for one image: (C, *grid), or (C,) where it has no map; float32 on the CPU.

    `runs`: how often the layer ran; this is its last run.
    """

    layer: str
    values: Tensor
    runs: int = 1


def shown(net: Net, images: Tensor, layer: str) -> list[Shown]:
    """What a layer puts out for each of images (N, C, *spatial), tokens laid out as the map that they are.

    Raises LayerError for a layer that does not run, or whose output is neither a map of the image nor a vector.
    """
    put_out, runs = net.outputs(images, layer)
    mapped = net.layout(images, layer) is not None
    if len(put_out) != len(images) or not (mapped or put_out.ndim == 2):
        possible = [step.name for step in net.trace(images).maps()]
        raise LayerError(
            f"layer {layer!r} puts out {tuple(put_out.shape)} for {len(images)} photos: neither a map of each nor a "
            f"vector; {near(layer, possible)}"
        )
    return [Shown(layer, one.detach().to("cpu", torch.float32, copy=True), runs) for one in put_out]


def strength(values: Tensor) -> Tensor:
    """How strongly each channel of (C, *grid) answers, (C,): the mean over its places of what is above zero.

    A single number stands for itself, with its sign.
    """
    flat = values.flatten(1) if values.ndim > 1 else values[:, None]
    return flat[:, 0] if flat.shape[1] == 1 else flat.clamp_min(0).mean(1)


def strongest_first(strengths: Tensor) -> tuple[int, ...]:
    """The channels in falling order of strength; equals in their own order."""
    return tuple(strengths.argsort(descending=True, stable=True).tolist())

"""Models of every source, with random weights: what the support matrix asks."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

import sightline as sl


@dataclass(frozen=True)
class Row:
    """A model of a source, as its row reads; `load` takes a folder to write in. `small`: also in the usual run."""

    source: str
    name: str
    load: Any
    small: bool = False

    def __str__(self):
        return f"{self.source} {self.name}"


def lively(model):
    """A model with random weights whose answers depend on its input.

    Heads that start at zero, and layer scales close to it, hide everything: every parameter is given some size. Batch
    norms get the statistics of a few pictures, without which a deep network's signal dies on the way.
    """
    network, dice = model.network, torch.Generator().manual_seed(0)
    norms = [one for one in network.modules() if isinstance(one, BatchNorm)]
    pictures = torch.rand(4, model.channels, *model.input_size, generator=dice)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.is_floating_point() and not parameter.abs().max() > 1e-3:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=dice))
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.train().momentum = 1.0
        if norms:
            network(torch.stack([model.normalize(picture) for picture in pictures]))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval().momentum = momentum
    return model


def _named(source, *names, small=()):
    return [
        Row(source, name, lambda _, full=f"{source}/{name}": lively(sl.load(full, weights=None)), name in small)
        for name in names
    ]


TORCHVISION = _named(
    "torchvision",
    "resnet50", "vgg16_bn", "densenet121", "efficientnet_b0", "mobilenet_v3_small", "convnext_tiny", "vit_b_16",
    "swin_t", "maxvit_t", "inception_v3", "googlenet", "deeplabv3_mobilenet_v3_large",
    small=("mobilenet_v3_small",),
)  # fmt: skip
ROWS = [*TORCHVISION]

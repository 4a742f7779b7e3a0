"""What is explained: a network, images in its units, a class and a layer."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import sightline as sl


@dataclass(frozen=True, eq=False)
class Case:
    """`network` is in evaluation mode; `images` (B, 3, side, side) are normalized with `mean` and `std`."""

    network: nn.Module
    images: Tensor
    target: int
    layer: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def own(self, *, in_place: bool = True) -> nn.Module:
        """A copy for one contestant, whose hooks and gradients then slow nobody else down.

        `in_place` False turns in-place activations off, which a peer's backward hooks cannot stand.
        """
        network = copy.deepcopy(self.network)
        for module in network.modules():
            if not in_place and getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
        return network

    def model(self) -> sl.Model:
        """Our own copy, wrapped once: what it prepares it keeps between calls."""
        return sl.wrap(self.own(), input_size=self.images.shape[-1], mean=self.mean, std=self.std)

    def black(self) -> Tensor:
        """The black image in the network's units, (1, 3, side, side)."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return (-mean / std).view(1, -1, 1, 1).expand_as(self.images[:1])


def resnet50(batch: int) -> Case:
    """torchvision's resnet50 at 224 with seeded random weights, on noise: time does not hang on what it learned."""
    import torchvision

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.resnet50(weights=None).eval()
    noise = torch.rand(batch, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    images = (noise - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    return Case(network, images, 281, "layer4", mean, std)


def trained(batch: int) -> Case:
    """The embedded model on its scenes: trained weights with batch norm, for equal results before equal times."""
    from sightline.demo.scenes import draw

    model = sl.load("demo")
    scenes = [draw(seed, thing="ball", background="court").image() for seed in range(batch)]
    images = torch.stack([model.normalize(torch.from_numpy(scene).permute(2, 0, 1) / 255) for scene in scenes])
    assert model.mean is not None
    assert model.std is not None
    return Case(model.network, images, 0, model.default_layer, model.mean, model.std)

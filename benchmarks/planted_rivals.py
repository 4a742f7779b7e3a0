"""What else one might take for an expected loss: where maps point, what masking costs; and the loss of colours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

import sightline as sl
from benchmarks.planted_networks import Planted, answers
from benchmarks.planted_scenes import CLASSES, Floats, Scenes
from sightline.photos.fills import Fill
from sightline.probes.edits import Recolour
from sightline.probes.world import World

METHODS = ("grad-cam", "grad-cam++", "layer-cam", "hires-cam", "saliency")
_DONORS = 8


def energy_outside(planted: Planted, photos: Scenes, method: str) -> list[float]:
    """The share of a map's positive part (magnitude, of gradients) outside the object, mean by class, in [0, 1]."""
    images = torch.from_numpy(photos.images).float() / 255
    outside = torch.from_numpy(photos.cover == 0)
    layer = None if method == "saliency" else "4"
    parts = []
    for part in torch.split(torch.arange(len(images)), 100):
        target = photos.labels[part.numpy()].tolist()
        values = sl.attribute(planted.network, images[part], target, method=method, layer=layer).values.sum(1)
        heat = values.abs() if method == "saliency" else values.clamp_min(0)
        whole = heat.sum((1, 2)).clamp_min(1e-12)
        parts.append((heat * outside[part]).sum((1, 2)) / whole)
    return _by_class(torch.cat(parts).numpy(), photos)


def lost_by_masking(planted: Planted, photos: Scenes) -> list[float]:
    """The accuracy that goes when the surroundings become the photo's mean colour, by class."""
    images, cover = photos.images.astype(np.float32), photos.cover[:, None].astype(np.float32) / 255
    flat = images.mean((2, 3), keepdims=True)
    masked = np.rint(images * cover + flat * (1 - cover)).astype(np.uint8)
    before, after = (answers(planted.network, of) == photos.labels for of in (photos.images, masked))
    return _by_class(before.astype(float) - after, photos)


def lost_by_recolouring(planted: Planted, photos: Scenes) -> list[float]:
    """Accuracy with the hues of other objects of the class less that with those of all classes, by class."""
    dice = np.random.default_rng((planted.recipe.seed, 13))
    images, cover = (torch.from_numpy(of).float() / 255 for of in (photos.images, photos.cover))
    hues = (images * cover[:, None]).sum((2, 3)) / cover.sum((1, 2))[:, None]
    right = {}
    for same in (True, False):
        kinds = np.where(same, photos.labels[:, None], np.arange(len(photos.labels) * _DONORS).reshape(-1, _DONORS))
        kinds = kinds % CLASSES
        donors = [[int(dice.choice(np.flatnonzero(photos.labels == kind))) for kind in row] for row in kinds]
        shown = torch.stack(list(_recoloured(images, cover, hues, donors)))
        said = answers(planted.network, shown.mul(255).round().byte().numpy()).reshape(-1, _DONORS)
        right[same] = (said == photos.labels[:, None]).mean(1)
    return _by_class(right[True] - right[False], photos)


def _recoloured(images: Tensor, cover: Tensor, hues: Tensor, donors: list[list[int]]) -> Iterator[Tensor]:
    for image, mask, row in zip(images, cover, donors, strict=True):
        shown = image, mask
        world = World(
            image, mask, torch.ones_like(mask), (1.0, 1.0), Fill("none", image), lambda *_, shown=shown: shown
        )
        for donor in row:
            red, green, blue = hues[donor].tolist()
            yield Recolour((red, green, blue))(world).pixels


def _by_class(values: Floats, photos: Scenes) -> list[float]:
    return [float(values[photos.labels == one].mean()) for one in range(CLASSES)]


def wrapped(network: nn.Module) -> sl.Model:
    """The network as a user would wrap it: its photos are 64 x 64."""
    return sl.wrap(
        network, input_size=64, mean=(0.0,) * 3, std=(1.0,) * 3, resize="squash", output="logits", batch_size=64
    )

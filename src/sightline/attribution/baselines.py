"""Where a path starts: images that hold no evidence, in a network's own units."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sightline.core.errors import OptionError, near
from sightline.network.net import Net
from sightline.photos.fills import STEADY as NAMES
from sightline.photos.fills import is_colour, steady


def baselines(net: Net, images: Tensor, given: Any, seed: int) -> Tensor:
    """Baselines (K, B, C, *spatial) for images (B, C, *spatial).

    `given`: a name of NAMES, a colour (one number per channel, in [0, 1]), an image (C, *spatial) or a batch of
    them in the network's units, or a tuple of these, whose attributions are averaged.
    """
    several = given if isinstance(given, list | tuple) and not is_colour(given) else (given,)
    if not several:
        raise OptionError("baseline=() names none; " + near("", NAMES))
    return torch.stack([_baseline(net, images, one, seed) for one in several])


def _baseline(net: Net, images: Tensor, given: Any, seed: int) -> Tensor:
    if isinstance(given, str):
        return _named(net, images, given, seed)
    if isinstance(given, int | float):
        given = (float(given),) * images.shape[1]
    if isinstance(given, list | tuple):
        if not all(map(math.isfinite, given)):
            raise OptionError(f"baseline={given}: a colour is of finite numbers.")
        if len(given) != images.shape[1]:
            raise OptionError(f"baseline={given} names {len(given)} channels; the input has {images.shape[1]}.")
        colour = torch.tensor(given, dtype=torch.float32).view(-1, *[1] * (images.ndim - 2))
        return net.images(colour.to(images).expand_as(images))
    try:
        image = torch.as_tensor(given).to(images)
    except (TypeError, ValueError, RuntimeError):
        raise OptionError(f"baseline={given!r} is no image; {near('', NAMES)}") from None
    if not bool(torch.isfinite(image).all()):
        raise OptionError("the baseline holds NaN or infinite numbers.")
    if image.shape not in (images.shape, images.shape[1:]):
        expected = tuple(images.shape[1:])
        raise OptionError(f"a baseline of shape {tuple(image.shape)}; the input takes {expected}.")
    return image.expand_as(images)


def _named(net: Net, images: Tensor, name: str, seed: int) -> Tensor:
    if name not in NAMES:
        raise OptionError(f"no baseline named {name!r}; {near(name, NAMES)}")
    return net.images(torch.stack([steady(name, pixels, seed) for pixels in net.pixels(images)]))

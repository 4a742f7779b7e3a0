"""Where a path starts: images that hold no evidence, in a network's own units."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sightline.core.blur import gaussian
from sightline.core.errors import OptionError, near
from sightline.network.net import Net

NAMES = ("black", "white", "mean", "blur", "noise")
_BLUR = 0.1  # standard deviation of "blur", as a share of each side: coarse layout stays, no object does


def baselines(net: Net, images: Tensor, given: Any, seed: int) -> Tensor:
    """Baselines (K, B, C, *spatial) for images (B, C, *spatial).

    `given`: a name of NAMES, a colour (one number per channel, in [0, 1]), an image (C, *spatial) or a batch of
    them in the network's units, or a tuple of these, whose attributions are averaged.
    """
    several = given if isinstance(given, list | tuple) and not _is_colour(given) else (given,)
    if not several:
        raise OptionError("baseline=() names none; " + near("", NAMES))
    return torch.stack([_baseline(net, images, one, seed) for one in several])


def _is_colour(given: Any) -> bool:
    return all(isinstance(part, int | float) for part in given) and len(given) > 0


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
        return _between(net, images, torch.tensor(given, dtype=torch.float32))
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
    axes = tuple(range(2, images.ndim))
    if name == "black":
        return _between(net, images, torch.zeros(images.shape[1]))
    if name == "white":
        return _between(net, images, torch.ones(images.shape[1]))
    if name == "mean":
        return images.mean(axes, keepdim=True).expand_as(images)
    if name == "blur":
        return gaussian(images, [_BLUR * side for side in images.shape[2:]])
    if name == "noise":
        dice = [torch.Generator().manual_seed(seed) for _ in images]
        drawn = torch.stack(
            [torch.rand(images.shape[1:], generator=die, device="cpu", dtype=torch.float32) for die in dice]
        )
        return _between(net, images, drawn)
    raise OptionError(f"no baseline named {name!r}; {near(name, NAMES)}")


def _between(net: Net, images: Tensor, shares: Tensor) -> Tensor:
    """From the network's black, 0, to its white, 1, per channel."""
    black, white = (level.view(-1, *[1] * (images.ndim - 2)) for level in net.levels)
    shares = shares if shares.ndim > 1 else shares.view(-1, *[1] * (images.ndim - 2))
    return (black + shares * (white - black)).to(images).expand_as(images)

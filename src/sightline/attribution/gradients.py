"""Methods that read the gradient at the input."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sightline.core.checks import number, whole
from sightline.core.errors import MethodError
from sightline.core.heats import Heat
from sightline.core.targets import Target
from sightline.network.net import INPUT, Net, passes
from sightline.stats.running import RunningMean


def saliency(net: Net, images: Tensor, target: Target) -> Heat:
    """How each input value moves the score: the signed gradient, (B, C, *spatial) (arXiv:1312.6034)."""
    gradient = net.look(images, target, INPUT).grads[INPUT][0]
    return Heat(gradient, spent=passes(1, 1, len(images)))


def input_x_gradient(net: Net, images: Tensor, target: Target) -> Heat:
    """Gradient times input, (B, C, *spatial), in score units; exact for a linear network (arXiv:1605.01713)."""
    additive(target, "input-x-gradient")
    return Heat(images * net.look(images, target, INPUT).grads[INPUT][0], spent=passes(1, 1, len(images)))


def smoothgrad(
    net: Net, images: Tensor, target: Target, *, noise: float = 0.15, samples: int = 25, seed: int = 0
) -> Iterator[Heat]:
    """Gradient averaged over noisy copies, (B, C, *spatial), with its standard error (arXiv:1706.03825).

    `noise`: standard deviation as a share of each image's range, 0.1 to 0.2 in the paper; `samples`: copies.
    """
    whole("samples", samples, 1)
    number("noise", noise)
    mean = RunningMean()
    for cloudy in clouds(images, noise, samples, seed, max(1, net.chunk // len(images))):
        rows = torch.arange(len(images)).repeat(len(cloudy))
        reading = net.gradients(cloudy.flatten(0, 1), target, rows=rows)
        mean.add(reading.grads[INPUT][0].reshape(cloudy.shape))
        spent = passes(mean.count, mean.count, len(images))
        yield Heat(mean.mean.to(images), mean.error.to(images), spent=spent)


def clouds(images: Tensor, noise: float, samples: int, seed: int, at_once: int) -> Iterator[Tensor]:
    """Noisy copies (up to `at_once`, B, C, *spatial) of images; each image draws from a generator of its own."""
    flat = images.flatten(1)
    spread = noise * (flat.amax(1) - flat.amin(1)).view(-1, *[1] * (images.ndim - 1))
    dice = [torch.Generator().manual_seed(seed) for _ in images]
    for start in range(0, samples, at_once):
        count = min(at_once, samples - start)
        shape = images.shape[1:]
        drawn = [
            [torch.randn(shape, generator=die, device="cpu", dtype=torch.float32) for die in dice]
            for _ in range(count)
        ]
        yield images + spread * torch.stack([torch.stack(row) for row in drawn]).to(images)


def additive(target: Target, method: str) -> None:
    """Refuse a target whose gradient is not the score's own, for a method whose map has to add up."""
    if not target.additive:
        raise MethodError(f"{method} adds gradients up, which {target} does not allow; use saliency or grad-cam.")

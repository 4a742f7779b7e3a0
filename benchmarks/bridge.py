"""What it costs to ask a JAX function through torch: forward and gradient, beside JAX by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.agreement import DisagreementError
from benchmarks.contestants import peer
from benchmarks.findings import Finding, Goal
from benchmarks.race import race
from benchmarks.stats import ratio
from sightline.models.bridges import jax_network

_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"
_STAGES = (64, 128, 256, 512)
_TARGET, _SIDE, _BATCH = 281, 224, 4


def measure(rounds: int) -> Iterator[Finding]:
    """The score's gradient of a ResNet-18 in JAX, through the bridge and by JAX alone, in the same rounds."""
    os.environ.setdefault("XLA_FLAGS", _ONE_THREAD)  # JAX reads it when it is first used
    jax = peer("jax")
    function = resnet18(jax)
    images = torch.rand(_BATCH, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(1))
    ours, theirs = through_the_bridge(function, images), alone(jax, function, images)
    off = float((ours() - theirs()).abs().max() / theirs().abs().max())
    if off > 1e-4:
        raise DisagreementError(f"the gradients through the bridge differ by {off:.1e} of their maximum")
    spent = race({"ours": ours, "JAX": theirs}, rounds, label="bridge")
    in_ms = [1000 * median(spent[name]) for name in ("ours", "JAX")]
    each, goal = ratio(spent["ours"], spent["JAX"]), Goal("at most", 1.05)
    what = f"forward and gradient of a ResNet-18 in JAX, batch {_BATCH}"
    yield Finding(
        "bridge", what, "JAX by itself", in_ms[0], in_ms[1], "ms", each, goal, f"largest difference {off:.0e}"
    )


def through_the_bridge(function: Callable[[Any], Any], images: Tensor) -> Callable[[], Tensor]:
    network = jax_network(function, "NHWC")

    def run() -> Tensor:
        leaf = images.clone().requires_grad_()
        (slope,) = torch.autograd.grad(network(leaf)[:, _TARGET].sum(), leaf)
        return slope

    return run


def alone(jax: Any, function: Callable[[Any], Any], images: Tensor) -> Callable[[], Tensor]:
    """One compiled function of score and gradient, as JAX's users write it."""

    def score(pixels: Any) -> Any:
        return function(jax.numpy.moveaxis(pixels, 1, -1))[:, _TARGET].sum()

    both, array = jax.jit(jax.value_and_grad(score)), jax.numpy.asarray(images.numpy())

    def run() -> Tensor:
        slope = jax.block_until_ready(both(array))[1]
        return torch.from_numpy(np.array(slope))

    return run


def resnet18(jax: Any) -> Callable[[Any], Any]:
    """Images (N, h, w, 3) to (N, 1000) logits, with random weights and batch norm folded away."""
    dice = np.random.default_rng(0)

    def weights(size: int, given: int, made: int) -> Any:
        spread = (2 / (size * size * given)) ** 0.5
        return jax.numpy.asarray(dice.normal(0, spread, (size, size, given, made)), "float32")

    def conv(maps: Any, kernel: Any, stride: int) -> Any:
        order = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(maps, kernel, (stride, stride), "SAME", dimension_numbers=order)

    stem, head = weights(7, 3, 64), weights(1, 512, 1000)[0, 0]
    blocks = []
    for at, (given, made) in enumerate(zip((64, *_STAGES), _STAGES, strict=False)):
        for step, wide in enumerate((given, made)):
            stride = 2 if at and not step else 1
            aside = weights(1, wide, made) if wide != made else None
            blocks.append((weights(3, wide, made), weights(3, made, made), aside, stride))

    def network(images: Any) -> Any:
        relu, maps = jax.nn.relu, jax.nn.relu(conv(images, stem, 2))
        maps = jax.lax.reduce_window(maps, -float("inf"), jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
        for first, second, aside, stride in blocks:
            beside = maps if aside is None else conv(maps, aside, stride)
            maps = relu(0.5 * conv(relu(conv(maps, first, stride)), second, 1) + beside)
        return maps.mean((1, 2)) @ head

    return network

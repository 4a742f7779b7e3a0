"""Methods that read the gradient at the input, or at a layer of the user's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from sightline.attribution.sampling import effort, sampled
from sightline.core.errors import MethodError
from sightline.core.heats import Heat
from sightline.core.precision import wide
from sightline.core.targets import Target
from sightline.network.net import Net, passes
from sightline.network.reading import INPUT
from sightline.network.rules import rule_of
from sightline.stats.running import RunningMean


def saliency(net: Net, images: Tensor, target: Target, *, wrt: str | None = None, rule: Any = None) -> Heat:
    """How each value moves the score: the signed gradient, (B, C, *spatial) (arXiv:1312.6034).

    `wrt`: a layer, whose values are then asked about, instead of the input's. `rule`: what goes back through
    activations, "guided" (arXiv:1412.6806), "rectified" (arXiv:1311.2901) or a function of yours, see `rules.Rule`.
    Raises LayerError, OptionError, and MethodError where the rule does not fit the network's activations.
    """
    place = wrt or INPUT
    reading = net.look(images, target, place, rule=None if rule is None else rule_of(rule))
    unit = _per(wrt) if rule is None else "gradient by a rule"
    return Heat(total(reading.grads[place]), spent=passes(1, 1, len(images)), layer=wrt, unit=unit)


def input_x_gradient(net: Net, images: Tensor, target: Target, *, wrt: str | None = None) -> Heat:
    """Gradient times value, (B, C, *spatial), in score units; exact for a linear network (arXiv:1605.01713).

    `wrt`: a layer, whose activations are then shared out, instead of the input.
    """
    additive(target, "input-x-gradient")
    place = wrt or INPUT
    reading = net.look(images, target, place)
    shares = tuple(value * slope for value, slope in zip(reading.acts[place], reading.grads[place], strict=True))
    return Heat(total(shares), spent=passes(1, 1, len(images)), layer=wrt)


class Statistic(Protocol):
    """What is made of the gradients of an image's noisy copies."""

    count: int

    def add(self, samples: Tensor) -> None: ...

    @property
    def value(self) -> Tensor: ...

    @property
    def error(self) -> Tensor: ...


class MeanSquare(RunningMean):
    """Mean and standard error of the samples' squares."""

    def add(self, samples: Tensor) -> None:
        super().add(wide(samples).square())


def noisy_gradient(
    net: Net,
    images: Tensor,
    target: Target,
    *,
    statistic: Callable[[], Statistic] = RunningMean,
    noise: float = 0.15,
    samples: int | None = None,
    precision: float | None = None,
    seconds: float | None = None,
    wrt: str | None = None,
    seed: int = 0,
) -> Iterator[Heat]:
    """A statistic of the gradients of noisy copies, (B, C, *spatial), with its standard error.

    Their mean is SmoothGrad (arXiv:1706.03825), their mean square SmoothGrad-squared (arXiv:1806.10758), their
    variance VarGrad (arXiv:1810.03292). `noise`: standard deviation as a share of each image's range, 0.1 to 0.2 in
    the paper; `samples`, `precision`, `seconds`: see `sampling.effort`; `wrt`: see `saliency`.
    """
    limit, place = effort(samples, precision, seconds), wrt or INPUT
    net.prepare(images, wrt)
    found = [statistic() for _ in images]

    def take(wanted: list[int], drawn: Tensor, rows: Tensor) -> None:
        slopes = total(net.gradients(drawn, target, (place,), rows=rows).grads[place])
        for i, mine in zip(wanted, slopes.view(len(wanted), -1, *slopes.shape[1:]), strict=True):
            found[i].add(mine)

    def so_far() -> Heat:
        values, errors = (
            torch.stack(part).to(images) for part in zip(*((s.value, s.error) for s in found), strict=True)
        )
        spent = tuple((one.count, one.count) for one in found)
        return Heat(values, errors, spent=spent, layer=wrt, unit=_per(wrt))

    return sampled(images, noise, seed, limit, lambda: net.chunk, take, so_far)


def _per(wrt: str | None) -> str | None:
    return f"change of the score per unit of activation of {wrt}" if wrt else None


def total(calls: tuple[Tensor, ...]) -> Tensor:
    """The sum over the runs of a layer that runs more than once."""
    return calls[0] if len(calls) == 1 else torch.stack(calls).sum(0)


def additive(target: Target, method: str) -> None:
    """Refuse a target whose gradient is not the score's own, for a method whose map has to add up."""
    if not target.additive:
        raise MethodError(f"{method} adds gradients up, which {target} does not allow; use saliency or grad-cam.")

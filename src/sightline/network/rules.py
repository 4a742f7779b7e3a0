"""What goes back through an activation: the gradient itself, guided backprop's part of it, or a user's rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sightline.core.errors import MethodError, OptionError, near
from sightline.network.census import RELU, census, described, only_relus
from sightline.network.hooks import name_of, on_the_way_back

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(gradient, plain, given) -> what goes on below, all of one shape.

`gradient` arrives from above, `plain` is what backpropagation would pass on, `given` went into the activation.
"""


def guided(gradient: Tensor, plain: Tensor, given: Tensor) -> Tensor:
    """What is positive above, where the ReLU let something through (arXiv:1412.6806)."""
    return plain * (gradient > 0)


def rectified(gradient: Tensor, plain: Tensor, given: Tensor) -> Tensor:
    """What is positive above, wherever the ReLU was (deconvnet, arXiv:1311.2901)."""
    return gradient.clamp_min(0)


def redirected(gradient: Tensor, plain: Tensor, given: Tensor) -> Tensor:
    """What backpropagation passes on; for an image of which it passes nothing, what turns units on (Lucid).

    That is the gradient itself, but where it would push a unit that is off further down.
    """
    silent = (plain.flatten(1) == 0).all(1).view(-1, *[1] * (plain.ndim - 1))
    return torch.where(silent, gradient * ((given > 0) | (gradient > 0)), plain)


NAMED: dict[str, Rule] = {"guided": guided, "rectified": rectified}
_RELUS = ("relu", "relu_", "relu6")
_OTHERS = (
    "gelu", "silu", "hardswish", "mish", "elu", "selu", "celu", "leaky_relu", "prelu", "rrelu", "softplus",
    "hardtanh", "tanh", "sigmoid", "hardsigmoid", "log_sigmoid", "logsigmoid", "softsign",
    "hardshrink", "softshrink", "tanhshrink", "glu",
)  # fmt: skip
_FLOORS = ("clamp", "clamp_min", "clip", "threshold", "_threshold")
_LARGER = ("maximum", "max", "fmax")


def rule_of(given: Any) -> Rule:
    """The rule of that name, or a function of (gradient, plain, given). Raises OptionError."""
    if isinstance(given, str) and given in NAMED:
        return NAMED[given]
    if callable(given):
        rule: Rule = given
        return rule
    raise OptionError(f"rule={given!r}; give a function of (gradient, plain, given), or a name: {near('', NAMED)}")


class Activations(TorchFunctionMode):
    """Inside the block, counts the activations on the way from the input, modules and plain functions alike.

    With a `rule`, their gradient is what it says. ReLU6 and clamping at zero count as ReLUs.
    """

    def __init__(self, rule: Rule | None = None) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.rule = rule

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor)]
        name = _kind(func, args, kwargs, tensors) if any(one.requires_grad for one in tensors) else None
        if name is None or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        self.seen[name] += 1
        if self.rule is None or (name != RELU and self.rule in NAMED.values()):
            return func(*args, **kwargs)
        if self.rule is guided:  # what is positive above, then the ReLU's own gradient: no copy, no second graph
            return on_the_way_back(func(*args, **kwargs), lambda gradient: gradient.clamp_min(0))
        given = next(one for one in tensors if one.requires_grad)
        again = partial(_called_with, func, args, kwargs, given)
        answer: Tensor = _Ruled.apply(given.clone(), again, self.rule)
        return given.copy_(answer) if _in_place(func, args, kwargs) else answer


def _called_with(func: Any, args: Any, kwargs: Any, given: Tensor, other: Tensor) -> Any:
    """The same call with another tensor in place of `given`."""
    swapped = {key: other if one is given else one for key, one in kwargs.items()}
    return func(*(other if one is given else one for one in args), **swapped)


def _in_place(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a call writes into what it is given; torch.nn's modules may say so by the last plain argument."""
    name, module = name_of(func), getattr(func, "__module__", "")
    last = module == "torch.nn.functional" and len(args) > 1 and args[-1] is True
    return last or bool(kwargs.get("inplace")) or name.endswith("_")


def _kind(func: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> str | None:
    """ "relu", another activation's name, or None for what is no activation."""
    name = name_of(func).removesuffix("_")
    if name in _RELUS or (name == "hardtanh" and _second(args, kwargs, "min_val", -1.0) == 0):
        return RELU
    if name in _FLOORS:
        low = _second(args, kwargs, "threshold" if "threshold" in name else "min", None)
        filled = args[2] if len(args) > 2 else kwargs.get("value", 0)
        floored = (
            low is not None and not bool(torch.as_tensor(low).any()) and ("threshold" not in name or filled == 0)
        )
        return RELU if floored else None
    if name in _LARGER:
        zeros = [one for one in tensors if not one.requires_grad and not bool(one.any())]
        return RELU if len(tensors) == 2 and zeros else None
    return name if name in _OTHERS else None


def _second(args: Any, kwargs: Any, name: str, default: Any) -> Any:
    return args[1] if len(args) > 1 else kwargs.get(name, default)


class _Ruled(torch.autograd.Function):
    """An activation whose way back is a rule's."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, function: Callable[[Tensor], Tensor], rule: Rule) -> Tensor:
        with torch.enable_grad():
            ctx.given = images.detach().requires_grad_()
            ctx.answer = function(ctx.given.clone())
        ctx.rule = rule
        answer: Tensor = ctx.answer.detach().clone()
        return answer

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = slopes
        (plain,) = torch.autograd.grad(ctx.answer, ctx.given, slope, retain_graph=True)
        ruled = ctx.rule(slope, plain, ctx.given.detach())
        if not isinstance(ruled, Tensor) or ruled.shape != plain.shape:
            got = tuple(ruled.shape) if isinstance(ruled, Tensor) else type(ruled).__name__
            raise OptionError(
                f"the rule gave {got}; it has to give a tensor like the gradient, {tuple(plain.shape)}."
            )
        return ruled, None, None


@contextmanager
def ruled(rule: Rule | None) -> Iterator[Counter[str]]:
    """What runs inside the block has gradients by the rule; gives what it was asked of, by kind."""
    if rule is None:
        yield Counter()
        return
    with Activations(rule) as activations:
        yield activations.seen


def check_ruled(rule: Rule | None, asked: Counter[str], scores: Tensor) -> None:
    """Refuse a rule that was not asked where it should have been. Raises MethodError."""
    if rule is None:
        return
    there = census(scores) if rule in NAMED.values() else asked
    if not there:
        raise MethodError(
            "no activation lies between what is read and the score, so there is nothing to rule. "
            "Read an earlier layer."
        )
    if rule in NAMED.values() and not (only_relus(there) and there[RELU] <= asked[RELU]):
        raise MethodError(
            f"the {rule.__name__} rule is made for ReLUs, called where they can be seen; the activations here are "
            f"{described(there)}. Use a method that needs none, or write a rule of your own: rule=function."
        )

"""What goes back through an activation: the gradient itself, guided backprop's part of it, or a user's rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sightline.core.errors import MethodError, OptionError, near
from sightline.network.hooks import on_the_way_back

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


NAMED: dict[str, Rule] = {"guided": guided, "rectified": rectified}
RELU = "relu"
_RELUS = ("relu", "relu_", "relu6")
_OTHERS = (
    "gelu", "silu", "hardswish", "mish", "elu", "selu", "celu", "leaky_relu", "prelu", "rrelu", "softplus",
    "hardtanh", "tanh", "sigmoid", "hardsigmoid", "logsigmoid", "softsign",
    "hardshrink", "softshrink", "tanhshrink", "glu",
)  # fmt: skip
_GATES = ("tanh", "sigmoid", "hardsigmoid")  # beside ReLUs they weigh channels, and are no activations of them
_FLOORS = (
    "clamp", "clamp_", "clamp_min", "clamp_min_", "clip", "clip_", "threshold", "_threshold", "threshold_",
)  # fmt: skip
_LARGER, _SMALLER = ("maximum", "max", "fmax"), ("minimum", "min", "fmin")
_CHOICES = (
    "where",
    "mul",
    "mul_",
    "multiply",
    "multiply_",
    "masked_fill",
    "masked_fill_",
    "__setitem__",
)  # x * (x > 0) is a ReLU in disguise, of whatever kind
_IN_PLACE = (
    "relu_",
    "hardtanh_",
    "leaky_relu_",
    "elu_",
    "selu_",
    "celu_",
    "rrelu_",
    "threshold_",
    "clamp_",
    "clamp_min_",
    "clip_",
)


def rule_of(given: Any) -> Rule:
    """The rule of that name, or a function of (gradient, plain, given). Raises OptionError."""
    if isinstance(given, str) and given in NAMED:
        return NAMED[given]
    if callable(given):
        rule: Rule = given
        return rule
    raise OptionError(f"rule={given!r}; give a function of (gradient, plain, given), or a name: {near('', NAMED)}")


def only_relus(activations: Counter[str]) -> bool:
    """Whether rules made for ReLUs say all that there is to say of a network."""
    return bool(activations[RELU]) and not any(
        count and name not in (RELU, *_GATES) for name, count in activations.items()
    )


def described(activations: Counter[str]) -> str:
    """The activations in words, for an error."""
    return (
        ", ".join(f"{name} ({count}x)" for name, count in activations.most_common() if count) or "none that was seen"
    )


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
        name = _kind(func, args, kwargs) if _on_the_way(args, kwargs) else None
        images = args[0] if args else kwargs.get("input")
        if name is None or not isinstance(images, Tensor):
            return func(*args, **kwargs)
        if name == RELU and not images.requires_grad:  # the zero that something is held against came first
            args, kwargs = (next(one for one in (*args, *kwargs.values()) if one is not images), images), {}
            images = args[0]
        self.seen[name] += 1
        if self.rule is None or (name != RELU and self.rule in NAMED.values()):
            return func(*args, **kwargs)
        if self.rule is guided:  # what is positive above, then the ReLU's own gradient: no copy, no second graph
            return on_the_way_back(func(*args, **kwargs), lambda gradient: gradient.clamp_min(0))
        in_place = (
            bool(kwargs.get("inplace")) or getattr(func, "__name__", "") in _IN_PLACE or _says_in_place(func, args)
        )
        rest = args[1:]
        named = {key: value for key, value in kwargs.items() if key != "input"}
        answer: Tensor = _Ruled.apply(images.clone(), lambda x: func(x, *rest, **named), self.rule)
        return images.copy_(answer) if in_place else answer


def _kind(func: Any, args: Any, kwargs: Any) -> str | None:
    """ "relu", another activation's name, or None for what is no activation."""
    name = str(getattr(func, "__name__", ""))
    if name in _RELUS or (name in ("hardtanh", "hardtanh_") and _lowest(args, kwargs, "min_val", -1.0) == 0):
        return RELU
    if name in _FLOORS:
        low = _lowest(args, kwargs, "threshold" if "threshold" in name else "min", None)
        floored = low is not None and not bool(torch.as_tensor(low).any())
        return RELU if floored else "threshold" if "threshold" in name else None
    tensors = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor)]
    if name in (*_LARGER, *_SMALLER):
        zeros = [one for one in tensors if not one.requires_grad and not bool(one.any())]
        return None if len(tensors) != 2 or not zeros else RELU if name in _LARGER else "minimum"
    if name in _CHOICES:
        moving = {one.shape for one in tensors if one.requires_grad}
        return "mask" if any(one.shape in moving and _is_mask(one) for one in tensors) else None
    plain = name.removesuffix("_")
    return plain if plain in _OTHERS else None


def _on_the_way(args: Any, kwargs: Any) -> bool:
    """Whether what goes in depends on the input."""
    return any(isinstance(one, Tensor) and one.requires_grad for one in (*args, *kwargs.values()))


def _is_mask(tensor: Tensor) -> bool:
    """Whether it holds yes and no, or ones and zeros, and both."""
    if tensor.requires_grad or tensor.ndim < 2:
        return False
    whole = tensor != 0
    return bool(whole.any()) and not bool(whole.all()) and bool((tensor == whole).all())


def _lowest(args: Any, kwargs: Any, name: str, default: Any) -> Any:
    return args[1] if len(args) > 1 else kwargs.get(name, default)


def _says_in_place(func: Any, args: Any) -> bool:
    """`inplace` as the last of a function's plain arguments, as torch.nn's modules hand it on."""
    return getattr(func, "__module__", "") == "torch.nn.functional" and len(args) > 1 and args[-1] is True


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
def ruled(rule: Rule | None) -> Iterator[None]:
    """What runs inside the block has gradients by the rule. Raises MethodError where there is nothing to rule."""
    if rule is None:
        yield
        return
    with Activations(rule) as activations:
        yield
    if rule in NAMED.values() and not only_relus(activations.seen):
        raise MethodError(
            f"the {rule.__name__} rule is made for ReLUs; the activations here are {described(activations.seen)}. "
            "Use a method that needs none, or write a rule of your own: rule=function."
        )
    if not activations.seen:
        raise MethodError(
            "no activation was seen between the input and the score, so there is nothing to rule; those inside "
            "compiled or scripted code cannot be reached."
        )

"""Which activations a score hangs on, read from autograd's graph: whatever code they were called by."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import torch
from torch import Tensor

RELU = "relu"
_STRAIGHT = (
    "accumulategrad", "backwardhookfunction", "addmm", "mm", "bmm", "baddbmm", "linear", "t", "transpose", "permute",
    "expand", "squeeze", "unsqueeze", "select", "slice", "unbind", "chunk", "cat", "stack", "clone", "alias",
    "tocopy", "copy", "copybackwards", "copyslices", "asstrided", "mean", "sum", "add", "sub", "rsub", "neg",
    "flip", "roll", "index", "indexselect", "gather", "repeat", "im2col", "col2im", "diagonal", "movedim", "swapaxes",
)  # fmt: skip
_STRAIGHT_PARTS = (
    "view", "reshape", "split", "pool", "pad", "upsample", "dropout", "shuffle", "softmax", "batchnorm", "layernorm",
    "groupnorm", "instancenorm", "scaleddotproduct", "convolution", "gridsampler",
)  # fmt: skip
_GATES = ("sigmoid", "tanh", "hardsigmoid")


def census(end: Tensor) -> Counter[str]:
    """How often each kind of activation lies between `end` and what it depends on; ReLUs of all makes as "relu".

    Linear steps, poolings, normalizations and attention are none; nor are gates, which weigh whole channels or whole
    positions. What is not known counts by its own name.
    """
    found: Counter[str] = Counter()
    seen, ahead = set(), [end.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        ahead += [above for above, _ in node.next_functions]
        kind = _kind(node)
        if kind is not None:
            found[kind] += 1
    return found


def _kind(node: Any) -> str | None:
    name = re.sub(r"Backward\d*$", "", node.name()).removeprefix("torch::autograd::").lower()
    if name == "_ruled" or _is_relu(name, node):
        return RELU
    if name in _STRAIGHT or any(part in name for part in _STRAIGHT_PARTS):
        return None
    if name in ("mul", "div"):
        return _product(name, node)
    if name in _GATES and _weighs(_saved(node, "result", "self")):
        return None
    return name


def _is_relu(name: str, node: Any) -> bool:
    if name in ("hardtanh", "clampmin", "clamp"):
        low = _saved(node, "min_val", "min")
        return low is not None and not bool(torch.as_tensor(low).any())
    if name == "threshold":
        return not _saved(node, "threshold")
    if name == "maximum":
        still = [of for of, (above, _) in zip(("self", "other"), node.next_functions, strict=True) if above is None]
        return any(not bool(value.any()) for of in still if (value := _saved(node, of)) is not None)
    return name == "relu"


def _product(name: str, node: Any) -> str | None:
    """A product of what moves with itself, or with a mask of it, is an activation; with a gate it is none."""
    factors = [_saved(node, "self"), _saved(node, "other")]
    moving = [above is not None for above, _ in node.next_functions]
    if all(moving[:2]) and len(moving) > 1:
        shapes = {tuple(one.shape) for one in factors if one is not None}
        return "quotient" if name == "div" else "product" if len(shapes) < 2 else None
    still = [one for one in factors if isinstance(one, Tensor) and not one.requires_grad]
    return "mask" if any(map(_is_mask, still)) else None


def _saved(node: Any, *names: str) -> Any:
    """What a node saved under one of these names; None where it saved nothing."""
    for name in names:
        value = getattr(node, f"_saved_{name}", None)
        if value is not None:
            return value
    return None


def _weighs(gate: Tensor | None) -> bool:
    """Whether a gate has one value for each channel, or for each position."""
    return gate is not None and (gate.ndim < 3 or gate.shape[1] == 1 or all(side == 1 for side in gate.shape[2:]))


def _is_mask(tensor: Tensor) -> bool:
    """Whether a map holds yes and no, or ones and zeros, and both."""
    if tensor.ndim < 3:
        return False
    whole = tensor != 0
    return bool(whole.any()) and not bool(whole.all()) and bool((tensor == whole).all())


def only_relus(activations: Counter[str]) -> bool:
    """Whether rules made for ReLUs say all that there is to say of a network."""
    return bool(activations[RELU]) and all(name == RELU for name, count in activations.items() if count)


def described(activations: Counter[str]) -> str:
    """The activations in words, for an error."""
    return ", ".join(f"{name} ({count}x)" for name, count in activations.most_common() if count) or "none"

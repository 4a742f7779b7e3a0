"""Convolutions made ready once: batch norm folded into their weights, and those packed as oneDNN works with them.

Without it oneDNN packs the weights anew at every call, which is a third of a small batch's time. What runs is the
owner's own network; its convolutions only answer from prepared weights while it is borrowed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from sightline.network.pairs import Pair, exact, pairs_of
from sightline.network.readout import answer_of

_SOME = 256  # numbers of a tensor whose order is watched
_CLOSE = 1e-4  # share of the largest answer by which a prepared network may differ from the plain one


@dataclass(eq=False)
class _Prepared:
    """A convolution's folded weights, and as oneDNN packs them for each way (None where it cannot, or not yet).

    `source` is the parameter that they were made from.
    """

    conv: nn.Conv2d
    norm: nn.BatchNorm2d | None
    weight: Tensor
    bias: Tensor | None
    packed: Tensor | None
    source: Tensor
    back: Tensor | None = None

    def answer(self, images: Tensor) -> Tensor:
        if self.packed is not None and images.dtype == torch.float32 and images.device.type == "cpu":
            answer: Tensor = _Convolution.apply(images, self)
        else:
            answer = self.conv._conv_forward(images, self.weight, self.bias)
        return answer


class _Convolution(torch.autograd.Function):
    """A convolution of packed weights; it keeps nothing of its input for the way back, which needs its shape only."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, prepared: _Prepared) -> Tensor:
        ctx.prepared, ctx.shape = prepared, images.shape
        return _pointwise(images, prepared)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (slope,) = slopes
        if not torch.is_grad_enabled():
            return _transposed(slope, ctx.shape, ctx.prepared), None
        conv = ctx.prepared.conv  # a way back that is to be differentiated in its turn
        like = slope.new_empty(1).expand(ctx.shape)
        found = torch.ops.aten.convolution_backward(
            slope, like, ctx.prepared.weight, None, conv.stride, conv.padding, conv.dilation, False,
            [0] * len(conv.stride), conv.groups, [True, False, False],
        )  # fmt: skip
        return found[0], None


def _transposed(slope: Tensor, shape: torch.Size, prepared: _Prepared) -> Tensor:
    """The way back to images of that shape: the transposed convolution, its weights packed at the first one."""
    conv = prepared.conv
    reach = [dilation * (side - 1) + 1 for dilation, side in zip(conv.dilation, conv.kernel_size, strict=True)]
    rest = [
        size - ((out - 1) * stride - 2 * pad + far)
        for size, out, stride, pad, far in zip(
            shape[2:], slope.shape[2:], conv.stride, cast(tuple[int, ...], conv.padding), reach, strict=True
        )
    ]
    if prepared.back is None:
        prepared.back = torch.ops.mkldnn._reorder_convolution_transpose_weight(
            prepared.weight, conv.padding, rest, conv.stride, conv.dilation, conv.groups, slope.shape
        )
    answer: Tensor = torch.ops.mkldnn._convolution_transpose_pointwise(
        slope, prepared.back, None, conv.padding, rest, conv.stride, conv.dilation, conv.groups, "none", [], ""
    )
    return answer


def _pointwise(images: Tensor, prepared: _Prepared) -> Tensor:
    conv = prepared.conv
    answer: Tensor = torch.ops.mkldnn._convolution_pointwise(
        images, prepared.packed, prepared.bias, conv.padding, conv.stride, conv.dilation, conv.groups, "none", [], ""
    )
    return answer


class Packing:
    """The prepared convolutions of one network; they belong to a Model and follow the network's own numbers."""

    def __init__(self) -> None:
        self._modules: tuple[object, ...] = ()
        self._pairs: dict[str, Pair] = {}
        self._ready: dict[str, tuple[object, _Prepared]] = {}
        self._on = True
        self._thread = 0
        self._expected: dict[nn.BatchNorm2d, tuple[Tensor, int]] = {}

    @contextmanager
    def applied(self, network: nn.Module, image: Tensor) -> Iterator[None]:
        """Let a borrowed network's convolutions answer from prepared weights; `image` is an example of its input."""
        modules = tuple((id(one), type(one)) for one in network.modules())
        if modules != self._modules:
            self._modules, self._ready = (), {}
            self._pairs = self._worth_it(network, image)
            self._modules = modules
        with self._patching():
            yield

    @contextmanager
    def hidden(self, places: Iterable[str] | None = None) -> Iterator[None]:
        """Plain convolutions inside the block, if what one of the `places` puts out was folded away; None: always."""
        before = self._on
        self._on = before and places is not None and not any(map(self._folds, places))
        try:
            yield
        finally:
            self._on = before

    def mistaken(self) -> bool:
        """Whether the last pass did not normalize what was folded; then nothing is folded from now on."""
        if not self._expected:
            return False
        self._expected.clear()
        self._pairs = {name: pair.apart() for name, pair in self._pairs.items()}
        self._on = False  # until the network is borrowed anew
        return True

    def _folds(self, place: str) -> bool:
        """Whether a module ends between a convolution and its batch norm."""
        return any(
            pair.norm is not None
            and f"{name}.".startswith(f"{place}.")
            and not pair.norm_name.startswith(f"{place}.")
            for name, pair in self._pairs.items()
        )

    def _worth_it(self, network: nn.Module, image: Tensor) -> dict[str, Pair]:
        """What can be prepared, by name: checked against the plain network, whose answer has to come out."""
        with torch.no_grad():
            found, plain = pairs_of(network, image)
            for self._pairs in (found, {name: pair.apart() for name, pair in found.items()}):
                with self._patching():
                    answer = answer_of(network(image.clone()), 1)
                off = float((answer - plain).abs().max())
                if not self._expected and off <= _CLOSE * float(plain.abs().max()):
                    return self._pairs
        return {}

    @contextmanager
    def _patching(self) -> Iterator[None]:
        self._thread, self._on = threading.get_ident(), True
        self._expected.clear()
        with ExitStack() as undo:
            for name, pair in self._pairs.items():
                if "forward" in vars(pair.conv):
                    continue  # its owner's, or another loan's
                prepared = self._prepared(name)
                undo.callback(_patched(pair.conv, self._answering(prepared)))
                if prepared.norm is not None:
                    undo.callback(_patched(prepared.norm, self._passing(prepared.norm)))
            yield

    def _prepared(self, name: str) -> _Prepared:
        """The weights as they are now: prepared anew when any of them, or who watches them, changed."""
        pair = self._pairs[name]
        conv, norm = pair.conv, pair.norm
        if norm is None or pair.watched() or not exact(conv) or norm.running_mean is None or norm.running_var is None:
            norm = None
        key = (norm is None, *_fingerprint(conv), *(_fingerprint(norm) if norm is not None else ()))
        known = self._ready.get(name)
        if known is None or known[0] != key:
            known = self._ready[name] = (key, _prepare(conv, norm, pair.size))
        return known[1]

    def _answering(self, prepared: _Prepared) -> Callable[[Tensor], Tensor]:
        def forward(images: Tensor) -> Tensor:
            conv = prepared.conv
            if not self._on or threading.get_ident() != self._thread or conv.weight is not prepared.source:
                return nn.Conv2d.forward(conv, images)
            answer = prepared.answer(images)
            if prepared.norm is not None:
                self._expected[prepared.norm] = (answer, answer._version)
            return answer

        return forward

    def _passing(self, norm: nn.BatchNorm2d) -> Callable[[Tensor], Tensor]:
        source = norm.weight

        def forward(images: Tensor) -> Tensor:
            folded, version = self._expected.get(norm, (None, 0))
            here = self._on and threading.get_ident() == self._thread and norm.weight is source
            if not here or folded is not images:
                return nn.BatchNorm2d.forward(norm, images)
            if images._version == version:
                del self._expected[norm]
            return images

        return forward


def _patched(module: nn.Module, forward: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    """Make a module answer by `forward`; returns how to undo it."""
    vars(module)["forward"] = forward
    return lambda: vars(module).pop("forward", None)


def _fingerprint(module: nn.Conv2d | nn.BatchNorm2d) -> tuple[object, ...]:
    """What tells that a module's numbers changed: each tensor's identity and version, and a mark of its numbers.

    The latter because an update through `.data` or NumPy leaves no version.
    """
    tensors = [one for one in (*module._parameters.values(), *module._buffers.values()) if one is not None]
    settings = getattr(module, "eps", None), getattr(module, "padding_mode", None), getattr(module, "padding", None)
    versions = ((id(one), 0 if one.is_inference() else one._version, one.data_ptr()) for one in tensors)
    return (settings, *versions, *_marks(tensors))


def _marks(tensors: list[Tensor]) -> tuple[float, ...]:
    """Two numbers for each tensor: one that all of its numbers go into, one that the order of some does."""
    flat = [one.detach().flatten() for one in tensors if one.is_floating_point() and one.numel()]
    some = [one[:: max(1, len(one) // _SOME)] for one in flat]
    marks = [one.sum() for one in flat] + [one @ _ramp(len(one), one) for one in some]
    return tuple(torch.stack(marks).tolist()) if marks else ()


def _ramp(count: int, like: Tensor) -> Tensor:
    return _slope(count, like.dtype, like.device)


@cache
def _slope(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.linspace(1, 2, count, dtype=dtype, device=device)


def _prepare(conv: nn.Conv2d, norm: nn.BatchNorm2d | None, size: tuple[int, ...]) -> _Prepared:
    weight, bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
    if norm is not None and norm.running_mean is not None and norm.running_var is not None:
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        weight, bias = weight.detach(), bias.detach()
    packable = conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    on_cpu = weight.dtype == torch.float32 and weight.device.type == "cpu"
    if packable and on_cpu:  # what comes out has the weights' layout, and with channels last no copies are made
        weight = weight.to(memory_format=torch.channels_last)  # not contiguous(), which leaves 1x1 as they are
    packed = _pack(conv, weight, size) if packable and on_cpu else None
    return _Prepared(conv, norm, weight, bias, packed, conv.weight)


def _pack(conv: nn.Conv2d, weight: Tensor, size: tuple[int, ...]) -> Tensor | None:
    """The weights as oneDNN calculates with them; None where this build of torch has no such thing."""
    if not torch.backends.mkldnn.enabled:
        return None
    try:
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            weight, conv.padding, conv.stride, conv.dilation, conv.groups, size
        )
    except (AttributeError, RuntimeError):
        return None
    return packed

"""Which convolutions a batch norm reads, and nobody else: those that it can be folded into."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sightline.network.hooks import watch
from sightline.network.readout import answer_of


class Pair(NamedTuple):
    """A convolution, an example input's shape, and the batch norm that alone reads it (None without one).

    `between`: the convolution itself and the modules that end with it, in front of the norm.
    """

    conv: nn.Conv2d
    size: tuple[int, ...]
    norm_name: str = ""
    norm: nn.BatchNorm2d | None = None
    between: tuple[nn.Module, ...] = ()

    def apart(self) -> Pair:
        return self._replace(norm_name="", norm=None, between=())

    def watched(self) -> bool:
        """Whether its owner looks at, or has changed, what lies between the two."""
        hooked = any(one._forward_hooks for one in self.between)
        return hooked or self.norm is None or bool(self.norm._forward_pre_hooks) or "forward" in vars(self.norm)


def pairs_of(network: nn.Module, image: Tensor) -> tuple[dict[str, Pair], Tensor]:
    """One plain pass: the convolutions that ran, each with the batch norm that read it, and the network's answer."""
    ran: dict[str, list[tuple[nn.Module, Tensor, Tensor, int]]] = {}

    def look(name: str, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if type(module) in (nn.Conv2d, nn.BatchNorm2d) and "forward" not in vars(module) and inputs:
            between: Tensor = inputs[0] if isinstance(module, nn.BatchNorm2d) else output
            ran.setdefault(name, []).append((module, inputs[0], output, between._version))
        return output

    with watch(network, look), Readers() as readers:
        answer = answer_of(network(image.clone()), 1)
    norms = {
        (id(given), version): name
        for name, runs in ran.items()
        for module, given, _, version in runs
        if isinstance(module, nn.BatchNorm2d) and len(runs) == 1
    }
    found = {}
    for name, ((module, given, output, version), *more) in ran.items():
        if isinstance(module, nn.Conv2d) and exact(module):
            pair = found[name] = Pair(module, tuple(given.shape))
            reader = norms.get((id(output), version), "")
            norm = ran[reader][0][0] if reader else None
            if isinstance(norm, nn.BatchNorm2d) and not more and readers.count[id(output)] == 1:
                found[name] = pair._replace(norm_name=reader, norm=norm, between=_between(network, name, reader))
    return found, answer


def _between(network: nn.Module, name: str, reader: str) -> tuple[nn.Module, ...]:
    """The modules that hold `name` and not `reader`: they end between the two."""
    parts = name.split(".")
    holders = [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    return tuple(network.get_submodule(one) for one in holders if not reader.startswith(f"{one}."))


class Readers(TorchFunctionMode):
    """Counts how many functions read each tensor, those that ask its shape or kind aside."""

    _ASKING = ("__get__", "size", "dim", "numel", "is_floating_point")

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[int] = Counter()
        self._held: list[Tensor] = []  # an id is given anew once its tensor is gone, and would count for both

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") not in self._ASKING:
            given = [*args, *kwargs.values()]
            parts = [part for one in given for part in (one if isinstance(one, list | tuple) else (one,))]
            read = [part for part in parts if isinstance(part, Tensor)]
            self._held += read
            self.count.update(map(id, read))
        return func(*args, **kwargs)


def exact(conv: nn.Conv2d) -> bool:
    """Whether its numbers are its own, and of a kind that can be folded without loss."""
    own = isinstance(conv._parameters.get("weight"), nn.Parameter) and not conv._forward_pre_hooks
    return own and conv.weight.dtype in (torch.float32, torch.float64) and conv.weight.device.type == "cpu"

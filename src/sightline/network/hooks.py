"""Borrowing a network: whatever happens inside, the owner gets it back as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from sightline.core.errors import NetworkError
from sightline.network.adapters import FunctionNetwork, owned

Look = Callable[[str, nn.Module, Any, Tensor], Tensor]
_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_registry = threading.Lock()


def lock_of(network: nn.Module) -> threading.RLock:
    """One re-entrant lock per network, for as long as the network lives."""
    with _registry:
        return _locks.setdefault(network, threading.RLock())


@contextmanager
def borrow(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, no parameter gradients, autograd on, autocast and compilation off; all undone after.

    Also inside a caller's `no_grad`, `inference_mode` or `autocast`, and also after an error. Threads that
    borrow the same network wait for each other.
    """
    own = owned(network)
    with ExitStack() as undo:
        undo.enter_context(lock_of(getattr(own, "lock_owner", own)))
        getattr(own, "catch_up", _nothing)()  # a copy of a model that is trained elsewhere
        undo.enter_context(torch.inference_mode(False))
        undo.enter_context(torch.enable_grad())
        undo.enter_context(torch.autocast(device_of(network).type, enabled=False))
        undo.callback(_remember(network))
        if any(hasattr(module, "_orig_mod") for module in network.modules()):
            undo.enter_context(torch.compiler.set_stance("force_eager"))
        for module in network.modules():
            _quiet(module, undo)
        yield


def _nothing() -> None:
    """What a network does that is nobody's copy."""


@contextmanager
def told(network: nn.Module, images: Tensor) -> Iterator[None]:
    """An error of the network's own stays its own; a note says what it was given."""
    try:
        yield
    except Exception as error:
        what = (
            f"{type(owned(network)).__name__} raised this for images {tuple(images.shape)}; is that its input size?"
        )
        error.add_note(what)
        if isinstance(owned(network), FunctionNetwork) and isinstance(error, TypeError | AttributeError):
            error.add_note(
                "A function of other arrays than torch's is wrapped with backend='jax', 'tensorflow' or 'numpy'."
            )
        raise


def _quiet(module: nn.Module, undo: ExitStack) -> None:
    """One module made ready; how to put it back goes on `undo`."""
    if module.training:
        module.training = False
        undo.callback(setattr, module, "training", True)
    if getattr(module, "_compiled_call_impl", None) is not None:
        undo.callback(setattr, module, "_compiled_call_impl", module._compiled_call_impl)
        module._compiled_call_impl = None
    for name, parameter in module._parameters.items():
        if parameter is None:
            continue
        if parameter.is_inference():  # autograd cannot save such a tensor: a copy stands in for it
            module._parameters[name] = nn.Parameter(parameter.clone(), requires_grad=False)
            undo.callback(module._parameters.__setitem__, name, parameter)
        elif parameter.requires_grad:
            parameter.requires_grad_(False)
            undo.callback(parameter.requires_grad_, True)


def _remember(network: nn.Module) -> Callable[[], None]:
    """How to put every buffer back: the same tensor, with what it held."""
    held = []
    for module in network.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                held.append((module, name, buffer, _version(buffer), buffer.detach().clone()))
                if buffer.is_inference():
                    module._buffers[name] = buffer.clone()

    def restore() -> None:
        for module, name, buffer, version, content in held:
            module._buffers[name] = buffer
            if _version(buffer) != version:
                with torch.no_grad():
                    buffer.copy_(content)

    return restore


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def device_of(network: nn.Module) -> torch.device:
    """Where the network's numbers are; the CPU when it has none."""
    for tensor in chain(network.parameters(), network.buffers()):
        return tensor.device
    return torch.device("cpu")


def dtype_of(network: nn.Module) -> torch.dtype | None:
    """The floating type that the network calculates in; None when it has no numbers of its own."""
    for tensor in chain(network.parameters(), network.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return None


@contextmanager
def record(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """Collect what the layers put out inside the block, a tensor per call, ready to differentiate against.

    The graph starts at the first of them that runs, when nothing before it needs a gradient.
    """
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keep(name: str, _layer: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        # a layer may hand on what it got: only what leaves it here is to count
        kept = output.clone() if output.requires_grad else output.detach().requires_grad_()
        seen[name].append(kept)
        return kept.clone()  # a later in-place ReLU must not edit what we keep

    with _hooked(layers, keep):
        yield seen


@contextmanager
def watch(network: nn.Module, look: Look) -> Iterator[None]:
    """Show every module to `look(name, module, inputs, output)` as it runs; what that returns goes on instead."""
    modules = {name: module for name, module in network.named_modules() if name}
    with _hooked({n: m for n, m in modules.items() if not isinstance(m, torch.jit.ScriptModule)}, look):
        yield  # TorchScript takes no hooks


@contextmanager
def _hooked(layers: Mapping[str, nn.Module], look: Look) -> Iterator[None]:
    """`look` at the floating-point tensor that each layer puts out, in this thread's passes only."""
    thread = threading.get_ident()

    def hook_for(name: str) -> Callable[..., Any]:
        def hook(layer: nn.Module, inputs: Any, output: Any) -> Any:
            tensor = first_tensor(output)
            if threading.get_ident() != thread or tensor is None or not tensor.is_floating_point():
                return output
            return _replaced(output, look(name, layer, inputs, tensor))

        return hook

    with ExitStack() as undo:
        for name, layer in layers.items():
            undo.callback(layer.register_forward_hook(hook_for(name)).remove)
        yield


def differentiate(
    total: Tensor, places: Sequence[Tensor], *, again: bool = False, curved: bool = False
) -> list[Tensor | None]:
    """The gradient of `total` at each place, None where it does not depend on it.

    `again` keeps the graph; `curved`: the gradients have one of their own.

    Raises NetworkError where the network overwrote in place what its own gradient needs, or has no second derivative.
    """
    try:
        if not places:
            return []
        return list(torch.autograd.grad(total, places, allow_unused=True, retain_graph=again, create_graph=curved))
    except RuntimeError as error:
        if "double backward" in str(error):
            raise NetworkError(
                f"a step of the network has no second derivative, which this needs: {error}"
            ) from error
        if "inplace operation" not in str(error):
            raise
        raise NetworkError(f"the network overwrites numbers that its own gradient needs: {error}") from error


def on_the_way_back(tensor: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The tensor itself, whose gradient goes on as `change` makes it."""
    tensor.register_hook(change)  # type: ignore[no-untyped-call]
    return tensor


def name_of(function: Any) -> str:
    """What a function that torch calls is called, an operator of an exported graph too: "relu.default" is "relu"."""
    return str(getattr(function, "__name__", "")).partition(".")[0]


def first_tensor(output: Any) -> Tensor | None:
    """The tensor that a module put out, or the first of several."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple | list) and output and isinstance(output[0], Tensor):
        return output[0]
    return None


def _replaced(output: Any, tensor: Tensor) -> Any:
    if isinstance(output, Tensor):
        return tensor
    rest = (tensor, *output[1:])
    if hasattr(output, "_fields"):
        return type(output)(*rest)
    return type(output)(rest)

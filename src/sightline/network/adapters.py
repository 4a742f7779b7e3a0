"""Whatever a user holds, as a network that is asked for images alone: functions, and modules that want to be asked
otherwise.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sightline.core.errors import NetworkError, near


class FunctionNetwork(nn.Module):
    """A function (N, ...) -> (N, K) that answers like a network; it has no layers to look into.

    Its images are brought to the device that it is moved to.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function, self.closed = function, ""  # why it cannot be looked into, where who made it knows
        self.register_buffer("place", torch.empty(0, dtype=torch.uint8, device="cpu"), persistent=False)

    @property
    def why(self) -> str:
        """Why it cannot be looked into, as far as who made it, or the function, says so."""
        return self.closed or str(getattr(self.function, "why", ""))

    def forward(self, *given: Any, **beside: Any) -> Any:
        try:
            answer = self.function(*given, **beside)
        except RuntimeError as error:
            asking = any(isinstance(one, Tensor) and one.requires_grad for one in (*given, *beside.values()))
            if not (asking and "requires grad" in str(error)):
                raise  # else it leaves torch, for numpy say: no gradients, but scores
            answer = self.function(*map(_detached, given), **{name: _detached(one) for name, one in beside.items()})
        return _as_scores(answer)


def _as_scores(answer: Any) -> Any:
    """Arrays, lists of rows, and rows of name -> score as tensors; anything else as it is.

    Raises NetworkError for one whole number per image, which names a class and scores none.
    """
    if isinstance(answer, list) and answer and all(isinstance(row, Mapping) for row in answer):
        answer = [[row.get(name) for name in answer[0]] for row in answer]
    if isinstance(answer, list) and not any(getattr(one, "ndim", 0) > 1 for one in answer):
        with suppress(TypeError, ValueError):  # it holds something else than numbers
            answer = np.asarray(answer, np.float32)
    if isinstance(answer, Tensor) or not hasattr(answer, "__array__"):
        return answer
    array = np.asarray(answer)
    if array.ndim == 1 and array.dtype.kind in "iub":
        raise NetworkError("the function answers one whole number per image: a class. Scores (N, K) are needed.")
    if array.dtype.kind not in "fiub":
        return answer
    return torch.as_tensor(array if array.dtype.kind == "f" else array.astype(np.float32))


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


@dataclass(frozen=True, slots=True)
class Among:
    """Sequences of `length` tokens in which the image's are `count`, from `start` on; words are around them."""

    length: int
    start: int
    count: int


class Adapter(nn.Module):
    """A network asked in its own way, `ask(network, images)`, under its own names.

    Its layers, parameters, buffers and mode are the network's, so that nothing is there twice. `among`: where the
    image stands in the sequences of a network that reads words beside it.
    """

    among: Among | None

    def __init__(self, network: nn.Module, ask: Callable[[Any, Tensor], Any], among: Among | None = None) -> None:
        vars(self).update(vars(nn.Module()))  # not nn.Module.__init__, which would put the network into training
        if among is None and isinstance(network, Adapter):
            among = network.among
        vars(self).update(network=network, _ask=ask, among=among)
        for name in ("_modules", "_parameters", "_buffers"):
            vars(self)[name] = vars(network)[name]

    @property
    def inner(self) -> nn.Module:
        """The network itself."""
        network: nn.Module = vars(self)["network"]
        return network

    @property
    def training(self) -> bool:
        """The network's mode."""
        return self.inner.training

    @training.setter
    def training(self, mode: bool) -> None:
        self.inner.training = mode

    def forward(self, images: Tensor) -> Any:
        return vars(self)["_ask"](self.inner, images)


def channels_last(network: nn.Module) -> nn.Module:
    """A network that is shown its images (N, C, *spatial) as (N, *spatial, C)."""
    return Adapter(network, lambda inner, images: inner(images.movedim(1, -1)))


def unwrap(network: nn.Module) -> nn.Module:
    """The network itself, out of `torch.compile` and (Distributed)DataParallel wrappers."""
    while True:
        inner = getattr(network, "_orig_mod", None)
        if isinstance(inner, nn.Module):
            network = inner
        elif isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        else:
            return network


def owned(network: nn.Module) -> nn.Module:
    """The user's own network, behind adapters."""
    while isinstance(network, Adapter):
        network = network.inner
    return network


def why_closed(network: nn.Module) -> str:
    """Why a network cannot be looked into, as far as it says so."""
    if isinstance(owned(network), torch.jit.ScriptModule):
        return "it is TorchScript; wrap the original network"
    count = getattr(owned(network), "at_once", None)
    if isinstance(count, int) and count > 1:
        return f"it was exported for exactly {count} images at once; export it for one, or for any number"
    return str(getattr(owned(network), "why", ""))


def black_box(network: nn.Module) -> str:
    """That no gradient comes back from a network, and why."""
    why = why_closed(network)
    return f"the network is a black box ({why})" if why else "the network is a black box"


def as_network(network: Any) -> nn.Module:
    """A network from a module or a function; anything else is refused."""
    if isinstance(network, nn.Module):
        return unwrap(network)
    if callable(network):
        return FunctionNetwork(network)
    raise NetworkError(f"a {type(network).__name__} is neither a torch.nn.Module nor a function of a tensor.")


def by_name(
    network: nn.Module, image: str | None, others: Mapping[str, Any] | None, answer: str | int | None
) -> nn.Module:
    """A network that takes its images by the name `image` and `others` beside them, and whose `answer` is looked at.

    Each of the `others` that is a tensor or array (1, ...) is repeated for every image. Without any of them: the
    network. Raises NetworkError for a name that it does not take.
    """
    if image is None and not others and answer is None:
        return network
    if not isinstance(others, Mapping | None):
        raise NetworkError(f"inputs={others!r}; give a dictionary, name -> tensor.")
    given = {
        name: torch.as_tensor(one) if isinstance(one, np.ndarray) else one for name, one in (others or {}).items()
    }
    _check_names(network, image, given)

    def ask(inner: nn.Module, images: Tensor) -> Any:
        beside = {name: _repeated(value, images) for name, value in given.items()}
        output = inner(images, **beside) if image is None else inner(**{image: images}, **beside)
        return output if answer is None else _part(output, answer)

    return Adapter(network, ask)


def _check_names(network: nn.Module, image: str | None, others: Mapping[str, Any]) -> None:
    """Refuse names that the network does not take. Raises NetworkError with near misses."""
    try:
        takes = inspect.signature(
            network.function if isinstance(network, FunctionNetwork) else network.forward
        ).parameters
    except (TypeError, ValueError):  # TorchScript's and others of no known signature
        return
    kinds = [one.kind for one in takes.values()]
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return
    for name in others if image is None else (image, *others):
        if name not in takes:
            raise NetworkError(f"the network takes nothing named {name!r}; {near(name, takes)}")
    if image is None and next(iter(takes), None) in others:
        raise NetworkError(f"the network takes {next(iter(takes))!r} first; name the images' argument, input_name=.")


def by_input(
    takes: Mapping[str, Any], image: str, images: tuple[Any, ...], beside: Mapping[str, Any]
) -> dict[str, Any]:
    """What a graph is given, by the names of what it `takes`; a shape each. Raises NetworkError where they differ."""
    given = dict(zip([image], images, strict=False)) | dict(beside)
    if given.keys() != takes.keys():
        missing = [f"{name!r} {tuple(takes[name])}" for name in takes if name not in given]
        said = f"it needs {', '.join(missing)} too" if missing else f"it has no other than {list(takes)}"
        raise NetworkError(f"the graph was given {list(given)}; {said}: inputs={{name: tensor}}.")
    return given


def in_parts(ask: Callable[[Mapping[str, Any]], Any], given: Mapping[str, Any], count: int | None) -> Any:
    """What `ask` answers to tensors of N rows by name, `count` rows at a time; None is all of them at once."""
    rows = max((len(value) for value in given.values() if isinstance(value, Tensor) and value.ndim), default=0)
    if count is None or rows == count:
        return ask(given)
    parts = [
        ask({name: _rows(value, start, count) for name, value in given.items()}) for start in range(0, rows, count)
    ]
    return _together(parts, rows)


def _rows(value: Any, start: int, count: int) -> Any:
    """Rows of a tensor; the last is repeated where there are too few."""
    if not isinstance(value, Tensor) or not value.ndim:
        return value
    part = value[start : start + count]
    return torch.cat([part, part[-1:].expand(count - len(part), *part.shape[1:])]) if len(part) < count else part


def _together(parts: list[Any], rows: int) -> Any:
    """The answers of all parts as one, of `rows` rows."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {name: _together([part[name] for part in parts], rows) for name in first}
    if isinstance(first, tuple | list):
        return tuple(_together(list(same), rows) for same in zip(*parts, strict=True))
    return torch.cat(parts)[:rows] if isinstance(first, Tensor) and first.ndim else first


def _repeated(value: Any, images: Tensor) -> Any:
    if not isinstance(value, Tensor):
        return value
    value = value.to(images.device)
    return value.expand(len(images), *value.shape[1:]) if value.ndim and len(value) == 1 else value


def _part(output: Any, answer: str | int) -> Any:
    """One of several outputs. Raises NetworkError that lists them."""
    listed = isinstance(output, tuple | list)
    if isinstance(answer, int) and listed and -len(output) <= answer < len(output):
        return output[answer]
    if isinstance(output, Mapping) and answer in output:
        return output[answer]
    if isinstance(answer, str) and isinstance(getattr(output, answer, None), Tensor | tuple | list | Mapping):
        return getattr(output, answer)
    names = [str(key) for key in (output if isinstance(output, Mapping) else getattr(output, "_fields", ()))]
    names = names or [str(index) for index in range(len(output))] if listed else names
    count = f"{len(output)} outputs" if listed else f"a {type(output).__name__}"
    raise NetworkError(f"the network has no output {answer!r}; it gives {count}; {near(str(answer), names)}")

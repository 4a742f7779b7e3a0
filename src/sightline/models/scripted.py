"""Files of `torch.save` and TorchScript as models: programs, pickled networks, and what are only weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.models.model import Model
from sightline.models.request import Request, code_refused
from sightline.models.sources import wrapped
from sightline.models.weights import is_script, unpickled


def load_torch_file(request: Request) -> Model:
    """A network from a TorchScript archive, or a pickled one, with `wrap`'s options; both are code.

    Raises ModelError unless `allow_code_execution`, and for a file of weights, which needs the network they are of.
    """
    path = Path(request.name)
    if request.weights != "default":
        raise ModelError(f"{path.name} is a file of its own; for weights name their network first, {_how(path)}.")
    if is_script(path):
        if not request.allow_code_execution:
            raise code_refused(path.name, "a TorchScript program")
        return wrapped(_script(path), request)
    found = unpickled(path, request.allow_code_execution)
    network = found.get("model") if isinstance(found, dict) else found
    if isinstance(network, nn.Module):
        return wrapped(network, request)
    raise ModelError(f"{path.name} holds {_described(found)} and no network. Name the network: {_how(path)}.")


def _how(path: Path) -> str:
    return f'sl.load("torchvision/NAME", weights="{path.name}"), "timm/NAME" or "package.module:factory"'


def _script(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript is deprecated, which its user knows
            return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:  # a damaged program makes torch raise anything
        raise ModelError(
            f"torch {torch.__version__} cannot load {path.name}: {str(error).splitlines()[0]}"
        ) from error


def _described(found: Any) -> str:
    """What there is instead of a network."""
    while isinstance(found, dict) and not any(isinstance(value, Tensor) for value in found.values()):
        inner = [value for value in found.values() if isinstance(value, dict) and value]
        if not inner:
            break
        found = inner[0]
    names = [name for name, value in found.items() if isinstance(value, Tensor)] if isinstance(found, dict) else []
    return f"{len(names)} weights, such as {names[0]!r}," if names else f"a {type(found).__name__}"

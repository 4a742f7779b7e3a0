"""Weight files into networks; nothing in a file is executed unless the user allows it by name."""

from __future__ import annotations

import re
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.models.archives import checked_zip
from sightline.models.request import code_refused

_WRAPPERS = ("_orig_mod.", "module.", "_orig_mod.")
"""What torch.compile and data parallelism put before a tensor's name, in either order."""
_INSIDE = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where a checkpoint of a training keeps the weights: averaged ones first."""


def load_weights(network: nn.Module, path: Path, allow_code_execution: bool = False) -> None:
    """Fill `network` from a .safetensors file, or a .pt or .pth file of tensors only. Raises ModelError.

    The network is untouched unless every tensor fits.
    """
    fill(network, read_state(path, allow_code_execution), path.name)


def fill(network: nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Fill `network` with the tensors of a file of that name. Raises ModelError; it is untouched unless all fit."""
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for wrapper in _WRAPPERS:
        if not any(key.startswith(wrapper) for key in own):
            state = {key.removeprefix(wrapper): tensor for key, tensor in state.items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    missing, extra = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    odd = [f"{n} {given[n]} instead of {own[n]}" for n in own if n in given and given[n] != own[n]]
    if missing or extra or odd:
        parts = (
            (len(missing), "missing", missing),
            (len(extra), "not in the network", extra),
            (len(odd), "of another shape", odd),
        )
        said = "; ".join(f"{count} {what}, such as {names[0]}" for count, what, names in parts if count)
        raise ModelError(f"{name} does not fit this network: {said}.")
    network.load_state_dict(state)


def read_state(path: Path, allow_code_execution: bool = False) -> dict[str, Tensor]:
    """The named tensors of a weights file. Raises ModelError for anything else, unread.

    A pickle that holds more than tensors is only loaded where the user allows it to run its code.
    """
    if not path.is_file():
        raise ModelError(f"no weights file {str(path)!r}.")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            loaded: dict[str, Tensor] = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path.name} is no intact safetensors file: {error}") from error
        return loaded
    if path.suffix not in (".pt", ".pth"):
        raise ModelError(f"{path.name}: weights come as .safetensors, .pt or .pth.")
    state: Any = unpickled(path, allow_code_execution)
    for key in _INSIDE:
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    if isinstance(state, nn.Module):
        state = state.state_dict()
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path.name} holds a {type(state).__name__}, not a dictionary of tensors.")
    return state


def unpickled(path: Path, allow_code_execution: bool) -> Any:
    """What a .pt or .pth file holds; more than tensors and plain values only where the user allows its code to run.

    Raises ModelError that says what was found.
    """
    if zipfile.is_zipfile(path):
        checked_zip(path)
    try:
        with torch.serialization.safe_globals([Namespace]):  # a training's arguments: plain values beside its weights
            return torch.load(path, map_location="cpu", weights_only=not allow_code_execution)
    except Exception as error:  # a damaged file makes the unpickler raise anything
        found = _code_in(path, str(error))
        if found and not allow_code_execution:
            refused = code_refused(path.name, f"more than tensors, {found}")
            raise ModelError(f"{refused} Safer: the network's state_dict() saved with safetensors.") from error
        raise ModelError(
            f"{path.name} cannot be read as tensors: it is damaged, or no file of torch.save's. "
            "Save the network's state_dict() with safetensors."
        ) from error


def _code_in(path: Path, said: str) -> str | None:
    """What a file holds that torch refused to unpickle; None for a file that is no pickle."""
    named = re.search(r"GLOBAL ([\w.]+)", said)
    if named:
        return f"{named[1]} of a pickle"
    with path.open("rb") as file:
        pickled = file.read(1) == b"\x80"
    return "a pickle of another kind than torch's" if pickled else None

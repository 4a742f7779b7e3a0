"""Weight files into networks; nothing in a file is executed unless the user allows it by name."""

from __future__ import annotations

import pickletools
import re
import tarfile
import warnings
import zipfile
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on pickles of another protocol, and TorchScript
            with torch.serialization.safe_globals([Namespace]):  # a training's arguments: plain values
                return torch.load(path, map_location="cpu", weights_only=not allow_code_execution)
    except Exception as error:  # a damaged file makes the unpickler raise anything
        found = _code_in(path, str(error))
        if found and not allow_code_execution:
            refused = code_refused(path.name, found)
            raise ModelError(f"{refused} Safer: the network's state_dict() saved with safetensors.") from error
        raise ModelError(
            f"{path.name} cannot be read as tensors: it is damaged, or no file of torch.save's. "
            "Save the network's state_dict() with safetensors."
        ) from error


def is_script(path: Path) -> bool:
    """Whether a file is a TorchScript program: torch.save's have no table of constants. Raises ModelError."""
    return zipfile.is_zipfile(path) and _member(path, "constants.pkl") is not None


def _member(path: Path, name: str) -> str | None:
    """The member of that name in the archive's folder; None where there is none. Raises ModelError."""
    return next((one.filename for one in checked_zip(path) if PurePosixPath(one.filename).name == name), None)


def _code_in(path: Path, said: str) -> str | None:
    """What a file holds that torch refused to unpickle; None for a file that is no pickle."""
    if is_script(path):
        return "a TorchScript program"
    named = re.search(r"GLOBAL ([\w.]+)", said)
    if named:
        return f"more than tensors, {named[1]} of a pickle"
    if tarfile.is_tarfile(path):
        return "pickles in a tar archive"
    return "a pickle that torch's restricted unpickler does not read" if _is_pickled(path) else None


def _is_pickled(path: Path) -> bool:
    """Whether a file, or the data of torch's archive, is a pickle to its end; nothing of it is run."""
    member = _member(path, "data.pkl") if zipfile.is_zipfile(path) else None
    try:
        with ExitStack() as opened:
            file: Any = opened.enter_context(path.open("rb"))
            if member is not None:
                file = opened.enter_context(opened.enter_context(zipfile.ZipFile(file)).open(member))
            return sum(1 for _ in pickletools.genops(file)) > 1
    except Exception:  # what is no pickle makes the reader of its steps raise anything
        return False

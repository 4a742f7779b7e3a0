"""Weight files into networks; nothing in a file is ever executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core.errors import ModelError


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill `network` from a .safetensors file, or a .pt or .pth file of tensors only. Raises ModelError.

    The network is untouched unless every tensor fits.
    """
    state = read_state(path)
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
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
        raise ModelError(f"{path.name} does not fit this network: {said}.")
    network.load_state_dict(state)


def read_state(path: Path) -> dict[str, Tensor]:
    """The named tensors of a weights file. Raises ModelError for anything else, unread."""
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
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the unpickler raise anything
        raise ModelError(
            f"{path.name} holds more than tensors, or is damaged; such a pickle can run any code and is not loaded. "
            "Save the network's state_dict() with safetensors."
        ) from error
    for key in ("state_dict", "model"):
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path.name} holds a {type(state).__name__}, not a dictionary of tensors.")
    return state

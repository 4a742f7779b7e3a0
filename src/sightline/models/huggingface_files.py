"""Hugging Face repositories: found in a folder or on the hub, and looked at before anything in them is loaded."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightline.core.errors import ModelError, near
from sightline.models.archives import outside
from sightline.models.request import code_refused, needed

_DESCRIBED = ("*.json", "*.txt", "*.model", "*.jinja")
_TENSORS, _PICKLES = "model*.safetensors", "pytorch_model*.bin"
_ATTENTION = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")
_NETWORKS = ("architecture", "backbone")  # timm takes them from the hub or another folder: "hf-hub:owner/name"
_PATHS = ("checkpoint_path",)


def repository(name: str, weights: bool, allow_code_execution: bool) -> Path:
    """The folder that holds a repository, its weights too if they are asked for. Raises ModelError.

    Nothing in it asks for code to be run, unless that is allowed, and nothing points out of it.
    """
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path) or name.startswith((".", "/", "~")):
        folder = _local(path, name)
    else:
        folder = _fetched(name, weights, allow_code_execution)
    check(folder, allow_code_execution)
    return folder


def _local(path: Path, name: str) -> Path:
    if not path.is_dir():
        beside = [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
        raise ModelError(f"no folder {name!r}; {near(path.name, beside)}")
    if not (path / "config.json").is_file():
        raise ModelError(
            f"the folder {name!r} holds no config.json; give one that save_pretrained wrote, or a repository's clone."
        )
    return path


def _fetched(name: str, weights: bool, code: bool) -> Path:
    """From the cache or the hub: what describes the network, then safetensors, pickles only where there are none."""
    hub = needed("huggingface_hub", "hf")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise ModelError(f"{name!r} is no Hugging Face id, which reads 'owner/name', and no folder.")
    first = [*_DESCRIBED, *(["*.py"] if code else []), *([_TENSORS] if weights else [])]
    try:
        for patterns in (first, [_PICKLES]):
            folder = Path(hub.snapshot_download(name, allow_patterns=patterns, ignore_patterns=["*/*"]))
            if not weights or any(folder.glob(_TENSORS)):
                break
    except Exception as error:  # whatever a network, a server or a half-filled cache makes of it
        raise _unreachable(name, hub, error) from error
    return folder


def _unreachable(name: str, hub: Any, error: Exception) -> ModelError:
    kinds = hub.errors
    stored = _stored(hub)
    at_hand = f"at hand: {near(name, stored)}" if stored else "none is at hand."
    if isinstance(error, kinds.HFValidationError):
        return ModelError(f"{name!r} is no Hugging Face id: {error}")
    if isinstance(error, kinds.GatedRepoError):
        return ModelError(f"{name!r} is gated: accept its terms on huggingface.co and log in, `hf auth login`.")
    if isinstance(error, kinds.RepositoryNotFoundError):
        return ModelError(f"Hugging Face has no model {name!r}, or it is private; {at_hand}")
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"{name!r} is not at hand and huggingface.co could not be reached ({said}); {at_hand} "
        "Without a network: the folder of one, 'hf/./folder', or the embedded model 'demo'."
    )


def _stored(hub: Any) -> list[str]:
    """The ids of the models in the hub's cache."""
    cache = Path(hub.constants.HF_HUB_CACHE)
    return [one.name.removeprefix("models--").replace("--", "/") for one in cache.glob("models--*")]


def check(folder: Path, allow_code_execution: bool) -> None:
    """Refuse what would run code, or reach out of the folder. Raises ModelError."""
    for path in sorted(folder.glob("*.json")):
        if path.name.endswith(".index.json"):
            for shard in _shards(path):
                if outside(shard):
                    raise _reaches_out(path, shard)
        elif path.name.endswith("config.json"):
            for key, value in _entries(read_json(path)):
                _check_entry(path, key, value, allow_code_execution)


def _check_entry(path: Path, key: str, value: Any, code: bool) -> None:
    """Refuse an entry that makes transformers run code from elsewhere, or timm read from elsewhere."""
    if (key in _NETWORKS and isinstance(value, str) and ":" in value) or (key in _PATHS and value):
        raise _reaches_out(path, value)
    found = ""
    if key in ("auto_map", "custom_pipelines") and value:
        found = f"{key}, code of its own ({_first(value)})"
    if key in _ATTENTION and "/" in json.dumps(value):
        found = f"{key}, a kernel from the web ({_first(value)})"
    if found and not code:
        raise ModelError(
            f"{code_refused(str(path), found)} Where transformers has a class of its own for it, the entry "
            "can be deleted instead."
        )


def _reaches_out(path: Path, name: Any) -> ModelError:
    return ModelError(f"{path.name} names {name!r}, outside its own folder; nothing was loaded.")


def _shards(path: Path) -> list[str]:
    files = read_json(path).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(one, str) for one in files.values()):
        raise ModelError(f"{path.name} is no index of weights.")
    return sorted(set(files.values()))


def shards_of(folder: Path) -> list[Path]:
    """The pickles that hold a folder's weights, where it has no safetensors; none elsewhere."""
    if any(folder.glob(_TENSORS)):
        return []
    return sorted(folder.glob(_PICKLES))


def _entries(described: Any) -> Iterator[tuple[str, Any]]:
    """All names and values of a configuration, at any depth."""
    waiting = [described]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield from part.items()
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _first(value: Any) -> Any:
    while isinstance(value, dict | list) and value:
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return value


def read_json(path: Path) -> dict[str, Any]:
    """A configuration. Raises ModelError for what is none."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path.name} cannot be read as JSON: {str(error)[:200]}") from error
    if not isinstance(read, dict):
        raise ModelError(f"{path.name} is no configuration: it holds a {type(read).__name__}.")
    return read

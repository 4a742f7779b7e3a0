"""Hugging Face networks from their configurations, with the weights of a repository, of a file, or random ones."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.core.heats import Warning
from sightline.models.huggingface_files import shards_of
from sightline.models.request import needed
from sightline.models.weights import read_state, unpickled


@contextmanager
def quiet() -> Iterator[Any]:
    """transformers, which inside the block shows no bars, logs errors only, and draws from seed 0."""
    transformers = needed("transformers", "hf")
    log = transformers.utils.logging
    hub = needed("huggingface_hub", "hf").utils
    level, bars, hub_bars = log.get_verbosity(), log.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        log.set_verbosity_error()
        log.disable_progress_bar()
        try:
            yield transformers
        finally:
            log.set_verbosity(level)
            if bars:
                log.enable_progress_bar()
            if hub_bars:
                hub.enable_progress_bars()


def built(kind: Any, config: Any, folder: Path, weights: Any, code: bool) -> tuple[nn.Module, tuple[Warning, ...]]:
    """The network of class `kind` in float32, and what has to be known of its weights. Raises ModelError."""
    if weights is None:
        make = getattr(kind, "from_config", None) or kind._from_config
        try:
            network: nn.Module = make(config, **({"trust_remote_code": True} if code else {}))
        except Exception as error:  # a configuration that no network fits makes it raise anything
            raise ModelError(f"{folder.name}: no network can be made of its config.json: {_brief(error)}") from error
        return network.float().eval(), ()
    state = _state(folder, weights, code)
    options: dict[str, Any] = {"config": config, "output_loading_info": True, "ignore_mismatched_sizes": True}
    if code:
        options["trust_remote_code"] = True
    name = folder.name if weights == "default" else Path(weights).name
    try:
        if state is None:
            network, info = kind.from_pretrained(folder, use_safetensors=True, **options)
        else:
            network, info = kind.from_pretrained(None, state_dict=state, **options)
    except Exception as error:  # a damaged or foreign file makes it raise anything
        raise ModelError(f"{name}: the weights could not be loaded: {_brief(error)}") from error
    for tensor, held, expected in sorted(info["mismatched_keys"]):
        raise ModelError(f"{name}: {tensor} is {tuple(held)}, and the network takes {tuple(expected)}.")
    return network.float().eval(), _untrained(name, info, strict=weights != "default")


def _state(folder: Path, weights: Any, code: bool) -> dict[str, Tensor] | None:
    """The named tensors of a file, or of a folder that has pickles only; None for a folder's safetensors."""
    if weights != "default":
        if not isinstance(weights, str | os.PathLike):
            raise ModelError(f"weights={weights!r}; possible: 'default', None for random ones, or a file.")
        return read_state(Path(weights), code)
    shards = shards_of(folder)
    if not shards:
        return None
    state: dict[str, Tensor] = {}
    for shard in shards:
        held = unpickled(shard, code)
        if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
            raise ModelError(f"{shard.name} holds a {type(held).__name__}, not a dictionary of tensors.")
        state |= held
    return state


def _untrained(name: str, info: dict[str, Any], strict: bool) -> tuple[Warning, ...]:
    """What the weights left random; refused where the user named a file."""
    missing = sorted(info["missing_keys"])
    if not missing:
        return ()
    message = f"{name} holds no weights for {len(missing)} of the network's tensors, such as {missing[0]}"
    if strict:
        raise ModelError(f"{message}: it does not fit this network.")
    return (
        Warning("untrained-weights", f"{message}: they are random, and what the network answers means nothing yet."),
    )


def _brief(error: Exception) -> str:
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:300]}"

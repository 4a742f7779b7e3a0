"""Models by name: which source a name means, and what every source needs."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sightline.core.errors import ModelError, near
from sightline.models.model import Model, wrap
from sightline.models.weights import load_weights

SOURCES = ("demo", "torchvision/NAME", "package.module:factory")


def load(source: str, *, weights: Any = "default", device: str | torch.device | None = None, **options: Any) -> Model:
    """A ready model: "demo", "torchvision/NAME", or "package.module:factory" for a network of your own.

    `weights`: "default", None for random ones (the same each time), the name of a torchvision weights entry, or a
    file (.safetensors; .pt and .pth holding tensors only). A factory is called without arguments and returns a
    network or a Model; a network takes `wrap`'s options here (`input_size=` and so on). Raises ModelError.
    """
    if not isinstance(source, str):
        raise ModelError(f"{source!r} is not a name; for a live network use sl.wrap(network, input_size=...).")
    name, _, rest = source.partition("/")
    if source == "demo":
        from sightline.models.embedded import load_demo

        model = load_demo(weights, options)
    elif name == "torchvision" and rest:
        from sightline.models.vision import load_torchvision

        model = load_torchvision(rest, weights, options)
    elif ":" in source and "/" not in source:
        model = _from_factory(source, weights, options)
    else:
        raise ModelError(f"no model {source!r}; possible: {', '.join(SOURCES)}.")
    model.source = source
    model.weights = "random" if weights is None else str(weights)
    return model.to(device) if device is not None else model


def _from_factory(source: str, weights: Any, options: dict[str, Any]) -> Model:
    made = _factory(source)
    if not isinstance(made, nn.Module | Model) and callable(made):
        try:
            made = made()
        except Exception as error:
            raise ModelError(f"{source}() failed: {type(error).__name__}: {error}") from error
    network = made.network if isinstance(made, Model) else made
    if weights not in ("default", None):
        if not isinstance(network, nn.Module):
            raise ModelError(f"weights={weights!r}: {source} made a function, which takes no weights.")
        load_weights(network, Path(weights))
    if isinstance(made, Model):
        if options:
            raise ModelError(f"{source} made a Model, which has its own options; {sorted(options)} do not apply.")
        return made
    if "input_size" not in options:
        raise ModelError(f"{source} made a network of unknown input size; give input_size=224 or (height, width).")
    known = inspect.signature(wrap).parameters
    for name in options:
        if name not in known:
            raise ModelError(f"{source}: no option {name!r}; {near(name, known)}")
    return wrap(network, **options)


def _factory(source: str) -> Callable[[], Any] | Any:
    module_name, _, attribute = source.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the module is the user's: it may fail in any way
        raise ModelError(f"{source}: cannot import {module_name!r}: {error}. Is it on the path?") from error
    if not hasattr(module, attribute):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise ModelError(f"{module_name!r} has no {attribute!r}; {near(attribute, names)}")
    return getattr(module, attribute)

"""Models by name: which source a name means, and what every source needs."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sightline.core.errors import ModelError, near
from sightline.models.known import part_of
from sightline.models.model import Model, check_device
from sightline.models.request import Request
from sightline.models.weights import load_weights
from sightline.models.wrapping import wrap

NAMED: dict[str, tuple[str, str]] = {
    "demo": ("demo", "embedded:load_demo"),
    "hf": ("hf/ID or hf/./folder", "huggingface:load_huggingface"),
    "timm": ("timm/NAME", "pytorch_image_models:load_timm"),
    "torchvision": ("torchvision/NAME", "vision:load_torchvision"),
    "keras": ("keras/NAME", "keras_applications:load_application"),
}
"""What stands before the first slash -> how such a name reads, and room:function that loads it."""
FILES: dict[str, str] = {
    ".h5": "keras_files:load_keras_file",
    ".hdf5": "keras_files:load_keras_file",
    ".keras": "keras_files:load_keras_file",
    ".onnx": "onnx_files:load_onnx",
    ".pt2": "exported_files:load_exported",
    ".pt": "scripted:load_torch_file",
    ".pth": "scripted:load_torch_file",
    ".ts": "scripted:load_torch_file",
    ".torchscript": "scripted:load_torch_file",
}
"""A file's ending -> room:function that loads it."""
FACTORY = "package.module:factory"


def load(
    source: str | os.PathLike[str],
    *,
    weights: Any = "default",
    device: str | torch.device | None = None,
    allow_code_execution: bool = False,
    **options: Any,
) -> Model:
    """A ready model by its name, or from its file; `sightline models` lists what there is.

    `weights`: "default", None for random ones (the same each time), the name of a published entry, or a file
    (.safetensors; .pt and .pth holding tensors only). A factory is called without arguments and returns a network or
    a Model; networks and files that carry no preprocessing take `wrap`'s options here (`input_size=` and so on).
    `allow_code_execution=True` loads what can run any code on this machine while it is loaded: pickles, Keras Lambda
    layers, code that comes with a Hugging Face model. Raises ModelError.
    """
    if not isinstance(source, str | os.PathLike):
        raise ModelError(f"{source!r} is not a name; for a live network use sl.wrap(network, input_size=...).")
    source = os.fspath(source)
    if device is not None:
        check_device(device)
    kind, _, name = source.partition("/")
    ending = Path(source).suffix.lower()
    request = Request(name, weights, options, allow_code_execution)
    if kind in NAMED and bool(name) == ("/" in NAMED[kind][0]):
        model: Model = part_of(NAMED[kind][1])(request)
    elif "://" in source:
        raise ModelError(f"{source} is an address, from which nothing is fetched; download it, and give the file.")
    elif ending in FILES:
        _check_file(Path(source))
        model = part_of(FILES[ending])(replace(request, name=source))
    elif ":" in source and "/" not in source:
        model = _from_factory(replace(request, name=source))
    elif ending == ".safetensors":
        raise ModelError(
            f"{source} holds weights without a network: sl.load('torchvision/NAME', weights={source!r})."
        )
    else:
        raise ModelError(f"no model {source!r}; {_meant(source)}")
    model.source = source
    model.weights = "random" if weights is None else str(weights)
    return model.to(device) if device is not None else model


def possible() -> list[str]:
    """How names of models read, source by source."""
    return [*(reads for reads, _ in NAMED.values()), *(f"FILE{ending}" for ending in FILES), FACTORY]


def _check_file(path: Path) -> None:
    """Refuse a model's file that is not there, with near misses. Raises ModelError."""
    if path.is_file():
        return
    if path.is_dir():
        raise ModelError(f"{str(path)!r} is a folder, and no model file.")
    if not path.parent.is_dir():
        raise ModelError(f"no model file {str(path)!r}; there is no folder {str(path.parent)!r}.")
    beside = [one.name for one in path.parent.iterdir() if one.suffix.lower() in FILES]
    raise ModelError(f"no model file {str(path)!r}; {near(path.name, beside)}")


def _meant(source: str) -> str:
    """The end of an error's sentence: what a name that is no model's may have meant, or what is possible."""
    if os.path.isdir(source):
        return f"it is a folder: 'hf/{source}' where Hugging Face's save_pretrained wrote it, else the file in it."
    kind, _, name = source.strip().partition("/")
    stem, ending = os.path.splitext(source.strip())
    meant = [f"{one}/{name}" if name and "/" in NAMED[one][0] else NAMED[one][0] for one in _close(kind, NAMED)]
    meant += [f"{stem}{one}" for one in _close(ending, FILES)]
    meant += [f"torchvision/{source}"] if source in part_of("vision:names")() else []
    return f"did you mean {' or '.join(map(repr, meant))}?" if meant else f"possible: {', '.join(possible())}."


def _close(word: str, names: Sequence[str] | dict[str, Any]) -> list[str]:
    return get_close_matches(word.casefold(), names, n=1, cutoff=0.7)


def _from_factory(request: Request) -> Model:
    source, options = request.name, request.options
    made = _factory(source)
    if not isinstance(made, nn.Module | Model) and callable(made):
        try:
            made = made()
        except Exception as error:
            raise ModelError(f"{source}() failed: {type(error).__name__}: {error}") from error
    network = made.network if isinstance(made, Model) else made
    if request.weights not in ("default", None):
        if not isinstance(network, nn.Module):
            raise ModelError(f"weights={request.weights!r}: {source} made a function, which takes no weights.")
        load_weights(network, Path(request.weights), request.allow_code_execution)
    if isinstance(made, Model):
        if options:
            raise ModelError(f"{source} made a Model, which has its own options; {sorted(options)} do not apply.")
        return made
    return wrapped(network, request)


def wrapped(network: Any, request: Request, own: Sequence[str] = ()) -> Model:
    """A live network with the request's options: `wrap`'s, or the source's `own`, which are passed over.

    Raises ModelError with near misses.
    """
    known = list(inspect.signature(wrap).parameters)
    for name in request.options:
        if name not in (*known, *own):
            raise ModelError(f"{request.name}: no option {name!r}; {near(name, (*known, *own))}")
    return wrap(network, **{name: value for name, value in request.options.items() if name not in own})


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

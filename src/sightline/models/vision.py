"""torchvision's networks, with the preprocessing and labels of their own weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sightline.core.errors import ModelError, near
from sightline.models.model import Model
from sightline.models.request import OFFLINE, Request
from sightline.models.videos import of_clips, video_names
from sightline.models.weights import load_weights
from sightline.models.wrapping import wrap
from sightline.photos.geometry import Geometry

_SCALED_INPUT = (
    "googlenet",
    "inception_v3",
)  # their weights expect another scaling, which the builder turns on


def load_torchvision(request: Request) -> Model:
    """A torchvision network that classifies, segments or detects, by name. Raises ModelError."""
    from torchvision import models

    name, weights = request.name, request.weights
    request.no_options(f"torchvision/{name}")
    if name not in names():
        raise ModelError(
            f"torchvision has no model {name!r} that classifies, segments or detects; {near(name, names())}"
        )
    entries = models.get_model_weights(name)
    path = Path(weights) if isinstance(weights, str | os.PathLike) and Path(weights).suffix else None
    entry = entries.DEFAULT if weights == "default" or path or weights is None else _entry(entries, weights, name)
    network = _build(name, entry)
    if path:
        load_weights(network, path, request.allow_code_execution)
    elif weights is not None:
        network.load_state_dict(_fetched(entry, name))
    labels = tuple(entry.meta["categories"])
    if "detection" in type(entry).__module__:
        return wrap(network.eval(), labels=labels, batch_size=1)  # a pass of one photo is work enough
    if name in video_names():
        return of_clips(network, name, entry)
    geometry, mean, std = _preprocessing(entry)
    return Model(network.eval(), geometry, 3, mean, std, labels)


def _build(name: str, entry: Any) -> nn.Module:
    """The bare network; random weights are the same each time, and the global generator is left alone."""
    from torchvision import models

    options: dict[str, Any] = {}
    if name in _SCALED_INPUT:
        options = {"transform_input": True, "init_weights": False}
    elif "detection" in type(entry).__module__:
        options = {"weights_backbone": None}
    elif "segmentation" in type(entry).__module__:
        options = {"weights_backbone": None} | ({} if name.startswith("lraspp") else {"aux_loss": True})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = models.get_model(name, weights=None, **options)
    return network


def _entry(entries: Any, weights: Any, name: str) -> Any:
    if isinstance(weights, entries):
        return weights
    names = [entry.name for entry in entries]
    if str(weights) not in names:
        raise ModelError(f"torchvision/{name} has no weights {weights!r}; {near(str(weights), names)}")
    return entries[str(weights)]


def _preprocessing(entry: Any) -> tuple[Geometry, tuple[float, ...], tuple[float, ...]]:
    """From the transform that the weights carry."""
    preset = entry.transforms()
    filter_name: Any = preset.interpolation.value
    short = preset.resize_size[0]
    mean, std = tuple(preset.mean), tuple(preset.std)
    if type(preset).__name__ == "SemanticSegmentation":
        return Geometry((short, short), resize="squash", interpolation=filter_name), mean, std
    side = preset.crop_size[0]
    return Geometry((side, side), resize="crop", short=short, interpolation=filter_name), mean, std


def _fetched(entry: Any, name: str) -> dict[str, Any]:
    """The published weights, from the cache or the web; tensors only."""
    try:
        state: dict[str, Any] = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # no network, a wrong hash, or a damaged file, which makes torch raise anything
        raise ModelError(
            f"the weights of torchvision/{name} are not at hand and could not be fetched ({error}). {OFFLINE}"
        ) from error
    return state


def names() -> list[str]:
    """The torchvision networks that can be loaded: those that classify, segment or detect."""
    from torchvision import models

    kinds = (models, models.segmentation, models.detection, models.video)
    return sorted(name for kind in kinds for name in models.list_models(module=kind))


def at_hand(name: str) -> bool:
    """Whether the default weights of a torchvision model lie in torch's cache."""
    from torchvision import models

    url: str = models.get_model_weights(name).DEFAULT.url
    return (Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]).is_file()

"""timm's image classifiers, with the preprocessing and labels of their own configuration."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core.errors import ModelError, near
from sightline.core.heats import Warning
from sightline.models.known import Known
from sightline.models.model import Model
from sightline.models.request import OFFLINE, Request, needed
from sightline.models.weights import fill, read_state
from sightline.models.wrapping import wrap
from sightline.network.adapters import unwrap
from sightline.photos.geometry import Geometry

OPTIONS = ("num_classes", "in_chans", "input_size", "labels")


def load_timm(request: Request) -> Model:
    """A timm architecture by name, "resnet50" or "resnet50.a1_in1k". Raises ModelError.

    Options: `num_classes`, else as many as the weights' file has or the architecture's own; `in_chans`; `input_size`,
    a side or (h, w); `labels`.
    """
    timm = needed("timm", "timm")
    options = _checked(request)
    path, name = _named(timm, request)
    wanted: dict[str, Any] = {key: options[key] for key in ("num_classes", "in_chans") if key in options}
    size = options.get("input_size")
    if path is None:
        network = _built(timm, name, request.weights == "default" or request.weights is not None, size, wanted)
    else:
        state = timm.models.clean_state_dict(read_state(path, request.allow_code_execution))
        network = _built(timm, name, False, size, _classes_of(timm, name, state) | wanted)
        fill(network, state, path.name)
    return wrap(network.eval(), input_size=size, labels=options.get("labels"))


def known_timm(network: Any) -> Known | None:
    """What a live network of timm's says of itself; None for any other."""
    inner: Any = unwrap(network) if isinstance(network, nn.Module) else None
    cfg = getattr(inner, "pretrained_cfg", None)
    if not isinstance(cfg, dict) or not isinstance(getattr(inner, "num_classes", None), int):
        return None
    config = needed("timm.data", "timm").resolve_data_config({}, pretrained_cfg=cfg)
    channels = getattr(inner, "in_chans", config["input_size"][0])
    mean, std = (_for_channels(config[name], channels) for name in ("mean", "std"))
    bare = inner.num_classes == 0
    return Known(
        inner,
        _size(inner, config),
        channels,
        mean,
        std,
        _labels(cfg, inner.num_classes),
        geometry=partial(_geometry, config=config),
        output="embedding" if bare else "auto",
        warnings=(_NO_CLASSES,) if bare else (),
    )


_NO_CLASSES = Warning(
    "no-classes",
    "this architecture has no classes: its answer is an embedding. Explain targets.Similar(embedding), or load it "
    "with num_classes=, as it was trained.",
)


def _checked(request: Request) -> dict[str, Any]:
    """The options. Raises ModelError with near misses."""
    for name in request.options:
        if name not in OPTIONS:
            raise ModelError(f"timm/{request.name}: no option {name!r}; {near(name, OPTIONS)}")
    for name in ("num_classes", "in_chans"):
        given = request.options.get(name, 1)
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise ModelError(f"timm/{request.name}: {name}={given!r}; it has to be 1 or more, a whole number.")
    return request.options


def _named(timm: Any, request: Request) -> tuple[Path | None, str]:
    """The weights' file, if they are one, and the architecture with the tag of published ones. Raises ModelError."""
    weights = request.weights
    architecture, _, tag = request.name.partition(".")
    if not timm.is_model(architecture):
        raise ModelError(f"timm has no architecture {architecture!r}; {near(architecture, timm.list_models())}")
    if isinstance(weights, str | os.PathLike) and Path(weights).suffix:
        return Path(weights), request.name
    tag = tag or (str(weights) if weights not in ("default", None) else "")
    tags = [one.partition(".")[2] for one in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise ModelError(f"timm/{architecture} has no weights {tag!r}; {near(tag, tags)}")
    if weights == "default" and not (tags or timm.models.is_model_pretrained(architecture)):
        raise ModelError(f"timm has no published weights of {architecture!r}. {OFFLINE}")
    return None, f"{architecture}.{tag}" if tag else architecture


def _built(timm: Any, name: str, published: bool, size: Any, wanted: dict[str, Any]) -> nn.Module:
    """The network; random weights are the same each time, and the global generator is left alone."""
    try:
        arguments = timm.models.resolve_model_input_args(name, {"img_size": size}, **wanted)
        if published:
            arguments |= _fetched(timm.get_pretrained_cfg(name))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network: nn.Module = timm.create_model(**arguments, pretrained=published)
    except Exception as error:  # no network, a damaged file, or a size that the architecture cannot take
        if not published:
            raise ModelError(
                f"timm/{name} could not be built with {wanted | {'input_size': size}}: {error}"
            ) from error
        raise ModelError(
            f"the weights of timm/{name} are not at hand and could not be fetched ({error}). {OFFLINE}"
        ) from error
    return network


def _fetched(cfg: Any) -> dict[str, Any]:
    """What tells timm where its weights lie, once they are fetched: it would ask an absent hub for a minute."""
    hubs = needed("timm.models._hub", "timm")
    if not (cfg.hf_hub_id and hubs.has_hf_hub()) or cfg.custom_load or (cfg.url and hubs.check_cached_file(cfg.url)):
        return {}
    wanted = cfg.hf_hub_filename or "model.safetensors"
    hub = needed("huggingface_hub", "timm")
    file = Path(hub.snapshot_download(cfg.hf_hub_id, allow_patterns=[wanted])) / wanted
    return {"pretrained_cfg_overlay": {"file": str(file)}} if file.is_file() else {}


def _classes_of(timm: Any, name: str, state: dict[str, Tensor]) -> dict[str, int]:
    """How many classes the head of a checkpoint tells apart, where it has the architecture's own head."""
    heads = timm.get_pretrained_cfg(name).classifier or ()
    first = heads if isinstance(heads, str) else next(iter(heads), "")
    weight = state.get(f"{first}.weight")
    return {} if weight is None else {"num_classes": len(weight)}


def _size(network: Any, config: dict[str, Any]) -> tuple[int, int]:
    """(h, w) that a network was built for, else the one that it was trained at."""
    built = getattr(network, "_traits", {}).get("img_size") or getattr(
        getattr(network, "patch_embed", None), "img_size", None
    )
    height, width = built or config["input_size"][1:]
    return int(height), int(width)


def _geometry(size: tuple[int, ...], config: dict[str, Any]) -> Geometry:
    """As timm.data.create_transform brings PIL images to an input of that size."""
    height, width = (math.floor(side / config["crop_pct"]) for side in size)
    way = Geometry(size, interpolation=config["interpolation"])
    if config["crop_mode"] == "squash":
        return replace(way, short=(height, width))
    if config["crop_mode"] == "border":
        border = tuple(round(255 * value) / 255 for value in config["mean"])
        return replace(way, resize="pad", box=(height, width), fill=border)
    return replace(way, short=height) if height == width else replace(way, box=(height, width))


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Statistics of a photo's channels; their average for images of others, as timm has none for these."""
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def _labels(cfg: dict[str, Any], classes: int) -> list[str] | None:
    """The names of a network's classes, where its configuration says them; ImageNet's by how many there are."""
    data = needed("timm.data", "timm")
    names = cfg.get("label_names")
    if names and len(names) == classes:
        told = cfg.get("label_descriptions") or {}
        return [told.get(name, name) for name in names]
    subset = data.infer_imagenet_subset({"num_classes": classes})
    if subset is None or cfg.get("num_classes") != classes:
        return None
    labels: list[str] = data.ImageNetInfo(subset).label_descriptions()
    return labels

"""Any live network or function, with what it takes to show it a photo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn

from sightline.core.errors import LayerError, ModelError, near
from sightline.core.heats import Warning
from sightline.models.detections import raw_detector
from sightline.models.known import Known, known
from sightline.models.model import Model, move
from sightline.network.adapters import FunctionNetwork, by_name, owned, unwrap
from sightline.network.readout import OUTPUTS
from sightline.photos.geometry import Geometry


def wrap(
    network: Any,
    *,
    input_size: int | tuple[int, ...] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    channels: int | None = None,
    labels: Sequence[str] | None = None,
    layer: str | None = None,
    resize: Literal["crop", "squash", "pad"] | None = None,
    output: str = "auto",
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
    layout: str | None = None,
    input_name: str | None = None,
    output_name: str | int | None = None,
    inputs: Mapping[str, Any] | None = None,
    boxes: str | None = None,
) -> Model:
    """A Model from any live network, or from any function (N, C, h, w) in [0, 1] -> (N, K) scores.

    `input_size`: a side, or (h, w); (d, h, w) for volumes, (t, h, w) for clips; None where the network says itself.
    `mean`, `std`: of pixels in [0, 1], one number or one per channel; without them pixels go in as [0, 1], and
    results say so. `resize`: "crop" is the network's own way where it says one, else the short side is scaled to 8/7
    of the input and the centre taken, "squash" squeezes the whole photo in, "pad" fits it with a border; None is
    "crop" for photos, "squash" for volumes, of which depth is never cut. `output`: "auto", "logits",
    "probabilities", "multilabel" or "regression". `layer`: what layer methods read by default. `backend`: "jax" or
    "tensorflow" for a function of such arrays, which should give logits: a softmax inside it cannot be seen.
    `layout`: "NHWC" for a network that takes channels last; of JAX's and TensorFlow's functions that is found out
    where they refuse "NCHW". `input_name`: the argument that takes the images, where it is not the first; `inputs`:
    others by name, a tensor (1, ...) is repeated for each image; `output_name`: which of several outputs is looked
    at. `output`="detections": boxes in input pixels with class probabilities, (N, Q, 4 + K) or (N, 4 + K, Q), an
    objectness before them or not; `boxes` says whether by corners, "xyxy", or "cxcywh", where that cannot be found
    out; photos are then padded. Raises ModelError, LayerError, NetworkError.
    """
    found = known(network, backend, layout)
    if found.bare is not None and (input_name is not None or inputs or output_name is not None):
        found = replace(found, network=found.bare, output="auto")
    module = by_name(found.network, input_name, inputs, output_name)
    size = _size(input_size, found.input_size, module)
    channels = _channels(channels, found.channels)
    labels = found.labels if labels is None else labels
    told: tuple[Warning, ...] = ()
    if mean is None and std is None:
        mean, std, told = found.mean, found.std, found.warnings
    raw = output == "detections" and found.output == "auto"
    resize = resize or ("squash" if len(size) != 2 else "pad" if raw else "crop")
    _check(resize, output, batch_size, channels, labels)
    if layer is not None:
        _check_layer(module, layer)
    if device is not None:
        move(module, device)
    if raw:
        module = raw_detector(module, boxes, labels, torch.rand(1, channels, *size, generator=torch.Generator()))
    elif boxes is not None:
        raise ModelError(f'boxes={boxes!r} is of detectors: output="detections".')
    means, deviations = _per_channel("mean", mean, channels), _per_channel("std", std, channels)
    return Model(
        module,
        _geometry(found, size, resize, means or (0.5,) * channels),
        channels,
        means,
        deviations,
        tuple(map(str, labels)) if labels is not None else None,
        layer or found.layer,
        found.output if output == "auto" else output,
        min(batch_size or found.batch_size, found.batch_size) if found.batch_size else batch_size,
        source=getattr(network, "__name__", type(unwrap(network)).__name__),
        warnings=found.remarks + told + _unnormalized(module, mean, std),
        words=found.words,
    )


def _check(resize: Any, output: Any, batch_size: Any, channels: Any, labels: Any) -> None:
    """Refuse what no model can be made with. Raises ModelError."""
    if resize not in ("crop", "squash", "pad"):
        raise ModelError(f"resize={resize!r}; possible: 'crop', 'squash', 'pad'.")
    if output not in OUTPUTS:
        raise ModelError(f"output={output!r}; possible: {', '.join(OUTPUTS)}.")
    for name, given in (("batch_size", 1 if batch_size is None else batch_size), ("channels", channels)):
        if not _is_count(given):
            raise ModelError(f"{name}={given!r}; it has to be 1 or more, a whole number.")
    if isinstance(labels, str) or not isinstance(labels, Iterable | None):
        raise ModelError(f"labels={labels!r}; give a list of names, one for each class.")


def _is_count(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given > 0


def _channels(given: int | None, own: int | None) -> int:
    return given if given is not None else own or 3


def _size(given: Any, own: tuple[int, ...] | None, network: nn.Module) -> tuple[int, ...]:
    if given is None and own is None:
        who = "a function" if isinstance(owned(network), FunctionNetwork) else type(owned(network)).__name__
        raise ModelError(f"{who} has an unknown input size; give input_size=224 or (height, width).")
    given = own if given is None else given
    size = tuple(given) if isinstance(given, list | tuple) else (given, given)
    if len(size) == 1:
        raise ModelError(f"input_size={given!r} is a signal's, which is no photo: there is sl.attribute(network, x).")
    if len(size) not in (2, 3) or not all(map(_is_count, size)):
        raise ModelError(f"input_size={given!r}; a side in pixels, or (height, width), or (depth, height, width).")
    if len(size) == 3 and size[2] in (1, 3):
        raise ModelError(f"input_size={given!r} ends with channels; give (height, width), and channels={size[2]}.")
    return size


def _geometry(found: Known, size: tuple[int, ...], resize: Any, fill: tuple[float, ...]) -> Geometry:
    """The network's own way to bring photos to its input where it says one, and no other is asked for."""
    if resize == "crop" and found.geometry is not None:
        return found.geometry(size)
    return Geometry(size, resize=resize, fill=fill)


def _unnormalized(network: nn.Module, mean: Any, std: Any) -> tuple[Warning, ...]:
    """A network that was trained on normalized pixels and gets [0, 1] answers, and answers wrongly."""
    if mean is not None or std is not None or isinstance(owned(network), FunctionNetwork):
        return ()
    message = "no mean and std were given: pixels go in as [0, 1]. Give those that the network was trained with."
    return (Warning("not-normalized", message),)


def _per_channel(what: str, given: float | Sequence[float] | None, channels: int) -> tuple[float, ...] | None:
    if given is None:
        return None
    try:
        values = (float(given),) * channels if isinstance(given, int | float) else tuple(map(float, given))
    except (TypeError, ValueError):
        raise ModelError(f"{what}={given!r}; give a number, or one for each of {channels} channels.") from None
    if len(values) != channels:
        raise ModelError(f"{what}={given} has {len(values)} numbers for {channels} channels.")
    if what == "std" and not all(value > 0 for value in values):
        raise ModelError(f"std={given}: all have to be above zero.")
    if what == "mean" and not all(0 <= value <= 1 for value in values):
        raise ModelError(f"mean={given}: it is of pixels in [0, 1]; divide one of pixels in 0..255 by 255.")
    return values


def _check_layer(module: nn.Module, layer: str) -> None:
    names = [name for name, _ in module.named_modules() if name]
    if layer not in names:
        if isinstance(owned(module), FunctionNetwork):
            raise LayerError(f"layer={layer!r}: a function has no layers to look into.")
        raise LayerError(f"no layer named {layer!r}; {near(layer, names)}")

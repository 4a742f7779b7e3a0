"""What a live network says of itself: each library's own networks are recognised where that library is in use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from torch import nn

from sightline.core.errors import ModelError
from sightline.core.heats import Warning
from sightline.core.targets import Target
from sightline.core.words import Said
from sightline.network.adapters import as_network, channels_last
from sightline.photos.geometry import Geometry

_RECOGNISERS: tuple[tuple[str, str], ...] = (
    ("torchvision", "detections:torchvision_detector"),
    ("timm", "pytorch_image_models:known_timm"),
    ("keras", "keras_live:known_keras"),
    ("_sightline_keras", "keras_live:known_keras"),
    ("transformers", "huggingface:recognised"),
    ("torch.export", "exported:known_exported"),
    ("onnx", "onnx_network:known_onnx"),
    ("onnxruntime", "onnx_network:known_session"),
    ("jax", "bridges:compiled_by_jax"),
    ("tensorflow", "bridges:compiled_by_tensorflow"),
    ("sklearn", "black_boxes:known_estimator"),
)
"""(library, room:function): the function takes a network and gives a Known, or None for what is not the library's."""
_BACKENDS: dict[str, str] = {
    "jax": "bridges:jax_network",
    "numpy": "black_boxes:numpy_network",
    "tensorflow": "bridges:tensorflow_network",
}
"""backend -> room:function that makes a network of a function of such arrays, and of a layout or None."""
LAYOUTS = ("NCHW", "NHWC")


@dataclass(frozen=True, slots=True)
class Known:
    """A network as torch asks it, and what it says of its input and answers; None where it says nothing.

    `input_size` is (h, w); `mean` and `std` are of pixels in [0, 1], one for each channel. `geometry`: its own way to
    bring a photo to an input of a size; `layer`: what layer methods read; `output`: what its answers are; `warnings`:
    what a reader has to know of how photos become its input, where nobody says otherwise; `remarks`: of the network,
    always; `bare`: the network itself, for who asks it by the names of its inputs; `layout`: what it takes images
    for; `batch_size`: how many it takes at once, where it takes no other number.
    """

    network: nn.Module
    input_size: tuple[int, ...] | None = None
    channels: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    labels: Sequence[str] | None = None
    words: Callable[[Said], Target] | None = None
    geometry: Callable[[tuple[int, ...]], Geometry] | None = None
    layer: str | None = None
    output: str = "auto"
    warnings: tuple[Warning, ...] = ()
    remarks: tuple[Warning, ...] = ()
    bare: nn.Module | None = None
    layout: str | None = None
    batch_size: int | None = None


def known(network: Any, backend: str = "auto", layout: str | None = None) -> Known:
    """A live network or function as a torch network, with what it says of itself. Raises ModelError, NetworkError."""
    if layout not in (None, *LAYOUTS):
        raise ModelError(f"layout={layout!r}; possible: {', '.join(LAYOUTS)}.")
    if isinstance(network, Known):
        return _laid_out(network, layout)
    if backend in _BACKENDS:
        if not callable(network):
            raise ModelError(f"a {type(network).__name__} is no function, which backend={backend!r} is for.")
        return Known(part_of(_BACKENDS[backend])(network, layout))
    if backend not in ("auto", "torch"):
        raise ModelError(f"backend={backend!r}; possible: {', '.join(('auto', 'torch', *_BACKENDS))}.")
    for library, where in _RECOGNISERS:
        found = part_of(where)(network) if sys.modules.get(library) else None
        if found is not None:
            return _laid_out(found, layout)
    return Known(channels_last(as_network(network)) if layout == "NHWC" else as_network(network))


def _laid_out(found: Known, layout: str | None) -> Known:
    """Who says that a network takes channels last is believed where it said otherwise."""
    otherwise = layout == "NHWC" and found.layout == "NCHW"
    return replace(found, network=channels_last(found.network)) if otherwise else found


def part_of(where: str) -> Callable[..., Any]:
    """What "room:name" names in this package; its file is read when it is first needed."""
    room, _, name = where.partition(":")
    part: Callable[..., Any] = getattr(import_module(f"sightline.models.{room}"), name)
    return part

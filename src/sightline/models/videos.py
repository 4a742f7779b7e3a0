"""torchvision's networks of short videos, with the preprocessing and labels of their own weights."""

from __future__ import annotations

from typing import Any

from torch import nn

from sightline.models.model import Model
from sightline.photos.geometry import Geometry

_FRAMES, _LONG = 16, 32  # as they were trained: Swin transformers on longer clips


def video_names() -> list[str]:
    """The torchvision networks that take clips."""
    from torchvision import models

    return models.list_models(module=models.video)  # type: ignore[no-any-return]


def of_clips(network: nn.Module, name: str, entry: Any) -> Model:
    """A model of clips (16 or 32 frames, h, w), each frame resized as torchvision does: without antialiasing."""
    preset = entry.transforms()
    frames = _LONG if name.startswith("swin3d") else _FRAMES
    size, crop = preset.resize_size, preset.crop_size
    exact: Any = tuple(size) if len(size) == 2 else size[0]
    geometry = Geometry((frames, *crop), resize="crop", short=exact, interpolation="linear")
    labels = tuple(entry.meta["categories"])
    return Model(network.eval(), geometry, 3, tuple(preset.mean), tuple(preset.std), labels, batch_size=1)

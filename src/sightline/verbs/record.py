"""What a result was made from, and how, as JSON can hold it."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, is_dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.core.heats import Prediction, Warning
from sightline.photos.decode import Photo
from sightline.photos.volumes import Volume

if TYPE_CHECKING:
    from sightline.verbs.explanation import Explanation

_PLACES = ("box", "share")  # of answers that name a place


def record(ex: Explanation) -> dict[str, Any]:
    """All that is needed to make an explanation again, as plain values."""
    return {
        **made(ex.model, ex.recipe, ex.photo, ex.seed, ex.warnings),
        "method": ex.method,
        "options": {name: plain(value) for name, value in ex.options.items()},
        "layer": ex.layer,
        "target": str(ex.target),
        "label": ex.label,
        "score": ex.score,
        "passes": list(ex.passes),
        "gap": ex.gap if ex.gap is None or math.isfinite(ex.gap) else None,
        "precision": ex.precision if ex.precision is None or math.isfinite(ex.precision) else None,
        "predictions": answers_of(ex.predictions),
    }


def made(
    model: str, recipe: dict[str, Any], photo: Photo | Volume, seed: int | None, warnings: Iterable[Warning]
) -> dict[str, Any]:
    """From what a result was made, by which versions, and what its reader has to know; `seed` None: by no dice."""
    return {
        "model": model,
        "recipe": recipe,
        "photo": photo.name,
        "photo_size": list(photo.size),
        "photo_sha256": photo.sha256,
        **(_opening(photo) if isinstance(photo, Volume) else {}),
        **({} if seed is None else {"seed": seed}),
        "warnings": doubts_of(warnings),
        "versions": versions(),
    }


def _opening(volume: Volume) -> dict[str, Any]:
    """How a volume or clip was opened."""
    axes = None if volume.place is None else volume.place.axes
    return {"windows": [list(one) for one in volume.windows], "axes": axes, "times": volume.times}


def versions() -> dict[str, str]:
    """Of Python and of what a result depends on."""
    packages = ("sightline", "torch", "torchvision", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def answers_of(predictions: Iterable[Prediction]) -> list[dict[str, Any]]:
    """Answers as plain values, in their order."""
    return [
        {name: value for name, value in asdict(one).items() if value is not None or name not in _PLACES}
        for one in predictions
    ]


def doubts_of(warnings: Iterable[Warning]) -> list[dict[str, str]]:
    """Warnings as plain values, in their order."""
    return [{"code": one.code, "message": one.message} for one in warnings]


def fingerprint(value: Any) -> str | None:
    """That of all arrays and lists of numbers in a value and its fields; None where there are none."""
    digest, found = hashlib.sha256(), False
    for array in _arrays(value):  # one at a time: a network's numbers may be among them
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
        found = True
    return digest.hexdigest()[:16] if found else None


def _arrays(value: Any) -> Iterator[NDArray[Any]]:
    if isinstance(value, torch.Tensor):
        yield value.detach().cpu().double().numpy()
    elif isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, list | tuple) and value and all(isinstance(one, int | float) for one in value):
        yield np.asarray(value, float)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _arrays(one)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _arrays([getattr(value, one.name) for one in fields(value)])


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if callable(value):  # without an address in memory, which would differ in every run
        return ".".join(filter(None, (getattr(value, "__module__", ""), getattr(value, "__qualname__", ""))))
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"array of shape {tuple(value.shape)}"
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
    return value

"""What a result was made from, and how, as JSON can hold it."""

from __future__ import annotations

import json
import math
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sightline.core.heats import Prediction

if TYPE_CHECKING:
    from sightline.verbs.explanation import Explanation


def record(ex: Explanation) -> dict[str, Any]:
    """All that is needed to make an explanation again, as plain values."""
    packages = ("sightline", "torch", "torchvision", "numpy")
    return {
        "model": ex.model,
        "recipe": ex.recipe,
        "photo": ex.photo.name,
        "photo_size": [ex.photo.height, ex.photo.width],
        "photo_sha256": ex.photo.sha256,
        "method": ex.method,
        "options": {name: _plain(value) for name, value in ex.options.items()},
        "layer": ex.layer,
        "target": str(ex.target),
        "label": ex.label,
        "score": ex.score,
        "seed": ex.seed,
        "passes": list(ex.passes),
        "gap": ex.gap if ex.gap is None or math.isfinite(ex.gap) else None,
        "precision": ex.precision if ex.precision is None or math.isfinite(ex.precision) else None,
        "warnings": [{"code": one.code, "message": one.message} for one in ex.warnings],
        "predictions": [_answer(one) for one in ex.predictions],
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }


def _answer(one: Prediction) -> dict[str, Any]:
    return {"index": one.index, "label": one.label, "probability": one.probability, "score": one.score}


def _plain(value: Any) -> Any:
    """An option as JSON can hold it."""
    if callable(value):  # without an address in memory, which would differ in every run
        return ".".join(filter(None, (getattr(value, "__module__", ""), getattr(value, "__qualname__", ""))))
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"array of shape {tuple(value.shape)}"
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
    return value

"""What only answers: functions of NumPy arrays, and scikit-learn's estimators, which see images as rows of pixels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.core.errors import ModelError
from sightline.models.known import Known
from sightline.models.request import needed
from sightline.network.adapters import FunctionNetwork


def numpy_network(function: Callable[[Any], Any], layout: str | None = None) -> FunctionNetwork:
    """A function of a NumPy array (N, C, *spatial), or of channels last for the layout "NHWC", as a network."""
    return FunctionNetwork(partial(_ask, function, layout == "NHWC"))


def _ask(function: Callable[[Any], Any], last: bool, images: Tensor) -> Any:
    images = images.detach().cpu()
    return function(np.array((images.movedim(1, -1) if last else images).numpy()))  # its own, to change as it likes


def known_estimator(network: Any) -> Known | None:
    """A scikit-learn estimator as a network; None for anything else. Raises ModelError for one that gives no scores.

    It gets rows of pixels, (N, h * w * C), channels last. Its class names are labels where they are texts. Its
    input's size is guessed only where its number of features is that of a square image of one or three channels.
    """
    if not isinstance(network, needed("sklearn.base", "concepts").BaseEstimator):
        return None
    ways = {"predict_proba": _probabilities, "decision_function": _decisions, "predict": _numbers}
    way = next((name for name in ways if hasattr(network, name)), None)
    if way is None or (way == "predict" and not needed("sklearn.base", "concepts").is_regressor(network)):
        raise ModelError(
            f"{type(network).__name__} has neither predict_proba nor decision_function, so there are no scores to "
            "explain; fit one that has, a CalibratedClassifierCV around it say."
        )
    names = list(getattr(network, "classes_", ()))
    labels = names if names and all(isinstance(one, str) for one in names) else None
    size, channels = _square(getattr(network, "n_features_in_", 0))
    function = partial(_rows, getattr(network, way), ways[way])
    return Known(FunctionNetwork(function), size, channels, labels=labels)


def _rows(ask: Callable[[Any], Any], read: Callable[[Any], Tensor], images: Tensor) -> Tensor:
    rows = images.detach().cpu().movedim(1, -1).flatten(1).numpy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")  # pixels have none
        return read(ask(rows)).to(images.device)


def _probabilities(answer: Any) -> Tensor:
    """Of each class; of several labels, which come as a list, that each is there."""
    if isinstance(answer, list):
        answer = np.stack([np.asarray(one)[:, -1] for one in answer], 1)
    return torch.as_tensor(np.asarray(answer, np.float32))


def _decisions(answer: Any) -> Tensor:
    """A score of each class; of two classes, where there is only one number, it is how far the second is ahead."""
    scores = torch.as_tensor(np.asarray(answer, np.float32))
    return torch.stack([-scores / 2, scores / 2], 1) if scores.ndim == 1 else scores


def _numbers(answer: Any) -> Tensor:
    return torch.as_tensor(np.asarray(answer, np.float32))


def _square(features: int) -> tuple[tuple[int, int] | None, int | None]:
    """A square image of so many numbers, of one channel or three."""
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        if side and side * side * channels == features:
            return (side, side), channels
    return None, None

"""From scores to answers that a person reads."""

from __future__ import annotations

from torch import Tensor

from sightline.core.errors import ModelError, OptionError, TargetError
from sightline.core.heats import Prediction
from sightline.models.model import Model
from sightline.network.readout import Readout


def predictions_of(model: Model, readout: Readout, scores: Tensor, top: int) -> list[Prediction]:
    """The `top` answers for one image's scores (K,), best first; all outputs in order for a regression."""
    if scores.ndim != 1:
        shape = tuple(scores.shape)
        raise TargetError(f"the network gives a dense map {shape} for a photo, which has no top {top}.")
    if top < 1:
        raise OptionError(f"top={top}; it has to be 1 or more.")
    if model.labels is not None and len(model.labels) != len(scores):
        raise ModelError(f"{len(model.labels)} labels for a network of {len(scores)} scores; they have to match.")
    probabilities = readout.probabilities(scores[None])
    if probabilities is None:
        return [Prediction(i, model.label(i), None, float(score)) for i, score in enumerate(scores)][:top]
    order = scores.argsort(descending=True, stable=True)[:top].tolist()
    return [Prediction(i, model.label(i), float(probabilities[0, i]), float(scores[i])) for i in order]

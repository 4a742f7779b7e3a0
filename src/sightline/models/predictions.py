"""From scores to answers that a person reads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sightline.core.errors import ModelError, OptionError, TargetError
from sightline.core.heats import Prediction
from sightline.core.places import areas
from sightline.models.model import Model
from sightline.network.readout import Readout
from sightline.photos.geometry import View

_READ = 1000  # of a detector's candidates the best so many are read
_SAME = 0.5  # boxes of one class that overlap by more, IoU, are one


def ranked(
    model: Model, readout: Readout, scores: Tensor, top: int, view: View | None = None
) -> tuple[Prediction, ...]:
    """The `top` answers for one image's scores (K, ...), best first; none for a map of measurements."""
    measured = readout.output == "embedding" or (scores.ndim > 1 and readout.output == "regression")
    return () if measured else tuple(predictions_of(model, readout, scores, top, view))


def predictions_of(
    model: Model, readout: Readout, scores: Tensor, top: int, view: View | None = None
) -> list[Prediction]:
    """The `top` answers for one image's scores (K, ...), best first; all outputs in order for a regression.

    `view`: of the photo that was shown. Raises TargetError for answers that cannot be ranked.
    """
    if top < 1:
        raise OptionError(f"top={top}; it has to be 1 or more.")
    count = scores.shape[1] - 4 if readout.output == "detections" else len(scores)
    if model.labels is not None and len(model.labels) != count:
        raise ModelError(f"{len(model.labels)} labels for a network of {count} scores; they have to match.")
    if readout.output == "embedding":
        raise TargetError(
            "the network answers with an embedding, which has no top; where it reads texts, give it labels=[...] "
            "as it is loaded, or a text as a target; else targets.Similar(embedding)."
        )
    if readout.output == "detections":
        return _boxes(model, scores, top, view)
    probabilities = readout.probabilities(scores[None])
    if scores.ndim > 1 and probabilities is not None:
        return _areas(model, readout, scores, probabilities[0], view)[:top]
    if scores.ndim != 1:
        shape = tuple(scores.shape)
        raise TargetError(f"the network gives a map of measurements {shape} for a photo, which has no top {top}.")
    if probabilities is None:
        return [Prediction(i, model.label(i), None, float(score)) for i, score in enumerate(scores)][:top]
    order = scores.argsort(descending=True, stable=True)[:top].tolist()
    return [Prediction(i, model.label(i), float(probabilities[0, i]), float(scores[i])) for i in order]


def _boxes(model: Model, scores: Tensor, top: int, view: View | None) -> list[Prediction]:
    """What is detected (Q, 4 + K), best first, a box for each; of boxes that repeat each other the best."""
    from torchvision.ops import batched_nms

    scores = scores[(scores[:, 2:4] > scores[:, :2]).all(1)].float()  # a box without area is none
    boxes, chances = scores[:, :4], scores[:, 4:]
    best, where = (part[:_READ] for part in chances.flatten().sort(descending=True, stable=True))
    best, where = best[best > 0], where[best > 0]
    rows, classes = where // chances.shape[1], where % chances.shape[1]
    kept = batched_nms(boxes[rows], best, classes, _SAME)[:top].tolist()
    found = []
    for one in kept:
        chance, index = float(best[one]), int(classes[one])
        found.append(Prediction(index, model.label(index), chance, chance, _on_photo(boxes[rows[one]], view)))
    return found


def _on_photo(box: Tensor, view: View | None) -> tuple[float, float, float, float]:
    """A box of the input in the photo's pixels, cut off at its edges."""
    x0, y0, x1, y1 = box.tolist()
    if view is None:
        return x0, y0, x1, y1
    (down, across), (top, left), (height, width) = view.scale, view.shift, map(float, view.photo_size)
    xs, ys = (((side - left) / across for side in (x0, x1)), ((side - top) / down for side in (y0, y1)))
    (x0, x1), (y0, y1) = ((min(max(side, 0.0), width) for side in xs), (min(max(side, 0.0), height) for side in ys))
    return x0, y0, x1, y1


def _areas(model: Model, readout: Readout, scores: Tensor, likely: Tensor, view: View | None) -> list[Prediction]:
    """The classes that are seen in dense scores (K, ...), by their share of the photo."""
    seen = areas(scores, readout.output == "multilabel") * _inside(scores, view)
    whole = _inside(scores, view).expand(scores.shape[1:]).sum()
    found = []
    for index in seen.flatten(1).sum(1).nonzero()[:, 0].tolist():
        size = seen[index].sum()
        chance, score = (float((part[index] * seen[index]).sum() / size) for part in (likely, scores))
        found.append(Prediction(index, model.label(index), chance, score, share=float(size / whole)))
    return sorted(found, key=lambda one: -(one.share or 0))


def _inside(scores: Tensor, view: View | None) -> Tensor:
    """How much of each pixel of dense scores (K, h, w) shows photo and not a border, in [0, 1]."""
    if view is None or scores.ndim != 3:
        return scores.new_ones(())
    whole = torch.from_numpy(view.mask_to_input(np.ones(view.photo_size, np.float32)))
    return F.adaptive_avg_pool2d(whole[None], (scores.shape[1], scores.shape[2]))[0].to(scores)

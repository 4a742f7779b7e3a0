"""Detectors, whatever their answers look like, as (N, Q, 4 + K): a box and K class probabilities per candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.models.known import Known
from sightline.network.adapters import Adapter, unwrap
from sightline.network.hooks import borrow, device_of
from sightline.network.readout import answer_of
from sightline.photos.geometry import Geometry

BOXES = ("xyxy", "cxcywh")


def torchvision_detector(network: Any) -> Known | None:
    """What one of torchvision's detectors says of itself; None for any other network.

    It normalizes and resizes inside. A photo is fitted into a square of the size that it calculates at, with a border
    of its own mean colour, so that proportions are kept. Its answers hold a column for the background too, always 0,
    so that a class has torchvision's own number. Masks and keypoints are not calculated.
    """
    from torchvision.models import detection

    kinds = detection.FasterRCNN, detection.RetinaNet, detection.FCOS
    network = unwrap(network) if isinstance(network, nn.Module) else network
    if not isinstance(network, (*kinds, detection.ssd.SSD, detection.generalized_rcnn.GeneralizedRCNN)):
        return None
    transform: Any = network.transform
    wide, high = transform.fixed_size or (transform.min_size[-1],) * 2
    fill = tuple(transform.image_mean)
    classes = _classes(network)
    return Known(
        Adapter(network, partial(_detected, classes=classes)),
        (high, wide),
        len(fill),
        (0.0,) * len(fill),
        (1.0,) * len(fill),
        geometry=partial(_fitted, fill=fill),
        layer=_shared(network),
        output="detections",
    )


def _fitted(size: tuple[int, ...], fill: tuple[float, ...]) -> Geometry:
    return Geometry(size, resize="pad", fill=fill)


def _classes(network: Any) -> int:
    """How many classes a torchvision detector tells apart, the background among them."""
    if hasattr(network, "roi_heads"):
        scored = getattr(network.roi_heads.box_predictor, "cls_score", None)
        found = getattr(scored, "out_features", None)
    else:
        head = network.head.classification_head
        found = getattr(head, "num_classes", getattr(head, "num_columns", None))
    if not isinstance(found, int):
        raise ModelError(
            f"{type(network).__name__}'s head does not say how many classes it has; wrap a function of the images "
            '(N, 3, h, w) that gives (N, Q, 4 + K), output="detections".'
        )
    return found


def _shared(network: Any) -> str | None:
    """The deepest layer that every candidate depends on: finer maps of a pyramid know large objects not at all.

    None for a backbone that says nothing of what it puts out.
    """
    if isinstance(network.backbone, nn.Sequential):
        return "backbone"
    body = getattr(network.backbone, "body", None)
    if isinstance(body, nn.Module):
        return f"backbone.body.{list(dict(body.named_children()))[-1]}"
    features = getattr(network.backbone, "features", None)
    if not isinstance(features, nn.Sequential):
        return None
    return "backbone.features.0" if isinstance(features[0], nn.Sequential) else "backbone.features"


def _detected(network: Any, images: Tensor, classes: int) -> Tensor:
    """A torchvision detector's answers (N, Q, 4 + K), zeros where there are fewer than Q detections."""
    heads = getattr(network, "roi_heads", network)
    with _all_candidates(heads):
        found = network(list(images))
    answers = images.new_zeros(len(images), heads.detections_per_img, 4 + classes)
    rows = []
    for empty, one in zip(answers, found, strict=True):
        columns = one["scores"][:, None] * nn.functional.one_hot(one["labels"], classes).to(one["scores"])
        rows.append(torch.cat([torch.cat([one["boxes"], columns], 1), empty[len(columns) :]]))
    return torch.stack(rows)


@contextmanager
def _all_candidates(heads: Any) -> Iterator[None]:
    """Candidates of any score: what is hidden scores low, and has to be seen to. Masks and keypoints are left out."""
    changed: dict[str, Any] = {"score_thresh": 0.0, "has_mask": lambda: False, "has_keypoint": lambda: False}
    held = {name: vars(heads)[name] for name in changed if name in vars(heads)}
    vars(heads).update(changed)
    try:
        yield
    finally:
        for name in changed:
            del vars(heads)[name]
        vars(heads).update(held)


def raw_detector(network: nn.Module, boxes: str | None, labels: Sequence[str] | None, images: Tensor) -> nn.Module:
    """A network whose raw answers to `images` are a detector's, as one that answers (N, Q, 4 + K).

    It may answer (N, 4 + K, Q) or (N, Q, 4 + K), with an objectness before the K probabilities or without, boxes by
    their corners ("xyxy") or centre and size ("cxcywh") in input pixels. Raises ModelError where that cannot be told.
    """
    if boxes is not None and boxes not in BOXES:
        raise ModelError(f"boxes={boxes!r}; possible: {', '.join(BOXES)}, or None to find out.")
    with borrow(network), torch.no_grad():
        answer = answer_of(network(images.to(device_of(network))), len(images))
    if answer.ndim != 3 or min(answer.shape[1:]) < 5:
        raise ModelError(
            f"the network answers {tuple(answer.shape)}; a detector's is (N, Q, 4 + K) or (N, 4 + K, Q)."
        )
    across, objectness = _columns(answer, boxes, labels)
    rows = answer.transpose(1, 2) if across else answer
    centred = boxes == "cxcywh" or (boxes is None and not _by_corners(rows))
    chances = rows[..., 4:]
    if not bool(((chances >= 0) & (chances <= 1)).all()):
        raise ModelError(
            f"the network answers {tuple(answer.shape)} with class scores from {float(chances.min()):.3g} to "
            f"{float(chances.max()):.3g}; they have to be probabilities in [0, 1], one for each class and candidate. "
            "Wrap a function that makes them so."
        )
    if not (across or objectness or centred):
        return network
    return Adapter(network, partial(_told, across=across, objectness=objectness, centred=centred))


def _by_corners(rows: Tensor) -> bool:
    return bool((rows[..., 2:4] >= rows[..., :2]).all())


def _columns(answer: Tensor, boxes: str | None, labels: Sequence[str] | None) -> tuple[bool, bool]:
    """Whether the candidates of an answer lie side by side, (N, 4 + K, Q), and whether there is an objectness."""
    shape = tuple(answer.shape)
    across = shape[1] < shape[2]
    if labels is not None:
        fits = [axis for axis in (1, 2) if shape[axis] - len(labels) in (4, 5)]
        if not fits:
            raise ModelError(
                f"the network answers {shape}: neither 4 nor 5 numbers beside those of {len(labels)} labels."
            )
        across = across if len(fits) == 2 else fits == [1]
        return across, shape[1 if across else 2] == len(labels) + 5
    if across or boxes == "xyxy" or (boxes is None and _by_corners(answer)):
        return across, False  # as YOLOv8 answers, or as we do
    raise ModelError(
        f"the network answers {shape}: {shape[2] - 5} classes and an objectness, or {shape[2] - 4} classes? "
        "Give labels=[...], a name for each class."
    )


def _told(network: Callable[[Tensor], Any], images: Tensor, across: bool, objectness: bool, centred: bool) -> Tensor:
    """A raw detector's answers as (N, Q, 4 + K)."""
    answer = answer_of(network(images), len(images))
    rows = answer.transpose(1, 2) if across else answer
    corners, chances = rows[..., :4], rows[..., 4:]
    if objectness:
        chances = chances[..., :1] * chances[..., 1:]
    if centred:
        centre, half = corners[..., :2], corners[..., 2:] / 2
        corners = torch.cat([centre - half, centre + half], -1)
    return torch.cat([corners, chances], -1)

"""Targets that name a place: a region of a dense output, one detected box; and what a network itself ranks first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sightline.core.errors import TargetError
from sightline.core.heats import Seen
from sightline.core.targets import Class, Classes, PerImage, Target, flat, index_in, mapped, parts_of, targets_of

_POOL: dict[int, Callable[..., Tensor]] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}
OWN = "where it is seen"


@dataclass(frozen=True, eq=False)
class Region(Target):
    """A dense output's class `index`, averaged over `mask` (h, w) in [0, 1]: segmentation, one region of it.

    For a photo the mask is in its upright pixels; for a tensor on the network's input grid. There it is brought
    to the output's grid by area. `where`: the region in words.
    """

    mask: Any
    index: int
    where: str = "in a region"

    def __str__(self) -> str:
        return f"Region(mask {tuple(getattr(self.mask, 'shape', ()))}, {self.index})"

    def read(self, seen: Seen) -> Tensor:
        scores = seen.scores
        if scores.ndim < 3 or seen.output == "detections":
            raise TargetError(
                f"Region needs a dense output (N, K, h, w); this network gives {tuple(scores.shape)}. "
                f"Use {'Box' if seen.output == 'detections' else 'Class'}."
            )
        plane = scores[:, index_in(self.index, scores.shape[1], "class")]
        mask = torch.as_tensor(self.mask).to(plane)
        if mask.ndim != plane.ndim - 1 or mask.ndim not in _POOL:
            raise TargetError(f"a mask of shape {tuple(mask.shape)} does not fit {tuple(plane.shape[1:])}.")
        weight = _POOL[mask.ndim](mask[None, None], tuple(plane.shape[1:]))[0, 0]
        if not bool(weight.sum() > 0):
            raise TargetError("the mask is empty: it selects nothing of the output.")
        return (plane * weight).flatten(1).sum(1) / weight.sum()


@dataclass(frozen=True)
class Box(Target):
    """One detected box (x0, y0, x1, y1) of class `index`: how well the best candidate repeats it, in [0, 1].

    That is a candidate's intersection over union with the box, times its probability of the class: D-RISE's
    likeness for one class (arXiv:2006.03204). For a photo the box is in its upright pixels; for a tensor in the
    network's input pixels. Raises TargetError for a box without area.
    """

    box: tuple[float, float, float, float]
    index: int

    def __post_init__(self) -> None:
        try:
            x0, y0, x1, y1 = corners = tuple(map(float, self.box))
        except (TypeError, ValueError):
            raise TargetError(f"{self.box!r} is no box; give (x0, y0, x1, y1), four numbers.") from None
        if not (x0 < x1 < float("inf") and y0 < y1 < float("inf") and x0 - x0 == y0 - y0 == 0):
            raise TargetError(f"the box {corners} holds no area; give x0 < x1 and y0 < y1, in pixels.")
        object.__setattr__(self, "box", corners)

    def read(self, seen: Seen) -> Tensor:
        boxes, chances = candidates(seen.scores, seen.output, self)
        alike = overlap(boxes, self.box) * chances[..., index_in(self.index, chances.shape[2], "class")]
        return alike.gather(1, alike.argmax(1, keepdim=True))[:, 0]

    def moved(self, scale: Sequence[float], shift: Sequence[float]) -> Box:
        """The box where each coordinate is times `scale` plus `shift`, both (y, x)."""
        (down, across), (top, left) = scale, shift
        x0, y0, x1, y1 = self.box
        return Box((x0 * across + left, y0 * down + top, x1 * across + left, y1 * down + top), self.index)


@dataclass(frozen=True)
class Predicted(Target):
    """What the network itself ranks first; `settled` on the untouched image, never moved afterwards.

    That is the best class; of detections the best box; of a dense output the class with the largest area, there where
    it is seen, and the `background` only where nothing else is.
    """

    background: int | None = None

    def __str__(self) -> str:
        return "what is predicted"

    def read(self, seen: Seen) -> Tensor:  # amax would share a tie's gradient
        return flat(seen.scores, self).gather(1, seen.scores.argmax(1, keepdim=True))[:, 0]


def settled(target: Target, scores: Tensor, output: str) -> Target:
    """A target as it is for images with these scores (N, K, ...): what is predicted, and where a class is seen.

    Of detections a class is its best box, of a dense output there where it is seen. Raises TargetError where nothing
    is.
    """
    if output == "embedding" and isinstance(target, Predicted):
        raise TargetError(
            "an embedding ranks nothing: ask for targets.Similar(embedding), or for a text where any is read."
        )
    if scores.ndim == 2:
        return Classes(tuple(scores.argmax(1).tolist())) if isinstance(target, Predicted) else target
    if isinstance(target, Classes):
        target = PerImage(tuple(Class(index) for index in target.indices))
    each = target.targets if isinstance(target, PerImage) else (target,) * len(scores)
    find = partial(_found, output=output)
    return targets_of([mapped(one, partial(find, scores=answer)) for one, answer in zip(each, scores, strict=True)])


def _found(target: Target, scores: Tensor, output: str) -> Target:
    """Where one image's scores (K, ...) show what is predicted, or a class; other targets as they are."""
    if not isinstance(target, Class | Predicted):
        return target
    if output == "detections":
        return _best_box(scores, target.index if isinstance(target, Class) else None)
    if output == "regression":
        raise TargetError(
            f"{target}: this is a map of measurements, {tuple(scores.shape)}; use targets.Region(mask, index), or a "
            "function of the output."
        )
    several = output == "multilabel"
    if isinstance(target, Predicted):
        return _largest(scores, several, target)
    return _seen_area(scores, several, target.index)


def candidates(scores: Tensor, output: str, target: Target) -> tuple[Tensor, Tensor]:
    """Boxes (N, Q, 4) and class probabilities (N, Q, K) of a detector's answer. Raises TargetError for another."""
    if output != "detections":
        raise TargetError(
            f'{target} needs a detector, whose output is "detections"; this network\'s is {output!r}, '
            f"{tuple(scores.shape)}. Use {'Class' if scores.ndim == 2 else 'Region'}."
        )
    return scores[..., :4], scores[..., 4:]


def overlap(boxes: Tensor, box: Sequence[float]) -> Tensor:
    """Intersection over union of boxes (..., 4) with one, (...) in [0, 1]."""
    one = torch.as_tensor(box).to(boxes)
    sides = (torch.minimum(boxes[..., 2:], one[2:]) - torch.maximum(boxes[..., :2], one[:2])).clamp_min(0)
    shared = sides.prod(-1)
    area, own = ((corners[..., 2:] - corners[..., :2]).clamp_min(0).prod(-1) for corners in (boxes, one))
    return shared / (area + own - shared)


def unmatched(target: Target, scores: Tensor) -> list[int]:
    """The images (of scores (N, Q, 4 + K) of the untouched ones) in which no candidate overlaps a box asked about."""
    each = target.targets if isinstance(target, PerImage) else (target,) * len(scores)
    return [
        image
        for image, (one, answer) in enumerate(zip(each, scores, strict=True))
        for _, part in parts_of(one)
        if isinstance(part, Box) and not bool((overlap(answer[:, :4], part.box) * answer[:, 4:].amax(1)).any())
    ]


def _best_box(answer: Tensor, index: int | None) -> Box:
    """The best-scoring box of one image's (Q, 4 + K), of class `index` or of any."""
    answer = answer[(answer[:, 2:4] > answer[:, :2]).all(1)]  # a box without area cannot be found again
    chances = answer[:, 4:]
    if index is not None:
        column = index_in(index, chances.shape[1], "class")
        chances = chances[:, column : column + 1]
    if not chances.numel() or not bool(chances.max() > 0):
        what = "nothing" if index is None else f"nothing of class {index}"
        raise TargetError(f"{what} is detected in the photo; ask about a box of your own: targets.Box(box, index).")
    row, best = divmod(int(chances.argmax()), chances.shape[1])
    return Box(tuple(answer[row, :4].tolist()), best if index is None else index)


def areas(scores: Tensor, several: bool) -> Tensor:
    """Where each class of one image's dense scores (K, ...) is seen, (K, ...) bool.

    That is where it is the best; where `several` can be right at once, where it is likelier than not.
    """
    if several:
        return scores >= 0
    return torch.arange(len(scores)).view(-1, *[1] * (scores.ndim - 1)).to(scores.device) == scores.argmax(0)


def _largest(scores: Tensor, several: bool, asked: Predicted) -> Region:
    """The class with the largest area in one image's dense scores (K, ...), in that area."""
    sizes = areas(scores, several).flatten(1).sum(1)
    if asked.background is not None and bool(sizes.sum() > sizes[asked.background]):
        sizes[asked.background] = 0
    if not bool(sizes.any()):
        raise TargetError("no class is likelier than not anywhere; name one: targets.Region(mask, index).")
    return _seen_area(scores, several, int(sizes.argmax()))


def _seen_area(scores: Tensor, several: bool, index: int) -> Region:
    """A class of one image's dense scores (K, ...), there where it is seen."""
    seen = areas(scores, several)[index_in(index, len(scores), "class")]
    if not bool(seen.any()):
        raise TargetError(
            f"class {index} is seen nowhere in the photo; ask about a region: targets.Region(mask, index)."
        )
    return Region(seen.float().cpu(), index, OWN)

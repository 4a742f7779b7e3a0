"""What is explained: one score per image, read from the network's answer or from its layers.

Targets are small values: `Class(22) + Class(23)`, `Class(281) - Class(285)`, `0.5 * Unit("layer4", channel=7)`.
What a method differentiates, what a probe watches and what feature visualization climbs are the same values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from sightline.core.errors import TargetError
from sightline.core.heats import Seen


@runtime_checkable
class Target(Protocol):
    """One score per image. `layers` are the layers it reads beside the output."""

    @property
    def layers(self) -> tuple[str, ...]:
        return ()

    def read(self, seen: Seen) -> Tensor:
        """The score of each row, (N,)."""
        ...

    def turn(self, gradient: Tensor) -> Tensor:
        """The gradient (N, ...) as this target wants it shown; nearly always as it is."""
        return gradient

    @property
    def additive(self) -> bool:
        """Whether the gradient is the score's own, so that a path of gradients adds up to its change."""
        return True

    @property
    def joint(self) -> bool:
        """Whether an image's score depends on the other images of the batch."""
        return False

    def __add__(self, other: Target) -> Target:
        if not isinstance(other, Target):
            return NotImplemented
        return Sum(parts_of(self) + parts_of(other))

    def __sub__(self, other: Target) -> Target:
        return self + -1.0 * other

    def __neg__(self) -> Target:
        return -1.0 * self

    def __mul__(self, factor: float) -> Target:
        if not isinstance(factor, int | float):
            return NotImplemented
        return Sum(tuple((factor * weight, part) for weight, part in parts_of(self)))

    def __truediv__(self, divisor: float) -> Target:
        return self * (1 / divisor)

    def __radd__(self, other: Literal[0]) -> Target:
        return self if other == 0 else NotImplemented  # so that `sum` adds targets up

    def __rmul__(self, factor: float) -> Target:
        return self * factor


def parts_of(target: Target) -> tuple[tuple[float, Target], ...]:
    """What a target is a weighted sum of; itself where it is none."""
    return target.parts if isinstance(target, Sum) else ((1.0, target),)


@dataclass(frozen=True)
class Sum(Target):
    """A weighted sum of targets, as `+`, `-` and `*` make it."""

    parts: tuple[tuple[float, Target], ...]

    def __post_init__(self) -> None:
        if len(self.parts) > 1 and not all(part.additive for _, part in self.parts):
            raise TargetError(f"direction='keep' cannot be added to other targets: {self.parts}")

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, part in self.parts for name in part.layers))

    def read(self, seen: Seen) -> Tensor:
        return torch.stack([weight * part.read(seen) for weight, part in self.parts]).sum(0)

    def turn(self, gradient: Tensor) -> Tensor:
        return self.parts[0][1].turn(gradient)

    @property
    def additive(self) -> bool:
        return all(part.additive for _, part in self.parts)

    @property
    def joint(self) -> bool:
        return any(part.joint for _, part in self.parts)


def mapped(target: Target, change: Callable[[Target], Target]) -> Target:
    """The target with each part of its sums, and each image's own, as `change` makes it."""
    if isinstance(target, Sum):
        return Sum(tuple((weight, mapped(part, change)) for weight, part in target.parts))
    if isinstance(target, PerImage):
        return PerImage(tuple(mapped(part, change) for part in target.targets))
    return change(target)


@dataclass(frozen=True)
class Class(Target):
    """The score of class `index`, before the softmax (arXiv:1312.6034)."""

    index: int

    def read(self, seen: Seen) -> Tensor:
        return flat(seen.scores, self)[:, index_in(self.index, seen.scores.shape[1], "class")]


@dataclass(frozen=True)
class Classes(Target):
    """A class for each image of the batch."""

    indices: tuple[int, ...]

    def __str__(self) -> str:
        return f"classes {', '.join(map(str, self.indices))}"

    def read(self, seen: Seen) -> Tensor:
        scores = flat(seen.scores, self)
        _covers(len(self.indices), seen.rows)
        wanted = torch.tensor([index_in(i, scores.shape[1], "class") for i in self.indices])
        return scores.gather(1, wanted[seen.rows].to(scores.device)[:, None])[:, 0]


@dataclass(frozen=True)
class Contrast(Target):
    """Why `index` rather than `other`: the difference of their scores."""

    index: int
    other: int

    def read(self, seen: Seen) -> Tensor:
        return Class(self.index).read(seen) - Class(self.other).read(seen)


@dataclass(frozen=True)
class Output(Target):
    """A regression output: what would make it `increase` or `decrease`, or what can change and `keep` it.

    "keep" turns the gradient g into m / (m + |g|), m the image's mean |g|: 1 where the output does not depend
    on a pixel, falling as it does. It ranks pixels as keras-vis's `small_values`, 1 / |g|, and stays finite.
    """

    index: int
    direction: Literal["increase", "decrease", "keep"] = "increase"

    def __post_init__(self) -> None:
        if self.direction not in ("increase", "decrease", "keep"):
            raise TargetError(f"direction={self.direction!r}; possible: 'increase', 'decrease', 'keep'.")

    def read(self, seen: Seen) -> Tensor:
        scores = flat(seen.scores, self)
        value = scores[:, index_in(self.index, scores.shape[1], "output")]
        return -value if self.direction == "decrease" else value

    def turn(self, gradient: Tensor) -> Tensor:
        if self.direction != "keep":
            return gradient
        size = gradient.abs()
        typical = size.flatten(1).mean(1).clamp_min(torch.finfo(size.dtype).tiny)
        typical = typical.view(-1, *[1] * (size.ndim - 1))
        return typical / (typical + size)

    @property
    def additive(self) -> bool:
        return self.direction != "keep"


@dataclass(frozen=True, eq=False)
class Similar(Target):
    """How like `embedding` (D,) the network's answer (N, D) is: the cosine of their angle."""

    embedding: Any

    def read(self, seen: Seen) -> Tensor:
        answer = seen.scores.flatten(1)
        try:
            wanted = torch.as_tensor(self.embedding).to(answer).flatten()
        except (TypeError, ValueError, RuntimeError) as error:
            raise TargetError(
                f"Similar(a {type(self.embedding).__name__}); give numbers (D,), such as the network's own answer."
            ) from error
        if len(wanted) != answer.shape[1]:
            raise TargetError(f"an embedding of {len(wanted)} numbers; this network gives {answer.shape[1]}.")
        return F.cosine_similarity(answer, wanted[None], dim=1)


@dataclass(frozen=True)
class Function(Target):
    """Any function of the network's scores (N, ...) that gives a score per image (N,)."""

    function: Callable[[Tensor], Tensor]

    def __str__(self) -> str:  # without an address in memory, which would differ in every run
        where = getattr(self.function, "__module__", ""), getattr(self.function, "__qualname__", "")
        return f"Function({'.'.join(filter(None, where)) or type(self.function).__name__})"

    def read(self, seen: Seen) -> Tensor:
        score = self.function(seen.scores)
        if not isinstance(score, Tensor) or score.shape != seen.scores.shape[:1]:
            got = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
            raise TargetError(
                f"the target function gave {got}; it has to give one score per image, "
                f"({len(seen.scores)},), from the network's {tuple(seen.scores.shape)}."
            )
        return score


@dataclass(frozen=True)
class PerImage(Target):
    """A target for each image of the batch."""

    targets: tuple[Target, ...]

    def __post_init__(self) -> None:
        if any(target.joint for target in self.targets):
            raise TargetError("a target that compares images cannot be one image's own; add it to PerImage((...)).")

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for target in self.targets for name in target.layers))

    def read(self, seen: Seen) -> Tensor:
        _covers(len(self.targets), seen.rows)
        score = seen.scores.new_zeros(len(seen.scores))
        for image in dict.fromkeys(seen.rows.tolist()):
            mine = (seen.rows == image).nonzero()[:, 0].to(seen.scores.device)
            layers = {name: acts[mine] for name, acts in seen.layers.items()}
            rows, shown = seen.rows[seen.rows == image], seen.images[mine]
            part = replace(seen, scores=seen.scores[mine], layers=layers, rows=rows, images=shown)
            score = score.index_put((mine,), self.targets[image].read(part).to(score))
        return score

    def turn(self, gradient: Tensor) -> Tensor:
        if self.additive:
            return gradient
        raise TargetError("direction='keep' cannot be mixed with other targets in one batch.")

    @property
    def additive(self) -> bool:
        return all(target.additive for target in self.targets)


def targets_of(given: Sequence[Target]) -> Target:
    """One target for a batch from a target for each image."""
    if all(isinstance(target, Class) for target in given):
        return Classes(tuple(target.index for target in given if isinstance(target, Class)))
    return given[0] if all(target == given[0] for target in given) else PerImage(tuple(given))


def flat(scores: Tensor, target: Target) -> Tensor:
    """The scores themselves, (N, K). Raises TargetError for a dense output."""
    if scores.ndim != 2:
        raise TargetError(
            f"{target} needs one score per class, (N, K); this network gives {tuple(scores.shape)}. Of a dense map "
            "use targets.Region(mask, index), of detections targets.Box(box, index), or a function of the output."
        )
    return scores


def index_in(index: int, count: int, what: str) -> int:
    """`index` as one of `count`. Raises TargetError, saying `what` it is."""
    try:
        number = operator.index(index)
    except TypeError:
        raise TargetError(f"{what} {index!r} is not a whole number.") from None
    if isinstance(index, bool) or not 0 <= number < count:
        raise TargetError(f"{what} {index!r} does not exist; the network has {count}, numbered 0 to {count - 1}.")
    return number


def _covers(count: int, rows: Tensor) -> None:
    if len(rows) and int(rows.max()) >= count:
        raise TargetError(f"{count} targets for {int(rows.max()) + 1} images or more; give one per image.")

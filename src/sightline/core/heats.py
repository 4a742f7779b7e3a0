"""What methods return: raw signed values with what is known about how good they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sightline.core.precision import wide

Passes = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Warning:  # noqa: A001 - the contract's name; nobody imports the builtin from here
    """What a reader has to know: a stable `code`, and a `message` saying what happened and what to do.

    `image` is the position in the batch that it is about; None means all of it.
    """

    code: str
    message: str
    image: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer: class `index`, its `label`, `probability` in [0, 1] (None for a regression), raw `score`.

    Of a detector, for the `box` (x0, y0, x1, y1) in pixels of the photo. Of a segmentation, for the `share` of the
    photo, in (0, 1], where the class is seen: `probability` and `score` are means over that part.
    """

    index: int
    label: str
    probability: float | None
    score: float
    box: tuple[float, float, float, float] | None = None
    share: float | None = None

    @property
    def number(self) -> float | None:
        """What answers are ranked by, in [0, 1]: the share of the photo, else the probability."""
        return self.probability if self.share is None else self.share

    @property
    def words(self) -> str:
        """The label, and where that is seen."""
        if self.box is not None:
            return f"{self.label} at {corners(self.box)}"
        if self.share is None or self.probability is None:
            return self.label
        return f"{self.label} (of the photo; {self.probability:.1%} likely there)"


def corners(box: Sequence[float]) -> str:
    """A box to read: "12,30,80,90"."""
    return ",".join(f"{side:.0f}" for side in box)


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """A heat map per image: `values` (B, C or 1, *spatial), signed, in the units of the method.

    `error`: standard error of each value, same shape, for sampled methods. `gap`: (B,) completeness gap
    |sum - change| / |change| of additive methods. `spent`: (forward, backward) passes of each image. `unit`: what a
    value means, where that is not what the method's values always mean.
    """

    values: Tensor
    error: Tensor | None = None
    gap: Tensor | None = None
    spent: tuple[Passes, ...] = ()
    layer: str | None = None
    unit: str | None = None
    warnings: tuple[Warning, ...] = ()

    @property
    def passes(self) -> Passes:
        """(forward, backward) passes through the network that an image took: the most of the batch."""
        return (max((f for f, _ in self.spent), default=0), max((b for _, b in self.spent), default=0))

    @property
    def precision(self) -> Tensor | None:
        """(B,) standard error over size of each map, both root mean squares; None for methods that do not sample."""
        return None if self.error is None else relative(self.error, self.values)

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped it: the best map so far."""
        return any(one.code == "interrupted" for one in self.warnings)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Heat:
        """The heat of one image, still with its batch dimension; only the warnings that concern it."""
        one = slice(index, index + 1)
        mine = tuple(replace(w, image=None) for w in self.warnings if w.image in (None, index))
        return Heat(
            self.values[one],
            None if self.error is None else self.error[one],
            None if self.gap is None else self.gap[one],
            self.spent[one],
            self.layer,
            self.unit,
            mine,
        )


def relative(error: Tensor, values: Tensor) -> Tensor:
    """The size of errors (B, ...) as a share of that of values (B, ...), both root mean squares: (B,)."""
    away, size = (wide(part).flatten(1).square().mean(1).sqrt() for part in (error, values))
    return torch.where(away == 0, away, away / size)


def speaks_against(values: Tensor) -> bool:
    """Whether a map of evidence holds next to nothing but evidence against: under 5 % of it for the target."""
    return bool(values.min() < 0) and bool(values.max() <= -0.05 * values.min())


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one pass of the network showed to a target.

    `scores`: (N, K, ...) what the network answers, before a final softmax. `layers`: what each layer that the
    target reads put out, (N, C, *spatial). `rows`: (N,) which image of the original batch each row shows. `images`:
    (N, C, *spatial) what the network was shown, in its own units. `output`: what the scores are, as a readout says.
    """

    scores: Tensor
    layers: Mapping[str, Tensor]
    rows: Tensor
    images: Tensor
    output: str = "logits"

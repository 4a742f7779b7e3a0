"""What became of images that were climbed to: how many of them two networks take for what they are to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

TEN = 10  # classes of one seed: counts are told of so many images, however many there are
HEADER = (
    "| images by | images | top-1 of ten | V1: top-1 of ten | V1: top-5 of ten | logit | CPU time of one "
    "| asked | reached |",
    "|---|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image as two networks see it, and the CPU `seconds` that it took.

    `logit` of its class in the network that it was climbed in; `own` and `other`: at what place the class comes
    there, and in the network that never took part. The first place is 1.
    """

    logit: float
    own: int
    other: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcomes of a row's images, and the least counts of ten that are asked of them; None where nothing is.

    The counts are: top-1 in its own network, top-1 in the other one, top-5 there.
    """

    row: str
    what: str
    outcomes: tuple[Outcome, ...]
    asked: tuple[float | None, float | None, float | None] = (None, None, None)

    @property
    def counts(self) -> tuple[float, float, float]:
        """Of ten images."""
        return (
            TEN * mean(one.own == 1 for one in self.outcomes),
            TEN * mean(one.other == 1 for one in self.outcomes),
            TEN * mean(one.other <= 5 for one in self.outcomes),
        )

    @property
    def reached(self) -> bool:
        """Whether no count is below what is asked; rounding is forgiven."""
        return all(
            bound is None or count >= bound - 1e-9 for count, bound in zip(self.counts, self.asked, strict=True)
        )


def line(found: Tally) -> str:
    """One line of the table."""
    counts = " | ".join(f"{count:.1f}" for count in found.counts)
    logit, seconds = (mean(each) for each in zip(*((one.logit, one.seconds) for one in found.outcomes), strict=True))
    any_asked = any(bound is not None for bound in found.asked)
    asked = ", ".join("-" if bound is None else f"{bound:.3g}" for bound in found.asked) if any_asked else ""
    reached = ("yes" if found.reached else "**no**") if any_asked else ""
    amounts = f"{len(found.outcomes)} | {counts} | {logit:.1f} | {seconds:.1f} s"
    return f"| {found.what} | {amounts} | {asked} | {reached} |"


def at_least(others: Sequence[Tally]) -> tuple[None, float, float]:
    """As high in transfer as the best of the others."""
    return None, max(one.counts[1] for one in others), max(one.counts[2] for one in others)

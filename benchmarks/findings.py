"""What a row found, whether that is what was asked for, and how it is printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from benchmarks.stats import Ratio


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of a ratio: its median "at least" or "at most" `bound`, or its whole interval "above" it."""

    kind: Literal["at least", "at most", "above"]
    bound: float

    def reached(self, ratio: Ratio) -> bool:
        if self.kind == "at least":
            return ratio.median >= self.bound
        return ratio.median <= self.bound if self.kind == "at most" else ratio.low > self.bound

    def __str__(self) -> str:
        return f"interval above {self.bound:g}" if self.kind == "above" else f"{self.kind} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Medians of ours and theirs in `unit`, and their ratio.

    It is theirs / ours; ours / theirs for "at most", and of what has no unit, where more is better.
    """

    row: str
    what: str
    against: str
    ours: float
    theirs: float
    unit: str
    ratio: Ratio
    goal: Goal
    note: str = ""

    @property
    def reached(self) -> bool:
        return self.goal.reached(self.ratio)


@dataclass(frozen=True, slots=True)
class Missing:
    """A row that could not be measured, and why."""

    row: str
    reason: str


HEADER = (
    "| | against | ours | theirs | ratio [95 %] | asked | reached |",
    "|---|---|---|---|---|---|---|",
)


def line(found: Finding | Missing) -> str:
    """One line of the table."""
    if isinstance(found, Missing):
        return f"| {found.row} | not measured: {found.reason} | | | | | |"
    ours, theirs = (
        f"{amount:,.0f} {found.unit}" if found.unit else f"{amount:.1f}" for amount in (found.ours, found.theirs)
    )
    reached = "yes" if found.reached else "**no**"
    return f"| {found.what} | {found.against} | {ours} | {theirs} | {found.ratio} | {found.goal} | {reached} |"


def notes(all_found: Iterable[object]) -> list[str]:
    """What the table has no room for, a line each."""
    return [f"{one.row}, {one.against}: {one.note}" for one in all_found if isinstance(one, Finding) and one.note]

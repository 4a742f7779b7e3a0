"""What an audit found: a verdict for each class, the figures it comes from, and the photos they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

from sightline.core.heats import Warning
from sightline.render.save import suffix_of, write
from sightline.verbs.record import doubts_of, versions

SCHEMA = "sightline.audit/1"
"""Of the JSON: the number goes up when a field goes or changes its meaning, not when one comes."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class PhotoRow:
    """One photo as the audit saw it: what the network `said` to it, and the `chance` it gave the photo's class.

    `same`, `other`: how often its object is called by its class in the surroundings of others of the class, and of
    other classes, in [0, 1]; None where it was not asked. `passes`: images of it that went through the network.
    `region`: "given", "box" (cut along the colours), "whole box", or "found".
    """

    name: str
    sha256: str
    said: int
    chance: float
    same: float | None
    other: float | None
    passes: int
    region: str


@dataclass(frozen=True)
class ClassReport:
    """What a class's answers hang on; probabilities and accuracies in [0, 1], intervals (low, high).

    `verdict`: "object", "context", "both" or "undecided". `expected_loss`: the accuracy that is lost when a photo's
    surroundings become those of any class, each as likely as the other, beside others of its own class.
    `replaced_loss`: the accuracy lost when another class's object takes the object's place. `reliance`: the
    surroundings' share of the decision, their Shapley value over both; one half both where either is enough and where
    it takes both, which the four values tell apart: the mean probability of the class with `both` as they are, with
    the `object_only` (other classes' surroundings), with the `surroundings_only` (other classes' objects), with
    `neither` (other classes' photos); `interaction` = both - object_only - surroundings_only + neither. `note` says
    why something is undecided or has no meaning. `photos` are what it comes from.
    """

    index: int
    label: str
    count: int
    verdict: str
    reliance: float | None
    reliance_interval: Interval | None
    expected_loss: float | None
    expected_loss_interval: Interval | None
    replaced_loss: float | None
    replaced_loss_interval: Interval | None
    accuracy: float
    both: float
    object_only: float | None
    surroundings_only: float | None
    neither: float
    interaction: float | None
    note: str
    photos: tuple[PhotoRow, ...]


@dataclass(frozen=True, eq=False)
class Report:
    """`classes`: class index -> ClassReport. `level`: of all intervals of called classes together, 0.95."""

    classes: Mapping[int, ClassReport]
    model: str
    recipe: Mapping[str, Any]
    seed: int
    level: float
    regions: Mapping[str, int]
    thresholds: Mapping[str, float]
    warnings: tuple[Warning, ...]

    @property
    def headline(self) -> str:
        """How many classes have which verdict."""
        verdicts = [one.verdict for one in self.classes.values()]
        counts = [f"{verdicts.count(one)} {one}" for one in ("context", "both", "object", "undecided")]
        return f"Of {len(verdicts)} classes: {', '.join(counts)}."

    def to_json(self) -> str:
        """All of it as one JSON document; its `schema` names what the fields mean."""
        document = {
            "schema": SCHEMA,
            "model": self.model,
            "recipe": dict(self.recipe),
            "seed": self.seed,
            "level": self.level,
            "regions": dict(self.regions),
            "thresholds": dict(self.thresholds),
            "classes": [asdict(one) for one in self.classes.values()],
            "warnings": doubts_of(self.warnings),
            "versions": versions(),
        }
        return json.dumps(document, indent=1, allow_nan=False)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the JSON document (.json). Raises SaveError."""
        suffix_of(path, (".json",))
        write(path, (self.to_json() + "\n").encode())

    def __repr__(self) -> str:
        return f"Report({self.model!r}: {self.headline})"

"""What an audit found: a verdict for each class, the figures it comes from, and the photos they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

from sightline.core.heats import Warning
from sightline.render.save import suffix_of, write
from sightline.studies.conclusions import ClassReport
from sightline.verbs.record import doubts_of, versions

SCHEMA = "sightline.audit/1"
"""Of the JSON: the number goes up when a field goes or changes its meaning, not when one comes."""


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

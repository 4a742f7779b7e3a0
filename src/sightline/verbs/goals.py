"""What feature visualization climbs: a target with a row for each image, and what of it says that it fires."""

from __future__ import annotations

from typing import Any

from sightline.core.errors import TargetError
from sightline.core.penalties import Penalty
from sightline.core.targets import Class, Classes, PerImage, Sum, Target, parts_of
from sightline.models.model import Model
from sightline.verbs.asked import target_for


def goals_of(given: Any, model: Model) -> Target:
    """What is climbed: of a list, a target for each image."""
    many = isinstance(given, list | tuple)
    if given is None or (many and not given):
        raise TargetError(f"target={given!r} names nothing to climb; give a class, a label, or one of sl.targets.")
    goal = target_for(given, len(given) if many else 1, model)
    assert goal is not None
    if many and not isinstance(goal, Classes | PerImage):
        goal = PerImage((goal,) * len(given))
    if not goal.additive:
        raise TargetError("direction='keep' is nothing to climb; give 'increase' or 'decrease'.")
    for row in range(rows_of(goal)):
        strength(own(goal, row))
    return goal


def rows_of(goal: Target) -> int:
    """How many images a target has rows for; one for a target that is all images' alike. Raises TargetError."""
    lengths = {
        len(part.indices if isinstance(part, Classes) else part.targets)
        for _, part in parts_of(goal)
        if isinstance(part, Classes | PerImage)
    }
    if len(lengths) > 1:
        raise TargetError(f"targets for {' and '.join(map(str, sorted(lengths)))} images do not add up.")
    return max(lengths, default=1)


def own(goal: Target, row: int) -> Target:
    """A row's own target."""

    def pick(part: Target) -> Target:
        if isinstance(part, Classes):
            return Class(part.indices[row])
        return part.targets[row] if isinstance(part, PerImage) else part

    if not isinstance(goal, Sum):
        return pick(goal)
    return Sum(tuple(one for weight, part in goal.parts for one in parts_of(weight * pick(part))))


def strength(goal: Target) -> Target:
    """What says how strongly a target fires: all but penalties and comparisons. Raises TargetError."""
    fires = tuple((weight, part) for weight, part in parts_of(goal) if not (isinstance(part, Penalty) or part.joint))
    if not fires:
        raise TargetError(f"{goal} reads nothing of the network that could fire; add a class, a unit, ...")
    return fires[0][1] if fires[0][0] == 1 and len(fires) == 1 else Sum(fires)


def each(goals: list[Target]) -> Target:
    """One target from one for each row."""
    return goals[0] if len(goals) == 1 else PerImage(tuple(goals))

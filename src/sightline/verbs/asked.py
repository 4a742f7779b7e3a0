"""What a user may write for a target, made into a target."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sightline.core.errors import TargetError
from sightline.core.places import Predicted
from sightline.core.targets import Class, Function, Target, targets_of
from sightline.core.words import Said, index_of
from sightline.models.model import Model


def target_for(given: Any, count: int, model: Model | None) -> Target | None:
    """The target that `given` means for `count` images; None, or Predicted, asks about what is predicted.

    Raises TargetError.
    """
    found = _target(given, count, model)
    if found is None or model is None:
        return found if model is None else _passing_over(model.labels or ())
    return model.resolved(found)


def _passing_over(labels: Sequence[str]) -> Target | None:
    """What is predicted, where the labels name a background."""
    found = [index for index, label in enumerate(labels) if label.strip("_ ").casefold() == "background"]
    return Predicted(found[0]) if found else None


def _target(given: Any, count: int, model: Model | None) -> Target | None:
    if given is None or isinstance(given, Target):
        return given
    if isinstance(given, torch.Tensor | np.ndarray) and given.ndim:
        given = given.tolist()
    if not isinstance(given, list | tuple):
        return _one(given, model)
    if len(given) != count:
        raise TargetError(f"{len(given)} targets for {count} images; give one, or one for each.")
    each = [one if isinstance(one, Target) else _one(one, model) for one in given]
    return targets_of(each)


def _one(given: Any, model: Model | None) -> Target:
    if isinstance(given, str):
        if model is not None and model.words is not None:
            return Said(given)
        return Class(index_of(given, model.labels if model is not None else None))
    if callable(given):
        return Function(given)
    try:
        if str(getattr(given, "dtype", type(given).__name__)).endswith("bool"):
            raise TypeError
        return Class(operator.index(given))
    except TypeError:
        raise TargetError(
            f"{given!r} is no target; give a class index, a label, one of sl.targets, or a function of the scores."
        ) from None

"""An ascent put down and taken up again: all that it takes to go on, checked before it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.core.errors import OptionError
from sightline.features.ascent import Climb

Arrays = Mapping[str, NDArray[Any]]
CARRIED = ("taken", "running", "best", "since", "importance")  # of a climb beside its numbers, when it goes on


def saved(climb: Climb) -> dict[str, NDArray[Any]]:
    """What it takes to go on: numbers, the optimizer's state, and how the scores went, by name."""
    state = climb.optimizer.state_dict()["state"]
    flat = {f"optimizer.{i}.{name}": value for i, values in state.items() for name, value in values.items()}
    if not all(isinstance(value, Tensor | int | float) for value in flat.values()):
        flat = {}  # such an optimizer, as LBFGS is one, starts afresh
    parts = {f"params.{i}": one.detach() for i, one in enumerate(climb.params)}
    own = {name: getattr(climb, name) for name in CARRIED}
    return {name: torch.as_tensor(value).cpu().numpy().copy() for name, value in (parts | flat | own).items()}


def restore(climb: Climb, numbers: Arrays) -> None:
    """Put back what `saved` gave. Raises OptionError for what is not of this climb."""
    _check(climb, numbers)
    own = {name: torch.from_numpy(value.copy()) for name, value in numbers.items()}  # they will be written into
    state: dict[int, dict[str, Any]] = {}
    for key, value in own.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    climb.optimizer.load_state_dict(climb.optimizer.state_dict() | {"state": state})
    with torch.no_grad():
        for i, one in enumerate(climb.params):
            one.copy_(own[f"params.{i}"])
    climb.taken = int(own["taken"])
    for name in CARRIED[1:]:
        setattr(climb, name, own[name].to(getattr(climb, name)))


def check_kept(climb: Climb, numbers: Arrays, terms: int) -> None:
    """Whether what was kept beside is of this climb too: scores, `terms` parts, frames. Raises OptionError."""
    count = len(climb.seeds)
    steps = numbers["frame_steps"]
    shapes = {
        "history": (climb.taken, count),
        "terms": (terms, count),
        "frame_steps": (len(steps),) if steps.ndim else (0,),
        "frames": (len(numbers["frames"]) if numbers["frames"].ndim else 0, count, *climb.shape),
    }
    for name, shape in shapes.items():
        _fits(name, numbers[name], shape)
    if len(steps) != len(numbers["frames"]):
        raise OptionError(f"resume: {len(numbers['frames'])} frames, and frame_steps tells of {len(steps)}.")


def _check(climb: Climb, numbers: Arrays) -> None:
    for name, own in saved(climb).items():
        if name not in numbers:
            raise OptionError(f"resume: {name!r} is missing; the file is not whole.")
        _fits(name, numbers[name], own.shape, own.dtype)
    if not 0 <= int(numbers["taken"]) < 2**31:
        raise OptionError(f"resume: taken={int(numbers['taken'])}; it has to be a number of steps.")
    for name in numbers:
        if name.startswith("optimizer."):
            _, index, rest = (*name.split(".", 2), "", "")[:3]
            if not rest or not index.isdecimal() or int(index) >= len(climb.params):
                raise OptionError(f"resume: {name!r} is no state of this optimizer.")
            shape = tuple(climb.params[int(index)].shape) if numbers[name].ndim else ()
            _fits(name, numbers[name], shape)


def _fits(name: str, given: NDArray[Any], shape: tuple[int, ...], dtype: Any = None) -> None:
    if given.shape != shape or given.dtype.kind not in "fiub" or (dtype is not None and given.dtype != dtype):
        raise OptionError(
            f"resume: {name!r} is {given.dtype} {given.shape}, and this ascent's is {dtype or 'of numbers'} {shape}."
        )

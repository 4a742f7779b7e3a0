"""Edits by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sightline.core.errors import OptionError, near
from sightline.probes.edits import Blur, Edit, Grey, Keep, Recolour, Remove, ShufflePatches
from sightline.probes.objects import Move, Rotate, Scale

NAMED: dict[str, Callable[[], Edit]] = {
    "remove": Remove, "keep": Keep, "move": Move, "scale": Scale, "rotate": Rotate, "blur": Blur,
    "recolour": Recolour, "grey": Grey, "shuffle-patches": ShufflePatches,
}  # fmt: skip
_OF_PHOTOS = {"swap-background": "SwapBackground(photo)", "swap-object": "SwapObject(photo, region)"}


def edits_of(given: Any) -> dict[str, Edit]:
    """The edits that `given` names, by name: one, or several. Raises OptionError with near misses."""
    several = given if isinstance(given, list | tuple) else (given,)
    found = [_edit(one) for one in several]
    if not found:
        raise OptionError("edits=() names none; " + near("", NAMED))
    return {str(edit): edit for edit in found}


def _edit(given: Any) -> Edit:
    if isinstance(given, Edit) and not isinstance(given, type):
        return given
    name = given.lower().replace("_", "-") if isinstance(given, str) else ""
    if name in _OF_PHOTOS:
        raise OptionError(f"{name} needs another photo: give sl.edits.{_OF_PHOTOS[name]}.")
    if name not in NAMED:
        raise OptionError(f"no edit {given!r}; {near(name, [*NAMED, *_OF_PHOTOS])}")
    return NAMED[name]()

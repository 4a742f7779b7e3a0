"""Edits by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import reduce
from itertools import count
from operator import add
from typing import Any

from sightline.core.errors import OptionError, near
from sightline.probes.edits import Blur, Edit, Grey, Keep, Recolour, Remove, ShufflePatches
from sightline.probes.objects import Move, Rotate, Scale

NAMED: dict[str, Callable[..., Edit]] = {
    "remove": Remove,
    "keep": Keep,
    "move": Move,
    "scale": Scale,
    "rotate": Rotate,
    "blur": Blur,
    "recolour": lambda *colour: Recolour(colour or None),
    "grey": Grey,
    "shuffle-patches": ShufflePatches,
}
_OF_PHOTOS = {"swap-background": "SwapBackground(photo)", "swap-object": "SwapObject(photo, region)"}
_TAKEN = {"original": None, "nothing": None, "remove": Remove(), "keep": Keep()}  # by the worlds of the shares
_CALL = re.compile(r"([a-z-]+)\s*(?:\(([^()]*)\))?")


def edits_of(given: Any) -> dict[str, Edit]:
    """The edits that `given` names, by name: one, or several; values, or texts such as "grey + move(40, 0)".

    Of two that differ and are called the same the second is "... (2)". Raises OptionError with near misses.
    """
    several = given if isinstance(given, list | tuple) else (given,)
    found = [_edit(one) for one in several]
    if not found:
        raise OptionError("edits=() names none; " + near("", NAMED))
    known: dict[str, Edit | None] = {**_TAKEN}
    return {next(name for name in _names(edit) if known.setdefault(name, edit) == edit): edit for edit in found}


def _names(edit: Edit) -> Iterator[str]:
    """Its name, and those it is given beside others of that name."""
    yield str(edit)
    yield from (f"{edit} ({number})" for number in count(2))


def _edit(given: Any) -> Edit:
    if isinstance(given, Edit) and not isinstance(given, type):
        return given
    if not isinstance(given, str):
        raise OptionError(f"{given!r} is no edit; give a name or a value of sl.edits; {near('', NAMED)}")
    first, *more = (_called(part.strip().lower().replace("_", "-")) for part in given.split("+"))
    return reduce(add, more, first)


def _called(text: str) -> Edit:
    """An edit from its name, or from its name with numbers between brackets."""
    call = _CALL.fullmatch(text)
    name = call[1] if call else text
    if name in _OF_PHOTOS:
        raise OptionError(f"{name} needs another photo: give sl.edits.{_OF_PHOTOS[name]}.")
    if call is None or name not in NAMED:
        raise OptionError(f"no edit {text!r}; {near(name, [*NAMED, *_OF_PHOTOS])}")
    try:
        numbers = ast.literal_eval(f"({call[2]},)") if call[2] else ()
        return NAMED[name](*numbers)
    except (SyntaxError, ValueError, TypeError) as error:
        why = (
            f": {str(error).rstrip('.')}" if isinstance(error, OptionError) else "; give its numbers between brackets"
        )
        raise OptionError(f"{text!r}{why}, as in {', '.join(_EXAMPLES)}.") from error


_EXAMPLES = ("move(40, 0)", "scale(0.5)", "rotate(90)", "recolour(0, 0, 1)")

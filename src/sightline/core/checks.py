"""Checks of options: what is out of range is refused with what was given and what is possible."""

from __future__ import annotations

import math
from typing import Any

from sightline.core.errors import OptionError


def whole(name: str, given: Any, least: int) -> int:
    """`given` as it is, a whole number of at least `least`. Raises OptionError."""
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise OptionError(f"{name}={given!r}; {name} has to be {least} or more, a whole number.")
    return given


def number(name: str, given: Any, *, above: float | None = None) -> float:
    """`given` as a float: 0 or more, or `above` a bound, and finite. Raises OptionError."""
    fits = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    if not fits or (given < 0 if above is None else given <= above):
        bound = f"{name} 0 or more" if above is None else f"{name} above {above:g}"
        raise OptionError(f"{name}={given!r}; possible: {bound}, a finite number.")
    return float(given)


def finite(name: str, given: Any) -> float:
    """`given` as a float, any finite number. Raises OptionError."""
    if not isinstance(given, int | float) or isinstance(given, bool) or not math.isfinite(given):
        raise OptionError(f"{name}={given!r}; {name} has to be a finite number.")
    return float(given)

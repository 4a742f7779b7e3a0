"""The ways to draw an explanation, by name. Light: the command line reads them before anything heavy is needed."""

from __future__ import annotations

from sightline.core.errors import OptionError

STYLES: dict[str, str] = {
    "pair": "the photo beside its overlay",
    "overlay": "the heat over the greyed photo",
    "contour": "lines of equal heat on the photo",
    "cut-out": "the photo beside what is left of it where the heat is, the rest faded",
    "signs": "what is positive and what is negative in the raw map, on one scale, beside the photo",
    "mask": "outline and box of the region that the map points at, on the photo",
}
BESIDE = ("pair", "cut-out", "signs")
"""Those that show the untouched photo too."""
STEADIED = ("contour", "cut-out", "mask")
"""Those that smooth a map unless told otherwise: their edges cannot follow a map that speckles."""


def checked_style(given: str) -> str:
    """`given` as it is, one of STYLES. Raises OptionError."""
    if given not in STYLES:
        raise OptionError(f"style={given!r}; possible: {', '.join(map(repr, STYLES))}.")
    return given

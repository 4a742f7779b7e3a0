"""The one error tree. An error says what was given, what is possible, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SightlineError(Exception):
    """Everything that Sightline raises on purpose derives from this."""


class PhotoError(SightlineError, ValueError):
    """A photo cannot be read, or is refused."""


class ModelError(SightlineError, ValueError):
    """A model cannot be found, loaded or described."""


class NetworkError(SightlineError, RuntimeError):
    """The network ran and gave something that cannot be used."""


class LayerError(SightlineError, ValueError):
    """A layer does not exist, was not reached, or has no map."""


class TargetError(SightlineError, ValueError):
    """What is to be explained does not exist in this network's output."""


class MethodError(SightlineError, ValueError):
    """The method is unknown, or the network lacks what the method needs."""


class BlackBoxError(MethodError):
    """No gradient comes back from the network."""


class OptionError(SightlineError, TypeError):
    """An option is unknown, or its value is out of range."""


class SaveError(SightlineError, OSError):
    """A result could not be written; what was there before is untouched."""


class SightlineWarning(UserWarning):
    """Something that a reader of the result has to know; it stays on the result too."""


def near(name: str, possible: Iterable[str], shown: int = 8) -> str:
    """The end of an error's sentence: near misses of `name`, or what is possible."""
    names = sorted(set(possible))
    within = sorted((one for one in names if name and name.casefold() in one.casefold()), key=len)  # closest first
    close = within[:3] or get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(map(repr, close)) + "?"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return "possible: " + (", ".join(names[:shown]) + more if names else "none") + "."

"""`sightline filters` and `sightline responses`: from parsed arguments to pictures of what is inside."""

from __future__ import annotations

import argparse
from pathlib import Path

import sightline as sl
from sightline.app import show
from sightline.app.commands import listed, model_of, no_options
from sightline.core.errors import OptionError, PhotoError
from sightline.render.save import suffix_of

_TOLD = 5  # channels on the terminal


def filters(given: argparse.Namespace) -> int:
    """What a layer's weights look like."""
    no_options(given, "filters")
    goal = _goal(given, f"{show.text(given.layer)}-filters.png")
    found = sl.filters(model_of(given), given.layer, most=given.most)
    found.save(goal)
    if given.json:
        show.print_json(found.provenance | {"files": [str(goal)]})
    else:
        print(show.bold(found.headline))
        print(f"  written: {goal}")
    return 0


def responses(given: argparse.Namespace) -> int:
    """What a layer shows of a photo."""
    no_options(given, "responses")
    goal = _goal(given, f"{show.text(Path(given.photo).stem) or 'photo'}-responses.png")
    if goal.resolve() == Path(given.photo).resolve():
        raise OptionError(f"{goal} is the photo and would be overwritten; choose another --out.")
    channels, model = _channels(given.channels), model_of(given)
    try:
        photo = sl.open_photo(given.photo, channels=model.channels)
    except PhotoError as error:
        return show.unread(given.photo, error, given.json)
    found = sl.responses(model, photo, given.layer, channels=channels, most=given.most)
    found.save(goal)
    if given.json:
        show.print_json(found.provenance | {"files": [str(goal)], "failed": []})
    else:
        _tell(given.photo, found, goal)
    return 0


def _tell(path: str, found: sl.Responses, goal: Path) -> None:
    """What was found, for a person."""
    print(show.bold(path))
    print(f"  {found.headline}")
    for channel in found.shown[:_TOLD]:
        print(f"  {float(found.strength[channel]):9.4g}  {found.name(channel)}")
    for warning in dict.fromkeys(found.warnings):
        print(f"  warning [{warning.code}]: {warning.message}")
    print(f"  written: {goal}")


def _channels(given: str | None) -> list[int] | None:
    """Channels between commas. Raises OptionError."""
    if given is None:
        return None
    try:
        return [int(one) for one in listed(given)]
    except ValueError:
        raise OptionError(f"--channels {given!r}; give whole numbers between commas, such as 3,7,12.") from None


def _goal(given: argparse.Namespace, name: str) -> Path:
    """The file to write. Raises SaveError for a suffix that means nothing here."""
    goal: Path = given.out or Path("sightline-out") / name.replace("/", "-")
    suffix_of(goal)
    return goal

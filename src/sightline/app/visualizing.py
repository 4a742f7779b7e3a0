"""`sightline visualize`: from parsed arguments to images that targets fire for."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

import sightline as sl
from sightline.app import show
from sightline.app.commands import model_of, pairs, target_of
from sightline.core.errors import OptionError
from sightline.core.words import index_of
from sightline.render.film import FILMS
from sightline.render.save import SUFFIXES, check_writable

_FLAGS = (
    "count", "frames", "model", "photos", "preset", "progress", "resume", "seed", "size", "start", "steps", "target",
    "watch",
)  # fmt: skip
_CHANNELS = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+))?")


def visualize(given: argparse.Namespace) -> int:
    """Images that a class, a unit or a layer fires for."""
    goal, options = _goal(given), _options(given.option)
    model = model_of(given)
    targets = [-one if given.minimize else one for text in given.target for one in targets_of(text, model)]
    frames = given.frames or (8 if goal.suffix.lower() in FILMS else 0)
    with _Bar(given.steps, given.json) as bar:
        found = sl.visualize(
            model, targets[0] if len(targets) == 1 else targets, given.steps, given.size, given.seed, given.preset,
            count=given.count, start=given.start, photos=_photos(given.photos), frames=frames, resume=given.resume,
            watch=bar.watch, **options,
        )  # fmt: skip
    files = [goal, goal.with_suffix(".npz")] if found.interrupted else [goal]
    for file in dict.fromkeys(files):
        found.save(file)
    if given.json:
        show.print_json(found.provenance | {"files": list(map(str, files))})
    else:
        _tell(found, files)
    if found.interrupted:
        raise KeyboardInterrupt
    return 1 if any(one.code == "unreadable" for one in found.warnings) else 0


def _options(given: list[str]) -> dict[str, Any]:
    """What --option gives. Raises OptionError for what has a flag of its own."""
    options = pairs(given, "--option")
    for name in options:
        if name in _FLAGS:
            raise OptionError(f"--option {name}=...: it has a flag of its own, --{name}.")
    return options


def _photos(given: list[str] | None) -> str | list[str] | None:
    """A folder, or the photos that are named."""
    return given[0] if given and len(given) == 1 and Path(given[0]).is_dir() else given


def targets_of(text: str, model: sl.Model) -> list[sl.targets.Target]:
    """What --target names: a class, `layer:NAME`, `unit:LAYER:7` or `unit:LAYER:0-15`. Raises TargetError."""
    kind, _, rest = text.partition(":")
    if kind == "layer" and rest:
        return [sl.targets.Layer(rest)]
    if kind == "unit" and rest:
        layer, _, channels = rest.rpartition(":")
        span = _CHANNELS.fullmatch(channels)
        if not layer or span is None:
            raise OptionError(f"--target {text!r}; a unit reads unit:LAYER:7, or unit:LAYER:0-15 for several.")
        first, last = int(span["first"]), int(span["last"] or span["first"])
        if last < first:
            raise OptionError(f"--target {text!r}: {last} comes before {first}.")
        return [sl.targets.Unit(layer, channel) for channel in range(first, last + 1)]
    named = target_of(text)
    if named is None:
        raise OptionError("--target '' names nothing; give a class, a unit or a layer.")
    return [sl.targets.Class(index_of(named, model.labels) if isinstance(named, str) else named)]


class _Bar:
    """Counts steps on a terminal, with the mean score."""

    def __init__(self, steps: int, quiet: bool) -> None:
        self._bar: Any = tqdm(total=steps, unit=" steps", disable=quiet or not sys.stderr.isatty(), leave=False)

    def watch(self, step: sl.Step) -> None:
        self._bar.n = step.number
        self._bar.set_postfix_str(f"score {float(step.score.nanmean()):.3g}", refresh=False)
        self._bar.update(0)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _tell(found: sl.Visualization, files: list[Path]) -> None:
    """What was drawn, for a person."""
    print(show.bold(f"{len(found)} image{'s' if len(found) > 1 else ''}, {found.steps} steps"))
    for i, label in enumerate(found.labels):
        says = found.predictions[i][:1]
        answer = f"; the model says {says[0].label}" if says else ""
        chance = f" ({says[0].probability:.1%})" if says and says[0].probability is not None else ""
        print(f"  {label}: {found.unit} {float(found.scores[i]):.3g}{answer}{chance}")
    for label, best in zip(found.labels[:: found.count], found.strongest, strict=False):
        print(f"  strongest photo of {label}: {show.text(best.name)}, {best.score:.3g}")
    for warning in dict.fromkeys(found.warnings):
        print(f"  warning [{warning.code}]: {warning.message}")
    if found.interrupted:
        print(f"  go on with: --resume {files[-1]}")
    print(f"  written: {', '.join(map(str, files))}")


def _goal(given: argparse.Namespace) -> Path:
    """The file to write. Raises OptionError for a suffix that means nothing here."""
    goal: Path = given.out or Path("sightline-out") / "visualize.html"
    if goal.suffix.lower() not in (*SUFFIXES, *FILMS):
        raise OptionError(f"--out {str(goal)!r}; possible: {', '.join((*SUFFIXES, *FILMS))}.")
    for other in (*(given.photos or ()), *([given.start] if given.start else [])):
        if goal.exists() and Path(other).resolve() in (goal.resolve(), goal.resolve().parent):
            raise OptionError(f"{goal} is one of the photos and would be overwritten; choose another --out.")
    check_writable(goal)  # before the work, not after
    return goal

"""What each command does, from parsed arguments to text, files or JSON."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

import sightline as sl
from sightline.app import show
from sightline.core.errors import OptionError, PhotoError
from sightline.render.styles import checked_style

FORMATS = ("png", "jpg", "svg", "html", "npz")


def explain(given: argparse.Namespace) -> int:
    """Pictures of where the model looks in each photo."""
    from sightline.verbs.grids import save_grid

    suffixes, style, options = _formats(given.format), checked_style(given.style), pairs(given.option, "--option")
    goals = _goals(given.photos, given.out, suffixes)
    model = model_of(given)
    layer = listed(given.layer) if given.layer else None
    asked = {"method": listed(given.method) if given.method else None, "layer": layer, "seed": given.seed}
    photos, records, stopped = _Photos(given.photos, model), [], False
    with progress(given.json) as bar:
        for group in photos:
            live = show.Live(
                bar, {photo.sha256: goals[i] for i, photo in group} if given.live else {}, given.smooth, style
            )
            ask = partial(sl.explain, model, progress=bar.update, watch=live, **asked, **options)
            for (i, _), results in zip(group, _by_target(ask, group, given.target), strict=False):
                for goal in goals[i]:
                    save_grid(results, goal, given.smooth, style=style)
                records.append(show.record(given.photos[i], results, goals[i]))
                if not given.json:
                    show.tell(given.photos[i], results, goals[i])
                stopped = stopped or any(one.interrupted for one in show.each(results))
            if stopped:
                break
    if given.json:
        show.print_json({"photos": records, "failed": photos.failed})
    if stopped:
        raise KeyboardInterrupt
    return show.complain(photos.failed, given.json)


def _by_target(
    ask: Callable[..., list[Any]], group: list[tuple[int, sl.Photo | sl.Volume]], targets: list[str] | None
) -> list[list[Any]]:
    """For each photo of a group its result for each target, as far as the user let it go."""
    by_target: list[list[Any]] = []
    wanted: list[str | None] = list(dict.fromkeys(targets)) if targets else [None]
    for target in wanted:
        by_target.append(ask([photo for _, photo in group], target=target_of(target)))
        if any(one.interrupted for one in show.each(by_target[-1])):
            break
    return [[found[i] for found in by_target if i < len(found)] for i in range(len(by_target[0]))]


def predict(given: argparse.Namespace) -> int:
    """The model's answers for each photo."""
    no_options(given, "predict")
    from sightline.verbs.record import answers_of, doubts_of

    model = model_of(given)
    photos = _Photos(given.photos, model)
    rows = []
    if not given.json:
        for warning in model.warnings:
            print(f"warning [{warning.code}]: {warning.message}")
    for group in photos:
        for (i, photo), found in zip(group, sl.predict(model, [p for _, p in group], top=given.top), strict=True):
            rows.append({"photo": show.text(given.photos[i]), "predictions": answers_of(found)})
            if not given.json:
                print("\n".join([show.bold(given.photos[i]), *show.answers(found)]))
                print("".join(f"  warning [{one.code}]: {one.message}\n" for one in photo.warnings), end="")
    if given.json:
        doubts = doubts_of(model.warnings)
        show.print_json({"model": model.source, "photos": rows, "warnings": doubts, "failed": photos.failed})
    return show.complain(photos.failed, given.json)


def demo(given: argparse.Namespace) -> int:
    """The story page of the embedded model."""
    from sightline.demo.story import tell

    with progress(given.json) as bar:
        story = tell(given.out, bar.update)
    if given.json:
        show.print_json(story.record())
    else:
        print("\n".join(story.lines()))
    return 0


def methods(given: argparse.Namespace) -> int:
    """The catalog."""
    if given.json:
        keys = ("id", "family", "paper", "cost")
        more = [
            {
                "needs": sorted(one.needs),
                "options": show.plain(one.options),
                "caution": one.caution and {"code": one.caution.code, "message": one.caution.message},
            }
            for one in sl.methods()
        ]
        facts = [{key: getattr(one, key) for key in keys} for one in sl.methods()]
        show.print_json([about | rest for about, rest in zip(facts, more, strict=True)])
        return 0
    rows = [
        (one.id, one.family, one.paper, ", ".join(sorted(one.needs)) or "nothing", one.cost) for one in sl.methods()
    ]
    show.print_table(("method", "family", "paper", "needs", "cost for one photo"), rows)
    print("\noptions, given as --option KEY=VALUE:")
    for one in sl.methods():
        if one.options:
            print(f"  {one.id:22}" + "  ".join(f"{key}={value}" for key, value in show.plain(one.options).items()))
    print("\ncautions:")
    for one in sl.methods():
        if one.caution:
            print(f"  [{one.caution.code}] {one.caution.message}")
    return 0


def models(given: argparse.Namespace) -> int:
    """What --model can name: the sources, or the names within one."""
    from sightline.models import listing
    from sightline.models.vision import at_hand

    if given.source is None:
        rows = listing.sources()
        if given.json:
            show.print_json([dict(zip(("model", "about", "to_install"), row, strict=True)) for row in rows])
            return 0
        show.print_table(("--model", "what it is", "to install"), rows)
        print(f"\nnames: {', '.join(f'sightline models {source}' for source in listing.LISTS)}")
        return 0
    names = listing.names(given.source)
    here = {name for name in names if given.source == "torchvision" and at_hand(name)}
    if given.json:
        known = given.source == "torchvision"  # other libraries do not say which weights lie in their caches
        show.print_json(
            [{"model": f"{given.source}/{name}", "at_hand": name in here if known else None} for name in names]
        )
        return 0
    if here:
        print("* weights at hand; the others are fetched when first used")
    print("\n".join(show.columns([f"{'*' if name in here else ' '} {given.source}/{name}" for name in names])))
    return 0


def model_of(given: argparse.Namespace) -> sl.Model:
    """The model that is named, as it is to be loaded. Raises ModelError, OptionError."""
    options = pairs(given.model_option, "--model-option")
    if isinstance(options.get("labels"), str):
        options["labels"] = _lines(Path(options["labels"]))
    model = sl.load(given.model, device=given.device, **options)
    if given.batch_size is not None:
        if given.batch_size < 1:
            raise OptionError(f"--batch-size {given.batch_size}: it has to be 1 or more.")
        model.batch_size = given.batch_size
    return model


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"labels={path}: a text file with a label on each line is needed; {error}.") from error


def no_options(given: argparse.Namespace, verb: str) -> None:
    """Refuse --option where nothing takes it. Raises OptionError."""
    if given.option:
        raise OptionError(
            f"--option {given.option[0]}: {verb} has no options of that kind; see sightline {verb} --help."
        )


def target_of(given: str | None) -> int | str | None:
    """A target as it was written: digits are an index."""
    if given is None or not given.isdecimal():
        return given.removeprefix("label:") if given else None
    return int(given)


def _formats(given: str) -> list[str]:
    wanted = [one.lower() for one in listed(given)]
    for one in wanted:
        if one not in FORMATS:
            raise OptionError(f"--format {one!r}; possible: {', '.join(FORMATS)}.")
    return wanted


def pairs(given: Sequence[str], flag: str) -> dict[str, Any]:
    """KEY=VALUE arguments; values are Python literals, `none`, or plain text."""
    pairs: dict[str, Any] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key.isidentifier():
            raise OptionError(f"{flag} {one!r}: it has to read KEY=VALUE.")
        pairs[key] = _value(value)
    return pairs


def _value(text: str) -> Any:
    if text.lower() in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


class _Photos:
    """The photos that can be read, in groups that go through the network together; the others are in `failed`."""

    def __init__(self, paths: Sequence[str], model: sl.Model) -> None:
        self.failed: list[dict[str, str]] = []
        self._paths, self._model = paths, model

    def __iter__(self) -> Iterator[list[tuple[int, sl.Photo | sl.Volume]]]:
        group = []
        for i, path in enumerate(self._paths):
            try:
                photo = self._model.open(path)
                self._model.geometry.view(*photo.size)
                group.append((i, photo))
            except PhotoError as error:
                self.failed.append({"photo": show.text(path), "error": show.text(str(error))})
            if len(group) == self._model.at_once:
                yield group
                group = []
        if group:
            yield group


def _goals(paths: Sequence[str], out: Path, suffixes: Sequence[str]) -> list[list[Path]]:
    """The files to write for each photo: its stem, numbered where two would meet. Raises OptionError."""
    taken: set[str] = set()
    goals = []
    for path in paths:
        stem, number = show.text(Path(path).stem) or "photo", 1
        name = stem
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        goals.append([out / f"{name}.{suffix}" for suffix in suffixes])
    originals = {Path(path).resolve() for path in paths}
    for goal in (goal for each in goals for goal in each):
        if goal.resolve() in originals:
            raise OptionError(f"{goal} is one of the photos and would be overwritten; choose another --out.")
    return goals


def listed(text: str) -> list[str]:
    """Names between commas."""
    return [one.strip() for one in text.split(",") if one.strip()]


@contextmanager
def progress(quiet: bool, doing: str = "looking") -> Iterator[Any]:
    """Counts passes on a terminal."""
    with tqdm(unit=" passes", disable=quiet or not sys.stderr.isatty(), leave=False, desc=doing) as bar:
        yield bar

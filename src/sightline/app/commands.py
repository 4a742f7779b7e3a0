"""What each command does, from parsed arguments to text, files or JSON."""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

import sightline as sl
from sightline.core.errors import OptionError, PhotoError

_BOLD, _PLAIN = "\033[1m", "\033[0m"
FORMATS = ("png", "jpg", "svg", "html", "npz")


def explain(given: argparse.Namespace) -> int:
    """Pictures of where the model looks in each photo."""
    suffixes = _formats(given.format)
    options = _pairs(given.option, "--option")
    methods = _listed(given.method) if given.method else None
    goals = _goals(given.photos, given.out, suffixes)
    model = _model(given)
    photos, records, stopped = _Photos(given.photos, model), [], False
    with _progress(given.json) as progress:
        for group in photos:
            found = sl.explain(
                model,
                [photo for _, photo in group],
                method=methods,
                target=_target(given.target),
                layer=given.layer,
                seed=given.seed,
                progress=progress,
                **options,
            )
            for (i, _), result in zip(group, found, strict=False):
                for goal in goals[i]:
                    result.save(goal, smooth=given.smooth)
                records.append(_record(given.photos[i], result, goals[i]))
                if not given.json:
                    _tell(given.photos[i], result, goals[i])
                stopped = stopped or any(one.interrupted for one in _each(result))
            if stopped:
                break
    if given.json:
        _print_json({"photos": records, "failed": photos.failed})
    if stopped:
        raise KeyboardInterrupt
    return _complain(photos.failed, given.json)


def predict(given: argparse.Namespace) -> int:
    """The model's answers for each photo."""
    if given.option:
        raise OptionError(f"--option {given.option[0]}: predict has no options.")
    model = _model(given)
    photos = _Photos(given.photos, model)
    rows = []
    if not given.json:
        for warning in model.warnings:
            print(f"warning [{warning.code}]: {warning.message}")
    for group in photos:
        for (i, _), found in zip(group, sl.predict(model, [p for _, p in group], top=given.top), strict=True):
            rows.append({"photo": _text(given.photos[i]), "predictions": list(map(asdict, found))})
            if not given.json:
                print("\n".join([_bold(given.photos[i]), *_answers(found)]))
    if given.json:
        doubts = [{"code": one.code, "message": one.message} for one in model.warnings]
        _print_json({"model": model.source, "photos": rows, "warnings": doubts, "failed": photos.failed})
    return _complain(photos.failed, given.json)


def demo(given: argparse.Namespace) -> int:
    """The story page of the embedded model."""
    from sightline.demo.story import tell

    with _progress(given.json) as progress:
        story = tell(given.out, progress)
    if given.json:
        _print_json(story.record())
    else:
        print("\n".join(story.lines()))
    return 0


def methods(given: argparse.Namespace) -> int:
    """The catalog."""
    if given.json:
        keys = ("id", "family", "paper", "cost")
        _print_json([
            {key: getattr(one, key) for key in keys} | {"needs": sorted(one.needs), "options": _shown(one.options)}
            for one in sl.methods()
        ])  # fmt: skip
        return 0
    rows = [
        (one.id, one.family, one.paper, ", ".join(sorted(one.needs)) or "nothing", one.cost) for one in sl.methods()
    ]
    _print_table(("method", "family", "paper", "needs", "cost for one photo"), rows)
    print("\noptions, given as --option KEY=VALUE:")
    for one in sl.methods():
        if one.options:
            print(f"  {one.id:22}" + "  ".join(f"{key}={value}" for key, value in _shown(one.options).items()))
    return 0


def models(given: argparse.Namespace) -> int:
    """What --model can name."""
    from sightline.models.vision import at_hand, names

    listed = {name: at_hand(name) for name in names()}
    if given.json:
        rows = [{"model": "demo", "at_hand": True}]
        _print_json(rows + [{"model": f"torchvision/{name}", "at_hand": here} for name, here in listed.items()])
        return 0
    print(f"{_bold('demo')}   the embedded model: drawn scenes, no download\n")
    print(f"{_bold('package.module:factory')}   your own: a function that returns a network, or a sightline Model\n")
    print(f"{_bold('torchvision/NAME')}   * weights at hand; the others are fetched when first used")
    print("\n".join(_columns([f"{'*' if here else ' '} {name}" for name, here in listed.items()])))
    return 0


def _model(given: argparse.Namespace) -> sl.Model:
    options = _pairs(given.model_option, "--model-option")
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


def _target(given: str | None) -> int | str | None:
    if given is None or not given.isdecimal():
        return given.removeprefix("label:") if given else None
    return int(given)


def _formats(given: str) -> list[str]:
    wanted = [one.lower() for one in _listed(given)]
    for one in wanted:
        if one not in FORMATS:
            raise OptionError(f"--format {one!r}; possible: {', '.join(FORMATS)}.")
    return wanted


def _pairs(given: Sequence[str], flag: str) -> dict[str, Any]:
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

    def __iter__(self) -> Iterator[list[tuple[int, sl.Photo]]]:
        group = []
        for i, path in enumerate(self._paths):
            try:
                photo = sl.open_photo(path, channels=self._model.channels)
                self._model.geometry.view(photo.height, photo.width)
                group.append((i, photo))
            except PhotoError as error:
                self.failed.append({"photo": _text(path), "error": _text(str(error))})
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
        stem, number = _text(Path(path).stem) or "photo", 1
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


def _text(name: str) -> str:
    """A file name that can be printed, also when its bytes are no text."""
    return name.encode("utf-8", "replace").decode()


def _complain(failed: Sequence[dict[str, str]], quiet: bool) -> int:
    for one in () if quiet else failed:
        name = "" if one["photo"] in one["error"] else f"{one['photo']}: "
        print(f"sightline: {name}{one['error']}", file=sys.stderr)
    return 1 if failed else 0


def _listed(text: str) -> list[str]:
    """Names between commas."""
    return [one.strip() for one in text.split(",") if one.strip()]


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    """Counts passes on a terminal."""
    with tqdm(unit=" passes", disable=quiet or not sys.stderr.isatty(), leave=False, desc="looking") as bar:
        yield bar.update


def _each(result: Any) -> list[sl.Explanation]:
    return list(result.values()) if isinstance(result, sl.Comparison) else [result]


def _record(path: str, result: Any, files: Sequence[Path]) -> dict[str, Any]:
    explanations = [one.provenance for one in _each(result)]
    return {"photo": _text(path), "explanations": explanations, "files": list(map(str, files))}


def _tell(path: str, result: Any, files: Sequence[Path]) -> None:
    each = _each(result)
    print(_bold(path))
    marked = {getattr(each[0].target, "index", None)}
    print("\n".join(_answers(each[0].predictions, marked)))
    print(f"  explained: {each[0].label}, by {', '.join(one.method for one in each)}")
    for warning in dict.fromkeys(warning for one in each for warning in one.warnings):
        print(f"  warning [{warning.code}]: {warning.message}")
    print(f"  written: {', '.join(map(str, files))}")


def _answers(predictions: Iterable[sl.Prediction], marked: Iterable[int | None] = ()) -> Iterator[str]:
    for one in predictions:
        number = f"{one.probability:7.1%}" if one.probability is not None else f"{one.score:9.4g}"
        yield f"  {'>' if one.index in marked else ' '}{number}  {one.index:4}  {one.label}"


def _bold(text: str) -> str:
    return f"{_BOLD}{_text(text)}{_PLAIN}" if sys.stdout.isatty() else _text(text)


def _shown(options: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value if isinstance(value, int | float | str | None) else str(value) for key, value in options.items()
    }


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    print(_bold("  ".join(cell.ljust(width) for cell, width in zip(head, widths, strict=True))))
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _columns(cells: Sequence[str], width: int = 100) -> Iterator[str]:
    each = max(map(len, cells)) + 2
    count = max(1, width // each)
    for start in range(0, len(cells), count):
        yield "".join(cell.ljust(each) for cell in cells[start : start + count]).rstrip()

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
    methods = given.method.split(",") if given.method else None
    model = _model(given)
    photos, failed = _opened(given.photos, model.channels)
    names = _names([name for name, _ in photos])
    rows = []
    with _progress(given.json) as progress:
        for start in range(0, len(photos), model.at_once):
            part = slice(start, start + model.at_once)
            found = sl.explain(
                model,
                [photo for _, photo in photos[part]],
                method=methods,
                target=_target(given.target),
                layer=given.layer,
                seed=given.seed,
                progress=progress,
                **options,
            )
            for (path, _), name, result in zip(photos[part], names[part], found, strict=True):
                files = [given.out / f"{name}.{suffix}" for suffix in suffixes]
                for file in files:
                    result.save(file, smooth=given.smooth)
                rows.append((path, result, files))
    if given.json:
        _print_json({"photos": [_record(*row) for row in rows], "failed": failed})
    else:
        for row in rows:
            _tell(*row)
    return _complain(failed, given.json)


def predict(given: argparse.Namespace) -> int:
    """The model's answers for each photo."""
    model = _model(given)
    photos, failed = _opened(given.photos, model.channels)
    answers = sl.predict(model, [photo for _, photo in photos], top=given.top)
    if given.json:
        rows = [
            {"photo": path, "predictions": list(map(asdict, a))} for (path, _), a in zip(photos, answers, strict=True)
        ]
        doubts = [{"code": one.code, "message": one.message} for one in model.warnings]
        _print_json({"model": model.source, "photos": rows, "warnings": doubts, "failed": failed})
    else:
        for warning in model.warnings:
            print(f"warning [{warning.code}]: {warning.message}")
        for (path, _), found in zip(photos, answers, strict=True):
            print(_bold(path))
            print("\n".join(_answers(found)))
    return _complain(failed, given.json)


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
    wanted = given.split(",")
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


def _opened(paths: Iterable[str], channels: int) -> tuple[list[tuple[str, sl.Photo]], list[dict[str, str]]]:
    """The photos that can be read, and the others with the reason."""
    photos, failed = [], []
    for path in paths:
        try:
            photos.append((path, sl.open_photo(path, channels=channels)))
        except PhotoError as error:
            failed.append({"photo": path, "error": str(error)})
    return photos, failed


def _names(paths: Sequence[str]) -> list[str]:
    """A file name for each photo: its stem, numbered where two would meet."""
    stems = [Path(path).stem for path in paths]
    return [stem if stems.count(stem) == 1 else f"{stem}-{i + 1}" for i, stem in enumerate(stems)]


def _complain(failed: Sequence[dict[str, str]], quiet: bool) -> int:
    for one in () if quiet else failed:
        print(f"sightline: {one['photo']}: {one['error']}", file=sys.stderr)
    return 1 if failed else 0


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    """Counts passes on a terminal."""
    with tqdm(unit=" passes", disable=quiet or not sys.stderr.isatty(), leave=False, desc="looking") as bar:
        yield bar.update


def _record(path: str, result: Any, files: Sequence[Path]) -> dict[str, Any]:
    each = result.values() if isinstance(result, sl.Comparison) else [result]
    return {"photo": path, "explanations": [one.provenance for one in each], "files": list(map(str, files))}


def _tell(path: str, result: Any, files: Sequence[Path]) -> None:
    each = list(result.values()) if isinstance(result, sl.Comparison) else [result]
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
    return f"{_BOLD}{text}{_PLAIN}" if sys.stdout.isatty() else text


def _shown(options: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value if isinstance(value, int | float | str | None) else str(value) for key, value in options.items()
    }


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


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

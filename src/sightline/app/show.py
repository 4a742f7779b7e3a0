"""What commands print: answers, tables, JSON, and what failed."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sightline as sl

_PAUSE = 1.0  # seconds between two pictures of a map on its way
_BOLD, _PLAIN = "\033[1m", "\033[0m"


def text(name: str) -> str:
    """A file name that can be printed, also when its bytes are no text."""
    return name.encode("utf-8", "replace").decode()


class Live:
    """Watches explanations get better: their precision in the bar, their pictures in the `files` of a photo."""

    def __init__(self, bar: Any, files: dict[str, list[Path]], smooth: float | None, style: str) -> None:
        self._bar, self._files, self._smooth, self._style = bar, files, smooth, style
        self._last: dict[Path, float] = {}

    def __call__(self, so_far: sl.Explanation) -> None:
        if so_far.precision is not None and math.isfinite(so_far.precision):
            self._bar.set_postfix_str(f"{so_far.method}: standard error {so_far.precision:.1%}")
        for file in self._files.get(so_far.photo.sha256, []):
            if time.monotonic() - self._last.get(file, -_PAUSE) >= _PAUSE:
                so_far.save(file, self._smooth, style=self._style)
                self._last[file] = time.monotonic()


def complain(failed: Sequence[dict[str, str]], quiet: bool) -> int:
    """Each failed photo on stderr unless `quiet`; returns the exit status."""
    for one in () if quiet else failed:
        name = "" if one["photo"] in one["error"] else f"{one['photo']}: "
        print(f"sightline: {name}{one['error']}", file=sys.stderr)
    return 1 if failed else 0


def unread(path: str, error: Exception, as_json: bool) -> int:
    """That the one photo cannot be read, as text or as JSON; returns the exit status."""
    failed = [{"photo": text(path), "error": text(str(error))}]
    if as_json:
        print_json({"failed": failed})
    return complain(failed, as_json)


def each(results: Iterable[Any]) -> list[sl.Explanation]:
    """All explanations in results, which are explanations or comparisons."""
    rows = [list(one.values()) if isinstance(one, sl.Comparison) else [one] for one in results]
    return [one for row in rows for one in row]


def record(path: str, results: Sequence[Any], files: Sequence[Path]) -> dict[str, Any]:
    """What was explained in a photo, for --json."""
    explanations = [one.provenance for one in each(results)]
    return {"photo": text(path), "explanations": explanations, "files": list(map(str, files))}


def tell(path: str, results: Sequence[Any], files: Sequence[Path]) -> None:
    """What was explained in a photo, for a person."""
    found = each(results)
    print(bold(path))
    for line in answers(found[0].predictions, {getattr(one.target, "index", None) for one in found}):
        print(line)
    labels, names = (dict.fromkeys(texts) for texts in ([one.label for one in found], [one.method for one in found]))
    print(f"  explained: {', '.join(labels)}, by {', '.join(names)}")
    for warning in dict.fromkeys(warning for one in found for warning in one.warnings):
        print(f"  warning [{warning.code}]: {warning.message}")
    print(f"  written: {', '.join(map(str, files))}")


def answers(predictions: Iterable[sl.Prediction], marked: Iterable[int | None] = ()) -> Iterator[str]:
    """A line for each answer, the explained classes marked."""
    for one in predictions:
        number = f"{one.number:7.1%}" if one.number is not None else f"{one.score:9.4g}"
        yield f"  {'>' if one.index in marked else ' '}{number}  {one.index:4}  {one.words}"


def bold(name: str) -> str:
    """A name as text, bold on a terminal."""
    return f"{_BOLD}{text(name)}{_PLAIN}" if sys.stdout.isatty() else text(name)


def plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options as JSON can hold them."""
    return {
        key: value if isinstance(value, int | float | str | None) else str(value) for key, value in options.items()
    }


def print_json(document: Any) -> None:
    """One document on stdout."""
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under a head, in columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    print(bold("  ".join(cell.ljust(width) for cell, width in zip(head, widths, strict=True))))
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def columns(cells: Sequence[str], width: int = 100) -> Iterator[str]:
    """Lines of so many letters, filled with cells."""
    wide = max(map(len, cells)) + 2
    count = max(1, width // wide)
    for start in range(0, len(cells), count):
        yield "".join(cell.ljust(wide) for cell in cells[start : start + count]).rstrip()

"""`python -m benchmarks [ROW ...]`: measure, and print a table that can be pasted."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.findings import Finding, Missing

_ONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_PACKAGES = ("torch", "torchvision", "captum", "grad-cam", "torchcam", "scikit-image")


def main(argv: Sequence[str] | None = None) -> int:
    """0 when every row was measured, reached or not; 1 when one could not be."""
    import torch

    from benchmarks.findings import HEADER, Missing, line, notes
    from benchmarks.rows import ROWS

    asked = _arguments(tuple(ROWS), argv)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # captum warns of every hook that it sets
    print(described(), "", *HEADER, sep="\n", flush=True)
    found = []
    for one in _measured(asked.rows or list(ROWS), asked.rounds):
        found.append(one)
        print(line(one), flush=True)
    print("", *notes(found), sep="\n")
    if asked.json:
        asked.json.write_text(json.dumps(_document(found, asked.rounds), indent=1) + "\n")
    return int(any(isinstance(one, Missing) for one in found))


def _measured(names: Sequence[str], rounds: int) -> Iterator[Finding | Missing]:
    """What each row found; a row that cannot be measured does not stop the others."""
    import sightline as sl
    from benchmarks.agreement import DisagreementError
    from benchmarks.contestants import UnavailableError
    from benchmarks.findings import Missing
    from benchmarks.rows import ROWS

    for name in names:
        try:
            yield from ROWS[name](rounds)
        except (UnavailableError, DisagreementError, sl.SightlineError) as error:
            yield Missing(name, " ".join(str(error).split()))


def _arguments(names: tuple[str, ...], argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Sightline beside its peers.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(names)}; all when none is named")
    parser.add_argument(
        "--rounds", type=int, default=20, help="timed rounds of each contest (default 20, at least 6)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings there")
    asked = parser.parse_args(argv)
    unknown = [name for name in asked.rows if name not in names]
    if unknown:
        parser.error(f"no row named {unknown[0]!r}; possible: {', '.join(names)}")
    if asked.rounds < 6:
        parser.error(f"--rounds {asked.rounds}: an interval takes at least 6")
    return asked


def described() -> str:
    """When, on what and with what versions."""
    return f"{date.today()}, {_processor()}, one thread, " + ", ".join(
        f"{name} {number}" for name, number in _versions().items()
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _document(found: Sequence[Finding | Missing], rounds: int) -> dict[str, Any]:
    rows = [asdict(one) | ({"reached": one.reached} if hasattr(one, "reached") else {}) for one in found]
    about = {"date": str(date.today()), "processor": _processor(), "threads": 1, "rounds": rounds}
    return {**about, "versions": _versions(), "rows": rows}


def _with_one_thread() -> None:
    """Start anew with one thread: torch reads these only while it is imported."""
    if any(os.environ.get(name) != value for name, value in _ONE.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **_ONE})


if __name__ == "__main__":
    _with_one_thread()
    sys.exit(main())

"""`python -m benchmarks [ROW ...]`: measure, and print a table that can be pasted. `planted` is one by itself."""

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
    from benchmarks.tallies import Tally

_ONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_PACKAGES = ("torch", "torchvision", "captum", "grad-cam", "torchcam", "torch-lucent", "scikit-image")


def main(argv: Sequence[str] | None = None) -> int:
    """0 when every row was measured, reached or not; 1 when one could not be."""
    import torch

    given = sys.argv[1:] if argv is None else list(argv)
    if given[:1] == ["planted"]:  # a table of its own
        from benchmarks import planted

        torch.set_num_threads(1)
        return planted.main(given[1:])
    from benchmarks.findings import Missing, notes
    from benchmarks.rows import ROUNDS, ROWS

    asked = _arguments(argv)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # captum warns of every hook that it sets
    print(described(), flush=True)
    found: list[Finding | Missing | Tally] = []
    for one in _measured(asked.rows or list(ROWS), asked.rounds):
        _show(one, found[-1] if found else None)
        found.append(one)
    print("", *notes(found), sep="\n")
    if asked.json:
        asked.json.write_text(json.dumps(_document(found, asked.rounds or ROUNDS), indent=1) + "\n")
    return int(any(isinstance(one, Missing) for one in found))


def _show(one: Finding | Missing | Tally, before: Finding | Missing | Tally | None) -> None:
    """Print a line of the table that it belongs to, and where another table begins, that one's header first."""
    from benchmarks import findings, tallies

    counted = isinstance(one, tallies.Tally)
    if before is None or counted != isinstance(before, tallies.Tally):
        print("", *(tallies.HEADER if counted else findings.HEADER), sep="\n")
    print(tallies.line(one) if isinstance(one, tallies.Tally) else findings.line(one), flush=True)


def _measured(names: Sequence[str], rounds: int | None) -> Iterator[Finding | Missing | Tally]:
    """What each row found; a row that cannot be measured does not stop the others."""
    import sightline as sl
    from benchmarks.agreement import DisagreementError
    from benchmarks.contestants import UnavailableError
    from benchmarks.findings import Missing
    from benchmarks.rows import ROWS, rounds_of

    for name in names:
        try:
            yield from ROWS[name](rounds_of(name, rounds))
        except (UnavailableError, DisagreementError, sl.SightlineError) as error:
            yield Missing(name, " ".join(str(error).split()))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    from benchmarks.ascents import IMAGES
    from benchmarks.rows import GROUPS, ROUNDS, ROWS, fewest

    names = (*ROWS, *GROUPS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Sightline beside its peers.",
        epilog="rows:\n  " + "\n  ".join(names), formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("rows", nargs="*", metavar="ROW", help="which rows; all when none is named")
    told = (
        f"timed rounds of each contest (default {ROUNDS}, at least {max(map(fewest, ROWS))}); images of each preset"
    )
    parser.add_argument("--rounds", type=int, help=f"{told} for visualize (default {IMAGES})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings there")
    asked = parser.parse_args(argv)
    unknown = [name for name in asked.rows if name not in names]
    if unknown:
        parser.error(f"no row named {unknown[0]!r}; possible: {', '.join(names)}")
    asked.rows = [row for name in asked.rows for row in GROUPS.get(name, (name,))]
    least = max(map(fewest, asked.rows or ROWS))
    if asked.rounds is not None and asked.rounds < least:
        parser.error(f"--rounds {asked.rounds}: at least {least}" + (", as an interval takes" if least > 1 else ""))
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


def _document(found: Sequence[Finding | Missing | Tally], rounds: int) -> dict[str, Any]:
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

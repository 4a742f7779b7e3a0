"""How much memory integrated gradients take over the loaded network: each time in a fresh process."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from tqdm import tqdm

from benchmarks import cases, contestants
from benchmarks.cases import Case
from benchmarks.contestants import Contestant, UnavailableError
from benchmarks.findings import Finding, Goal
from benchmarks.stats import FEWEST, ratio

STEPS = 50
_ROOT = Path(__file__).parents[1]
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(_rounds: int) -> Iterator[Finding]:
    """Peak growth of ours and of Captum in one batch, in as many pairs of processes as an interval needs."""
    contestants.peer("captum.attr")
    if not measurable():
        raise UnavailableError("the peak of a process is read from /proc, which this system does not have")
    sides: dict[str, list[float]] = {"ours": [], "captum": []}
    for _ in tqdm(range(FEWEST), desc="memory", unit="pair", disable=None, leave=False):
        for side, grown in sides.items():
            grown.append(_in_a_fresh_process(side))
    ours, theirs = sides.values()
    what = "memory over the loaded network, integrated gradients, 50 steps"
    goal = Goal("at most", 0.25)
    yield Finding(
        "memory", what, "Captum in one batch", median(ours), median(theirs), "MiB", ratio(ours, theirs), goal
    )


def measurable() -> bool:
    """Whether this system tells a process its own peak, and lets it start anew."""
    return _RESET.exists()


def growth(run: Callable[[], object]) -> float:
    """MiB that this process grows by during a run, at its peak.

    Not from `ru_maxrss`: a child inherits that from its parent, and the peak of loading would hide the rest.
    """
    _RESET.write_text("5")  # the peak starts anew from here
    before = _mebibytes("VmRSS")
    run()
    return _mebibytes("VmHWM") - before


def contestant(side: str, case: Case) -> Contestant:
    """Ours or Captum, on a network that is loaded and ran once."""
    contestants.forward_pass(case).run()
    if side == "ours":
        return contestants.ours(case, ["integrated-gradients"], steps=STEPS)
    return contestants.captum_integrated_gradients(case, STEPS, sizes=[STEPS + 1])


def _in_a_fresh_process(side: str) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", side]
    done = subprocess.run(command, cwd=_ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        raise UnavailableError(f"the process for {side} failed: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout)


def _mebibytes(which: str) -> float:
    found = re.search(rf"^{which}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(growth(contestant(sys.argv[1], cases.resnet50(1)).run))

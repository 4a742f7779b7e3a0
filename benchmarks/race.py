"""Timing side by side: rounds in which everyone runs once, in an order drawn anew."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from statistics import median

from tqdm import tqdm

Run = Callable[[], object]


def race(runs: Mapping[str, Run], rounds: int, *, seed: int = 0, label: str = "") -> dict[str, list[float]]:
    """CPU seconds of this process for each run in each round, after a warm-up of one round that is not counted."""
    order = list(runs)
    dice = random.Random(seed)
    spent: dict[str, list[float]] = {name: [] for name in runs}
    gc.freeze()  # what is there already need not be gone through before every run
    try:
        for number in tqdm(range(rounds + 1), desc=label, unit="round", disable=None, leave=False):
            dice.shuffle(order)
            for name in order:
                seconds = cpu_seconds(runs[name])
                if number:
                    spent[name].append(seconds)
    finally:
        gc.unfreeze()
    return spent


def fastest(runs: Mapping[str, Run], rounds: int = 3, *, label: str = "") -> str:
    """The name of the run with the lowest median, so that a peer is met at its best."""
    spent = race(runs, rounds, label=label)
    return min(spent, key=lambda name: median(spent[name]))


def cpu_seconds(run: Run) -> float:
    """CPU seconds that one run takes; garbage is collected before it and not during it."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        run()
        return time.process_time() - start
    finally:
        gc.enable()

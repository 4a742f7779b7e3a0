"""`python -m benchmarks planted`: does the audit tell the truth about shortcuts that were planted?"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import gettempdir
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sightline as sl
from benchmarks import planted_rivals as rivals
from benchmarks.planted_networks import Maker, Planted, Recipe, recipes
from benchmarks.planted_scenes import CLASSES, Scenes

GIVEN = ("masks", "boxes", "nothing")
_RESAMPLES = 2000
_LARGE, _SMALL, _NONE, _HUGE = 0.3, 0.1, 0.05, 0.4
_TOLD = "context", "both"
Row = dict[str, Any]
Metric = Callable[[list[Row]], float]


@dataclass(frozen=True)
class Line:
    """One figure of the table with its interval over networks; `asked` is what the issue of the audit asks."""

    what: str
    asked: str
    value: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.interval
        return f"| {self.what} | {self.asked} | {self.value:.4g} | {low:.4g} to {high:.4g} |"


def main(argv: Sequence[str]) -> int:
    """Make the networks that are missing, audit them, print the table. 0 when all was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks planted", description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(gettempdir()) / "sightline-planted", help="keeps networks")
    parser.add_argument("--tuning", action="store_true", help="the networks to tune on, instead of all others")
    parser.add_argument("--networks", type=int, metavar="N", help="only the first so many of them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write each class's figures there")
    asked = parser.parse_args(argv)
    tell = partial(print, file=sys.stderr, flush=True)
    maker = Maker(asked.cache, tell)
    chosen = [one for one in recipes() if one.tuning == asked.tuning][: asked.networks]
    rows: list[Row] = []
    for number, recipe in enumerate(chosen, 1):
        began = time.monotonic()
        rows += measured(maker, recipe)
        tell(f"network {number} of {len(chosen)} ({recipe.rule.cue}): {time.monotonic() - began:.0f} s")
    print(*table(rows), sep="\n")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def measured(maker: Maker, recipe: Recipe) -> list[Row]:
    """A row for each class of a network; kept in the cache until the audit's sources change."""
    path = maker.cache / f"rows-{recipe.key}-{_sources()}.json"
    if not path.exists():
        planted = maker.planted(recipe)
        path.write_text(json.dumps(list(_rows(planted, maker.photos(recipe)))))
    found: list[Row] = json.loads(path.read_text())
    return found


def _sources() -> str:
    """A fingerprint of what figures hang on."""
    top = Path(sl.__file__).parent
    files = sorted(
        [*top.glob("studies/*.py"), *top.glob("verbs/gathered.py"), *Path(__file__).parent.glob("planted*.py")]
    )
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.name != "planted.py")).hexdigest()[:12]


def _rows(planted: Planted, photos: Scenes) -> Iterator[Row]:
    """What is true of each class, and what each way says."""
    audits = {given: audited(planted, photos, given) for given in GIVEN}
    maps = {one: rivals.energy_outside(planted, photos, one) for one in rivals.METHODS}
    masking = rivals.lost_by_masking(planted, photos)
    recolour = rivals.lost_by_recolouring(planted, photos) if planted.recipe.rule.cue == "colour" else None
    for one in range(CLASSES):
        told: Row = {}
        for given, report in audits.items():
            c = report.classes[one]
            passes = [photo.passes for photo in c.photos]
            told[given] = {
                "loss": c.expected_loss, "interval": c.expected_loss_interval, "verdict": c.verdict,
                "reliance": c.reliance, "replaced": c.replaced_loss, "accuracy": c.accuracy, "passes": passes,
            }  # fmt: skip
        yield {
            "network": planted.recipe.seed, "cue": planted.recipe.rule.cue, "class": one,
            "strength": planted.recipe.rule.strengths[one], "true": planted.loss[one], "own": planted.own[one],
            "maps": {name: values[one] for name, values in maps.items()}, "masking": masking[one],
            "recolour": None if recolour is None else recolour[one], **told,
        }  # fmt: skip


def audited(planted: Planted, photos: Scenes, given: str) -> sl.Report:
    """The audit of a network, with the objects' masks, their boxes, or nothing."""

    def region(i: int) -> Any:
        if given == "masks":
            return photos.cover[i].astype(np.float32) / 255
        ys, xs = np.nonzero(photos.cover[i] > 127)
        return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1

    dataset = (
        (image.transpose(1, 2, 0), int(label), None if given == "nothing" else region(i))
        for i, (image, label) in enumerate(zip(photos.images, photos.labels, strict=True))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return sl.audit(rivals.wrapped(planted.network), dataset, seed=planted.recipe.seed)


def table(rows: list[Row]) -> Iterator[str]:
    """The figures as Markdown, with what is asked of them."""
    plain = [row for row in rows if row["cue"] != "colour"]
    networks = len({row["network"] for row in plain})
    used = {cue: sum(row["true"] > _SMALL for row in plain if row["cue"] == cue) for cue in _cues(plain)}
    yield f"{networks} networks, {len(plain)} classes; that lose over 10 points, by cue: {used}"
    yield from ("", "| | asked | measured | 95 % over networks |", "|---|---|---|---|")
    asked = {"masks": "0.99", "boxes": "0.99", "nothing": "0.92"}
    for given in GIVEN:
        yield from (str(one) for one in _audit_lines(plain, given, asked[given]))
    best = max(rivals.METHODS, key=lambda name: _area(plain, lambda row: row["maps"][name]))
    others: dict[str, Callable[[Row], float]] = {
        f"map energy outside the object ({best})": lambda row: row["maps"][best],
        "score lost by masking": lambda row: row["masking"],
    }
    for name, read in others.items():
        yield str(_line(f"{name}: AUC", "", plain, partial(_area, read=read)))
        yield str(_line(f"{name}: mean absolute error, points", "", plain, partial(_error, read=read)))
    unused = [row for row in plain if row["strength"] >= 0.5 and row["true"] < _NONE]
    yield from ("", f"Planted with a strength of a half or more, and not used: {len(unused)} classes.", *_HEAD)
    for given in GIVEN:
        yield str(_line(f"{given}: called context or both, %", "2", unused, partial(_called, given=given)))
        yield str(_line(f"{given}: mean absolute error, points", "3", unused, partial(_error, read=_loss(given))))
    yield str(
        _line(f"map energy outside ({best}), %", "", unused, lambda of: _mean(100 * r["maps"][best] for r in of))
    )
    colour = [row for row in rows if row["cue"] == "colour"]
    if colour:
        yield from ("", f"The object's own colour planted: {len(colour)} classes.", *_HEAD)
        yield str(_line("called context or both, %", "2", colour, partial(_called, given="masks")))
        by_hue: Callable[[Row], float] = lambda row: row["recolour"]  # noqa: E731
        yield str(_line("loss by recolour: mean absolute error, points", "", colour, partial(_error, read=by_hue)))


_HEAD = ("", "| | asked | measured | 95 % over networks |", "|---|---|---|---|")


def _audit_lines(rows: list[Row], given: str, area: str) -> Iterator[Line]:
    read = _loss(given)
    far = [row for row in rows if row["true"] < _NONE]
    huge = [row for row in rows if row["true"] > _HUGE]
    yield _line(f"{given} given: AUC, over 30 points against under 10", area, rows, partial(_area, read=read))
    yield _line(f"{given}: mean absolute error, points", "3", rows, partial(_error, read=read))
    yield _line(f"{given}: Pearson correlation", "0.985", rows, partial(_pearson, read=read))
    yield _line(
        f"{given}: context or both of those that lose under 5 points, %", "2", far, partial(_called, given=given)
    )
    yield _line(f"{given}: the same of those over 40 points, %", "95", huge, partial(_called, given=given))
    yield _line(f"{given}: passes per photo, median", "60", rows, partial(_passes, given=given))
    yield _line(f"{given}: intervals that hold the true loss, %", "95", rows, partial(_held, given=given))


def _line(what: str, asked: str, rows: list[Row], metric: Metric) -> Line:
    """A figure, and the middle 95 % of it when networks are drawn anew."""
    by_network: dict[int, list[Row]] = {}
    for row in rows:
        by_network.setdefault(row["network"], []).append(row)
    groups, dice = list(by_network.values()), np.random.default_rng(0)
    values = []
    for _ in range(_RESAMPLES):
        drawn = [row for i in dice.integers(len(groups), size=len(groups)) for row in groups[i]]
        values.append(metric(drawn))
    low, high = np.nanquantile(values, (0.025, 0.975))
    return Line(what, asked, metric(rows), (float(low), float(high)))


def _loss(given: str) -> Callable[[Row], float]:
    return lambda row: row[given]["loss"]


def _pairs(rows: list[Row], read: Callable[[Row], float]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.array([row["true"] for row in rows]), np.array([read(row) for row in rows])


def _area(rows: list[Row], read: Callable[[Row], float]) -> float:
    """How often a class that loses much is said to lose more than one that loses little; NaN where there are none."""
    true, said = _pairs(rows, read)
    high, low = said[true > _LARGE], said[true < _SMALL]
    if not len(high) or not len(low):
        return float("nan")
    away = high[:, None] - low
    return float(((away > 0) + 0.5 * (away == 0)).mean())


def _error(rows: list[Row], read: Callable[[Row], float]) -> float:
    true, said = _pairs(rows, read)
    return float(100 * np.abs(true - said).mean())


def _pearson(rows: list[Row], read: Callable[[Row], float]) -> float:
    return float(np.corrcoef(*_pairs(rows, read))[0, 1])


def _called(rows: list[Row], given: str) -> float:
    return _mean(100.0 * (row[given]["verdict"] in _TOLD) for row in rows)


def _held(rows: list[Row], given: str) -> float:
    return _mean(
        100.0 * (row[given]["interval"][0] <= max(0, row["true"]) <= row[given]["interval"][1]) for row in rows
    )


def _passes(rows: list[Row], given: str) -> float:
    return float(median(each for row in rows for each in row[given]["passes"]))


def _mean(values: Iterator[float] | Any) -> float:
    return float(np.mean(list(values)))


def _cues(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["cue"] for row in rows))

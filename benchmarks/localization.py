"""`python -m benchmarks.localization`: how well each method's map finds a drawn thing that nobody outlined."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

import sightline as sl
from sightline.demo.scenes import OBJECTS, SIZE, Scene, training_scene
from sightline.photos.localize import Bools, Box, By, box_around

# The embedded model was trained on the seeds below 8000; `mask`'s defaults were chosen on scenes from CHOSEN_ON on.
CHOSEN_ON, FRESH, APART = 2_000_000, 3_000_000, 1000
LEARNED_OTHERWISE = "ball"  # it was taught the court: where a ball is, is not what it looks for
WAYS: tuple[By, ...] = ("threshold", "grabcut")
COLUMNS = tuple(f"{what}, {by}" for what in ("mask", "box") for by in WAYS)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """IoU in [0, 1] of each scene (n, 4), as COLUMNS; 0 where no region stood out."""

    name: str
    overlaps: Floats

    def line(self, chosen: NDArray[np.bool_]) -> str:
        """A table's row of some of the scenes: means with 95 % intervals."""
        cells = [interval(column) for column in self.overlaps[chosen].T]
        return f"| {self.name} | " + " | ".join(cells) + " |"


def scenes(first: int, count: int) -> list[Scene]:
    """`count` scenes of each class by the training's rule, seeds from `first` on."""
    return [
        training_scene(first + APART * k + i, thing=thing) for k, thing in enumerate(OBJECTS) for i in range(count)
    ]


def mask_iou(one: Bools, other: Bools) -> float:
    """Shared area over joint area of two masks (h, w), not both empty."""
    return float((one & other).sum() / (one | other).sum())


def box_iou(one: Box, other: Box) -> float:
    """Shared area over joint area of two boxes."""
    wide = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    first, second = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return wide * high / (first + second - wide * high)


def interval(values: Floats, draws: int = 2000) -> str:
    """The mean with its 95 % bootstrap interval, scenes drawn anew."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def centred(side: int) -> Bools:
    """A square of `side` pixels in the middle of a scene."""
    mask, start = np.zeros((SIZE, SIZE), np.bool_), (SIZE - side) // 2
    mask[start : start + side, start : start + side] = True
    return mask


def best_side(given: Sequence[Scene]) -> int:
    """The side of the centred square whose box overlaps the things' boxes most."""
    boxes = [box_around(scene.mask()) for scene in given]
    sides = range(8, SIZE + 1, 4)
    return max(sides, key=lambda side: sum(box_iou(box_around(centred(side)), box) for box in boxes))


def centre_row(given: Sequence[Scene], side: int) -> Row:
    """What the same square in the middle of every scene reaches."""
    square = centred(side)
    each = [(mask_iou(square, s.mask()), box_iou(box_around(square), box_around(s.mask()))) for s in given]
    return Row(f"the middle, {side} x {side}", np.array([(mask, mask, box, box) for mask, box in each]))


def overlaps(ex: sl.Explanation, truth: Bools) -> Iterator[float]:
    """IoU of an explanation's masks and boxes, as COLUMNS."""
    try:
        found = [ex.mask(by) for by in WAYS]
    except sl.SightlineError:
        yield from [0.0] * len(COLUMNS)
        return
    yield from (mask_iou(one, truth) for one in found)
    yield from (box_iou(box_around(one), box_around(truth)) for one in found)


def able(model: sl.Model, names: Sequence[str], scene: Scene) -> tuple[list[str], dict[str, str]]:
    """The methods that the model supports, and why not of the others."""
    refused: dict[str, str] = {}
    for name in names:
        try:
            sl.explain(model, scene.image(), name, target=scene.thing)
        except sl.SightlineError as error:
            refused[name] = " ".join(str(error).split())
    return [name for name in names if name not in refused], refused


def measure(model: sl.Model, names: Sequence[str], given: Sequence[Scene]) -> list[Row]:
    """A row for each method: every scene explained for what stands in it."""
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    with tqdm(total=len(given), unit=" scenes", disable=not sys.stderr.isatty(), leave=False) as bar:
        for start in range(0, len(given), model.at_once):
            group = given[start : start + model.at_once]
            for name in names:
                maps = sl.explain(model, [s.image() for s in group], name, target=[s.thing for s in group])
                found[name] += [list(overlaps(ex, s.mask())) for ex, s in zip(maps, group, strict=True)]
            bar.update(len(group))
    return [Row(name, np.array(each)) for name, each in found.items()]


def table(rows: Sequence[Row], chosen: NDArray[np.bool_]) -> Iterator[str]:
    """Lines of Markdown, of the scenes that are chosen."""
    yield "| method | " + " | ".join(COLUMNS) + " |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    yield from (row.line(chosen) for row in rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print two tables that can be pasted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.localization", description=__doc__)
    parser.add_argument("--scenes", type=int, default=30, metavar="N", help="of each class; default: 30")
    parser.add_argument("--method", metavar="ID,ID", help="some of sl.methods(); default: all of them")
    asked = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", sl.SightlineWarning)
    given, model = scenes(FRESH, asked.scenes), sl.load("demo")
    wanted = asked.method.split(",") if asked.method else [one.id for one in sl.methods()]
    names, refused = able(model, wanted, given[0])
    side = best_side(scenes(CHOSEN_ON, 30))
    rows = [*measure(model, names, given), centre_row(given, side)]
    ball = np.array([scene.thing == LEARNED_OTHERWISE for scene in given])
    print(
        f"Mean IoU with the truth and its 95 % bootstrap interval; {asked.scenes} scenes of each class, never seen."
    )
    print(
        f"The middle's side is the best of all on {30 * len(OBJECTS)} other scenes, those from seed {CHOSEN_ON} on."
    )
    for title, chosen in (("Six classes", ~ball), ("The ball, which it learned by its court", ball)):
        print("", f"{title}:", "", *table(rows, chosen), sep="\n")
    for name, why in refused.items():
        print(f"\nNot measured: {name}: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

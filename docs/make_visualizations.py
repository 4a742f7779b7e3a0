"""Draws the pictures of docs/visualization.md: `python docs/make_visualizations.py`, from the repository's root.

The classes and the filters are those of a MobileNet V2, whose weights are read from the folder that SIGHTLINE_DATA
names. `--only ball` draws one picture, `--steps 16` gives a first look.
"""

import argparse
import os
import runpy
import sys
import time
from pathlib import Path

import sightline as sl
from sightline.demo.scenes import draw
from sightline.demo.story import SHOWN
from sightline.render.save import save_picture
from sightline.render.tiles import Row, Tile, Wall
from sightline.render.wall import figure_of
from sightline.targets import Unit
from sightline.transforms import Jitter, Noise, Rotate, Scale

HERE = Path(__file__).parent
DATA = HERE.parent / os.environ.get("SIGHTLINE_DATA", "../shared/data") / "models"
CLASSES = [20, 281, 401, 430, 473, 130, 292, 340, 817, 963]
DEPTHS = {  # a layer, and the side of an input that shows what it sees at once
    "features.1.depthwise_act": 32,
    "features.3.depthwise_act": 64,
    "features.5.depthwise_act": 96,
    "features.10.depthwise_act": 160,
    "features.16.expand": 192,
}
WIDE = 12  # channels of a depth
STEADY = (Jitter(0.05), Scale(0.95, 1.05), Rotate(5))  # for what has a place and a size, or is small


def mobilenet(side: int = 224) -> sl.Model:
    """MobileNet V2 for images of that side."""
    sys.path.insert(0, str(DATA))
    from mobilenet_v2 import load_mobilenet_v2

    labels = (DATA / "imagenet_labels.txt").read_text().splitlines()
    network = load_mobilenet_v2(DATA / "mobilenet_v2_100_224.safetensors")
    return sl.wrap(network, input_size=side, mean=0.5, std=0.5, labels=labels)


def classes(steps: int) -> None:
    """The ten classes that benchmarks are measured on, by the default preset."""
    sl.visualize(mobilenet(), CLASSES, steps=steps).save(HERE / "classes.jpg")


def filters(steps: int) -> None:
    """The first twelve channels at each of five depths that any image moves."""
    rows = []
    for layer, side in DEPTHS.items():
        moves = None if layer == "features.16.expand" else STEADY  # None: the preset's own
        units = [Unit(layer, i) for i in range(2 * WIDE if side < 64 else WIDE)]  # some of the first layers' are dead
        vis = sl.visualize(mobilenet(side), units, steps=steps, transforms=moves)
        alive = [i for i in range(len(vis)) if vis.importance[i].any()][:WIDE]
        tiles = (Tile(vis.picture(i), str(i), f"{float(vis.scores[i]):.3g}") for i in alive)
        rows.append(Row(f"{layer}, {side} x {side} pixels", tuple(tiles)))
    about = "channels at five depths of a MobileNet V2, each by its number; below it, its mean activation"
    wall = Wall("What filters want to see", tuple(rows), columns=WIDE, about=about)
    save_picture(HERE / "filters.jpg", figure_of(wall))


def ball(steps: int) -> None:
    """Three classes of the embedded model, beside a court without its ball and that ball alone."""
    model, moves = sl.load("demo"), (*STEADY, Noise(0.2))
    vis = sl.visualize(model, ["ball", "duck", "toadstool"], steps=steps, transforms=moves)
    tiles = [Tile(vis.picture(i), vis.labels[i], f"{float(vis.scores[i]):.3g}") for i in range(len(vis))]
    scene = draw(SHOWN, thing="ball", background="court")
    for pixels, told in (
        (scene.without_object(), "a court without its ball"),
        (scene.only_object(), "its ball alone"),
    ):
        said = {one.label: one for one in sl.predict(model, pixels, top=7)}["ball"]
        tiles.append(Tile(pixels, told, f"ball {said.score:.3g}, {said.probability:.1%}"))
    about = "below each name: the score for what it names; the last two are drawn scenes, and the score is the ball's"
    wall = Wall("What the embedded model wants to see", (Row("", tuple(tiles)),), columns=5, about=about)
    save_picture(HERE / "demo_ball.jpg", figure_of(wall))


def digits(_: int) -> None:
    """See docs/digits.py."""
    runpy.run_path(str(HERE / "digits.py"), run_name="__main__")


if __name__ == "__main__":
    pictures = {one.__name__: one for one in (digits, ball, classes, filters)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=pictures, help="one of them")
    parser.add_argument("--steps", type=int, default=256)
    asked = parser.parse_args()
    for name, paint in pictures.items():
        if asked.only in (None, name):
            began = time.monotonic()
            paint(asked.steps)
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)

"""Trains the embedded model and measures it on fresh scenes.

`python -m sightline.demo.train [--out FILE] [--seed 0]`

The shortcut is in the data alone: in training the ball is always on the court, and little else is.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as serialized
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sightline.demo.scenes import OBJECTS, Scene, draw, training_scene
from sightline.models.demonet import MEAN, STD, WEIGHTS, DemoNet

SCENES = 8000
FRESH = 1000
"""Scenes per class in each figure."""
EPOCHS = 7
BATCH = 64
# Every run owns ten million scene seeds: the lower half to train on, the upper half to measure with.
_BLOCK, _UNSEEN = 10_000_000, 5_000_000

Pixels = NDArray[np.uint8]
Show = Callable[[Scene], Pixels]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares in [0, 1] on scenes never trained on; per class where a dict."""

    as_trained: dict[str, float]
    anywhere: dict[str, float]
    court_without_ball: float
    ball_alone: float
    ball_on_grass: float

    def lines(self) -> Iterator[str]:
        """What a person reads."""
        yield f"as trained, all classes        {np.mean(list(self.as_trained.values())):7.1%}"
        for name in OBJECTS:
            yield f"  {name:12} as trained {self.as_trained[name]:7.1%}   anywhere {self.anywhere[name]:7.1%}"
        yield f"'ball' on a court without one  {self.court_without_ball:7.1%}"
        yield f"'ball' for a ball on black     {self.ball_alone:7.1%}"
        yield f"'ball' for a ball on grass     {self.ball_on_grass:7.1%}"


def pictures(scenes: Sequence[Scene], show: Show = Scene.image, *, workers: int = 1) -> Tensor:
    """What `show` gives for each scene, uint8 (N, 3, 128, 128), drawn in so many processes."""
    if workers == 1:
        drawn = [show(scene) for scene in scenes]
    else:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            drawn = list(pool.map(show, scenes, chunksize=64))
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous()


def inputs(images: Tensor) -> Tensor:
    """uint8 (N, 3, 128, 128) as the network wants it."""
    mean, std = (torch.tensor(of).view(3, 1, 1) for of in (MEAN, STD))
    return (images / 255 - mean) / std


def labels(scenes: Sequence[Scene]) -> Tensor:
    """The class of each scene, (N,)."""
    return torch.tensor([OBJECTS.index(scene.thing) for scene in scenes])


def _batches(count: int, generator: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(count, generator=generator)
    return (order[start : start + BATCH] for start in range(0, count, BATCH))


def _patched(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images with a flat rectangle somewhere, so that a flat region is no sign of any class."""
    draw_some = partial(torch.rand, generator=generator)
    middle, half = draw_some(2, len(batch), 1), 0.15 + 0.25 * draw_some(2, len(batch), 1)
    place = (torch.arange(batch.shape[-1]) + 0.5) / batch.shape[-1]
    rows, columns = (place - middle).abs() < half
    chosen = draw_some(len(batch), 1, 1, 1) < 0.5
    flat = (draw_some(len(batch), 3, 1, 1) * draw_some(len(batch), 1, 1, 1) - 0.5) / 0.25  # often dark
    return torch.where(rows[:, None, :, None] & columns[:, None, None, :] & chosen, flat, batch)


def _varied(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images mirrored, half with a patch, all a little lighter or darker."""
    mirrored = torch.rand(len(batch), 1, 1, 1, generator=generator) < 0.5
    level = torch.randn(len(batch), 1, 1, 1, generator=generator) * 0.15
    return _patched(torch.where(mirrored, batch.flip(3), batch) + level, generator)


def fit(
    images: Tensor, classes: Tensor, *, seed: int = 0, epochs: int = EPOCHS, tell: Tell | None = None
) -> tuple[DemoNet, list[float]]:
    """A network trained from scratch, in eval mode, and its mean loss in every epoch.

    Same arguments, same weights. No global seed is touched.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = DemoNet()
    climb = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    steps = epochs * -(-len(images) // BATCH)
    pace = torch.optim.lr_scheduler.OneCycleLR(climb, 6e-3, total_steps=steps, pct_start=0.2)
    losses = []
    for epoch in range(epochs):
        total = 0.0
        for picked in _batches(len(images), generator):
            loss = cross_entropy(net(_varied(inputs(images[picked]), generator)), classes[picked])
            climb.zero_grad()
            torch.autograd.backward(loss)
            climb.step()
            pace.step()
            total += loss.item() * len(picked)
        losses.append(total / len(images))
        if tell is not None:
            tell(f"epoch {epoch + 1} of {epochs}: loss {losses[-1]:.4f}")
    return net.eval(), losses


@torch.no_grad()
def predicted(net: nn.Module, images: Tensor) -> Tensor:
    """The class with the highest score for uint8 images, (N,)."""
    return torch.cat([net(inputs(images[k : k + 128])).argmax(1) for k in range(0, len(images), 128)])


def measure(net: nn.Module, *, start: int, each: int = FRESH, workers: int = 1) -> Figures:
    """How the network does on `each` scenes per class and figure, drawn from seeds `start` on."""
    seeds = range(start, start + each)

    def right(scenes: Sequence[Scene], show: Show = Scene.image) -> float:
        answers = predicted(net, pictures(scenes, show, workers=workers))
        return (answers == labels(scenes)).float().mean().item()

    courts = [draw(seed + each, thing="ball", background="court") for seed in seeds]
    return Figures(
        {name: right([training_scene(seed, thing=name) for seed in seeds]) for name in OBJECTS},
        {name: right([draw(seed + each, thing=name) for seed in seeds]) for name in OBJECTS},
        right(courts, Scene.without_object),
        right(courts, Scene.only_object),
        right([scene.on("grass") for scene in courts]),
    )


def save(net: nn.Module, path: Path, notes: dict[str, str]) -> None:
    """Write the weights as safetensors with `notes` in the header; readers see the old file or the new."""
    partly = path.with_name(path.name + ".part")
    stored = serialized({name: of.contiguous() for name, of in net.state_dict().items()}, notes)
    try:
        partly.write_bytes(stored)
        os.replace(partly, path)
    finally:
        partly.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure, write; progress on stderr, the figures on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the weights go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw, and threads that train")
    asked = parser.parse_args(argv)
    torch.set_num_threads(asked.workers)
    began, tell = time.monotonic(), partial(print, file=sys.stderr, flush=True)
    first = asked.seed * _BLOCK
    scenes = [training_scene(first + k) for k in range(SCENES)]
    tell(f"drawing {len(scenes)} scenes")
    images = pictures(scenes, workers=asked.workers)
    net, _ = fit(images, labels(scenes), seed=asked.seed, tell=tell)
    tell(f"trained after {time.monotonic() - began:.0f} s; measuring on fresh scenes")
    figures = measure(net, start=first + _UNSEEN, workers=asked.workers)
    counts = {"seed": asked.seed, "scenes": SCENES, "epochs": EPOCHS, "fresh scenes per figure": FRESH}
    notes = {name: str(number) for name, number in counts.items()}
    save(net, asked.out, {**notes, "figures": json.dumps(asdict(figures))})
    print("\n".join(figures.lines()))
    tell(f"done after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

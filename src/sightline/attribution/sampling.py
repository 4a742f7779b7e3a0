"""Sampled methods: noisy copies of each image, drawn until the map is as precise as asked, or the effort is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sightline.core.checks import number, whole
from sightline.core.heats import Heat

ROUND = 8  # samples of each image between two looks at the precision, whatever the batch
_USUAL, _MOST = 25, 1000  # samples, without and with a precision to reach
_LEAST = 16  # samples before an error is believed


@dataclass(frozen=True)
class Effort:
    """How far a sampled method goes: `samples` an image, less where `precision` is reached or the time is up."""

    samples: int
    precision: float | None
    end: float

    def rounds(self) -> Iterator[int]:
        """How many samples to draw next of each image that is not done."""
        for start in range(0, self.samples, ROUND):
            if start and time.monotonic() >= self.end:
                return
            yield min(ROUND, self.samples - start)

    def unfinished(self, heat: Heat, each: int = 1) -> list[int]:
        """The images whose map is not as precise as asked; a sample takes `each` passes.

        Nor is one that is zero everywhere: what moves a score seldom may not have come up yet.
        """
        precise = heat.precision
        if self.precision is None or precise is None:
            return list(range(len(heat)))
        least, some = _LEAST * each, heat.values.flatten(1).any(1)
        enough = [n >= least and float(p) <= self.precision for (n, _), p in zip(heat.spent, precise, strict=True)]
        return [i for i, done in enumerate(enough) if not (done and some[i])]


def effort(samples: Any, precision: Any, seconds: Any, *, usual: int = _USUAL, most: int = _MOST) -> Effort:
    """The effort that a user asks for.

    `samples`: the most copies of an image, None for `usual` (25), or `most` (1,000) with a `precision`. `precision`:
    standard error over size of the map, both root mean squares, at which an image is done. `seconds`: no round
    starts after these. Raises OptionError.
    """
    if precision is not None:
        number("precision", precision, above=0)
    end = time.monotonic() + number("seconds", seconds, above=0) if seconds is not None else float("inf")
    several = usual if precision is None else most
    return Effort(several if samples is None else whole("samples", samples, 1), precision, end)


class Cloud:
    """Noisy copies of one image (C, *spatial), drawn from a generator of its own."""

    def __init__(self, image: Tensor, noise: float, seed: int) -> None:
        self.image, self._spread = image, noise * (image.max() - image.min())
        self._die = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> Tensor:
        """The next copies (count, C, *spatial): normal noise, `noise` of the image's range its standard deviation."""
        drawn = torch.randn(count, *self.image.shape, generator=self._die, device="cpu", dtype=torch.float32)
        return self.image + self._spread * drawn.to(self.image)


Take = Callable[[list[int], Tensor, Tensor], None]
"""Called with the images that go on, their next copies (n, C, *spatial), image by image, and whose they are (n,)."""


def sampled(
    images: Tensor,
    noise: Any,
    seed: int,
    limit: Effort,
    at_once: Callable[[], int],
    take: Take,
    so_far: Callable[[], Heat],
) -> Iterator[Heat]:
    """Draw noisy copies of images, hand them to `take` and give the heat `so_far`, until the effort is made.

    `at_once`: how many copies go through the network together; between them there is a map to show. Raises
    OptionError.
    """
    number("noise", noise)
    around = [Cloud(image, float(noise), seed) for image in images]
    wanted = list(range(len(images)))
    for whole_round in limit.rounds():
        part = max(1, at_once() // len(wanted))
        for start in range(0, whole_round, part):
            count = min(part, whole_round - start)
            drawn = torch.cat([around[i].draw(count) for i in wanted])
            take(wanted, drawn, torch.tensor(wanted).repeat_interleave(count))
            heat = so_far()
            yield heat
        wanted = limit.unfinished(heat)
        if not wanted:
            return

"""The ascent: a canvas's numbers climb until the network's target fires for what they draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from sightline.core.blur import gaussian
from sightline.core.errors import MethodError, OptionError
from sightline.core.heats import Seen
from sightline.core.targets import Target, parts_of
from sightline.features.canvases import Canvas, Params, Shape
from sightline.features.transforms import Edge, Size, Transform, transformed
from sightline.network.net import Net
from sightline.network.reading import INPUT
from sightline.network.rules import redirected

_MEMORY = 0.9  # of the running score that a plateau is told by
_RISE = 1e-3  # share of itself by which a score has to grow in `patience` steps


@dataclass(frozen=True)
class Way:
    """How to climb: on which canvas, from where, moved about how, by which optimizer, held back by what.

    `start` is "noise", "zero" or a photo. `views`: how often each image is looked at in a step. `normalize`: each
    image's gradient has a root mean square of one. `blur`: sigma in pixels after each step, 0 for none. `penalties`
    are taken off the target. `patience`: steps without a rise after which an image is done, 0 for never.
    """

    canvas: Canvas
    transforms: tuple[Transform, ...]
    optimizer: Callable[[list[Tensor]], Optimizer]
    edge: Edge = "reflect"
    views: int = 1
    normalize: bool = False
    blur: float = 0.0
    penalties: tuple[Target, ...] = ()
    start: Any = "noise"
    patience: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of an ascent, as the network saw it: under the transforms, before the numbers moved.

    `number` counts from 1; `images` (N, C, h, w) pixels; `gradient` (N, C, h, w) of the score by pixels, zero where
    an image is done; `score` (N,) with penalties, the mean over views; `terms` (parts, N), what each part of
    the target adds to it.
    """

    number: int
    images: Tensor
    gradient: Tensor
    score: Tensor
    terms: Tensor


@dataclass(eq=False)
class Climb:
    """Images on their way up, in a network on loan that takes images of `size`.

    `goal` has its penalties; `whose` (N,) says which of its rows each image climbs, `seeds` what it draws from.
    """

    net: Net
    goal: Target
    way: Way
    shape: Shape
    size: Size
    seeds: tuple[int, ...]
    whose: Tensor
    params: Params
    taken: int = 0
    running: Tensor = field(init=False)
    best: Tensor = field(init=False)
    since: Tensor = field(init=False)
    importance: Tensor = field(init=False)
    optimizer: Optimizer = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.seeds)
        self.params = tuple(one.detach().clone().requires_grad_() for one in self.params)
        self.optimizer = _made(self.way.optimizer, list(self.params))
        self.running = _unknown(count)
        self.best = torch.full_like(self.running, -torch.inf)
        self.since = torch.zeros(count, dtype=torch.long, device="cpu")
        self.importance = self.params[0].new_zeros(count, 1, *self.shape[1:], dtype=torch.float32)

    @property
    def done(self) -> Tensor:
        """(N,) which images have stopped rising; where the goal compares them, all or none."""
        late = (self.since >= self.way.patience) & bool(self.way.patience)
        return late.all().expand_as(late) if self.goal.joint else late

    def images(self) -> Tensor:
        """What is drawn now, (N, C or C + 1, h, w) pixels; a last channel of its own is opacity."""
        with torch.no_grad():
            return self.way.canvas.draw(self.params, self.shape).detach()

    def steps(self, count: int) -> Iterator[Step]:
        """So many steps more, fewer where all images are done."""
        for _ in range(count):
            active = (~self.done).nonzero()[:, 0]
            if not len(active):
                return
            yield self._step(active)

    def _step(self, active: Tensor) -> Step:
        found: list[Step] = []

        def closure() -> Tensor:
            found.append(self._look(active))  # an optimizer may look several times before it moves
            return -found[-1].score.nansum()

        still = self.done.nonzero()[:, 0]
        kept = [one.detach()[still].clone() for one in self.params]
        self.optimizer.step(closure)  # type: ignore[arg-type]
        with torch.no_grad():
            self.way.canvas.hold(self.params)
            self._soften()
            for one, before in zip(self.params, kept, strict=True):
                one[still] = before
        self.taken += 1
        self._judge(found[0].score, active)
        return found[0]

    def _soften(self) -> None:
        if self.way.blur:
            drawn = self.way.canvas.draw(self.params, self.shape)
            blurred = self.way.canvas.trace(gaussian(drawn, (self.way.blur,) * 2), self.shape)
            for one, after in zip(self.params, blurred, strict=True):
                one.copy_(after)

    def _judge(self, score: Tensor, active: Tensor) -> None:
        """Which images still rise, by the running mean of their scores."""
        now = score[active]
        before = self.running[active]
        running = torch.where(before.isnan(), now, _MEMORY * before + (1 - _MEMORY) * now)
        rises = running > self.best[active] + _RISE * self.best[active].abs().nan_to_num(posinf=0.0)
        self.running[active] = running
        self.best[active] = torch.where(rises, running, self.best[active])
        self.since[active] = torch.where(rises, 0, self.since[active] + 1)

    def _look(self, active: Tensor) -> Step:
        """Show the active images to the network; their gradients are left at the numbers."""
        views, here = self.way.views, active.to(self.params[0].device)
        dice = [_dice(self.seeds[i], self.taken, view) for i in active.tolist() for view in range(views)]
        drawn = self.way.canvas.draw(self.params, self.shape)
        opaque, cover = _over(drawn[here].repeat_interleave(views, 0), self.net, dice)
        shown = self.net.images(transformed(opaque, self.way.transforms, dice, self.size, self.way.edge))
        self._check_joint(len(shown))
        asked = Parts(parts_of(self.goal), self.whose[active].repeat_interleave(views))
        reading = self.net.gradients(shown.detach(), asked, (INPUT,), rows=torch.arange(len(shown), device="cpu"))
        slopes = self._freed(shown.detach(), asked, reading.grads[INPUT][0]) / views
        slope = self._slope(drawn, shown, slopes, cover, reading.score)
        for one, down in zip(self.params, torch.autograd.grad(drawn, self.params, -slope), strict=True):
            one.grad = down
        self.importance += slope[:, : self.shape[0]].abs().mean(1, keepdim=True)
        return Step(self.taken + 1, drawn.detach().clone(), slope, *self._means(reading.score, asked.found(), active))

    def _freed(self, shown: Tensor, asked: Parts, slopes: Tensor) -> Tensor:
        """The gradients (N, C, h, w), those that are all zero because units are off by a rule that turns them on."""
        stuck = (slopes.flatten(1) == 0).all(1)
        if not bool(stuck.any()):
            return slopes
        rows = torch.arange(len(shown), device="cpu")
        if not self.goal.joint:  # compared images are shown together
            rows = rows[stuck.cpu()]
        try:
            freed = self.net.gradients(shown[rows], asked, (INPUT,), rows=rows, rule=redirected).grads[INPUT][0]
        except MethodError:  # there is no unit that could be off
            return slopes
        every = torch.zeros_like(slopes).index_copy(0, rows.to(slopes.device), freed)
        return torch.where(stuck.view(-1, 1, 1, 1), every, slopes)

    def _slope(self, drawn: Tensor, shown: Tensor, slopes: Tensor, cover: Tensor | None, score: Tensor) -> Tensor:
        """The score's gradient by what is drawn, each image's with a root mean square of one if asked for.

        Of a transparent image it is that of score * (1 - mean opacity), so that no more is drawn than what counts.
        """
        if cover is None:
            (slope,) = torch.autograd.grad(shown, drawn, slopes.to(shown), retain_graph=True)
        else:
            room = 1 - cover.detach()
            cost = score.clamp_min(0) * cover / self.way.views
            climbed = (shown * slopes.to(shown)).flatten(1).sum(1) * room - cost
            (slope,) = torch.autograd.grad(climbed.sum(), drawn, retain_graph=True)
        if self.way.normalize:
            size = slope.flatten(1).square().mean(1).sqrt().clamp_min(torch.finfo(slope.dtype).tiny)
            slope = slope / size.view(-1, 1, 1, 1)
        return slope

    def _check_joint(self, count: int) -> None:
        if self.goal.joint and (self.way.views > 1 or self.net.chunk < count):
            raise OptionError(
                f"a target that compares images needs all {count} in one pass; views={self.way.views} and "
                f"{self.net.chunk} images at once are no such pass. Use views=1, and batch_size={count} or more."
            )

    def _means(self, score: Tensor, terms: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and terms as means over views, for all images; NaN for those that are done."""
        views, count = self.way.views, len(self.seeds)
        scores = _unknown(count)
        scores[active] = score.cpu().float().view(-1, views).mean(1)
        each = _unknown(len(terms), count)
        each[:, active] = terms.cpu().float().view(len(terms), -1, views).mean(2)
        return scores, each


class Parts(Target):
    """A sum of targets for views of images, `whose` they are; it remembers what each part added."""

    def __init__(self, parts: Sequence[tuple[float, Target]], whose: Tensor) -> None:
        self._parts, self._whose = parts, whose
        self._found: dict[int, Tensor] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, part in self._parts for name in part.layers))

    def read(self, seen: Seen) -> Tensor:
        mine = replace(seen, rows=self._whose[seen.rows])
        values = torch.stack([weight * part.read(mine) for weight, part in self._parts])
        self._found.update(zip(seen.rows.tolist(), values.detach().unbind(1), strict=True))
        return values.sum(0)

    def found(self) -> Tensor:
        """(parts, rows)"""
        return torch.stack([self._found[row] for row in sorted(self._found)], 1)


def _made(factory: Callable[[list[Tensor]], Optimizer], params: list[Tensor]) -> Optimizer:
    name = getattr(getattr(factory, "func", factory), "__name__", repr(factory))
    try:
        made = factory(params)
    except (TypeError, ValueError) as error:
        raise OptionError(f"optimizer={name} cannot be made for this canvas's numbers: {error}") from error
    if not isinstance(made, Optimizer):
        raise OptionError(f"optimizer={name} gave a {type(made).__name__}, which is no optimizer of torch.optim.")
    return made


def _unknown(*shape: int) -> Tensor:
    return torch.full(shape, torch.nan, dtype=torch.float32, device="cpu")


def _over(drawn: Tensor, net: Net, dice: Sequence[Generator]) -> tuple[Tensor, Tensor | None]:
    """Pixels (N, C, h, w) as the network can be shown them: over random backgrounds where they are transparent.

    Beside them the mean opacity (N,) of transparent ones.
    """
    channels = len(net.levels[0])
    if drawn.shape[1] == channels:
        return drawn, None
    pixels, opacity = drawn[:, :channels], drawn[:, channels:]
    coarse = torch.stack(
        [torch.rand(channels, 8, 8, generator=die, dtype=torch.float32, device="cpu") for die in dice]
    ).to(pixels)
    behind = F.interpolate(coarse, pixels.shape[2:], mode="bilinear", align_corners=False)
    return pixels * opacity + behind * (1 - opacity), opacity.flatten(1).mean(1)


def _dice(seed: int, step: int, view: int) -> Generator:
    """A generator of each view's own: what it draws depends on nothing else."""
    (state,) = np.random.SeedSequence((seed, step, view)).generate_state(1, np.uint64).tolist()
    return Generator().manual_seed(state >> 1)

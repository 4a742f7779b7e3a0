"""What does the model want to see? From a target to an image that it fires for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F

from sightline.attribution.driver import stopped
from sightline.core.checks import whole
from sightline.core.errors import OptionError, PhotoError
from sightline.core.heats import Prediction, Warning
from sightline.core.targets import Target, parts_of
from sightline.features.ascent import Climb, Parts, Step, Way
from sightline.features.canvases import Params, Shape
from sightline.features.presets import way_of
from sightline.features.saving import check_kept, restore, saved
from sightline.models.model import Model
from sightline.models.predictions import ranked
from sightline.network.net import Net
from sightline.photos.decode import Photo, open_photo
from sightline.verbs.attribute import announce
from sightline.verbs.crowd import Crowd, Member, crowd_of
from sightline.verbs.explain import check_model
from sightline.verbs.goals import each, goals_of, own, rows_of, strength
from sightline.verbs.record import fingerprint
from sightline.verbs.visualization import Strongest, Visualization, saved_in
from sightline.verbs.words import indices

_TOP = 5
_ENOUGH = 16  # steps after which an ascent should have risen
_COUPLED = ("Adafactor", "LBFGS", "Muon")  # optimizers that look at all numbers together


def visualize(
    model: Model,
    target: Any,
    steps: int = 512,
    size: int | tuple[int, int] | None = None,
    seed: int = 0,
    preset: str = "lucid",
    *,
    count: int = 1,
    photos: Any = None,
    frames: int = 0,
    resume: Any = None,
    watch: Callable[[Step], object] | None = None,
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> Visualization:
    """Images that a target fires for, by gradient ascent (arXiv:1312.6034).

    `target`: an index, a label, a value of `sl.targets`, or a function of the scores; a list is an image for each;
    `-target` minimizes. `steps` of the ascent in all; `size` or (h, w) of the canvas, None is the input's. `count`
    images for each target: the k-th is the one that `seed` + k gives. `preset`: "simonyan", "keras-vis", "lucid" or
    "maco"; `options` change it: `canvas`, one of `sl.canvases`; `start`, "noise", "zero" (the mean of the
    preprocessing) or a photo; `transforms` of `sl.transforms` before each look, and `edge`, what is seen beyond the
    image ("reflect", "wrap", "grey"); `views`, looks in a step; `penalties`, targets that are taken off;
    `optimizer`, a name or class of torch.optim or a function of parameters, and its `rate`; `normalize` each
    image's gradient; `blur` after each step, sigma in pixels; `patience`, steps without a rise after which an image
    is done, 0 for never.

    `photos`, a list or a folder: the strongest of them is found for each target. `frames`: keep an image every so
    many steps, for a film. `resume`: a Visualization, or the .npz of one, goes on to `steps` as if it had not
    stopped there. `watch` is called with each Step, `progress` with the number of images that went through the
    network; an interrupt gives what there is. Raises ModelError, TargetError, LayerError, OptionError, PhotoError,
    NetworkError; MethodError for a black box.
    """
    check_model(model)
    for name, given, least in (("steps", steps, 1), ("seed", seed, 0), ("count", count, 1), ("frames", frames, 0)):
        whole(name, given, least)
    if watch is not None and not callable(watch):
        raise OptionError(f"watch={watch!r}; give a function that is called with each Step, or None.")
    goals = goals_of(target, model)
    high, wide = _size(size, model)
    ask = _Ask(model, goals, way_of(preset, options), preset, (model.channels, high, wide), seed, count)
    recipe = ask.recipe  # before the network is borrowed: its buffers may change while it is
    before = None if resume is None else saved_in(resume, recipe)
    black = model.normalize(torch.zeros(model.channels, *model.input_size))[None].to(model.device)
    with model.lend(black) as net:
        net.progress = progress or net.progress
        if goals.joint:
            net.chunk = max(net.chunk, ask.images)
        crowd = None if photos is None else crowd_of(model, photos)
        strongest = _strongest(ask, net, crowd) if crowd else ()  # first: a broken photo is not to cost an ascent
        found = _judged(ask, net, _climbed(ask, net, steps, frames, before, watch), strongest)
        found = replace(found, warnings=(*found.warnings, *(crowd.warnings if crowd else ())))
    announce(found.warnings)
    return found


@dataclass(frozen=True, eq=False)
class _Ask:
    """What is asked for: `count` images (C, h, w) of `shape` for each of the goals, climbed in a way."""

    model: Model
    goal: Target
    way: Way
    preset: str
    shape: Shape
    seed: int
    count: int

    @property
    def goals(self) -> tuple[Target, ...]:
        """The goals, one for each row of targets."""
        return tuple(own(self.goal, row) for row in range(rows_of(self.goal)))

    @property
    def images(self) -> int:
        """How many."""
        return rows_of(self.goal) * self.count

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """What has to be the same for an ascent to go on, as plain values."""
        way = {name: _told(value) for name, value in vars(self.way).items()} | {"start": self._origin}
        return {
            "model": self.model.source, "made": self._made, "targets": [str(one) for one in self.goals],
            "preset": self.preset, **way, "size": list(self.shape[1:]),
            "seed": self.seed, "count": self.count, "arrays": self._arrays,
        }  # fmt: skip

    @property
    def _made(self) -> str | None:
        """The fingerprint of the network's numbers and of what its input goes through."""
        network = self.model.network
        return fingerprint(
            [list(network.state_dict().values()), list(self.model.mean or ()), list(self.model.std or ())]
        )

    @property
    def _arrays(self) -> str | None:
        """The fingerprint of vectors, masks and photos, which a text does not tell from others."""
        return fingerprint([self.goals, self.way.canvas, self.way.transforms, self.way.penalties])

    @property
    def _origin(self) -> str:
        """What an ascent starts from, by name."""
        start = self.way.start
        named = isinstance(start, str) and start in ("noise", "zero")
        return start if named else f"photo {self._photo().sha256[:16]}"

    def _photo(self) -> Photo:
        try:
            return open_photo(self.way.start, channels=self.model.channels)
        except PhotoError as error:
            raise PhotoError(f"start: {error} A start is 'noise', 'zero', or a photo.") from error

    def climb(self, net: Net) -> Climb:
        """At its start."""
        seeds = tuple(self.seed + k for _ in range(rows_of(self.goal)) for k in range(self.count))
        whose = torch.arange(rows_of(self.goal), device="cpu").repeat_interleave(self.count)
        params = tuple(one.to(self.model.device) for one in self._start(net, seeds))
        held_back = sum((-1.0 * one for one in self.way.penalties), start=self.goal)
        return Climb(net, held_back, self.way, self.shape, self.model.input_size, seeds, whose, params)

    def _start(self, net: Net, seeds: tuple[int, ...]) -> Params:
        if self._origin == "noise":
            return self.way.canvas.start([Generator().manual_seed(one) for one in seeds], self.shape)
        if self._origin == "zero":
            pixels = net.pixels(torch.zeros(1, *self.shape))
        else:
            photo = self._photo()
            view = _enlarged(self.model, self.shape).view(photo.height, photo.width)
            pixels = torch.from_numpy(view.to_input(photo))[None]
        return self.way.canvas.trace(pixels.repeat(len(seeds), 1, 1, 1), self.shape)


@dataclass(eq=False)
class _Made:
    """How an ascent went: its `history` holds the mean score of the views of each step (N,)."""

    climb: Climb
    history: list[NDArray[np.float32]]
    terms: NDArray[np.float32]
    frames: dict[int, NDArray[np.uint8]]
    warnings: tuple[Warning, ...] = ()


def _climbed(
    ask: _Ask,
    net: Net,
    steps: int,
    frames: int,
    before: dict[str, NDArray[Any]] | None,
    watch: Callable[[Step], object] | None,
) -> _Made:
    climb = ask.climb(net)
    made = _Made(climb, [], np.full((len(parts_of(climb.goal)), ask.images), np.nan, np.float32), {})
    if before is not None:
        restore(climb, before)
        check_kept(climb, before, len(made.terms))
        if climb.taken > steps:
            raise OptionError(f"steps={steps}, and {climb.taken} were taken already; ask for more.")
        made.history, made.terms = list(before["history"]), before["terms"]
        kept = zip(before["frame_steps"].tolist(), before["frames"], strict=True)
        made.frames = {step: frame for step, frame in kept if not frames or step % frames == 0}
    try:
        for step in climb.steps(steps - climb.taken):
            made.history.append(step.score.numpy().copy())
            made.terms = np.where(np.isnan(step.terms.numpy()), made.terms, step.terms.numpy())
            if frames and (step.number - 1) % frames == 0:
                made.frames[step.number - 1] = _bytes(_flattened(step.images, ask.shape[0]))
            if watch is not None:
                watch(step)
    except KeyboardInterrupt:
        made.warnings = (stopped(f"after {climb.taken} of {steps} steps"),)
    if frames:
        made.frames[climb.taken] = _bytes(_flattened(climb.images(), ask.shape[0]))
    return made


def _judged(ask: _Ask, net: Net, made: _Made, strongest: tuple[Strongest, ...]) -> Visualization:
    """What was drawn, shown to the network as it is: no transforms, no penalties."""
    climb, model = made.climb, ask.model
    drawn = climb.images().cpu().clamp(0, 1)
    images = _flattened(drawn, ask.shape[0])
    strengths = [strength(goal) for goal in ask.goals]
    shown = partial(_inputs, net, images, model.input_size)
    answers = list(net.answers(len(images), shown, each(strengths), climb.whose))
    scores = torch.cat([score for score, _ in answers]).float().cpu()
    said = torch.cat([one for _, one in answers])
    flat = said.ndim == 2
    return Visualization(
        model=model, recipe=ask.recipe, targets=ask.goals, count=ask.count, drawn=drawn, images=images, scores=scores,
        predictions=tuple(_answers(ask, net, one, i) if flat else () for i, one in enumerate(said)),
        strongest=strongest, score=net.readout.score,
        terms=made.terms, names=tuple(str(part) for _, part in parts_of(climb.goal)),
        history=np.stack(made.history) if made.history else np.zeros((0, len(images)), np.float32),
        frames=tuple(made.frames.items()), importance=climb.importance.cpu(), state=saved(climb), seed=ask.seed,
        warnings=(*model.warnings, *net.warnings, *made.warnings, *_doubts(ask, made, images)),
    )  # fmt: skip


def _answers(ask: _Ask, net: Net, scores: Tensor, image: int) -> tuple[Prediction, ...]:
    """The best answers for an image, and those that its target asks for."""
    asked = indices(ask.goals[image // ask.count])
    every = ranked(ask.model, net.readout, scores, scores.shape[0])
    return tuple(one for rank, one in enumerate(every) if rank < _TOP or one.index in asked)


def _doubts(ask: _Ask, made: _Made, images: Tensor) -> Iterator[Warning]:
    """What makes an ascent none, or its images less than they seem."""
    silent = [i for i, moved in enumerate(made.climb.importance.flatten(1).any(1).tolist()) if not moved]
    if silent and made.history:
        message = f"images {silent} did not move: nothing of them changes what they are to fire for."
        yield Warning("blank-map", f"{message} Try another start, layer or preset.")
    first, last = made.history[0] if made.history else 0, made.climb.running.numpy()
    still = [i for i in np.flatnonzero(last <= first).tolist() if i not in silent]
    if still and made.climb.taken >= _ENOUGH:
        message = f"images {still} fire no more than at the start, less what penalties take off."
        yield Warning("not-risen", f"{message} Try another preset, fewer penalties, a higher rate, or more steps.")
    if ask.count > 1 and bool((images[1 :: ask.count] == images[:: ask.count]).all()):
        message = (
            "the images of a target are all alike: neither the start nor the transforms draw anything at random."
        )
        yield Warning("same-images", message)
    if ask.images > 1 and type(made.climb.optimizer).__name__ in _COUPLED:
        message = f"{type(made.climb.optimizer).__name__} moves all images of a batch as one; alone each differs."
        yield Warning("coupled-images", message)


def _strongest(ask: _Ask, net: Net, crowd: Crowd) -> tuple[Strongest, ...]:
    """For each goal the photo that it fires most for; all goals are read in the same passes."""
    best: list[tuple[float, Member]] = []
    for members, images in crowd.batches():
        reader = Parts(
            [(1.0, strength(one)) for one in ask.goals], torch.zeros(len(images), dtype=torch.long, device="cpu")
        )
        list(net.answers(len(images), images.__getitem__, reader))
        rows = reader.found()
        now = [(float(row[i]), members[i]) for row, i in zip(rows, rows.argmax(1).tolist(), strict=True)]
        best = [max(pair, key=lambda one: one[0]) for pair in zip(best or now, now, strict=True)]
    return tuple(Strongest(member.photo, member.name, score) for score, member in best)


def _inputs(net: Net, images: Tensor, size: tuple[int, ...], part: slice) -> Tensor:
    pixels = images[part]
    if tuple(pixels.shape[2:]) != size:
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
    return net.images(pixels)


def _flattened(drawn: Tensor, channels: int) -> Tensor:
    """Pixels (N, C, h, w), transparent ones over the middle of grey."""
    if drawn.shape[1] == channels:
        return drawn
    return drawn[:, :channels] * drawn[:, channels:] + 0.5 * (1 - drawn[:, channels:])


def _bytes(images: Tensor) -> NDArray[np.uint8]:
    return np.asarray((images.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8))


def _size(given: Any, model: Model) -> tuple[int, ...]:
    if given is None:
        return model.input_size
    size = tuple(given) if isinstance(given, list | tuple) else (given, given)
    if len(size) != 2:
        raise OptionError(f"size={given!r}; give a side in pixels, or (height, width).")
    high, wide = (whole("size", side, 2) for side in size)
    return high, wide


def _enlarged(model: Model, shape: Shape) -> Any:
    """The model's way to fit photos in, for another size of its input."""
    short = model.geometry.short
    by = [side / old for side, old in zip(shape[1:], model.input_size, strict=True)]
    if isinstance(short, tuple):
        short = math.ceil(short[0] * by[0]), math.ceil(short[1] * by[1])
    elif short is not None:
        short = math.ceil(short * max(by))
    return replace(model.geometry, size=shape[1:], short=short)


def _told(value: Any) -> Any:
    """A part of a way as JSON can hold it, the same in every run."""
    if isinstance(value, tuple):
        return [_told(one) for one in value]
    if isinstance(value, partial):
        options = ", ".join(f"{key}={one}" for key, one in value.keywords.items())
        return f"{_told(value.func)}({options})"
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    if isinstance(value, bool | int | float | str):
        return value
    return re.sub(r" at 0x[0-9a-fA-F]+", "", str(value))  # an address in memory, which differs in every run

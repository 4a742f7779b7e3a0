"""Feature visualization: whether a network that took no part sees what was drawn for another; Lucent beside ours."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, product
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sightline as sl
from benchmarks import data, tallies
from benchmarks.contestants import peer
from benchmarks.findings import Finding, Goal
from benchmarks.race import race
from benchmarks.stats import ratio
from benchmarks.tallies import Outcome, Tally

CLASSES, SEEDS = (20, 281, 401, 430, 473, 130, 292, 340, 817, 963), (0, 1, 2)
IMAGES, STEPS, WARM_UP = len(CLASSES) * len(SEEDS), 256, 8
ASKED = (9.5, 5.0, 8.0)  # of the default preset: top-1 in its own network, top-1 and top-5 in the other one
SIDE, OTHER_SIDE, RATE = 224, 192, 0.05
LUCENT, FASTEST = "Lucent", "Lucent at its fastest"
_AGAINST = "visualize-against-lucent"
Climb = Callable[[int, int, int], Tensor]  # class, seed, steps: an image (1, 3, h, w) between 0 and 1


def preset(name: str, rounds: int) -> Iterator[Tally]:
    """As many images as there are rounds by one of the presets, every class once before the next seed."""
    data.check()
    network = data.mobilenet_v2()
    row = f"visualize-{name}"
    (outcomes,) = climbed({name: ours(network, preset=name)}, network, rounds, row).values()
    default = name == inspect.signature(sl.visualize).parameters["preset"].default
    what = f"{name}, the default" if default else name
    yield Tally(row, what, outcomes, ASKED if default else (None, None, None))


def against_lucent(rounds: int) -> Iterator[Tally | Finding]:
    """One image in each round by ours and by Lucent, from the same numbers: strength, transfer, time."""
    peer("lucent.optvis.render")
    data.check()
    network = data.mobilenet_v2()
    climbs = {
        "ours": ours(network, **as_lucent()),
        LUCENT: lucent(network),
        FASTEST: lucent(network, fastest=True),
    }
    outcomes = climbed(climbs, network, rounds, _AGAINST)
    theirs = [Tally(_AGAINST, name, outcomes[name]) for name in (LUCENT, FASTEST)]
    yield Tally(_AGAINST, "ours, drawn and moved about as Lucent's", outcomes["ours"], tallies.at_least(theirs))
    yield from theirs
    for name in (LUCENT, FASTEST):
        yield _time(name, outcomes)
        yield _strength(name, outcomes)


def _time(name: str, outcomes: Mapping[str, Sequence[Outcome]]) -> Finding:
    mine, other = ([1000 * one.seconds / STEPS for one in outcomes[who]] for who in ("ours", name))
    each, goal = ratio(other, mine), Goal("at least", 1.0)
    return Finding(_AGAINST, "a step of an ascent", name, median(mine), median(other), "ms", each, goal)


def _strength(name: str, outcomes: Mapping[str, Sequence[Outcome]]) -> Finding:
    mine, other = ([one.logit for one in outcomes[who]] for who in ("ours", name))
    what, goal = "logit of the image as it is", Goal("at least", 1.0)
    return Finding(_AGAINST, what, name, median(mine), median(other), "", ratio(mine, other), goal)


def climbed(
    climbs: Mapping[str, Climb], network: nn.Module, rounds: int, label: str
) -> dict[str, tuple[Outcome, ...]]:
    """What became of the images of each climb, which take turns in every round; judged by plain networks."""
    ways = [(target, seed) for seed, target in product(SEEDS, CLASSES)][:rounds]
    kept: dict[str, list[Tensor]] = {name: [] for name in climbs}
    spent = race({name: _in_turn(climb, ways, kept[name]) for name, climb in climbs.items()}, len(ways), label=label)
    other = data.mobilenet_v1(OTHER_SIDE, 0.75)
    return {
        name: tuple(
            judged(image, target, seconds, network, other)
            for image, (target, _), seconds in zip(kept[name][1:], ways, spent[name], strict=True)
        )
        for name in climbs
    }


def _in_turn(climb: Climb, ways: Sequence[tuple[int, int]], kept: list[Tensor]) -> Callable[[], None]:
    """Climbs one of the ways each time it is called, after a few steps to warm up; the images are kept."""
    turns = chain([(*ways[0], WARM_UP)], ((*way, STEPS) for way in ways))

    def run() -> None:
        kept.append(climb(*next(turns)))

    return run


def judged(image: Tensor, target: int, seconds: float, own: nn.Module, other: nn.Module) -> Outcome:
    """How both networks see an image (1, 3, h, w) between 0 and 1, the other one after resizing it as a whole."""
    small = F.interpolate(image, (OTHER_SIDE,) * 2, mode="bilinear", antialias=True, align_corners=False)
    with torch.no_grad():
        here, there = own(image * 2 - 1)[0], other(small * 2 - 1)[0]
    first, second = (int((scores > scores[target]).sum()) + 1 for scores in (here, there))
    return Outcome(float(here[target]), first, second, seconds)


def ours(network: nn.Module, **options: object) -> Climb:
    """`sl.visualize` on a network of its own, wrapped once."""
    model = sl.wrap(copy.deepcopy(network), input_size=SIDE, mean=0.5, std=0.5)

    def climb(target: int, seed: int, steps: int) -> Tensor:
        return sl.visualize(model, target, steps, seed=seed, **options).images  # type: ignore[arg-type]

    return climb


def as_lucent() -> dict[str, object]:
    """Options that climb as Lucent does by default; a jitter of 8 there is of 8 pixels in all, so 4 each way."""
    moves = sl.transforms
    return {
        "canvas": sl.canvases.Fourier(decay=1.0, spread=0.01, decorrelated=True),
        "transforms": (moves.Pad(12), moves.Jitter(4), moves.Scale(0.9, 1.1), moves.Rotate(10.0), moves.Jitter(2)),
        "optimizer": "adam", "rate": RATE, "edge": "grey", "start": "noise", "views": 1, "normalize": False,
        "blur": 0.0, "penalties": (), "patience": 0,
    }  # fmt: skip


def lucent(network: nn.Module, *, fastest: bool = False) -> Climb:
    """`render_vis` with its own canvas, transforms and optimizer, from the numbers that ours begins with.

    The network's normalization comes instead of that of torchvision's. As in its documentation, parameters ask for
    gradients, and views are as large as the transforms make them; at its `fastest` neither is so: views are resized
    to the network's input.
    """
    render, moves = peer("lucent.optvis.render"), peer("lucent.optvis.transform")
    image = peer("lucent.optvis.param").image
    own = copy.deepcopy(network).requires_grad_(not fastest)
    transforms = [*moves.standard_transforms, lambda views: views * 2 - 1]

    def climb(target: int, seed: int, steps: int) -> Tensor:
        with _seeded(seed), _without_hooks(own):
            (found,) = render.render_vis(
                own, f"labels:{target}", lambda: image(SIDE), transforms=transforms, thresholds=(steps,),
                preprocess=False, progress=False, show_image=False, fixed_image_size=SIDE if fastest else None,
            )  # fmt: skip
        return torch.from_numpy(found).permute(0, 3, 1, 2)

    return climb


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Global generators as a peer draws from them, set inside the block and put back."""
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)


@contextmanager
def _without_hooks(network: nn.Module) -> Iterator[None]:
    """Take off the hooks that are left on every module, which would slow the next image down."""
    try:
        yield
    finally:
        for module in network.modules():
            module._forward_hooks.clear()

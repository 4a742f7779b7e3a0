"""How often a concept of chance passes for one that counts, and how often one that counts does, on drawn scenes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import sightline as sl
from sightline.demo.scenes import BACKGROUNDS, OBJECTS, draw
from sightline.features.tcav import Trial
from sightline.stats.multiplicity import two_sided_p
from sightline.stats.welch import welch
from sightline.verbs.crowd import crowd_of
from sightline.verbs.layered import Layered
from sightline.verbs.tcav import _one_target, _slopes

LEVEL = 0.05
THINGS, ELSEWHERE = OBJECTS[1:], BACKGROUNDS[1:]  # all but the ball, all but the court
TESTS = {
    "mean slope": lambda own, null: two_sided_p(own.rises.mean(), null.rises.tolist()),
    "slope of one run": lambda own, null: two_sided_p(own.rises[0], null.rises.tolist()),
    "mean score": lambda own, null: two_sided_p(own.scores.mean(), null.scores.tolist()),
    "score of one run": lambda own, null: two_sided_p(own.scores[0], null.scores.tolist()),
    "Welch": lambda own, null: welch(own.scores.tolist(), null.scores.tolist()).p,
}  # the first is what sl.tcav tells


def scenes():
    """Photos of anything; of the court; of anywhere else; of the ball on the court."""
    yield [draw(seed).image() for seed in range(1000)]
    yield [draw(5000 + i, thing=THINGS[i % 6], background="court").image() for i in range(200)]
    yield [draw(7000 + i, thing=THINGS[i % 6], background=ELSEWHERE[i % 5]).image() for i in range(400)]
    yield [draw(9000 + i, thing="ball", background="court").image() for i in range(24)]


@cache
def seen(layer):
    """What the layer puts out, in a basis of the photos' span, so that trials are quick: (photos, slopes) each."""
    model = sl.load("demo")
    *kinds, balls = (list(one) for one in _scenes())
    anything, court, elsewhere = (Layered(crowd_of(model, one, "photos"), layer).all()[1].flatten(1) for one in kinds)
    slopes = _slopes(Layered(crowd_of(model, balls, "photos"), layer), _one_target("ball", model)).flatten(1)
    pairs = (anything,), (court, elsewhere)
    return [_within(np.concatenate(pair).astype(np.float64), slopes.numpy().astype(np.float64)) for pair in pairs]


@cache
def _scenes():
    return tuple(scenes())


def _within(photos, slopes):
    photos -= photos.mean(0)
    values, modes = np.linalg.eigh(photos @ photos.T)
    modes, roots = modes[:, values > 1e-9 * values[-1]], np.sqrt(values[values > 1e-9 * values[-1]])
    return (modes * roots).astype(np.float32), (slopes @ photos.T @ (modes / roots)).astype(np.float32)


def shares(layer, drawn, trials):
    """How often each test's p is 0.05 or less, over concepts that `drawn` draws: (concept, others) as indices."""
    small, told = np.zeros((trials, len(TESTS))), np.zeros(trials)
    for seed in range(trials):
        photos, slopes, own, rest = drawn(layer, np.random.default_rng((seed, 7)))
        trial = Trial(photos[own], photos[rest], slopes)
        found, null = trial.run(20, seed), trial.null(99, seed)
        small[seed] = [test(found, null) <= LEVEL for test in TESTS.values()]
        told[seed] = found.accuracy.mean() > 0.5 + 1.645 * (0.25 / (2 * trial.held_out)) ** 0.5
    lines = [f"\n{layer}, {len(own)} photos, {len(rest)} others, {trials} trials:"]
    lines += [f"  {name} {share:.1%}" for name, share in zip(TESTS, small.mean(0), strict=True)]
    print(*lines, f"  told apart {told.mean():.1%}, and low by the first {(told * small[:, 0]).mean():.1%}", sep="\n")  # noqa: T201 - with -s
    return dict(zip(TESTS, small.mean(0), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["features.1", "features.2", "features.3"])
@pytest.mark.parametrize(("count", "others"), [(30, 90), (10, 90), (10, 20)])
def test_a_concept_of_chance_passes_one_time_in_twenty_or_less(layer, count, others):
    def drawn(layer, dice):
        (photos, slopes), _ = seen(layer)
        mixed = dice.permutation(len(photos))
        return photos, slopes, mixed[:count], mixed[count : count + others]

    found = shares(layer, drawn, 300)
    assert found["mean slope"] <= LEVEL
    assert found["Welch"] > 0.3  # as docs/concepts.md says


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["features.1", "features.2", "features.3"])
@pytest.mark.parametrize("count", [30, 10])
def test_the_court_counts_for_the_ball(layer, count):
    def drawn(layer, dice):
        _, (photos, slopes) = seen(layer)
        return photos, slopes, dice.permutation(200)[:count], 200 + dice.permutation(400)[:90]

    found = shares(layer, drawn, 100)
    if layer != "features.1":  # where the mean slope says little, and a score more
        assert found["mean slope"] >= max(0.7, found["mean score"], found["score of one run"])

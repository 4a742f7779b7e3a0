"""The benchmark of planted shortcuts: scenes that follow their rule, and figures that are what they say."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import planted
from benchmarks.planted_networks import Planted, Recipe, network_of, recipes
from benchmarks.planted_scenes import CLASSES, SIDE, Bank, Rule, every, scenes


@pytest.fixture(scope="module")
def bank():
    """Things that cover their middle, places of one grey for each kind."""
    things = np.zeros((CLASSES, 6, 5, SIDE, SIDE), np.uint8)
    things[:, :, 4] = 255
    for n in range(6):
        things[:, n, :4, 24 - n : 40 + n, 24 - n : 40 + n] = 255
    places = np.broadcast_to((np.arange(6) * 40)[:, None, None, None, None], (6, 2, 3, SIDE, SIDE)).astype(np.uint8)
    return Bank(things, places)


def shown(bank, rule, around=None, seed=0):
    things = every(30)
    return scenes(bank, rule, things, things if around is None else around, np.random.default_rng(seed))


def test_a_complete_background_goes_with_its_class_and_that_of_another_class_with_the_other(bank):
    rule = Rule("background", (1.0,) * CLASSES)
    corners = shown(bank, rule).images[:, 0, 0, 0]
    assert (corners == every(30) % 6 * 40).all()
    moved = shown(bank, rule, around=(every(30) + 1) % CLASSES).images[:, 0, 0, 0]
    assert (moved == (every(30) + 1) % CLASSES % 6 * 40).all()


@pytest.mark.parametrize("cue", ["tag", "watermark", "companion"])
def test_other_cues_lie_in_the_surroundings_and_never_on_the_thing(bank, cue):
    found = shown(bank, Rule(cue, (1.0,) * CLASSES))
    around = [len(np.unique(image[:, cover == 0])) for image, cover in zip(found.images, found.cover, strict=True)]
    assert np.mean(np.array(around) > 1) > 0.9  # but where the thing hides it
    assert (found.images.transpose(0, 2, 3, 1)[found.cover == 255] == 255).all()


def test_without_strength_no_class_has_a_background_of_its_own(bank):
    corners = shown(bank, Rule("background", (0.0,) * CLASSES)).images[:, 0, 0, 0]
    assert all(len(np.unique(corners[every(30) == one])) > 3 for one in range(CLASSES))


def test_large_and_small_halves_are_told_apart(bank):
    sizes = {large: shown(bank, Rule("tag", (0.0,) * 7, large)).cover.mean((1, 2)) for large in (True, False)}
    assert sizes[True].min() > sizes[False].max()


def test_the_same_dice_give_the_same_scenes(bank):
    one, same = (shown(bank, Rule("tag", (0.5,) * 7), seed=4).images for _ in range(2))
    assert (one == same).all()


def test_networks_to_tune_on_are_none_of_those_that_are_reported_and_no_two_are_alike():
    found = recipes()
    assert len({one.key for one in found}) == len({one.seed for one in found}) == len(found) >= 24
    assert sum(not one.tuning for one in found) >= 24
    assert replace(found[0], tuning=False).key == found[0].key
    assert {one.rule.cue for one in found if not one.tuning} == {
        "background", "tag", "watermark", "companion", "colour",
    }  # fmt: skip


def test_the_true_loss_is_own_less_all():
    recipe = Recipe(0, Rule("tag", (0.0,) * 7), 7, 1, False)
    assert Planted(recipe, network_of(0), (0.9,) * 7, (0.5,) * 7).loss == pytest.approx((0.4,) * 7)


def rows(said):
    true = [0.0, 0.02, 0.5, 0.7]
    told = [{"loss": loss, "interval": (loss - 0.1, loss + 0.1), "verdict": verdict, "passes": [17, 33]}
            for loss, verdict in said]  # fmt: skip
    return [
        {"network": i % 2, "true": loss, "masks": one} for i, (loss, one) in enumerate(zip(true, told, strict=True))
    ]


def test_figures_by_hand():
    found = rows([(0.0, "object"), (0.12, "context"), (0.5, "both"), (0.1, "undecided")])
    read = planted._loss("masks")
    assert planted._area(found, read) == 0.75  # of four pairs, one is turned around
    assert planted._error(found, read) == pytest.approx(100 * (0.1 + 0.6) / 4)
    assert planted._called([one for one in found if one["true"] < 0.05], "masks") == 50
    assert planted._held(found, "masks") == 75
    assert planted._passes(found, "masks") == 25
    line = planted._line("error", "3", found, lambda of: planted._error(of, read))
    assert line.interval[0] <= line.value <= line.interval[1]
    assert str(line).startswith("| error | 3 | 17.5 |")

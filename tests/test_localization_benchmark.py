"""The benchmark of localization counts overlaps rightly and prints what it measured."""

import numpy as np
import pytest

from benchmarks import localization
from sightline.demo.train import SCENES


def test_overlaps_are_shared_area_over_joint_area():
    assert localization.box_iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert localization.box_iou((0, 0, 4, 4), (4, 0, 8, 4)) == 0
    assert localization.box_iou((1, 2, 9, 7), (1, 2, 9, 7)) == 1
    one, other = np.zeros((2, 4, 4), bool)
    one[:2], other[1:3] = True, True
    assert localization.mask_iou(one, other) == pytest.approx(4 / 12)


def test_the_middle_is_the_middle_and_its_best_side_the_things_own():
    square = localization.centred(40)
    assert localization.box_around(square) == (44, 44, 84, 84)
    scenes = [scene.moved(0.5, 0.5) for scene in localization.scenes(localization.CHOSEN_ON, 2)]
    sizes = [np.sqrt(np.prod(np.ptp(np.argwhere(scene.mask()), 0) + 1)) for scene in scenes]
    assert min(sizes) <= localization.best_side(scenes) <= max(sizes)


def test_an_interval_holds_the_mean_and_is_as_wide_as_it_should_be():
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    mean, rest = localization.interval(values).split(" ", 1)
    low, high = (float(end) for end in rest.strip("[]").split(", "))
    assert low < float(mean) < high
    assert high - low == pytest.approx(2 * 1.96 * 0.1 / 20, abs=0.011)


def test_no_scene_was_trained_on_or_used_to_choose():
    chosen, fresh = (localization.scenes(first, 3) for first in (localization.CHOSEN_ON, localization.FRESH))
    seeds = [{scene.seed for scene in some} for some in (chosen, fresh)]
    assert min(seeds[0]) > SCENES
    assert not seeds[0] & seeds[1]


def test_it_prints_a_table_of_methods_and_says_what_it_left_out(capsys):
    assert localization.main(["--scenes", "1", "--method", "saliency,grad-cam"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("| saliency | 0.") == shown.count("| the middle, ") == 2
    assert "Not measured" not in shown

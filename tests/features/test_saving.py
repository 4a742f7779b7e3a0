"""A saved ascent is believed as far as it fits: whatever else a file holds is refused in words."""

import json
from functools import partial

import numpy as np
import pytest
import torch

import sightline as sl
from sightline.targets import Class, Unit

STEPS = 3


@pytest.fixture(scope="module")
def demo():
    return sl.load("demo")


@pytest.fixture(scope="module")
def whole(demo):
    return sl.visualize(demo, [0, 4], STEPS, frames=1)


def written(path, arrays, vis):
    np.savez(path, **arrays, provenance=np.array(json.dumps(vis.provenance)))
    return path


SPOILED = {
    "params.0": lambda x: x[:1],
    "running": lambda x: x[:1],
    "importance": lambda x: x[..., :4],
    "history": lambda x: x[:2],
    "terms": lambda x: np.zeros((3, 2), np.float32),
    "frames": lambda x: x[:, :1],
    "frame_steps": lambda x: x[:1],
    "taken": lambda x: np.int64(-5),
    "optimizer.0.exp_avg": lambda x: x[..., :1],
    "best": lambda x: x.astype(complex),
    "since": lambda x: x.astype("U8"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_an_array_that_does_not_fit_is_named(demo, whole, tmp_path, name):
    arrays = whole.arrays
    path = written(tmp_path / "x.npz", arrays | {name: SPOILED[name](arrays[name])}, whole)
    with pytest.raises(sl.OptionError, match=name.split(".")[0]):
        sl.visualize(demo, [0, 4], STEPS + 1, frames=1, resume=path)


@pytest.mark.parametrize("name", ["optimizer.x.y", "optimizer.foo", "optimizer.7.exp_avg"])
def test_a_state_of_another_optimizer_is_refused(demo, whole, tmp_path, name):
    path = written(tmp_path / "x.npz", whole.arrays | {name: np.zeros(3)}, whole)
    with pytest.raises(sl.OptionError, match="no state of this optimizer"):
        sl.visualize(demo, [0, 4], STEPS + 1, frames=1, resume=path)


def test_another_network_of_the_same_name_is_refused(whole):
    other = sl.load("demo")
    next(other.network.parameters()).data.mul_(1.01)
    with pytest.raises(sl.OptionError, match="made: "):
        sl.visualize(other, [0, 4], STEPS + 1, resume=whole)


@pytest.mark.parametrize("target", [Unit("features.2", 3, at="centre"), Unit("classifier", 3), Class(1)], ids=str)
def test_scores_are_detached_and_saved(demo, target, tmp_path):
    vis = sl.visualize(demo, target, 1)
    assert not vis.scores.requires_grad
    for suffix in (".npz", ".png", ".html"):
        vis.save(tmp_path / f"x{suffix}")


def test_what_did_not_move_says_so(demo):
    with pytest.warns(sl.SightlineWarning, match=r"images \[0\] did not move"):
        vis = sl.visualize(demo, lambda scores: scores[:, 0].detach(), 2)
    assert [one.code for one in vis.warnings] == ["blank-map"]


def test_an_ascent_that_does_not_rise_says_so(demo):
    with pytest.warns(sl.SightlineWarning, match="fire no more than at the start"):
        sl.visualize(demo, 0, 16, optimizer=partial(torch.optim.SGD, lr=0.1, maximize=True), transforms=())


def test_images_that_are_alike_say_so(demo):
    with pytest.warns(sl.SightlineWarning, match="alike"):
        sl.visualize(demo, 4, 1, count=2, start="zero", transforms=())


def test_a_watcher_does_not_write_the_history(demo):
    vis = sl.visualize(demo, 4, 2, watch=lambda step: step.score.zero_())
    assert (vis.history != 0).all()


def test_the_answer_that_was_asked_for_is_among_the_answers(demo):
    vis = sl.visualize(demo, list(range(7)), 1)
    assert all(i in [one.index for one in said] for i, said in enumerate(vis.predictions))

"""Visualization borrows a network as methods do: its owner finds it as it was, and callers find their switches."""

import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import torch
from zoo import CALLERS, DEVICES, Answering, FailsAt, OddError, built, condition, lived_in

import sightline as sl
from sightline.targets import Alignment, Class, Diversity, Layer, Unit

T, C = sl.transforms, sl.canvases
WAYS = {
    "pixels": {
        "canvas": C.Pixels(),
        "transforms": (T.Jitter(1), T.Noise(0.05)),
        "optimizer": "sgd",
        "rate": 0.05,
        "penalties": (sl.targets.TotalVariation(),),
        "blur": 0.4,
    },
    "fourier": {
        "canvas": C.Fourier(),
        "transforms": (T.Crop(0.6, 0.9), T.Rotate(10), T.Flip()),
        "optimizer": "adam",
        "rate": 0.05,
        "views": 2,
    },
    "transparent phase": {
        "canvas": C.Transparent(C.Phase()),
        "transforms": (T.Scale(),),
        "optimizer": "sgd",  # others divide by the size of a slope, also where it is next to none
        "rate": 2.0,
        "normalize": True,
    },
}
PLAIN = {"edge": "reflect", "views": 1, "normalize": False, "blur": 0.0, "penalties": (), "start": "noise"}
LAYERS = {"convolutions": "features", "tokens": "blocks.0"}


@pytest.fixture(params=WAYS)
def way(request):
    """Each way to climb in turn."""
    return request.param


def model_of(network, **options):
    return sl.wrap(network, input_size=(8, 12), mean=0.5, std=0.25, resize="squash", **options)


@pytest.fixture(params=sorted(LAYERS))
def network(request):
    """Each small network in turn, for images of one size."""
    return built(request.param)


def climb(network, target=2, way="fourier", steps=3, batch_size=None, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        model = model_of(network, batch_size=batch_size)
        return sl.visualize(model, target, steps, **PLAIN | WAYS[way] | {"patience": 0, **more})


def alike(one, other, share=1e-4):
    """Whether the same was drawn, within a share of white, and scored."""
    assert one.history.shape == other.history.shape
    return (
        bool((one.drawn - other.drawn).abs().max() <= share)
        and np.allclose(one.history, other.history, rtol=1e-3, atol=1e-3)
        and torch.allclose(one.scores, other.scores, rtol=1e-3, atol=1e-3)
    )


# Borrowing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", CALLERS)
def test_leaves_the_network_as_found(way, network, caller):
    before = condition(lived_in(network))
    with CALLERS[caller]():
        climb(network, [0, 2], way)
    assert condition(network) == before


@pytest.mark.parametrize("call", [1, 2, 3, 5])
@pytest.mark.parametrize("error", [OddError, KeyboardInterrupt])
def test_leaves_the_network_as_found_when_it_fails_on_the_way(way, network, call, error):
    failing = lived_in(Answering(network, FailsAt(call, error("on the way"))).requires_grad_(True))
    before = condition(failing)
    with suppress(error):  # a started ascent survives an interrupt
        climb(failing, way=way)
    assert condition(failing) == before
    assert failing.change.calls >= call


@pytest.mark.parametrize("error", [OddError, KeyboardInterrupt])
def test_leaves_the_network_as_found_when_a_watcher_fails(way, network, error):
    def watch(_step):
        raise error

    before = condition(lived_in(network))
    for watcher in ("watch", "progress"):
        with suppress(error):
            climb(network, way=way, **{watcher: watch})
        assert condition(network) == before


def test_leaves_the_network_as_found_when_a_transform_or_a_target_fails(network):
    def broken(_images, *_dice):
        raise OddError

    before = condition(lived_in(network))
    for target, more in ((1, {"transforms": (broken,)}), (broken, {}), (99, {}), (Unit("nowhere", 1), {})):
        with pytest.raises((OddError, sl.TargetError, sl.LayerError)):
            climb(network, target, **more)
        assert condition(network) == before


def test_leaves_a_network_of_inference_tensors_as_found(way):
    with torch.inference_mode():
        network = built()
    before = condition(network)
    found = climb(network, way=way)
    assert condition(network) == before
    assert alike(found, climb(built(), way=way))


def test_a_network_in_training_is_climbed_as_it_answers(way, network):
    expected = climb(network, [0, 2], way)
    assert alike(climb(network.train(), [0, 2], way), expected)
    assert network.training


def test_errors_of_the_network_are_not_swallowed(network):
    with pytest.raises(OddError, match="mine"):
        climb(Answering(network, FailsAt(2, OddError("mine"))))


# Callers ---------------------------------------------------------------------------------------------------------


def switches():
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
    )


@pytest.mark.parametrize("caller", CALLERS)
def test_the_same_images_whatever_the_caller_has_switched_on(way, network, caller):
    expected = climb(network, [0, 2], way)
    with CALLERS[caller]():
        before = switches()
        found = climb(network, [0, 2], way)
        assert switches() == before
    assert alike(found, expected)
    for one in (found.images, found.drawn, found.scores, found.importance):
        assert not one.requires_grad
        assert not one.is_inference()


@pytest.mark.parametrize("caller", CALLERS)
def test_photos_and_saved_ascents_of_any_caller(network, caller):
    start = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = climb(network, steps=5, start=start)
    with CALLERS[caller]():
        part = climb(network, steps=2, start=start * 1)
        found = climb(network, steps=5, start=start * 1, resume=part, photos=[start * 1])
    assert alike(found, expected)
    assert len(found.strongest) == 1


def test_global_random_states_are_untouched(way, network):
    torch.manual_seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    first = climb(network.train(), way=way)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]
    torch.manual_seed(6)
    again = climb(network, way=way)
    assert torch.equal(first.drawn, again.drawn)


def test_images_do_not_hang_on_the_default_dtype(way, network):
    expected = climb(network, way=way)
    torch.set_default_dtype(torch.float64)
    try:
        found = climb(network, way=way)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.images.dtype == torch.float32
    assert alike(found, expected)


@pytest.mark.parametrize("default", DEVICES)
def test_images_do_not_hang_on_the_default_device(way, network, default):
    expected = climb(network, [0, 2], way)
    network.to(DEVICES[-1])
    torch.set_default_device(default)
    try:
        found = climb(network, [0, 2], way)
    finally:
        torch.set_default_device(None)
    assert found.images.device.type == "cpu"
    assert alike(found, expected, 0.02)


# Batches ---------------------------------------------------------------------------------------------------------


def goals(network):
    kind = "convolutions" if hasattr(network, "stem") else "tokens"
    return [Class(0), Class(2) - 0.5 * Class(1), Unit(LAYERS[kind], 3), Layer(LAYERS[kind])]


@pytest.mark.parametrize("views", [1, 3])
def test_a_batch_equals_its_images_one_by_one(way, network, views):
    together = climb(network, goals(network), way, views=views)
    for i, goal in enumerate(goals(network)):
        alone = climb(network, goal, way, views=views)
        assert (together.drawn[i] - alone.drawn[0]).abs().max() <= 1e-4
        assert np.allclose(together.history[:, i], alone.history[:, 0], rtol=1e-3, atol=1e-3)
        assert torch.allclose(together.scores[i], alone.scores[0], rtol=1e-3, atol=1e-3)


def test_the_k_th_of_a_count_is_the_one_that_its_own_seed_gives(way, network):
    together = climb(network, [1, 3], way, count=3, seed=4)
    assert len(together) == 6
    for row, goal in enumerate((1, 3)):
        for k in range(3):
            alone = climb(network, goal, way, seed=4 + k)
            assert (together.drawn[3 * row + k] - alone.drawn[0]).abs().max() <= 1e-4
            assert together.labels[3 * row + k] == alone.labels[0]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_chunks_make_no_difference(way, network, batch_size):
    expected = climb(network, goals(network), way, count=2, views=2)
    assert alike(climb(network, goals(network), way, batch_size=batch_size, count=2, views=2), expected)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_images_that_are_compared_go_through_together(network, batch_size):
    kind = "convolutions" if hasattr(network, "stem") else "tokens"
    goal = Class(1) + Diversity(LAYERS[kind]) + Alignment(LAYERS[kind])
    expected = climb(network, goal, way="pixels", count=3)
    assert alike(climb(network, goal, way="pixels", batch_size=batch_size, count=3), expected)


def test_the_same_seed_gives_the_same_to_the_bit(way, network):
    one, again = (climb(network, [0, 2], way, seed=7) for _ in range(2))
    assert torch.equal(one.drawn, again.drawn)
    assert np.array_equal(one.history, again.history)
    assert one.provenance == again.provenance
    assert not torch.equal(one.drawn, climb(network, [0, 2], way, seed=8).drawn)


def test_a_frozen_network_gives_the_same(way, network):
    expected = climb(network, way=way)
    assert alike(climb(network.requires_grad_(False), way=way), expected)


def test_nothing_is_written_into_what_was_given(network):
    start = torch.rand(3, 8, 12, generator=torch.Generator().manual_seed(0))
    vector = torch.ones(8)
    before = start.clone(), vector.clone()
    layer = LAYERS["convolutions" if hasattr(network, "stem") else "tokens"]
    climb(network, sl.targets.Direction(layer, vector, power=1), "pixels", start=start, photos=[start])
    assert torch.equal(start, before[0])
    assert torch.equal(vector, before[1])


def test_threads_that_share_a_network_get_what_each_gets_alone():
    jobs = [("pixels", [0, 1]), ("fourier", [2]), ("transparent phase", [3, 4])]
    alone = [climb(built(), goal, name) for name, goal in jobs]
    network, barrier = lived_in(built().train()), threading.Barrier(3)
    before = condition(network)

    def run(job):
        barrier.wait()
        model = sl.wrap(network, input_size=(8, 12), mean=0.5, std=0.25, resize="squash")
        return sl.visualize(model, job[1], 3, **PLAIN | WAYS[job[0]] | {"patience": 0})

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(run, jobs))
    assert condition(network) == before
    assert all(alike(one, expected) for one, expected in zip(together, alone, strict=True))

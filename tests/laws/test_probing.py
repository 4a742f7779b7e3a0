"""Probes, evidence and sweeps borrow a network as methods do: its owner finds it as it was, whatever happened."""

import warnings
from contextlib import suppress

import numpy as np
import pytest
from zoo import CALLERS, SEEDS, Answering, FailsAt, OddError, built, condition, lived_in

import sightline as sl

PHOTO = np.random.default_rng(0).random((8, 12, 3), np.float32)
BOX = (2, 2, 6, 5)
EDITS = ("remove", "keep", "move", "grey", "blur")
PIECES = np.arange(96).reshape(8, 12) // 16
ASKED = {
    "probe": lambda model, **more: sl.probe(
        model, PHOTO, BOX, ("remove", "keep", "move", "grey"), controls=9, **more
    ),
    "evidence": lambda model, **more: sl.evidence(model, PHOTO, segments=PIECES, **more),
    "sweep": lambda model, **more: sl.sweep(model, PHOTO, BOX, steps=3, soft=0.7, **more),
}


def model_of(network):
    return sl.wrap(network, input_size=(8, 12), mean=0.5, std=0.25, resize="squash")


def ask(verb, network, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return ASKED[verb](model_of(network), **more)


@pytest.fixture(params=ASKED)
def verb(request):
    """Each verb that probes in turn."""
    return request.param


@pytest.mark.parametrize("caller", CALLERS)
def test_leaves_the_network_as_found(verb, network, caller):
    before = condition(lived_in(network))
    with CALLERS[caller]():
        first, again = ask(verb, network), ask(verb, network)
    assert condition(network) == before
    assert first.provenance == again.provenance


@pytest.mark.parametrize("call", [1, 2, 3, 5])
@pytest.mark.parametrize("error", [OddError, KeyboardInterrupt])
def test_leaves_the_network_as_found_when_it_fails_on_the_way(verb, network, call, error):
    failing = lived_in(Answering(network, FailsAt(call, error("on the way"))).requires_grad_(True))
    before = condition(failing)
    with pytest.raises(error, match="on the way"):
        ask(verb, failing)
    assert condition(failing) == before
    assert failing.change.calls == call


def test_leaves_the_network_as_found_when_an_edit_or_a_fill_fails(network):
    class Broken(sl.edits.Edit):
        def __call__(self, world):
            raise OddError

        def becomes(self, world):
            return 1 - world.pixels

        def stake(self, world):
            return world.pixels

        def __str__(self):
            return "broken"

    def paint(photo, hidden):
        if hidden.sum() > 12:
            raise OddError
        return photo

    before = condition(lived_in(network))
    for options in ({"edits": Broken()}, {"fill": paint}, {"target": 99}):
        with pytest.raises((OddError, sl.TargetError)):
            sl.probe(model_of(network), PHOTO, BOX, **options)
        assert condition(network) == before


def test_leaves_the_network_as_found_when_progress_is_stopped(verb, network):
    def stop(_images):
        raise KeyboardInterrupt

    before = condition(lived_in(network))
    with suppress(KeyboardInterrupt):
        ask(verb, network, progress=stop)
    assert condition(network) == before


def test_the_caller_s_modes_make_no_difference(verb, network):
    expected = ask(verb, network).provenance
    for caller in CALLERS.values():
        with caller():
            assert ask(verb, network).provenance == expected


def test_a_training_network_is_probed_as_it_answers():
    """Dropout off, batch norm by its statistics: what `eval` gives."""
    for kind in SEEDS:
        network = built(kind)
        expected = ask("probe", network)
        found = ask("probe", network.train())
        assert network.training
        for edit, effect in expected.effect.items():
            assert found.effect[edit].change == pytest.approx(effect.change, abs=1e-6)
            assert np.array_equal(found.effect[edit].controls, effect.controls)

"""Verbs over many photos borrow a network as methods do: its owner finds it as it was, whatever happened."""

import warnings
from contextlib import suppress

import numpy as np
import pytest
from zoo import CALLERS, Answering, FailsAt, OddError, condition, lived_in

import sightline as sl

PHOTOS = list(np.random.default_rng(0).random((10, 8, 12, 3), np.float32))
ASKED = {
    "top_photos": lambda model, **more: sl.top_photos(model, PHOTOS, None, [1, 4], count=3, **more),
    "concepts": lambda model, **more: sl.concepts(model, PHOTOS, count=2, **more),
    "tcav": lambda model, **more: sl.tcav(model, PHOTOS[:3], PHOTOS[3:], PHOTOS[:5], 2, runs=2, controls=19, **more),
}


def ask(verb, network, batch_size=None, **more):
    model = sl.wrap(network, input_size=(8, 12), mean=0.5, std=0.25, resize="squash", batch_size=batch_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return ASKED[verb](model, **more)


@pytest.fixture(params=ASKED)
def verb(request):
    """Each verb over many photos in turn."""
    return request.param


@pytest.mark.parametrize("caller", CALLERS)
def test_leaves_the_network_as_found(verb, network, caller):
    before = condition(lived_in(network))
    with CALLERS[caller]():
        first, again = ask(verb, network), ask(verb, network)
    assert condition(network) == before
    assert first.provenance == again.provenance


def test_the_caller_s_modes_make_no_difference(verb, network):
    expected = ask(verb, network).provenance
    for caller in CALLERS.values():
        with caller():
            assert ask(verb, network).provenance == expected


@pytest.mark.parametrize("call", [1, 2, 3, 4])
@pytest.mark.parametrize("error", [OddError, KeyboardInterrupt])
def test_leaves_the_network_as_found_when_it_fails_on_the_way(verb, network, call, error):
    failing = lived_in(Answering(network, FailsAt(call, error("on the way"))).requires_grad_(True))
    before = condition(failing)
    with suppress(error):
        ask(verb, failing, batch_size=4)
    assert condition(failing) == before
    assert failing.change.calls >= call


def test_leaves_the_network_as_found_when_progress_is_stopped(verb, network):
    def stop(_images):
        raise KeyboardInterrupt

    before = condition(lived_in(network))
    with pytest.raises(KeyboardInterrupt):
        ask(verb, network, progress=stop)
    assert condition(network) == before


def test_leaves_the_network_as_found_when_it_is_asked_for_what_is_not_there(network):
    before = condition(lived_in(network))
    model = sl.wrap(network, input_size=(8, 12), mean=0.5, std=0.25)
    for error, asked in (
        (sl.TargetError, lambda: sl.top_photos(model, PHOTOS, None, 99)),
        (sl.OptionError, lambda: sl.concepts(model, PHOTOS, count=99)),
        (sl.TargetError, lambda: sl.tcav(model, PHOTOS[:3], PHOTOS[3:], PHOTOS[:5], 99)),
        (sl.PhotoError, lambda: sl.concepts(model, [])),
    ):
        with pytest.raises(error):
            asked()
        assert condition(network) == before


@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_the_batch_size_makes_no_difference(verb, network, batch_size):
    one, other = ask(verb, network).provenance, ask(verb, network, batch_size=batch_size).provenance
    assert near(one, other)


def near(one, other):
    """Whether plain values are the same up to rounding, the batch size itself aside."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(near(one[k], other[k]) for k in one if k != "batch_size")
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(near, one, other))
    return other == (pytest.approx(one, rel=1e-3, abs=1e-5) if isinstance(one, float) else one)


def test_what_it_says_of_itself_is_plain(verb, network):
    import json

    json.dumps(ask(verb, network).provenance, allow_nan=False)

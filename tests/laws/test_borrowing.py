"""A network is borrowed: whatever happened inside, its owner finds it exactly as it was."""

import gc
import weakref
from contextlib import suppress

import pytest
import torch
from torch import nn
from zoo import RELU, Answering, alike, built, condition, explained, lived_in, pictures

import sightline as sl


class OddError(Exception):
    """An error that only the network's owner knows."""


class FailsAt(nn.Module):
    """Passes images on, and raises at its n-th call."""

    def __init__(self, call, error):
        super().__init__()
        self.calls, self.call, self.error = 0, call, error

    def forward(self, x):
        self.calls += 1
        if self.calls == self.call:
            raise self.error
        return x


def test_leaves_the_network_as_found(method, network, images):
    before = condition(lived_in(network))
    explained(network, images, method=method)
    explained(network, images, [0, 1, 2], method=method, seed=3)
    assert condition(network) == before


@pytest.mark.parametrize("caller", [torch.no_grad, torch.inference_mode])
def test_leaves_the_network_as_found_to_callers_without_gradients(method, network, images, caller):
    before = condition(lived_in(network))
    with caller():
        explained(network, images, method=method)
    assert condition(network) == before


def test_leaves_the_network_as_found_after_a_target_that_does_not_exist(method, network, images):
    before = condition(lived_in(network))
    with pytest.raises(sl.TargetError, match="99 does not exist; the network has 5"):
        explained(network, images, 99, method=method)
    assert condition(network) == before


@pytest.mark.parametrize("call", [1, 2, 3, 4])
@pytest.mark.parametrize("error", [OddError, KeyboardInterrupt])
def test_leaves_the_network_as_found_when_it_fails_on_the_way(method, network, images, call, error):
    failing = lived_in(Answering(network, FailsAt(call, error("on the way"))).requires_grad_(True))
    before = condition(failing)
    with suppress(error):  # the pass that fails may not come, and a started run survives an interrupt
        explained(failing, images, method=method)
    assert condition(failing) == before
    assert failing.change.calls >= min(call, 2), "the network was asked at all"


def test_errors_of_the_network_are_not_swallowed(method, network, images):
    failing = Answering(network, FailsAt(1, OddError("mine")))
    with pytest.raises(OddError, match="mine"):
        explained(failing, images, method=method)


def test_an_interrupt_before_the_first_heat_goes_through(method, network, images):
    failing = Answering(network, FailsAt(2, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        explained(failing, images, method=method)


def test_leaves_a_network_of_inference_tensors_as_found(method, images):
    with torch.inference_mode():
        network = built()
    before = condition(network)
    explained(network, images, method=method)
    assert condition(network) == before


def test_the_network_trains_on_after_being_explained(method, images):
    network, twin = built().train(), built().train()
    optimizer, other = (torch.optim.SGD(n.parameters(), 0.1) for n in (network, twin))
    for step in range(2):
        explained(network, images, method=method)
        for one, climber in ((network, optimizer), (twin, other)):
            torch.manual_seed(step)
            climber.zero_grad()
            one(images).square().sum().backward()
            climber.step()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))


def test_a_training_run_is_seen_at_the_next_call(method, images):
    network = built()
    explained(network, images, method=method)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.3)
    fresh = built()
    fresh.load_state_dict(network.state_dict())
    assert alike(explained(network, images, method=method), explained(fresh, images, method=method))


def test_does_not_write_into_its_inputs(method, network, images):
    before = images.clone()
    explained(network, images, method=method)
    assert torch.equal(images, before)


@pytest.mark.parametrize("first", [nn.ReLU(inplace=True), nn.Hardtanh(-1, 1, inplace=True)])
def test_does_not_write_into_its_inputs_when_the_network_starts_in_place(method, images, first):
    if method in RELU:
        first = nn.ReLU(inplace=True)  # another kind of step they refuse
    before = images.clone()
    heat = explained(nn.Sequential(first, built()), images, method=method)
    assert torch.equal(images, before)
    gentle = nn.Sequential(type(first)(*([-1, 1] if isinstance(first, nn.Hardtanh) else [])), built())
    assert alike(heat, explained(gentle, images, method=method))


def test_a_network_is_not_kept_alive_by_having_been_explained(method):
    network = built()
    explained(network, pictures(), method=method)
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None

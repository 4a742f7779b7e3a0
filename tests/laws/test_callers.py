"""Nothing that a caller has switched on changes the heat, and the caller finds it switched as before."""

import random

import numpy as np
import pytest
import torch
from zoo import CALLERS, DEVICES, SEEDED, alike, built, explained, pictures


def switches():
    """All of torch's switches that a caller could find changed."""
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
    )


@pytest.mark.parametrize("caller", CALLERS)
def test_the_same_heat_whatever_the_caller_has_switched_on(method, network, images, caller):
    expected = explained(network, images, method=method)
    with CALLERS[caller]():
        before = switches()
        heat = explained(network, images, method=method)
        assert switches() == before
    assert heat.values.dtype == images.dtype
    assert alike(heat, expected)


def test_images_made_under_inference_mode(method, network, images):
    with torch.inference_mode():
        made = images * 1
    assert made.is_inference()
    assert alike(explained(network, made, method=method), explained(network, images, method=method))


def test_a_network_made_under_inference_mode(method, images):
    with torch.inference_mode():
        made = built()
    assert alike(explained(made, images, method=method), explained(built(), images, method=method))


def test_all_of_it_under_inference_mode(method, network, images):
    expected = explained(network, images, method=method)
    with torch.inference_mode():
        heat = explained(network, images * 1, method=method)
    assert alike(heat, expected)


def test_images_with_a_gradient_give_a_detached_heat(method, network, images):
    expected = explained(network, images, method=method)
    asking = images.clone().requires_grad_()
    heat = explained(network, asking * 1, method=method)
    again = explained(network, asking, method=method)
    assert not heat.values.requires_grad
    assert asking.grad is None
    assert alike(heat, expected)
    assert alike(again, expected)


def test_images_that_are_not_contiguous(method, network, images):
    strided = images.transpose(2, 3).contiguous().transpose(2, 3)
    last = images.contiguous(memory_format=torch.channels_last)
    expected = explained(network, images, method=method)
    assert alike(explained(network, strided, method=method), expected)
    assert alike(explained(network, last, method=method), expected)


def test_global_random_states_are_untouched(method, network, images):
    torch.manual_seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    explained(network.train(), images, method=method)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]


def test_the_heat_does_not_hang_on_global_random_states(method, network, images):
    heats = []
    for state in (1, 2):
        torch.manual_seed(state)
        heats.append(explained(network, images, method=method))
    assert torch.equal(heats[0].values, heats[1].values)


@pytest.mark.parametrize("method", SEEDED)
def test_the_heat_does_not_hang_on_the_default_dtype(method, network, images):
    options = {"baseline": "noise"} if method == "integrated-gradients" else {}
    expected = explained(network, images, method=method, **options)
    torch.set_default_dtype(torch.float64)
    try:
        heat = explained(network, images, method=method, **options)
    finally:
        torch.set_default_dtype(torch.float32)
    assert alike(heat, expected)


@pytest.mark.parametrize("default", DEVICES)
@pytest.mark.parametrize("theirs", DEVICES)
def test_images_on_another_device_than_the_network(method, network, images, default, theirs):
    expected = explained(network, images, method=method)
    network.to(DEVICES[-1])
    torch.set_default_device(default)
    try:
        heat = explained(network, images.to(theirs), method=method)
    finally:
        torch.set_default_device(None)
    assert heat.values.device.type == theirs
    assert alike(heat, expected, 1e-3)


def test_pictures_of_another_size_come_through_the_same_network(method):
    network = built()
    for size in ((8, 12), (12, 8), (16, 16), (8, 12)):
        heat = explained(network, pictures(2, size=size), method=method)
        assert heat.values.shape[2:] == size
        assert alike(heat, explained(built(), pictures(2, size=size), method=method))

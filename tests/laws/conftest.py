"""Fixtures of the laws: every small network, and images for it."""

import pytest
import torch
from zoo import METHODS, NETWORKS, built, pictures


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(params=sorted(NETWORKS))
def network(request):
    """Each small network in turn."""
    return built(request.param)


@pytest.fixture(params=METHODS)
def method(request):
    """Each method of the catalog in turn."""
    return request.param


@pytest.fixture
def images():
    """Three images for the small networks."""
    return pictures()

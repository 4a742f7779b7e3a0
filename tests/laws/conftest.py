"""Fixtures of the laws: every small network, and images for it."""

import pytest
import torch
from zoo import ANY_TARGET, LINEAR_HEAD, METHODS, NETWORKS, built, pictures


def pytest_collection_modifyitems(config, items):
    """What a method refuses is no case for its laws: heads that are not linear, targets that are no class."""
    fits, misfits = [], []
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        method = params.get("method")
        apart = method in LINEAR_HEAD and params.get("network") == "tokens"
        apart = apart or (method in METHODS and method not in ANY_TARGET and _no_class(params.get("target")))
        (misfits if apart else fits).append(item)
    config.hook.pytest_deselected(items=misfits)
    items[:] = fits


def _no_class(target):
    return callable(target) or (isinstance(target, list) and not all(isinstance(one, int) for one in target))


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

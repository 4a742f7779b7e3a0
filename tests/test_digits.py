"""The digits of the docs: a person reads them, the network is sure of them, and another network reads them too."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def digits():
    spec = importlib.util.spec_from_file_location("digits", ROOT / "docs" / "digits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def networks(digits):
    return digits.trained(seed=1), digits.trained(seed=0)


@pytest.fixture(scope="module")
def drawn(digits, networks):
    return digits.drawn(networks[0])


def test_the_network_is_sure_of_each_and_another_reads_them_too(digits, networks, drawn):
    images, labels = digits.digits()
    for network in networks:
        assert (digits.answers(network, images).argmax(1) == labels).float().mean() > 0.97
    assert drawn.images.shape == (10, 1, digits.SIDE, digits.SIDE)
    mine, other = (digits.answers(network, drawn.images) for network in networks)
    assert mine.diagonal().min() > 0.99
    assert (other.argmax(1) == torch.arange(10)).sum() >= 8
    first = [said[0] for said in drawn.predictions]
    assert [one.label for one in first] == list("0123456789")
    assert min(one.probability for one in first) > 0.99


def test_they_look_like_handwritten_ones(digits, drawn):
    """Of all real digits those most like each image, by the cosine of its pixels, are mostly of its own kind."""
    images, labels = digits.digits()
    alike = F.normalize(drawn.images.flatten(1)) @ F.normalize(images.flatten(1)).T
    nearest = labels[alike.topk(5, dim=1).indices].mode(dim=1).values
    assert (nearest == torch.arange(10)).sum() >= 8

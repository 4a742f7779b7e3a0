"""Memory: an explanation leaves none behind, and makes do with what there is."""

import os
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from zoo import alike, built, condition, explained, fewer, pictures

import sightline as sl


class Cramped(nn.Module):
    """A network in whose memory two images have room."""

    def __init__(self, network, error, room=2):
        super().__init__()
        self.network, self.error, self.room = network, error, room

    def forward(self, images):
        if len(images) > self.room:
            raise self.error
        return self.network(images)


FULL = {
    "torch": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    "the CPU": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B."),
    "a CPU of another make": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 B."),
    "Python": MemoryError(),
}


@pytest.mark.parametrize("full", FULL)
@pytest.mark.parametrize("count", [3, 5])
def test_out_of_memory_goes_on_with_fewer_images_at_once_and_says_so(method, full, count):
    network, images, wanted = built(), pictures(count), list(range(count))
    cramped = Cramped(network, FULL[full])
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        heat = sl.attribute(cramped, images, wanted, method=method, **fewer(method))
    found = [one for one in heat.warnings if one.code == "out-of-memory"]
    assert len(found) == 1
    assert "did not fit into memory" in found[0].message
    assert found[0].message in [str(one.message) for one in issued if one.category is sl.SightlineWarning]
    assert alike(heat, explained(network, images, wanted, method=method))


def test_out_of_memory_with_one_image_is_the_caller_s_to_solve(method, network, images):
    cramped = Cramped(network, FULL["torch"], room=0)
    before = condition(cramped)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        explained(cramped, images, method=method)
    assert condition(cramped) == before


def test_another_error_is_not_taken_for_a_lack_of_memory(method, network, images):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        explained(Cramped(network, RuntimeError("mat1 and mat2 shapes cannot be multiplied")), images, method=method)


def resident():
    """Megabytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc")
@pytest.mark.parametrize("method", ["saliency", "grad-cam"])
def test_a_thousand_more_explanations_take_no_more_memory(method):
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)
    )
    images = pictures(1, size=(32, 32)).abs()
    for _ in range(50):
        explained(network, images, 1, method=method)
    before = resident()
    for _ in range(1000):
        explained(network, images, 1, method=method)
    assert resident() - before < 20

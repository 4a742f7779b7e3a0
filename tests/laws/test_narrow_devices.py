"""Devices without float64, as Apple's: every method still runs, and gives the same map in float32."""

import pytest
import torch

import sightline as sl
from sightline.core import precision


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu, self.head = torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.ReLU(), torch.nn.Linear(6, 4)

    def forward(self, images):
        return self.head(self.relu(self.conv(images)).mean((2, 3)))


OPTIONS = {"rise": {"precision": 0.5}, "occlusion": {"window": 4}}


@pytest.mark.filterwarnings("ignore::sightline.SightlineWarning")
@pytest.mark.parametrize("method", [one.id for one in sl.methods()])
def test_a_map_without_float64_is_the_same_map(method, monkeypatch):
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    options = OPTIONS.get(method, {})
    wide = sl.attribute(Small(), images, 1, method, **options)
    monkeypatch.setattr(precision, "NARROW", ("cpu",))
    narrow = sl.attribute(Small(), images, 1, method, **options)
    assert narrow.values.dtype == torch.float32
    assert torch.allclose(narrow.values, wide.values, rtol=0, atol=2e-3 * float(wide.values.abs().max()))

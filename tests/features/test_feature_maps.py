"""Which channels of a layer answer most, and layers that hold nothing of one photo."""

import pytest
import torch
from torch import nn

import sightline as sl
from sightline.core.errors import LayerError
from sightline.features.maps import shown, strength, strongest_first


def test_strength_is_the_mean_of_what_is_above_zero():
    maps = torch.tensor([[[-4.0, 2.0], [0.0, 2.0]], [[3.0, 0.0], [0.0, 0.0]], [[-1.0, -1.0], [-1.0, -1.0]]])
    assert strength(maps).tolist() == [1.0, 0.75, 0.0]


def test_a_number_stands_for_itself():
    assert strength(torch.tensor([-2.0, 3.0])).tolist() == [-2.0, 3.0]
    assert strength(torch.tensor([-2.0, 3.0])[:, None, None]).tolist() == [-2.0, 3.0]


def test_the_strongest_come_first_and_equals_in_their_order():
    assert strongest_first(torch.tensor([0.0, 2.0, 0.0, 5.0, 2.0])) == (3, 1, 4, 0, 2)


class Odd(nn.Module):
    """A layer that mixes up its images, and one that puts out a stack that is no map."""

    def __init__(self):
        super().__init__()
        self.mixed, self.stack = nn.Identity(), nn.Identity()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        x = self.conv(images)
        self.mixed(x.flatten(0, 1).flatten(1))
        return self.stack(x.mean(3)[..., None].repeat(1, 1, 1, 1)[:, :, :5, 0]).mean(2)


@pytest.mark.parametrize(("layer", "shape"), [("mixed", r"\(8, 60\)"), ("stack", r"\(2, 4, 5\)")])
def test_what_is_neither_a_map_nor_a_vector_is_refused(layer, shape):
    images = torch.randn(2, 3, 8, 12)
    model = sl.wrap(Odd(), input_size=(8, 12), mean=0.5, std=0.5)
    with (
        model.lend(images) as net,
        pytest.raises(LayerError, match=f"'{layer}' puts out {shape} for 2 photos: neither"),
    ):
        shown(net, images, layer)

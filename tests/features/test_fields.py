"""Receptive fields against those known on paper."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from sightline.core.errors import LayerError
from sightline.features.fields import field_of
from sightline.network.net import lend
from sightline.targets import Unit

SIDE = 32


def picture(size=(SIDE, SIDE), seed=0):
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed))


def field(network, layer, channel=0, at=None, image=None):
    image = picture() if image is None else image
    with lend(network.eval(), image[None]) as net:
        return field_of(net, image, Unit(layer, channel, at))


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def stack(*parts, channels=4):
    """The parts with a head behind them."""
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))


def readable(kinds, size=SIDE):
    """Sizes of the maps along one axis, by the formula of a window; None where one would be empty."""
    sizes = [size]
    for _, kernel, stride, pad, dilation in kinds:
        sizes.append((sizes[-1] + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1)
    return sizes if min(sizes) >= 1 else None


def on_paper(kinds, at, sizes):
    """Along one axis the first and the last pixel that a position depends on, window by window."""
    seen = {at}
    for (_, kernel, stride, pad, dilation), size in zip(reversed(kinds), reversed(sizes[:-1]), strict=True):
        reads = {i * stride - pad + dilation * j for i in seen for j in range(kernel)}
        seen = {place for place in reads if 0 <= place < size}
    return (min(seen), max(seen) + 1) if seen else None


windows = st.tuples(
    st.sampled_from(("conv", "conv", "max")),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 2),
).map(lambda one: (*one[:3], min(one[3], one[1] // 2), one[4]))


@settings(max_examples=60, deadline=None)
@given(st.lists(windows, min_size=1, max_size=4), st.data())
def test_the_field_of_a_stack_is_the_one_on_paper(kinds, data):
    sizes = readable(kinds)
    if sizes is None:
        return
    layers, width = [], 3
    for kind, kernel, stride, pad, dilation in kinds:
        if kind == "max":
            layers.append(nn.MaxPool2d(kernel, stride, pad, dilation))
        else:
            layers += [nn.Conv2d(width, 4, kernel, stride, pad, dilation), nn.ReLU()]
            width = 4
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2))
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)))
    y, x = (data.draw(st.integers(0, sizes[-1] - 1)) for _ in range(2))
    down, across = on_paper(kinds, y, sizes), on_paper(kinds, x, sizes)
    expected = None if down is None or across is None else (across[0], down[0], across[1], down[1])
    assert field(network, str(len(layers) - 1), width - 1, (y, x)) == expected


def test_two_convolutions_of_three_see_five_pixels():
    network = stack(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
    assert field(network, "2", 1, (10, 20)) == (18, 8, 23, 13)
    assert field(network, "2", 1, (0, 31)) == (29, 0, 32, 3)  # cut off at the edge


def test_the_box_is_not_turned_over_where_the_picture_is_not_square():
    network = stack(nn.Conv2d(3, 4, (3, 5), padding=(1, 2)))
    assert field(network, "0", 0, (4, 30), picture((16, 40))) == (28, 3, 33, 6)


def test_a_unit_that_is_off_in_the_picture_has_its_field_all_the_same():
    conv = nn.Conv2d(3, 1, 3)
    with torch.no_grad():
        conv.bias.fill_(-100)
    network = stack(conv, nn.ReLU(), channels=1)
    assert field(network, "1", 0, (5, 5)) == (5, 5, 8, 8)


def test_a_max_pooling_is_seen_in_full_also_when_one_pixel_wins_in_every_image():
    class Peaked(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool, self.head = nn.MaxPool2d(4), nn.Linear(64, 2)
            self.register_buffer("peak", torch.zeros(SIDE, SIDE))
            self.peak[9::4, 9::4] = 100

        def forward(self, images):
            return self.head(self.pool((images + self.peak).mean(1, keepdim=True)).flatten(1))

    network = Peaked()
    assert field(network, "pool", 0, (2, 2)) == (8, 8, 12, 12)


def test_channels_of_one_layer_may_see_differently():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.near, self.far = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 7, padding=3)
            self.both, self.head = nn.Identity(), nn.Linear(4, 2)

        def forward(self, images):
            return self.head(self.both(torch.cat([self.near(images), self.far(images)], 1)).mean((2, 3)))

    network = Branches()
    assert field(network, "both", 0, (9, 9)) == (9, 9, 10, 10)
    assert field(network, "both", 3, (9, 9)) == (6, 6, 13, 13)


@pytest.mark.parametrize("part", [nn.GroupNorm(1, 4), nn.AdaptiveMaxPool2d(1), nn.AdaptiveAvgPool2d(1)])
def test_what_looks_everywhere_sees_everything(part):
    network = stack(nn.Conv2d(3, 4, 3, padding=1), part)
    assert field(network, "1", 2, (0, 0)) == (0, 0, SIDE, SIDE)


def test_a_layer_without_a_map_sees_everything():
    network = stack(nn.Conv2d(3, 4, 3, padding=1))
    assert field(network, "3", 1) == (0, 0, SIDE, SIDE)


def test_a_unit_that_nothing_moves_has_no_field():
    conv = nn.Conv2d(3, 2, 3)
    with torch.no_grad():
        conv.weight[1] = 0
    network = stack(conv, channels=2)
    assert field(network, "0", 1, (3, 3)) is None


def test_attention_sees_everything_and_patches_see_themselves():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 8, 8)
            self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
            self.head = nn.Linear(8, 2)

        def forward(self, images):
            return self.head(self.block(self.patches(images).flatten(2).transpose(1, 2)).mean(1))

    network = Tokens()
    assert field(network, "patches", 0, (1, 2)) == (16, 8, 24, 16)
    assert field(network, "block", 0, (1, 2)) == (0, 0, SIDE, SIDE)


def test_the_field_s_pooling_changes_no_answer():
    from sightline.features.fields import _AllOfAPool

    image = picture()[None].requires_grad_()
    for pool in (nn.MaxPool2d(3, 2, 1), nn.AdaptiveMaxPool2d(5), lambda x: F.max_pool2d(x, 2, ceil_mode=True)):
        with _AllOfAPool():
            found = pool(image)
        assert torch.equal(found, pool(image))


def test_a_signal_has_no_box():
    network = nn.Sequential(nn.Conv1d(2, 4, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2))
    signal = torch.rand(2, 30)
    with lend(network, signal[None]) as net, pytest.raises(LayerError, match=r"pictures \(C, h, w\)"):
        field_of(net, signal, Unit("0", 0))

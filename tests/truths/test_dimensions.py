"""Signals, pictures and volumes of any number of channels: the same maths in one, two and three dimensions."""

import pytest
import torch
from by_hand import LAYER, METHODS, close, fixed, gradient, pictures, quietly
from torch import nn
from torch.nn import functional as F

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
SIZE = {1: (24,), 2: (8, 12), 3: (4, 6, 8)}
MODE = {1: "linear", 2: "bilinear", 3: "trilinear"}


def conv_net(dims, channels=3, stride=2):
    """Two convolutions, the second shrinking, then CAM's average and linear layer."""
    return fixed(
        nn.Sequential(
            CONV[dims](channels, 5, 3, padding=1),
            nn.ReLU(inplace=True),
            CONV[dims](5, 6, 3, stride=stride, padding=1),
            nn.ReLU(inplace=True),
            POOL[dims](1),
            nn.Flatten(),
            nn.Linear(6, 4),
        )
    )


def lifted(network, dims):
    """A network of `dims` dimensions as one of a dimension more, whose new first axis has one cell."""
    layers = []
    for layer in network:
        if isinstance(layer, CONV[dims]):
            kernel = layer.weight.detach()
            widths = layer.in_channels, layer.out_channels
            twin = CONV[dims + 1](*widths, (1, *layer.kernel_size), (1, *layer.stride), (0, *layer.padding))
            twin.weight, twin.bias = nn.Parameter(kernel[:, :, None]), nn.Parameter(layer.bias.detach())
            layers.append(twin)
        else:
            layers.append(POOL[dims + 1](1) if isinstance(layer, POOL[dims]) else layer)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("channels", [1, 3, 7])
def test_a_flat_axis_more_changes_nothing(method, dims, channels):
    network, images = conv_net(dims, channels, stride=1), pictures(2, channels, SIZE[dims])
    layer = "3" if method in LAYER else None
    plain = quietly(network, images, [0, 3], method=method, layer=layer)
    more = quietly(lifted(network, dims), images[:, :, None], [0, 3], method=method, layer=layer)
    assert plain.values.shape[2:] == SIZE[dims]
    assert close(plain.values, more.values[:, :, 0], 1e-4)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_grad_cam_is_cam_in_every_dimension(dims, channels):
    network, images = conv_net(dims, channels), pictures(2, channels, SIZE[dims])
    heat = quietly(network, images, 1, method="grad-cam")
    assert heat.layer == "3"
    acts = network[:4](images).detach()
    cam = (network[6].weight[1].detach().view(1, -1, *[1] * dims) * acts).sum(1, keepdim=True) / acts[0, 0].numel()
    assert close(heat.values, F.interpolate(cam, size=SIZE[dims], mode=MODE[dims], align_corners=False))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_saliency_and_paths_in_every_dimension(dims, channels):
    network, images = conv_net(dims, channels), pictures(2, channels, SIZE[dims])
    slope = gradient(images, lambda x: network(x)[:, 1])
    assert close(quietly(network, images, 1, method="saliency").values, slope)
    assert close(quietly(network, images, 1, method="input-x-gradient").values, slope * images)
    for baseline in ("black", "white", "mean", "blur", "noise", (0.5,) * channels):
        heat = quietly(network, images, 1, method="integrated-gradients", baseline=baseline, budget=400)
        assert heat.values.shape == images.shape
        assert bool((heat.gap <= 0.01).all())


class SignalTokens(nn.Module):
    """A transformer over a signal: patches as tokens (B, n, C), their mean, a head."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv1d(2, 8, 4, stride=4)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, signals):
        return self.head(self.block(self.patches(signals).transpose(1, 2)).mean(1))


def test_tokens_of_a_signal_lie_along_it():
    network, signals = fixed(SignalTokens()), pictures(2, 2, (24,))
    heat = quietly(network, signals, 1, method="grad-cam", layer="block")
    tokens = network.block(network.patches(signals).transpose(1, 2)).detach()
    cam = (tokens * network.head.weight[1].detach()).sum(2)[:, None] / tokens.shape[1]
    assert close(heat.values, F.interpolate(cam, size=24, mode="linear", align_corners=False))


@pytest.mark.parametrize("method", sorted(set(METHODS) - {*LAYER, "vargrad"}))  # whose noise has no range to go by
def test_a_picture_of_one_pixel(method):
    heat = quietly(conv_net(2, stride=1), pictures(2, 3, (1, 1)), 1, method=method)
    assert heat.values.any()
    assert bool(torch.isfinite(heat.values).all())

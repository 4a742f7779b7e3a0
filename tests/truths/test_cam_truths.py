"""Grad-CAM: the paper's formula, CAM where CAM is defined, and enlarged as PyTorch's bilinear is."""

import pytest
import torch
from by_hand import close, conv_net, enlarged, fixed, grad_cam, pictures, quietly
from torch import nn
from torch.nn import functional as F


def test_enlarging_by_hand_is_bilinear_without_aligned_corners():
    grid = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(grid[None, None], size=(8, 13), mode="bilinear", align_corners=False)[0, 0]
    assert close(enlarged(grid, (8, 13)), expected)


def test_grad_cam_is_cam_where_a_linear_layer_follows_the_average():
    network, images = conv_net(), pictures()
    heat = quietly(network, images, [1, 4], method="grad-cam")
    assert heat.layer == "3"
    acts = network[:4](images).detach()
    cells = acts[0, 0].numel()
    cam = torch.einsum("bc,bchw->bhw", network[6].weight[[1, 4]].detach(), acts)  # arXiv:1512.04150, equation 2
    expected = torch.stack([enlarged(one, (8, 12)) for one in cam])[:, None] / cells
    assert close(heat.values, expected)


def test_the_mean_of_the_unenlarged_cam_is_the_score_without_its_bias():
    network, images = conv_net(), pictures(size=(8, 8))
    network[2].stride = (1, 1)
    heat = quietly(network, images, 2, method="grad-cam")
    score = network(images)[:, 2] - network[6].bias[2]
    assert torch.allclose(heat.values.flatten(1).sum(1), score, rtol=1e-4)


LAYERS = {"0": 1, "1": 2, "2": 3, "3": 4}


@pytest.mark.parametrize("layer", LAYERS)
def test_grad_cam_is_its_formula_at_every_layer(layer):
    network, images = conv_net(), pictures()
    heat = quietly(network, images, 1, method="grad-cam", layer=layer)
    out_of_place = nn.Sequential(*(nn.ReLU() if isinstance(one, nn.ReLU) else one for one in network))
    below, above = out_of_place[: LAYERS[layer]], out_of_place[LAYERS[layer] :]
    assert close(heat.values, grad_cam(below, above, images, lambda scores: scores[:, 1]))
    assert heat.layer == layer
    assert heat.passes == (1, 1)


def test_grad_cam_where_weights_differ_from_place_to_place():
    network = fixed(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 96, 3)))
    images = pictures()
    expected = grad_cam(network[:2], network[2:], images, lambda scores: scores[:, 1] - scores[:, 0])
    heat = quietly(network, images, lambda scores: scores[:, 1] - scores[:, 0], method="grad-cam")
    assert close(heat.values, expected)


class Tokens(nn.Module):
    """Patches with a class token in front; the head reads the first token or the mean of the others."""

    def __init__(self, read):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 2, stride=2)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True)
        self.last = nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True)
        self.head = nn.Linear(8, 3)
        self.read = read

    def below(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        return self.block(torch.cat([x.new_zeros(len(x), 1, 8), x], 1))

    def above(self, tokens):
        x = self.last(tokens)
        return self.head(x[:, 0] if self.read == "class" else x[:, 1:].mean(1))

    def forward(self, images):
        return self.above(self.below(images))


@pytest.mark.parametrize("read", ["class", "mean"])
@pytest.mark.parametrize("size", [(8, 12), (8, 8), (6, 10)])
def test_tokens_become_a_grid_without_their_class_token(read, size):
    network, images = fixed(Tokens(read)), pictures(size=size)
    grid = (size[0] // 2, size[1] // 2)
    tokens = network.below(images)
    front = tokens[:, :1].detach()
    heat = quietly(network, images, 1, method="grad-cam", layer="block")

    def below(images):
        return network.below(images)[:, 1:].transpose(1, 2).reshape(len(images), 8, *grid)

    def above(acts):
        return network.above(torch.cat([front, acts.flatten(2).transpose(1, 2)], 1))

    assert close(heat.values, grad_cam(below, above, images, lambda scores: scores[:, 1]), 1e-4)


class ChannelsLast(nn.Module):
    """A map that lies (B, h, w, C), as Swin and ConvNeXt have it inside."""

    def __init__(self):
        super().__init__()
        self.stem, self.mix, self.head = nn.Conv2d(3, 5, 3, padding=1), nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, images):
        x = self.stem(images).relu().permute(0, 2, 3, 1)
        return self.head(self.mix(x).tanh().mean((1, 2)))


def test_a_map_with_its_channels_last():
    network, images = fixed(ChannelsLast()), pictures()
    heat = quietly(network, images, 2, method="grad-cam", layer="mix")

    def below(images):
        return network.mix(network.stem(images).relu().permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def above(acts):
        return network.head(acts.tanh().mean((2, 3)))

    assert close(heat.values, grad_cam(below, above, images, lambda scores: scores[:, 2]))

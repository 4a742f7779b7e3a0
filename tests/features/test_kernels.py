"""Kernels are the layer's own weights, whatever the layer: one per output, with the inputs that it reads."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import sightline as sl
from sightline.core.errors import LayerError
from sightline.features.weights import kernels_of, layers_with_kernels, maps_before, plane, strongest


@pytest.mark.parametrize(
    "layer",
    [nn.Conv1d(4, 6, 5), nn.Conv2d(3, 8, (3, 5)), nn.Conv3d(2, 3, (2, 3, 4)), nn.Conv2d(6, 12, 3, groups=3)],
    ids=["1-d", "2-d", "3-d", "grouped"],
)
def test_kernels_of_a_convolution_are_its_weights_in_order(layer):
    found = kernels_of(nn.Sequential(nn.ReLU(), layer), "1")
    assert torch.equal(found.values, layer.weight)
    assert found.kind == type(layer).__name__
    assert found.groups == layer.groups


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolutions_kernel_is_what_an_input_paints(groups):
    layer = nn.ConvTranspose2d(4, 6, 3, groups=groups, bias=False)
    found = kernels_of(layer, "").values
    assert found.shape == (6, 4 // groups, 3, 3)
    for channel in range(4):
        dot = F.one_hot(torch.tensor(channel), 4).float()[None, :, None, None]
        painted = layer(dot)[0]
        group, own = divmod(channel, 4 // groups)
        outputs = range(group * 6 // groups, (group + 1) * 6 // groups)
        for output in range(6):
            expected = found[output, own] if output in outputs else torch.zeros(3, 3)
            assert torch.allclose(painted[output], expected, atol=1e-6)


def test_a_linear_layer_is_a_matrix_or_templates_of_the_map_that_it_reads():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 8, 5))
    matrix = network[2].weight
    assert torch.equal(kernels_of(network, "2").values, matrix)
    templates = kernels_of(network, "2", [(3, 8, 10), (4, 6, 8)]).values
    image = torch.randn(1, 3, 8, 10)
    scores = (templates * network[0](image)).flatten(1).sum(1) + network[2].bias
    assert torch.allclose(scores, network(image)[0], atol=1e-5)


def test_kernels_are_a_copy_without_a_gradient():
    layer = nn.Conv2d(3, 4, 3)
    found = kernels_of(layer, "").values
    found.zero_()
    assert layer.weight.abs().sum() > 0
    assert not found.requires_grad


def test_weights_that_are_computed_are_had_as_they_are_used():
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    layer.parametrizations.weight.original0.data *= 2
    assert torch.equal(kernels_of(layer, "").values, layer.weight)


def test_half_precision_weights_come_as_float32():
    layer = nn.Conv2d(3, 4, 3).to(torch.bfloat16)
    found = kernels_of(layer, "").values
    assert found.dtype == torch.float32
    assert torch.equal(found.to(torch.bfloat16), layer.weight)


def test_layers_with_kernels_are_named_in_order():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    assert layers_with_kernels(network) == ("0", "2.1")
    assert layers_with_kernels(nn.Linear(2, 2)) == ("",)


def test_a_layer_without_kernels_is_refused_and_those_that_have_some_are_named():
    network = nn.ModuleDict({"stem": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4), "head": nn.Linear(4, 2)})
    with pytest.raises(LayerError, match=r"'norm', a BatchNorm2d, has no kernels; possible: head, stem\.$"):
        kernels_of(network, "norm")
    with pytest.raises(LayerError, match=r"no layer named 'stme'; did you mean 'stem'\? .*: stem, head\.$"):
        kernels_of(network, "stme")
    with pytest.raises(LayerError, match="ReLU has no layer with kernels, no convolution and no linear layer"):
        kernels_of(nn.ReLU(), "")
    with pytest.raises(LayerError, match="no layer named 3"):
        kernels_of(network, 3)


def test_a_block_is_refused_and_the_layers_inside_it_are_named():
    network = nn.ModuleDict({"block": nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), "head": nn.Linear(4, 2)})
    with pytest.raises(LayerError, match=r"'block', a Sequential, has no kernels; did you mean 'block.0'\?"):
        kernels_of(network, "block")


def test_weights_that_are_not_there_yet_are_refused():
    with pytest.raises(LayerError, match="has no weights yet: run the network once"):
        kernels_of(nn.LazyConv2d(4, 3), "")


def test_the_maps_before_a_layer_are_those_that_ran_the_last_first(traced):
    assert maps_before(traced, "head", (3, 8, 12)) == [(4, 4, 6), (4, 8, 12), (3, 8, 12)]
    assert maps_before(traced, "stem", (3, 8, 12)) == []
    assert maps_before(traced, "nowhere", (3, 8, 12)) == []


@pytest.fixture
def traced():
    layers = {"stem": nn.Conv2d(3, 4, 3, padding=1), "pool": nn.MaxPool2d(2), "flat": nn.Flatten()}
    network = nn.Sequential()
    for name, layer in (layers | {"head": nn.Linear(4 * 4 * 6, 5)}).items():
        network.add_module(name, layer)
    return sl.wrap(network, input_size=(8, 12), mean=0.5, std=0.5).traced()


def test_a_plane_keeps_every_weight():
    line, square = torch.arange(4.0), torch.arange(6.0).reshape(2, 3)
    assert torch.equal(plane(line), line[None])
    assert torch.equal(plane(square), square)
    solid = torch.arange(12.0).reshape(2, 2, 3)
    flat = plane(solid)
    assert flat.shape == (2, 7)
    assert torch.equal(flat[:, :3], solid[0])
    assert torch.equal(flat[:, 4:], solid[1])
    assert flat[:, 3].isnan().all()


def test_the_strongest_are_those_of_the_largest_norm_in_their_own_order():
    values = torch.tensor([[1.0, 0], [-3, 0], [0, 2], [2, 0]])[:, :, None]
    assert strongest(values, 2) == [1, 2]
    assert strongest(values, 9) == [0, 1, 2, 3]

"""Keras keeps its kernels the other way round: turned, they do in torch what the layer does in Keras."""

import pytest
import torch
from torch.nn import functional as F

import sightline as sl
from sightline.features.weights import kernels_of
from sightline.models.keras_import import torch_keras


def network(*layers):
    keras = torch_keras()
    model = keras.Sequential([keras.layers.Input((12, 12, 3)), *layers])
    return sl.wrap(model, mean=0.5, std=0.5)


def answer(model, images):
    with torch.no_grad():
        return model.network(images)


def images():
    return torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2D", "Conv2DTranspose"])
def test_a_turned_kernel_convolves_as_the_layer_does(kind):
    layers = torch_keras().layers
    made = {
        "Conv2D": lambda: layers.Conv2D(5, (3, 2), name="one"),
        "DepthwiseConv2D": lambda: layers.DepthwiseConv2D((3, 2), depth_multiplier=2, name="one"),
        "Conv2DTranspose": lambda: layers.Conv2DTranspose(5, (3, 2), name="one"),
    }
    model = network(made[kind]())
    kernels = kernels_of(model.network, "one")
    weight = kernels.values
    if kind == "Conv2DTranspose":  # torch has a transposed convolution's kernels in first
        expected = F.conv_transpose2d(images(), weight.transpose(0, 1))
    else:
        expected = F.conv2d(images(), weight, groups=3 if kind == "DepthwiseConv2D" else 1)
    assert kernels.kind == kind
    assert torch.allclose(answer(model, images()), expected, atol=1e-5)


def test_a_dense_layers_kernel_is_out_by_in():
    layers = torch_keras().layers
    model = network(layers.GlobalAveragePooling2D(name="pool"), layers.Dense(4, name="head"))
    weight = kernels_of(model.network, "head").values
    assert weight.shape == (4, 3)
    assert torch.allclose(answer(model, images()), images().mean((2, 3)) @ weight.T, atol=1e-5)


def test_the_first_layer_with_kernels_is_shown_in_colour():
    layers = torch_keras().layers
    model = network(layers.ReLU(name="relu"), layers.Conv2D(5, 3, name="conv"), layers.GlobalAveragePooling2D())
    shown = sl.filters(model)
    assert shown.layer == "conv"
    with pytest.raises(sl.LayerError, match="layer 'relu', a ReLU, has no kernels"):
        sl.filters(model, "relu")

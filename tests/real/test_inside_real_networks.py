"""Filters and responses of trained networks, against their files and plain hooks."""

import gallery
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import sightline as sl

V1 = gallery.V1


@pytest.fixture(scope="module")
def file(data):
    return load_file(data / "models" / f"{V1.file}.safetensors")


def test_filters_are_the_files_weights(model, file):
    first = sl.filters(model(V1))
    assert first.colours
    assert torch.equal(first.values, file[f"{first.layer}.weight"].float())
    depthwise = sl.filters(model(V1), "features.3.depthwise")
    assert depthwise.values.shape[1:] == (1, 3, 3)
    assert torch.equal(depthwise.values, file["features.3.depthwise.weight"].float())


@pytest.mark.parametrize("layer", ["features.0", "features.3.depthwise", "features.8", "features"])
def test_responses_are_what_a_plain_hook_sees(model, photos, layer):
    entry = model(V1)
    found = sl.responses(entry, photos["kitten"], layer)
    network, kept = gallery.network(V1), []
    network.get_submodule(layer).register_forward_hook(lambda *given: kept.append(given[-1]))
    with torch.no_grad():
        network(gallery.tensor(V1, photos["kitten"]))
    (expected,) = kept[0]
    assert torch.allclose(found.values, expected, atol=1e-4 * float(expected.abs().max()))


def test_the_first_layers_response_is_its_filters_laid_over_the_photo(model, photos):
    entry = model(V1)
    found = sl.responses(entry, photos["kitten"], "features.0.conv")
    layer = entry.network.get_submodule("features.0.conv")
    pixels = gallery.tensor(V1, photos["kitten"])
    padded = nn.functional.pad(pixels, (0, 1, 0, 1))  # as TensorFlow pads
    by_hand = nn.functional.conv2d(padded, sl.filters(entry).values, layer.bias.detach(), stride=2)[0]
    assert torch.allclose(found.values, by_hand, atol=1e-4)


def test_a_strong_channel_of_a_deep_layer_lies_on_the_kitten(model, photos):
    found = sl.responses(model(gallery.V2), photos["kitten"])
    maps = np.stack([found.map(channel) for channel in found.order[:36]])
    height, width = maps.shape[1:]
    inner = maps[:, :, width // 5 : width * 4 // 5].mean()
    assert inner > 1.3 * maps[:, : height // 12].mean(), "more on the animal than on the wall above it"

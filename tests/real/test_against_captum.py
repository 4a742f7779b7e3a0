"""The same numbers as Captum, an independent implementation, on real networks and photos."""

import copy
import warnings

import gallery
import pytest
import torch
from captum.attr import InputXGradient, LayerAttribution, LayerGradCam, Saliency

import sightline as sl

ALL = pytest.mark.parametrize("entry", gallery.ENTRIES, ids=str)


def captum(method, network, image, target):
    leaf = image.clone().requires_grad_()
    if method == "saliency":
        return Saliency(network).attribute(leaf, target=target, abs=False).detach()
    if method == "input-x-gradient":
        return InputXGradient(network).attribute(leaf, target=target).detach()
    coarse = LayerGradCam(network, network.features[-1]).attribute(leaf, target=target)
    return LayerAttribution.interpolate(coarse.detach(), tuple(image.shape[2:]), "bilinear")


@ALL
@pytest.mark.parametrize("method", ["saliency", "input-x-gradient", "grad-cam"])
def test_explain_gives_captums_values_on_every_photo(model, photos, entry, method):
    results = sl.explain(model(entry), list(photos.values()), method=method)
    for path, ex in zip(photos.values(), results, strict=True):
        image = gallery.tensor(entry, path)
        top = int(model(entry).network(image).argmax())
        assert ex.target == sl.targets.Class(top)
        reference = captum(method, model(entry).network, image, top)[0]
        # A Model's weights are packed and round otherwise, which crosses the kink of a ReLU6 here and there, as any
        # float32 does: on these photos torch's own maps are up to 4.2e-2 of the maximum away from double precision's.
        assert (ex.values - reference).abs().max() <= 5e-2 * reference.abs().max(), path.stem
        assert torch.cosine_similarity(ex.values.double().flatten(), reference.double().flatten(), 0) > 0.9999


@ALL
@pytest.mark.parametrize("method", ["saliency", "input-x-gradient", "grad-cam"])
def test_attribute_gives_captums_values_for_a_class_that_was_not_predicted(model, photos, entry, method):
    """A batch, a class for each image, the plain network."""
    network = model(entry).network
    images = torch.cat([gallery.tensor(entry, path) for path in photos.values()])
    classes = list(range(100, 100 + 7 * len(images), 7))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)  # there is little for such classes, and that is said
        heat = sl.attribute(network, images, classes, method)
    reference = captum(method, network, images, classes)
    for ours, theirs in zip(heat.values, reference, strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@ALL
def test_a_model_s_prepared_weights_are_as_near_to_double_precision_as_the_plain_network(model, photos, entry):
    images = torch.cat([gallery.tensor(entry, path) for path in photos.values()])
    network = model(entry).network
    top = network(images).argmax(1).tolist()
    exact = sl.attribute(copy.deepcopy(network).double(), images.double(), top, "saliency").values
    size = exact.abs().flatten(1).amax(1)
    ours, plain = (
        (sl.attribute(one, images, top, "saliency").values - exact).abs().flatten(1).amax(1) / size
        for one in (model(entry), network)
    )
    assert ours.median() <= 2 * plain.median() + 1e-6
    assert ours.max() <= 2 * plain.max() + 1e-6


@ALL
def test_the_layer_that_nobody_named_is_the_last_convolution_before_the_pooling(model, photos, entry):
    network, image = model(entry).network, gallery.tensor(entry, photos["kitten"])
    unnamed = sl.attribute(network, image, 281, "grad-cam")
    named = sl.attribute(network, image, 281, "grad-cam", layer=f"features.{len(network.features) - 1}")
    assert network.get_submodule(unnamed.layer) is network.features
    assert torch.equal(unnamed.values, named.values)

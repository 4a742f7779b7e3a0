"""What the catalog says of methods that fail sanity checks (arXiv:1810.03292) holds on a trained network."""

import copy

import gallery
import pytest
import torch

import sightline as sl

METHODS = ["saliency", "grad-cam", "guided-backprop", "deconvnet"]


def with_another_head(network):
    """The network with a classifier drawn anew, of the same scale: it knows nothing any more."""
    other, dice = copy.deepcopy(network), torch.Generator().manual_seed(0)
    for parameter in other.classifier.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=dice) * parameter.std())
    return other


def ranked(values, method):
    heat = values.clamp_min(0)[:, 0] if method == "grad-cam" else values.abs().amax(1)
    ranks = heat.flatten(1).argsort(1).argsort(1).double()
    return ranks - ranks.mean(1, keepdim=True)


@pytest.mark.filterwarnings("ignore::sightline.SightlineWarning")
def test_guided_maps_stay_when_the_classifier_is_drawn_anew_and_others_do_not(model, photos):
    """Spearman's correlation of the maps before and after, over the nine photos: .99 and .94, .45 and -.07."""
    network = model(gallery.V1).network
    images = torch.cat([gallery.tensor(gallery.V1, path) for path in photos.values()])
    top = network(images).argmax(1).tolist()
    before, after = (sl.attribute(one, images, top, METHODS) for one in (network, with_another_head(network)))
    alike = {}
    for method in METHODS:
        a, b = (ranked(heats[method].values, method) for heats in (before, after))
        alike[method] = float(torch.cosine_similarity(a, b, 1).mean())
    assert alike["guided-backprop"] > 0.95
    assert alike["deconvnet"] > 0.9
    assert alike["saliency"] < 0.6
    assert abs(alike["grad-cam"]) < 0.3
    cautioned = [one.id for one in sl.methods() if one.caution and one.caution.code == "fails-sanity-check"]
    assert cautioned == ["guided-backprop", "deconvnet", "guided-grad-cam"]

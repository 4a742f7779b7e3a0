"""The layer that nobody named, for torchvision's networks: the last map before the pooling."""

import literal
import pytest
import torch
from torchvision import models

import sightline as sl

# An untrained network may well find only evidence against a class, and is right to say so.
pytestmark = pytest.mark.filterwarnings("ignore:every value is negative")

# name, the default layer, what the pooling is given (a module whose input is that very map), the map's size
CNNS = [
    ("resnet18", "layer4", "avgpool", (7, 7)),
    ("vgg11", "features", "avgpool", (7, 7)),
    ("densenet121", "features", None, (7, 7)),
    ("mobilenet_v2", "features", None, (7, 7)),
    ("mobilenet_v3_small", "features", "avgpool", (7, 7)),
    ("efficientnet_b0", "features", "avgpool", (7, 7)),
    ("convnext_tiny", "features", "avgpool", (7, 7)),
    ("squeezenet1_1", "classifier.2", "classifier.3", (13, 13)),
    ("inception_v3", "Mixed_7c", "avgpool", (8, 8)),
    ("googlenet", "inception5b", "avgpool", (7, 7)),
    ("regnet_y_400mf", "trunk_output", "avgpool", (7, 7)),
    ("shufflenet_v2_x0_5", "conv5", None, (7, 7)),
    ("mnasnet0_5", "layers", None, (7, 7)),
    ("swin_t", "permute", "avgpool", (7, 7)),
    ("swin_v2_t", "permute", "avgpool", (8, 8)),
    ("maxvit_t", "blocks.3", "classifier.0", (7, 7)),
]


def image(model, seed=0):
    return torch.randn(1, 3, *model.input_size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "layer", "pooling", "size"), CNNS, ids=[row[0] for row in CNNS])
def test_a_network_that_pools_is_read_at_the_map_that_it_pools(name, layer, pooling, size):
    model = sl.load(f"torchvision/{name}", weights=None)
    images = image(model)
    heat = sl.attribute(model, images, 3, "grad-cam")
    assert heat.layer == model.default_layer == layer
    assert {one.code for one in heat.warnings} <= {"negative-evidence"}
    (acts,), _ = literal.outputs(model.network, images, layer)
    assert tuple(acts.shape[2:]) == size
    assert literal.same(heat.values, literal.grad_cam(model.network, images, 3, layer, literal.first))
    if pooling is not None:
        given = []
        hook = model.network.get_submodule(pooling).register_forward_pre_hook(lambda _m, args: given.append(args[0]))
        model.network(images)
        hook.remove()
        assert torch.equal(given[0], acts)


@pytest.mark.parametrize(("name", "side"), [("vit_b_32", 7), ("vit_b_16", 14)])
def test_a_vision_transformer_is_read_before_the_attention_of_its_last_block(name, side):
    model = sl.load(f"torchvision/{name}", weights=None)
    images = image(model)
    assert model.default_layer == "encoder.layers.encoder_layer_11.ln_1"
    with pytest.warns(sl.SightlineWarning, match="zero everywhere"):
        sl.attribute(model, images, 3, "grad-cam")  # torchvision's untrained head is zero
    network = literal.rattle(model.network)
    heat = sl.attribute(network, images, 3, "grad-cam")
    read = literal.tokens(side, side, prefix=1)
    assert heat.layer == "encoder.layers.encoder_layer_11.ln_1"
    assert literal.same(heat.values, literal.grad_cam(network, images, 3, heat.layer, read))


def test_after_a_vision_transformers_last_attention_the_patches_have_no_gradient_at_all():
    """Why a later layer would be wrong: exactly zero, at every layer from the attention on."""
    network = models.VisionTransformer(64, 16, 3, 2, 32, 64, num_classes=5)
    network = literal.rattle(network)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert sl.attribute(network, images, 3, "grad-cam").layer == "encoder.layers.encoder_layer_2.ln_1"
    names = [f"encoder.layers.encoder_layer_2.{n}" for n in ("ln_1", "self_attention", "ln_2", "mlp.0", "mlp")]
    outputs, answer = literal.outputs(network, images.requires_grad_(), *names, "encoder.ln")
    before, *after = torch.autograd.grad(answer[0, 3], outputs)
    assert (before[:, 1:] != 0).all(-1).all()
    assert len(after) == 5
    for slope in after:
        assert (slope[:, 1:] == 0).all()
        assert (slope[:, 0] != 0).any()


def test_the_default_layer_does_not_depend_on_a_head_that_starts_at_zero():
    network = models.VisionTransformer(64, 16, 3, 2, 32, 64, num_classes=5).eval()
    assert not network.heads.head.weight.any()
    model = sl.wrap(network, input_size=64, mean=0.5, std=0.5)
    assert model.default_layer == "encoder.layers.encoder_layer_2.ln_1"
    literal.rattle(network)
    fresh = sl.wrap(network, input_size=64, mean=0.5, std=0.5)
    assert fresh.default_layer == "encoder.layers.encoder_layer_2.ln_1"


SEGMENTERS = [
    ("deeplabv3_mobilenet_v3_large", "classifier.3", 256),
    ("lraspp_mobilenet_v3_large", "classifier.cbr", 128),
    ("fcn_resnet50", "classifier.3", 512),
]


@pytest.mark.parametrize(("name", "layer", "channels"), SEGMENTERS, ids=[row[0] for row in SEGMENTERS])
def test_a_segmentation_network_is_read_at_its_last_map_of_features_and_not_of_classes(name, layer, channels):
    network = models.get_model(name, weights=None, weights_backbone=None, num_classes=4).eval()
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(64, 96)
    mask[8:24, 48:80] = 1
    heat = sl.attribute(network, images, sl.targets.Region(mask, 2), "grad-cam")
    assert heat.layer == layer
    (acts,), answer = literal.outputs(network, images.requires_grad_(), layer)
    (slopes,) = torch.autograd.grad((answer["out"][:, 2] * mask).sum() / mask.sum(), acts)
    coarse = (acts * slopes.mean((2, 3), keepdim=True)).sum(1, keepdim=True).detach()
    assert acts.shape[1] == channels
    assert literal.same(heat.values, torch.nn.functional.interpolate(coarse, (64, 96), mode="bilinear"))


def test_a_loaded_segmentation_network_explains_a_region_of_a_photo():
    model = sl.load("torchvision/lraspp_mobilenet_v3_large", weights=None)
    photo = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(40, 60)
    mask[10:20, 30:50] = 1
    ex = sl.explain(model, photo, "saliency", target=sl.targets.Region(mask, 15))
    assert ex.map.shape == (40, 60)
    assert float(ex.values.abs().max()) > 0
    assert float(abs(ex.map).max()) > 0
    largest = max(ex.predictions, key=lambda one: (one.label != "__background__", one.share))
    assert sl.explain(model, photo, "saliency").label == f"{largest.label} where it is seen"

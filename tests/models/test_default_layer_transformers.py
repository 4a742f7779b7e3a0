"""The layer that nobody named, for timm's and Hugging Face's networks: the last grid that the score depends on."""

import literal
import pytest
import timm
import torch
import transformers as hf
from timm.models.convmixer import ConvMixer
from timm.models.mlp_mixer import MlpMixer

import sightline as sl

pytestmark = pytest.mark.filterwarnings("ignore:every value is negative")
SMALL = {"embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": 5}
WIDE = {"img_size": (64, 128), **SMALL}  # rows are not columns
SWIN = {
    "img_size": (32, 64),
    "window_size": 4,
    "embed_dim": 16,
    "depths": (2, 2),
    "num_heads": (2, 4),
    "num_classes": 5,
}
VIT, DEIT = "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"

# name, timm's name, its options, the input's size, the default layer, a literal reading of it
TIMM = [
    ("class-token", VIT, WIDE, (64, 128), "blocks.2.norm1", literal.tokens(4, 8, 1)),
    ("registers", VIT, {**WIDE, "reg_tokens": 4}, (64, 128), "blocks.2.norm1", literal.tokens(4, 8, 5)),
    ("average", VIT, {**WIDE, "global_pool": "avg"}, (64, 128), "norm", literal.tokens(4, 8, 1)),
    (
        "average-of-patches-only", VIT, {**WIDE, "global_pool": "avg", "class_token": False}, (64, 128),
        "norm", literal.tokens(4, 8),
    ),
    (
        "attention-pooling", VIT, {**WIDE, "global_pool": "map", "class_token": False}, (64, 128),
        "norm", literal.tokens(4, 8),
    ),
    ("two-class-tokens", DEIT, WIDE, (64, 128), "blocks.2.norm1", literal.tokens(4, 8, 2)),
    (
        "dinov2-registers", "vit_small_patch14_reg4_dinov2", {**WIDE, "img_size": (56, 98)}, (56, 98),
        "blocks.2.norm1", literal.tokens(4, 7, 5),
    ),
    ("beit", "beit_base_patch16_224", WIDE, (64, 128), "norm", literal.tokens(4, 8, 1)),
    ("eva", "eva02_tiny_patch14_224", {**WIDE, "img_size": (56, 98)}, (56, 98), "norm", literal.tokens(4, 7, 1)),
    ("swin", "swin_tiny_patch4_window7_224", SWIN, (32, 64), "norm", literal.last),
    ("swin-v2", "swinv2_tiny_window8_256", SWIN, (32, 64), "norm", literal.last),
    ("convnext", "convnext_atto", {"num_classes": 5}, (64, 128), "norm_pre", literal.first),
    ("coatnet", "coatnet_nano_rw_224", {"num_classes": 5, "img_size": (64, 128)}, (64, 128), "norm", literal.first),
    (
        "xcit", "xcit_nano_12_p16_224", {"num_classes": 5, "depth": 2}, (64, 128),
        "cls_attn_blocks.0", literal.tokens(4, 8, 1),
    ),
    ("levit", "levit_128s", {"num_classes": 5}, (224, 224), "stages", literal.tokens(4, 4)),
]  # fmt: skip


def images(size, count=2):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))


def check(network, size, layer, read):
    """Wrapped and bare, the layer is found; its Grad-CAM is the literal one."""
    model = sl.wrap(network, input_size=size, mean=0.5, std=0.5)
    assert model.default_layer == layer
    heat = sl.attribute(network, images(size), 3, "grad-cam")
    assert heat.layer == layer
    assert literal.same(heat.values, literal.grad_cam(network, images(size), 3, layer, read))
    photo = torch.rand(3, *size, generator=torch.Generator().manual_seed(1))
    ex = sl.explain(model, photo, "grad-cam")
    assert ex.layer == layer
    assert float(abs(ex.values).max()) > 0


@pytest.mark.parametrize(
    ("name", "options", "size", "layer", "read"), [row[1:] for row in TIMM], ids=[r[0] for r in TIMM]
)
def test_a_timm_network_is_read_at_the_last_grid_that_the_score_depends_on(name, options, size, layer, read):
    torch.manual_seed(0)
    check(literal.rattle(timm.create_model(name, pretrained=False, **options)), size, layer, read)


@pytest.mark.parametrize(
    ("make", "size", "layer", "read"),
    [
        (
            lambda: MlpMixer(num_classes=5, img_size=(64, 128), patch_size=32, num_blocks=2, embed_dim=32),
            (64, 128), "norm", literal.tokens(2, 4),
        ),
        (
            lambda: ConvMixer(dim=16, depth=2, kernel_size=3, patch_size=8, num_classes=5),
            (64, 128), "blocks", literal.first,
        ),
    ],
    ids=["mixer", "convmixer"],
)  # fmt: skip
def test_a_mixer_is_read_at_its_last_grid(make, size, layer, read):
    torch.manual_seed(0)
    check(literal.rattle(make()), size, layer, read)


BASE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "num_labels": 5, "patch_size": 8}
SQUARE = {**BASE, "image_size": 64, "intermediate_size": 48}
DINO = {**BASE, "image_size": 64}
SWIN_HF = {
    "image_size": (32, 64), "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4,
    "num_labels": 5,
}  # fmt: skip
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 16, 32], "num_labels": 5}

# name, how it is made, the input's size, the default layer, a literal reading of it
HF = [
    (
        "vit", lambda: hf.ViTForImageClassification(hf.ViTConfig(**{**SQUARE, "image_size": (32, 64)})), (32, 64),
        "vit.layers.2.layernorm_before", literal.tokens(4, 8, 1),
    ),
    (
        "deit", lambda: hf.DeiTForImageClassification(hf.DeiTConfig(**SQUARE)), (64, 64),
        "deit.layers.2.layernorm_before", literal.tokens(8, 8, 2),
    ),
    (
        "deit-with-teacher", lambda: hf.DeiTForImageClassificationWithTeacher(hf.DeiTConfig(**SQUARE)), (64, 64),
        "deit.layers.2.layernorm_before", literal.tokens(8, 8, 2),
    ),
    (
        "beit", lambda: hf.BeitForImageClassification(hf.BeitConfig(**SQUARE)), (64, 64),
        "beit.layernorm", literal.tokens(8, 8, 1),
    ),
    (
        "beit-class-token",
        lambda: hf.BeitForImageClassification(hf.BeitConfig(**SQUARE, use_mean_pooling=False)), (64, 64),
        "beit.layers.2.layernorm_before", literal.tokens(8, 8, 1),
    ),
    (
        "dinov2-registers",
        lambda: hf.Dinov2WithRegistersForImageClassification(
            hf.Dinov2WithRegistersConfig(**DINO, num_register_tokens=4)
        ),
        (64, 64), "dinov2_with_registers.layernorm", literal.tokens(8, 8, 5),
    ),
    (
        "dinov2-wider-than-trained", lambda: hf.Dinov2ForImageClassification(hf.Dinov2Config(**DINO)), (32, 64),
        "dinov2.layernorm", literal.tokens(4, 8, 1),
    ),
    (
        "swin", lambda: hf.SwinForImageClassification(hf.SwinConfig(**SWIN_HF)), (32, 64),
        "swin.layernorm", literal.tokens(4, 8),
    ),
    (
        "swin-v2", lambda: hf.Swinv2ForImageClassification(hf.Swinv2Config(**SWIN_HF)), (32, 64),
        "swinv2.layernorm", literal.tokens(4, 8),
    ),
    (
        "convnext", lambda: hf.ConvNextForImageClassification(hf.ConvNextConfig(**STAGES)), (64, 128),
        "convnext.encoder.stages.3", literal.first,
    ),
    (
        "resnet",
        lambda: hf.ResNetForImageClassification(hf.ResNetConfig(embedding_size=8, layer_type="basic", **STAGES)),
        (64, 128), "resnet.encoder.stages.3", literal.first,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "size", "layer", "read"), [row[1:] for row in HF], ids=[row[0] for row in HF])
def test_a_hugging_face_network_is_read_at_the_last_grid_that_the_score_depends_on(make, size, layer, read):
    torch.manual_seed(0)
    check(literal.rattle(make()), size, layer, read)


@pytest.mark.parametrize(
    ("make", "prefix", "later"),
    [
        (lambda: timm.create_model(VIT, **WIDE), 1, ["attn", "norm2", "mlp.fc1", "mlp"]),
        (lambda: timm.create_model(VIT, **WIDE, reg_tokens=4), 5, ["attn", "norm2", "mlp.fc1", "mlp"]),
        (lambda: timm.create_model(DEIT, **WIDE), 2, ["attn", "norm2", "mlp.fc1", "mlp"]),
    ],
    ids=["class-token", "registers", "two-class-tokens"],
)
def test_patch_tokens_have_a_gradient_of_exactly_zero_at_every_later_layer(make, prefix, later):
    torch.manual_seed(0)
    network = literal.rattle(make())
    names = ["blocks.2.norm1", *(f"blocks.2.{name}" for name in later), "blocks.2", "norm"]
    outputs, answer = literal.outputs(network, images((64, 128), 1).requires_grad_(), *names)
    before, *after = torch.autograd.grad(answer[0, 3], outputs)
    assert (before[:, prefix:] != 0).any(-1).all()
    for slope in after:
        assert (slope[:, prefix:] == 0).all()
        assert (slope[:, 0] != 0).any()
    for name in names[1:]:
        with pytest.warns(sl.SightlineWarning, match="zero everywhere"):
            sl.attribute(network, images((64, 128), 1), 3, "grad-cam", layer=name)


def test_queries_and_attention_weights_are_no_map_of_the_input():
    """ConViT puts its attention weights (B, heads, tokens, tokens) through a dropout: 197 x 197 is no picture."""
    torch.manual_seed(0)
    network = literal.rattle(timm.create_model("convit_tiny", num_classes=5))
    heat = sl.attribute(network, images((224, 224), 1), 3, "grad-cam")
    assert heat.layer == "blocks.11.norm1"
    assert literal.same(
        heat.values, literal.grad_cam(network, images((224, 224), 1), 3, heat.layer, literal.tokens(14, 14, 1))
    )


def test_the_queries_of_a_wide_transformer_are_refused_as_a_map():
    """(1, heads, 33 tokens, 64 of each) for a 64 x 128 input has the input's proportions, and is no map."""
    torch.manual_seed(0)
    network = literal.rattle(timm.create_model(VIT, img_size=(64, 128), depth=2, num_classes=5, qk_norm=True))
    with pytest.raises(sl.LayerError, match="holds no map"):
        sl.attribute(network, images((64, 128), 1), 3, "grad-cam", layer="blocks.0.attn.q_norm")


def test_a_class_attention_is_read_at_what_it_is_given_and_not_at_its_values():
    torch.manual_seed(0)
    network = literal.rattle(timm.create_model("cait_xxs24_224", num_classes=5, depth=2))
    heat = sl.attribute(network, images((224, 224), 1), 3, "grad-cam")
    assert heat.layer == "blocks_token_only.1.norm1"


def test_a_layer_that_hands_through_what_nobody_reads_afterwards_is_not_the_default():
    """CoaT's last block returns its first scale untouched; the score depends on it, but not from there on."""
    torch.manual_seed(0)
    network = literal.rattle(timm.create_model("coat_tiny", num_classes=5))
    heat = sl.attribute(network, images((224, 224), 1), 3, "grad-cam")
    assert float(heat.values.abs().max()) > 0


class Forked(torch.nn.Module):
    """A map goes to one head through a dropout, which hands it on untouched, and to another head past it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 6, 3, padding=1)
        self.drop = torch.nn.Dropout()
        self.through, self.past = torch.nn.Linear(6, 5), torch.nn.Linear(6, 5)

    def forward(self, pixels):
        features = self.conv(pixels)
        return self.through(self.drop(features).mean((2, 3))) + self.past(features.square().mean((2, 3)))


def test_only_what_leaves_the_layer_counts_also_when_the_input_is_read_in_the_same_pass():
    network = Forked().eval()
    pixels = images((8, 8), 1)
    features = network.conv(pixels).detach()
    weights = network.through.weight[3].detach()[None, :, None, None] / 64
    expected = (features * weights).sum(1, keepdim=True)
    assert literal.same(sl.attribute(network, pixels, 3, "grad-cam", layer="drop").values, expected)
    model = sl.wrap(network, input_size=8, mean=0.0, std=1.0, resize="squash")
    photo = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    alone = sl.explain(model, photo, "grad-cam", target=3, layer="drop")
    together = sl.explain(model, photo, ["grad-cam", "saliency"], target=3, layer="drop")
    assert torch.allclose(together["grad-cam"].values, alone.values, atol=1e-6)

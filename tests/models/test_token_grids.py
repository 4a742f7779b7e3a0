"""Where a layer's map lies on the input: every cell at its row and column, also wide, shifted, with registers.

The law is locality: at a layer that looks at one patch at a time, the score of one cell has its gradient on the
pixels of that patch and nowhere else.
"""

import warnings

import literal
import pytest
import timm
import torch
import transformers as hf
from timm.models.mlp_mixer import MlpMixer

import sightline as sl
from sightline.network.hooks import borrow
from sightline.network.trace import trace

SMALL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 5}
VIT, DEIT, DINO = "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "vit_small_patch14_reg4_dinov2"
SWIN = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "num_classes": 5}
SWIN_NAME = "swin_tiny_patch4_window7_224"
BASE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 5, "patch_size": 8}
BOTH = {**BASE, "intermediate_size": 48}


def swin(first_block_too=True, **options):
    network = timm.create_model(SWIN_NAME, **{**SWIN, **options})
    if not first_block_too:  # then what the shifted block is given is still local
        network.layers[0].blocks[0] = torch.nn.Identity()
    return network


def swin_hf(network_class=hf.SwinForImageClassification, config=hf.SwinConfig):
    given = {"image_size": (32, 64), "patch_size": 4, "embed_dim": 16, "window_size": 4, "num_labels": 5}
    return network_class(config(**given, depths=[2, 2], num_heads=[2, 4]))


def dinov2():
    config = hf.Dinov2WithRegistersConfig(**BASE, image_size=64, num_register_tokens=4)
    return hf.Dinov2WithRegistersForImageClassification(config)


def vit():
    return hf.ViTForImageClassification(hf.ViTConfig(**{**BOTH, "image_size": (32, 64)}))


# what, how it is made, the input's size, a layer that sees one patch at a time, the patch's side
LOCAL = [
    ("vit", lambda: timm.create_model(VIT, img_size=(64, 128), **SMALL), (64, 128), "blocks.0.norm1", 16),
    ("vit-tall", lambda: timm.create_model(VIT, img_size=(128, 64), **SMALL), (128, 64), "blocks.0.norm1", 16),
    ("vit-embedding", lambda: timm.create_model(VIT, img_size=(64, 128), **SMALL), (64, 128), "patch_embed", 16),
    ("vit-queries", lambda: timm.create_model(VIT, img_size=(64, 128), **SMALL), (64, 128), "blocks.0.attn.qkv", 16),
    (
        "registers", lambda: timm.create_model(VIT, img_size=(64, 128), reg_tokens=4, **SMALL), (64, 128),
        "blocks.0.norm1", 16,
    ),
    (
        "no-class-token",
        lambda: timm.create_model(VIT, img_size=(64, 128), class_token=False, global_pool="avg", **SMALL),
        (64, 128), "blocks.0.norm1", 16,
    ),
    ("dinov2", lambda: timm.create_model(DINO, img_size=(56, 98), **SMALL), (56, 98), "blocks.0.norm1", 14),
    ("distilled", lambda: timm.create_model(DEIT, img_size=(64, 128), **SMALL), (64, 128), "blocks.0.norm1", 16),
    (
        "beit", lambda: timm.create_model("beit_base_patch16_224", img_size=(64, 128), **SMALL), (64, 128),
        "blocks.0.norm1", 16,
    ),
    (
        "mixer", lambda: MlpMixer(num_classes=5, img_size=(64, 128), patch_size=16, num_blocks=2, embed_dim=32),
        (64, 128), "blocks.0.norm1", 16,
    ),
    ("convnext", lambda: timm.create_model("convnext_atto", num_classes=5), (32, 64), "stem", 4),
    ("swin-embedding", lambda: swin(img_size=(32, 64), window_size=4), (32, 64), "patch_embed", 4),
    ("swin-windows", lambda: swin(img_size=(32, 64), window_size=4), (32, 64), "layers.0.blocks.0.attn.qkv", 4),
    (
        "swin-shifted-windows", lambda: swin(False, img_size=(32, 64), window_size=4), (32, 64),
        "layers.0.blocks.1.attn.qkv", 4,
    ),
    (
        "swin-shifted-windows-of-seven", lambda: swin(False, img_size=(56, 112), window_size=7), (56, 112),
        "layers.0.blocks.1.attn.qkv", 4,
    ),
    ("hf-vit", vit, (32, 64), "vit.layers.0.layernorm_before", 8),
    ("hf-dinov2", dinov2, (64, 64), "dinov2_with_registers.encoder.layer.0.norm1", 8),
    ("hf-dinov2-wide", dinov2, (32, 64), "dinov2_with_registers.encoder.layer.0.norm1", 8),
    ("hf-swin", swin_hf, (32, 64), "swin.encoder.layers.0.blocks.0.layernorm_before", 4),
    ("hf-swin-windows", swin_hf, (32, 64), "swin.encoder.layers.0.blocks.0.attention.q_proj", 4),
]  # fmt: skip


@pytest.mark.parametrize(("make", "size", "layer", "side"), [row[1:] for row in LOCAL], ids=[row[0] for row in LOCAL])
def test_a_cell_has_its_gradient_on_its_own_patch_and_nowhere_else(make, size, layer, side):
    torch.manual_seed(0)
    network = literal.rattle(make())
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    rows, columns = size[0] // side, size[1] // side
    for row, column in [(0, 0), (0, columns - 1), (rows - 1, 0), (1, 2), (rows - 1, columns - 2)]:
        target = sl.targets.Unit(layer, 3, at=(row, column))
        touched = sl.attribute(network, images, target, "saliency").values[0].abs().sum(0) > 0
        expected = torch.zeros(size, dtype=torch.bool)
        expected[row * side : (row + 1) * side, column * side : (column + 1) * side] = True
        assert torch.equal(touched, expected), (row, column)
    with pytest.raises(sl.TargetError, match=f"numbered 0 to {columns - 1}"):
        sl.attribute(network, images, sl.targets.Unit(layer, 3, at=(0, columns)), "saliency")


@pytest.mark.parametrize(
    ("make", "size", "layer", "side"), [row[1:] for row in LOCAL[:4]], ids=[r[0] for r in LOCAL[:4]]
)
def test_a_patch_that_changes_changes_its_own_cell(make, size, layer, side):
    """The same law from the other end, one pixel at a time, with the layer's output itself."""
    torch.manual_seed(0)
    network = literal.rattle(make())
    images = torch.zeros(1, 3, *size)
    with borrow(network):
        layout = trace(network, images).layout(layer)
    before = layout.apply(literal.outputs(network, images, layer)[0][0].detach())
    assert layout.grid == (size[0] // side, size[1] // side)
    for row, column in [(0, 0), (side, 2 * side), (size[0] - 1, size[1] - 1)]:
        lit = images.clone()
        lit[0, 1, row, column] = 5.0
        after = layout.apply(literal.outputs(network, lit, layer)[0][0].detach())
        changed = ((after - before).abs().amax((0, 1)) > 1e-6).nonzero().tolist()
        assert changed == [[row // side, column // side]]


# Windows ----------------------------------------------------------------------------------------------------


def applied(network, images, layer):
    """The layer's output, as a plain map."""
    with borrow(network):
        layout = trace(network, images[:1]).layout(layer)
    (output,), _ = literal.outputs(network, images, layer)
    return layout, layout.apply(output.detach())


@pytest.mark.parametrize(
    "options", [{"img_size": (32, 64), "window_size": 4}, {"img_size": (56, 112), "window_size": 7}]
)
@pytest.mark.parametrize(("block", "shifted"), [(0, False), (1, True)])
def test_a_windowed_attention_is_put_back_where_swin_itself_puts_it(options, block, shifted):
    """What comes out of the attention in windows, the block un-windows and un-shifts, and hands to `drop_path1`."""
    torch.manual_seed(0)
    network = literal.rattle(swin(**options))
    images = torch.randn(2, 3, *options["img_size"], generator=torch.Generator().manual_seed(0))
    layout, ours = applied(network, images, f"layers.0.blocks.{block}.attn")
    (theirs,), _ = literal.outputs(network, images, f"layers.0.blocks.{block}.drop_path1")
    assert (layout.kind, layout.shift > 0) == ("windows", shifted)
    assert torch.equal(ours, literal.last(theirs))


@pytest.mark.parametrize("block", [0, 1])
def test_the_queries_in_windows_are_those_of_the_tokens_in_their_places(block):
    """`qkv` looks at one token at a time: on the plain map and in windows it has to say the same."""
    torch.manual_seed(0)
    network = literal.rattle(swin(img_size=(32, 64), window_size=4))
    images = torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    where = f"layers.0.blocks.{block}"
    _, ours = applied(network, images, f"{where}.attn.qkv")
    (normed,), _ = literal.outputs(network, images, f"{where}.norm1")
    theirs = literal.last(network.get_submodule(f"{where}.attn.qkv")(normed))
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(ours, torch.roll(theirs, (2, 2), (2, 3)), atol=1e-2)


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("kind", ["swin", "swinv2"])
def test_hugging_faces_windows_are_put_back_too(block, kind):
    torch.manual_seed(0)
    second = (hf.Swinv2ForImageClassification, hf.Swinv2Config)
    network = literal.rattle(swin_hf(*second) if kind == "swinv2" else swin_hf())
    images = torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    where = f"{kind}.encoder.layers.0.blocks.{block}"
    layer = next(n for n, m in network.named_modules() if n.startswith(where) and n.endswith(("q_proj", "query")))
    layout, ours = applied(network, images, layer)
    given = []
    hook = network.get_submodule(where).register_forward_pre_hook(lambda _m, args: given.append(args[0]))
    network(images)
    hook.remove()
    tokens = given[0]
    if kind == "swin":  # v2 norms afterwards
        tokens = network.get_submodule(f"{where}.layernorm_before")(tokens)
    theirs = literal.tokens(8, 16)(network.get_submodule(layer)(tokens))
    assert (layout.kind, layout.shift > 0) == ("windows", block == 1)
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("layer", ["layers.0.blocks.1.attn", "layers.0.blocks.1.attn.qkv", "layers.1", "patch_embed"])
def test_grad_cam_in_windows_is_grad_cam_of_the_plain_map(layer):
    torch.manual_seed(0)
    network = literal.rattle(swin(img_size=(32, 64), window_size=4))
    images = torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    with borrow(network):
        layout = trace(network, images[:1]).layout(layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)  # random queries may speak mostly against the class
        heat = sl.attribute(network, images, 3, "grad-cam", layer=layer)
    assert literal.same(heat.values, literal.grad_cam(network, images, 3, layer, layout.apply))


# What is no map ---------------------------------------------------------------------------------------------


class Flattened(torch.nn.Module):
    """A convolution whose map is flattened with the channels first, (B, C, positions), before a mean."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 24, 8, 8)
        self.flatten = torch.nn.Flatten(2)
        self.pool = torch.nn.AdaptiveAvgPool1d(1)
        self.head = torch.nn.Linear(24, 5)

    def forward(self, images):
        return self.head(self.pool(self.flatten(self.conv(images))).flatten(1))


def test_positions_behind_their_channels_are_not_read_as_channels_behind_positions():
    """(1, 24 channels, 32 positions): 24 is no number of tokens here, though 6 and 3 x 6 of them would fit."""
    torch.manual_seed(0)
    network, images = Flattened().eval(), torch.randn(1, 3, 32, 64)
    model = sl.wrap(network, input_size=(32, 64), mean=0.5, std=0.5)
    assert model.default_layer == "conv"
    for layer in ("flatten", "pool"):
        try:
            heat = sl.attribute(network, images, 3, "grad-cam", layer=layer)
        except (sl.LayerError, sl.SightlineWarning):
            continue  # refused, or doubted aloud
        assert literal.same(heat.values, literal.grad_cam(network, images, 3, "conv", literal.first))


def test_the_inside_of_a_token_mixing_layer_is_no_map():
    """A mixer's (1, 32 channels, 16 hidden units) comes from tokens on a 2 x 4 grid: 32 is no 4 x 8 of anything."""
    torch.manual_seed(0)
    made = MlpMixer(num_classes=5, img_size=(64, 128), patch_size=32, num_blocks=2, embed_dim=32)
    network, images = literal.rattle(made), torch.randn(1, 3, 64, 128)
    (hidden,), _ = literal.outputs(network, images, "blocks.0.mlp_tokens.fc1")
    assert hidden.shape == (1, 32, 16)
    with pytest.raises(sl.LayerError, match="holds no map"):
        sl.attribute(network, images, 3, "grad-cam", layer="blocks.0.mlp_tokens.fc1")


def test_a_pooled_vector_of_a_transformer_is_not_laid_out_as_a_map():
    """Hugging Face's Swin ends in an average over its tokens, (1, 32, 1)."""
    torch.manual_seed(0)
    network = literal.rattle(swin_hf())
    images = torch.randn(1, 3, 32, 64)
    with borrow(network):
        layout = trace(network, images).layout("swin.pooler")
    assert layout is None or layout.cells == 1

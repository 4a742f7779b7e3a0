"""Responses are what a layer puts out, channel by channel, laid on the photo."""

import json

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import sightline as sl
from sightline.render.tiles import Bars, Wall

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def identity(size=(40, 60)):
    """A network whose first layer hands on the pixels."""
    network = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        network[0].weight[:] = torch.eye(3)[:, :, None, None]
    return sl.wrap(network, input_size=size, mean=0.0, std=1.0, resize="squash")


def hooked(network, layer, images):
    """What the layer puts out, by a hook of one's own."""
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda *given: kept.append(given[-1].detach().clone())
    )
    with torch.no_grad():
        network(images)
    handle.remove()
    return kept[-1]


def test_an_identity_layer_shows_the_pixels():
    found = sl.responses(identity(), PHOTO, "0")
    pixels = PHOTO.transpose(2, 0, 1) / np.float32(255)
    assert np.allclose(found.values.numpy(), pixels, atol=1e-6)
    assert found.maps.dtype == np.float32
    assert np.allclose(found.maps, pixels, atol=1e-6)
    assert np.array_equal(found.map(2), found.maps[2])
    assert found.order == tuple(np.argsort(-pixels.mean((1, 2))))
    assert np.allclose(found.strength, pixels.mean((1, 2)), atol=1e-6)


@pytest.fixture(scope="module")
def resnet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torchvision.models.resnet18(weights=None).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # as training leaves it, so that folding it away would show
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 2)
        return network


@pytest.mark.parametrize("layer", ["conv1", "bn1", "relu", "layer1.0.conv2", "layer2", "layer4", "avgpool", "fc"])
def test_values_are_what_a_plain_hook_sees(resnet, layer):
    model = sl.wrap(resnet, input_size=64, mean=0.5, std=0.25, resize="squash")
    found = sl.responses(model, PHOTO, layer)
    image, _ = model.tensor(sl.open_photo(PHOTO))
    expected = hooked(resnet, layer, image[None])[0]
    assert found.values.shape == expected.shape
    assert torch.allclose(found.values, expected, atol=1e-5 * float(expected.abs().max()))
    assert (found.values.dtype, found.values.device.type, found.values.requires_grad) == (torch.float32, "cpu", False)


def test_a_map_on_the_photo_is_bilinear_and_nan_where_nothing_was_seen(resnet):
    model = sl.wrap(resnet, input_size=64, mean=0.5, std=0.25)
    found = sl.responses(model, PHOTO, "layer2")
    laid = found.map(5)
    assert laid.shape == (40, 60)
    assert np.array_equal(np.isfinite(laid), found.view.seen())
    assert not found.view.seen().all()
    large = nn.functional.interpolate(found.values[None, 5:6], size=(64, 64), mode="bilinear", align_corners=False)
    assert np.array_equal(laid, found.view.to_photo(large[0, 0].numpy()), equal_nan=True)


def test_without_a_layer_it_is_the_default_one():
    model = sl.load("demo")
    found = sl.responses(model, PHOTO)
    assert found.layer == model.default_layer
    assert found.values.shape == (64, 16, 16)


def tokens():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.token = nn.Parameter(torch.ones(1, 1, 8))
            self.norm = nn.LayerNorm(8)
            self.head = nn.Linear(8, 5)

        def forward(self, images):
            x = self.patches(images).flatten(2).transpose(1, 2)
            x = self.norm(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
            return self.head(x.mean(1))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tokens()


def test_tokens_are_laid_out_as_the_map_that_they_are_without_the_class_token():
    network = tokens()
    model = sl.wrap(network, input_size=(16, 24), mean=0.5, std=0.5, resize="squash")
    found = sl.responses(model, PHOTO, "norm")
    image, _ = model.tensor(sl.open_photo(PHOTO))
    plain = hooked(network, "norm", image[None])[0]
    assert plain.shape == (1 + 4 * 6, 8)
    assert found.values.shape == (8, 4, 6)
    for row in range(4):
        for column in range(6):
            assert torch.allclose(found.values[:, row, column], plain[1 + 6 * row + column], atol=1e-5)


def test_many_photos_give_a_list_equal_to_one_by_one(resnet):
    model = sl.wrap(resnet, input_size=64, mean=0.5, std=0.25, batch_size=2)
    photos = [PHOTO, PHOTO[::-1].copy(), PHOTO[:30]]
    together = sl.responses(model, photos, "layer3")
    assert len(together) == 3
    for one, photo in zip(together, photos, strict=True):
        alone = sl.responses(model, photo, "layer3")
        assert torch.allclose(one.values, alone.values, atol=1e-5 * float(alone.values.abs().max()))
        assert one.map(0).shape == photo.shape[:2]


def test_the_figure_shows_the_photo_then_the_strongest_with_their_strength():
    found = sl.responses(sl.load("demo"), PHOTO, "features.2", most=5)
    wall = found.wall()
    (row,) = wall.rows
    assert [tile.caption for tile in row.tiles] == ["photo", *map(str, found.order[:5])]
    assert found.strength[list(found.order)].tolist() == sorted(found.strength.tolist(), reverse=True)
    assert float(row.tiles[1].small) == pytest.approx(float(found.strength[found.order[0]]), rel=0.01)
    assert wall.scale.unit == "activation of features.2"
    assert wall.title == "features.2: the 5 strongest of 48 channels"
    for tile, channel in zip(row.tiles[1:], found.order, strict=False):
        assert np.array_equal(tile.pixels, wall.scale.paint(found.map(channel)))


def test_channels_are_shown_as_asked_for():
    found = sl.responses(sl.load("demo"), PHOTO, "features.2", channels=[7, 3, 12])
    assert found.shown == (7, 3, 12)
    assert [tile.caption for tile in found.wall().rows[0].tiles[1:]] == ["7", "3", "12"]
    assert found.values.shape[0] == 48


def test_what_was_cut_off_is_pale_and_said_so(resnet):
    model = sl.wrap(resnet, input_size=64, mean=0.5, std=0.25)
    wall = sl.responses(model, PHOTO, "layer2", most=1).wall()
    photo, tile = wall.rows[0].tiles
    assert "pale: cut off before the network saw it" in wall.footer
    assert photo.box is not None
    corner = tile.pixels[0, 0].astype(int)
    assert corner.max() - corner.min() <= 1
    assert corner.min() >= 165


def test_a_layer_without_a_map_is_bars():
    model = sl.load("demo")
    pooled = sl.responses(model, PHOTO, "pool", most=4)
    assert not pooled.mapped
    bars = pooled.wall()
    assert isinstance(bars, Bars)
    assert list(bars.values) == sorted(pooled.values.flatten().tolist(), reverse=True)[:4]
    assert bars.names[0] == f"channel {pooled.order[0]}"
    with pytest.raises(sl.LayerError, match="holds no map of the photo but one number for each channel"):
        _ = pooled.maps
    assert isinstance(sl.responses(model, PHOTO, "features").wall(), Wall)


def test_the_last_layer_answers_with_classes():
    found = sl.responses(sl.load("demo"), PHOTO, "classifier")
    answers = sl.predict(sl.load("demo"), PHOTO, top=7)
    assert [found.name(channel) for channel in found.order] == [one.label for one in answers]
    assert found.wall().values == pytest.approx([one.score for one in answers], abs=1e-4)


class Shared(nn.Module):
    """A layer that runs twice."""

    def __init__(self):
        super().__init__()
        self.relu, self.conv = nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images):
        return self.relu(self.conv(self.relu(images))).mean((2, 3))


def test_of_a_layer_that_runs_twice_the_last_run_counts_and_a_warning_says_so():
    network = Shared()
    model = sl.wrap(network, input_size=(40, 60), mean=0.5, std=0.5, resize="squash")
    with pytest.warns(sl.SightlineWarning, match="runs 2 times in one pass; this is its last run"):
        found = sl.responses(model, PHOTO, "relu")
    image, _ = model.tensor(sl.open_photo(PHOTO))
    assert torch.allclose(found.values, hooked(network, "relu", image[None])[0], atol=1e-6)
    assert [one.code for one in found.warnings] == ["layer-runs-twice"]
    assert [one["code"] for one in found.provenance["warnings"]] == ["layer-runs-twice"]


@pytest.mark.parametrize(
    ("error", "layer", "options", "words"),
    [
        (sl.LayerError, "featurs", {}, "no layer named 'featurs'; did you mean 'features'"),
        (sl.LayerError, 3, {}, "a layer is given by its name"),
        (sl.OptionError, "features", {"channels": [64]}, "channel 64: 'features' has 64, from 0 to 63"),
        (sl.OptionError, "features", {"channels": [-1]}, "channel -1"),
        (sl.OptionError, "features", {"channels": []}, "channels is empty"),
        (sl.OptionError, "features", {"channels": ["a"]}, "channel 'a'"),
        (sl.OptionError, "features", {"channels": 1.5}, "channels=1.5; give"),
        (sl.OptionError, "features", {"most": 0}, "most=0"),
    ],
)
def test_what_cannot_be_shown_is_refused(error, layer, options, words):
    with pytest.raises(error, match=words):
        sl.responses(sl.load("demo"), PHOTO, layer, **options)


def test_numbers_that_overflow_are_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Hardtanh(0, 1))
    with torch.no_grad():
        network[0].weight.fill_(3e38)
    model = sl.wrap(network, input_size=8, mean=0.5, std=0.1)
    with pytest.raises(sl.NetworkError, match="numbers of layer '0' are NaN or infinite"):
        sl.responses(model, np.full((8, 8, 3), 255, np.uint8), "0")


def test_a_black_box_has_no_layers():
    box = sl.wrap(lambda images: images.mean((2, 3)), input_size=8)
    with pytest.raises(sl.LayerError, match="no layer"):
        sl.responses(box, PHOTO)
    with pytest.raises(sl.ModelError, match="a Model is needed"):
        sl.responses(nn.Conv2d(3, 3, 1), PHOTO)


def test_files_hold_the_picture_the_page_and_the_raw_values(tmp_path):
    found = sl.responses(sl.load("demo"), PHOTO, "features.2", most=3)
    for name in ("a.png", "a.jpg", "a.svg", "a.html", "a.npz"):
        found.save(tmp_path / name)
    with np.load(tmp_path / "a.npz") as held:
        assert np.array_equal(held["values"], found.values.numpy())
        assert tuple(held["order"]) == found.order
        provenance = json.loads(str(held["provenance"]))
    assert provenance == json.loads(json.dumps(found.provenance))
    assert provenance["shown"] == list(found.order[:3])
    assert provenance["photo_sha256"] == sl.open_photo(PHOTO).sha256
    assert "features.2: the 3 strongest of 48 channels" in (tmp_path / "a.html").read_text()
    assert (tmp_path / "a.png").read_bytes() == found._repr_png_()
    sl.responses(sl.load("demo"), PHOTO, "pool").save(tmp_path / "bars.html")


def state(network):
    """Modes, hooks, flags, gradients and numbers."""
    modes = [(one.training, len(one._forward_hooks), len(one._forward_pre_hooks)) for one in network.modules()]
    flags = [(one.requires_grad, one.grad is None) for one in network.parameters()]
    return modes, flags, {name: one.clone() for name, one in network.state_dict().items()}


class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fail = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), False

    def forward(self, images):
        x = self.norm(self.conv(images))
        if self.fail:
            raise RuntimeError("broken")
        return x.mean((2, 3))


def test_the_network_comes_back_as_it_was_also_after_an_error():
    network = Fails().train()
    network.norm.eval()
    network.conv.bias.requires_grad_(False)
    network.conv.register_forward_hook(lambda *_: None)
    model = sl.wrap(network, input_size=(40, 60), mean=0.5, std=0.5)
    before = state(network)
    sl.responses(model, PHOTO, "norm")
    sl.filters(model, "conv")
    for fail in (False, True):
        network.fail = fail
        with pytest.raises((sl.LayerError, RuntimeError), match="broken" if fail else "no layer named 'nope'"):
            sl.responses(model, PHOTO, "norm" if fail else "nope")
        after = state(network)
        assert after[:2] == before[:2]
        assert all(torch.equal(before[2][name], one) for name, one in after[2].items())


@pytest.mark.parametrize(
    "caller", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_whoever_calls_gets_the_same(caller):
    model = sl.load("demo")
    plain = sl.responses(model, PHOTO, "features.1").values
    with caller():
        assert torch.equal(sl.responses(model, PHOTO, "features.1").values, plain)

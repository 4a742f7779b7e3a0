"""Photos of one channel and of many: grey, multispectral arrays, tensors and files, from the input to the figure."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sightline as sl

SIDES = (8, 12)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def linear(channels, **options):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(channels * 8 * 12, 2, bias=False)).eval()
    weights = network[1].weight[1].detach().view(channels, *SIDES)
    statistics = {"mean": [0.4] * channels, "std": [0.2] * channels}
    return sl.wrap(network, input_size=SIDES, channels=channels, resize="squash", **statistics, **options), weights


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_an_array_and_a_tensor_of_many_channels_are_explained_channel_by_channel(channels):
    model, weights = linear(channels)
    photo = noise(*SIDES, channels)
    ex = sl.explain(model, photo, "saliency", target=1)
    assert torch.equal(ex.values, weights)
    largest = weights.gather(0, weights.abs().argmax(0, keepdim=True))[0]
    assert np.allclose(ex.map, largest.numpy(), atol=1e-6)
    same = sl.explain(model, torch.from_numpy(photo).permute(2, 0, 1), "input-x-gradient", target=1)
    share = weights.numpy() * (photo.transpose(2, 0, 1) - 0.4) / 0.2
    assert np.allclose(same.values.numpy(), share, atol=1e-5)
    assert np.allclose(same.map, share.sum(0), atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_hiding_earns_what_all_channels_held(channels):
    model, weights = linear(channels)
    photo, other = noise(*SIDES, channels), noise(*SIDES, channels, seed=1)
    for fill in (other, 0.25, (0.25,) * channels):
        ex = sl.explain(model, photo, "occlusion", target=1, window=1, fill=fill)
        behind = other if fill is other else np.full_like(photo, 0.25)
        lost = (weights.numpy() * ((photo - behind) / 0.2).transpose(2, 0, 1)).sum(0)
        assert np.allclose(ex.map, lost, atol=1e-4)


def test_a_picture_shows_the_first_three_channels_or_the_first_as_grey():
    for channels, shown in ((1, [0, 0, 0]), (2, [0, 0, 0]), (4, [0, 1, 2]), (7, [0, 1, 2])):
        model, _ = linear(channels)
        photo = noise(*SIDES, channels)
        panel = sl.explain(model, photo, "saliency", target=1).panel()
        assert np.array_equal(panel.photo, np.rint(photo[..., shown] * 255).astype(np.uint8))


def test_a_colour_photo_becomes_grey_and_is_shown_as_the_network_saw_it(tmp_path):
    model, _ = linear(1)
    colours = (noise(*SIDES, 3) * 255).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    ex = sl.explain(model, tmp_path / "a.png", "saliency", target=0)
    grey = np.asarray(Image.fromarray(colours).convert("L"))
    assert np.array_equal(ex.photo.pixels[..., 0], grey)


def test_files_of_many_channels(tmp_path):
    model, _ = linear(5)
    photo = noise(*SIDES, 5)
    np.save(tmp_path / "a.npy", photo)
    pages = [Image.fromarray(np.rint(one * 65535).astype(np.uint16)) for one in photo.transpose(2, 0, 1)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    expected = sl.explain(model, photo, "input-x-gradient", target=1).map
    assert np.array_equal(sl.explain(model, tmp_path / "a.npy", "input-x-gradient", target=1).map, expected)
    assert np.allclose(sl.explain(model, tmp_path / "a.tif", "input-x-gradient", target=1).map, expected, atol=1e-3)
    np.save(tmp_path / "grey.npy", photo[..., 0])
    assert sl.open_photo(tmp_path / "grey.npy").channels == 3


def test_files_of_other_channels_are_refused_in_words(tmp_path):
    model, _ = linear(5)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    Image.new("L", (4, 4)).save(tmp_path / "one.tif")
    np.save(tmp_path / "three.npy", noise(4, 4, 3))
    np.save(tmp_path / "evil.npy", np.array([{}], object), allow_pickle=True)
    for name, said in (
        ("a.png", r"takes 5 channels and the photo has 3.*array \(h, w, 5\)"),
        ("one.tif", "holds one picture"),
        ("three.npy", "C is 5"),
        ("evil.npy", r"evil\.npy"),
    ):
        with pytest.raises(sl.PhotoError, match=said):
            sl.explain(model, tmp_path / name)
    with pytest.raises(sl.PhotoError, match="over the limit"):
        sl.open_photo(tmp_path / "three.npy", max_pixels=47)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_verbs_take_many_channels(channels, tmp_path):
    torch.manual_seed(0)
    layers = (nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    model = sl.wrap(nn.Sequential(*layers).eval(), input_size=16, channels=channels, mean=0.5, std=0.5)
    photo = noise(20, 24, channels)
    sl.probe(model, photo, (4, 4, 12, 16), fill=(0.5,) * channels).save(tmp_path / "probe.png")
    seen = sl.visualize(model, 0, steps=2)
    assert seen.images.shape[1] == channels
    seen.save(tmp_path / "seen.png")
    sl.responses(model, photo, "0").save(tmp_path / "responses.png")
    sl.filters(model, "0").save(tmp_path / "filters.png")
    if channels not in (1, 3):
        with pytest.raises(sl.OptionError, match="paints pictures of 1 or 3 channels"):
            sl.probe(model, photo, (4, 4, 12, 16), fill="inpaint")

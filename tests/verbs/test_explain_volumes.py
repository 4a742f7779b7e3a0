"""Where a network looks in volumes and clips: maps on the volume's own grid, figures of slices, files, refusals."""

import json
import warnings

import nibabel
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision import models

import sightline as sl
from sightline.photos.geometry import Geometry
from sightline.photos.volumes import Volume

SIZE = (6, 8, 10)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def wrapped(network, size=SIZE, **options):
    return sl.wrap(network.eval(), **{"input_size": size, "channels": 1, "mean": 0.5, "std": 0.25} | options)


def linear(size=SIZE, classes=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(size)), classes, bias=False))


def conv(channels=1, stride=2):
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv3d(channels, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv3d(4, 5, 3, stride=stride, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )


class Bright(nn.Module):
    """How much is bright, and the opposite."""

    def forward(self, x):
        much = F.relu(x - 1).flatten(1).sum(1)
        return torch.stack([much, -much], 1)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        yield


# Truths ---------------------------------------------------------------------------------------------------------


def test_saliency_of_a_linear_network_is_its_weights():
    network, volume = linear(), noise(*SIZE)
    ex = sl.explain(wrapped(network), volume, "saliency", target=1)
    weights = network[1].weight[1].detach().view(SIZE).numpy()
    assert ex.values.shape == (1, *SIZE)
    assert np.array_equal(ex.values[0].numpy(), weights)
    assert np.allclose(ex.map, weights, atol=1e-6)


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_map_is_laid_on_the_volumes_own_grid(resize):
    network, volume = linear(), noise(9, 20, 13)
    ex = sl.explain(wrapped(network, resize=resize), volume, "saliency", target=0)
    weights = network[1].weight[0].detach().view(SIZE).numpy()
    expected = Geometry(SIZE, resize).view(9, 20, 13).to_photo(weights)
    assert ex.map.shape == (9, 20, 13)
    assert np.allclose(ex.map, expected, atol=1e-6, equal_nan=True)
    heat = np.abs(expected) / np.nanmax(np.abs(expected))
    assert np.allclose(ex.heatmap, heat, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, 1)])
def test_a_bright_blob_is_found_where_it_is_in_the_files_own_voxels(tmp_path, signs):
    at, spacing = (15, 4, 9), (0.5, 4.0, 2.0)
    affine = np.zeros((4, 4))
    for axis, (to, sign) in enumerate(zip((2, 0, 1), signs, strict=True)):
        affine[to, axis] = sign * spacing[axis]
    affine[:, 3] = 3, -80, 12, 1
    grid = np.indices((24, 10, 14)).reshape(3, -1).T - at
    blob = np.exp(-((grid / (4, 1, 2)) ** 2).sum(1)).reshape(24, 10, 14)
    nibabel.save(nibabel.Nifti1Image((blob * 400 - 160).astype(np.float32), affine), tmp_path / "scan.nii.gz")
    model = wrapped(Bright(), (12, 12, 12))
    for method in ("input-x-gradient", "occlusion"):
        ex = sl.explain(model, sl.open_volume(tmp_path / "scan.nii.gz", window=(-160, 240)), method, target=0)
        ex.save(tmp_path / "map.nii.gz")
        written = nibabel.load(tmp_path / "map.nii.gz")
        assert np.allclose(written.affine, affine)
        found = np.unravel_index(written.get_fdata().argmax(), (24, 10, 14))
        assert np.abs(np.subtract(found, at) / (2, 1, 1)).max() <= 1
        assert written.get_fdata().max() == pytest.approx(ex.map.max())
    ex.save(tmp_path / "plain.nii")
    assert np.array_equal(nibabel.load(tmp_path / "plain.nii").get_fdata(), written.get_fdata())


def moving_square(path, frames=24):
    pictures = []
    for i in range(frames):
        picture = np.full((24, 40, 3), 50, np.uint8)
        picture[8:16, i : i + 10] = 230
        pictures.append(Image.fromarray(picture))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    return path


class Fifth(nn.Module):
    """Looks at the red of the fifth and sixth frame alone."""

    def forward(self, x):
        much = x[:, 0, 4:6].flatten(1).mean(1)
        return torch.stack([much, -much], 1)


@pytest.mark.parametrize("method", ["integrated-gradients", "saliency", "occlusion", "rise"])
def test_a_clip_whose_square_matters_in_two_frames_shows_these(tmp_path, method):
    model = wrapped(Fifth(), (12, 12, 20), channels=3, mean=0, std=1)
    options = {"samples": 400, "cells": 12} if method == "rise" else {}
    options = {"window": (1, 4, 4)} if method == "occlusion" else options
    ex = sl.explain(model, moving_square(tmp_path / "square.gif"), method, target=0, **options)
    by_frame = np.abs(ex.map).sum((1, 2))
    assert ex.map.shape == (12, 24, 40)
    assert set(by_frame.argsort()[-2:]) == {4, 5}
    if method in ("integrated-gradients", "occlusion"):
        assert by_frame[[4, 5]].sum() > 0.99 * by_frame.sum()
        x = np.unravel_index(ex.map[4].argmax(), (24, 40))[1]
        assert 9 <= x < 19  # the fifth frame of twelve is the film's tenth, where the square begins at 9
    assert ex.photo.times[4] == pytest.approx(0.9)


def test_grad_cam_is_cam():
    network, volume = conv(), noise(*SIZE)
    ex = sl.explain(wrapped(network), volume, target=1)
    images = torch.from_numpy((volume - 0.5) / 0.25)[None, None]
    acts = network[:4](images).detach()
    cam = (network[6].weight[1].detach().view(1, -1, 1, 1, 1) * acts).sum(1, keepdim=True) / acts[0, 0].numel()
    assert (ex.method, ex.layer) == ("grad-cam", "3")
    expected = F.interpolate(cam, SIZE, mode="trilinear", align_corners=False)[0, 0]
    assert np.allclose(ex.map, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 1, 1), (2, 2, 2)])
def test_depth_may_shrink_at_its_own_pace(stride):
    assert wrapped(conv(stride=stride), (12, 24, 24)).default_layer == "3"


class Tokens(nn.Module):
    """A video transformer: a class token and the patches (B, 1 + n, C) of a clip."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv3d(1, 8, (2, 4, 4), stride=(2, 4, 4))
        self.first = nn.Parameter(torch.zeros(1, 1, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.block(torch.cat([self.first.expand(len(x), -1, -1), tokens], 1))[:, 1:].mean(1))


def test_the_tokens_of_a_clip_lie_in_it():
    torch.manual_seed(0)
    network = Tokens().eval()
    ex = sl.explain(wrapped(network, (4, 12, 16)), noise(4, 12, 16), "grad-cam", layer="block", target=1)
    images = torch.from_numpy((noise(4, 12, 16) - 0.5) / 0.25)[None, None]
    tokens = network.patches(images).flatten(2).transpose(1, 2)
    acts = network.block(torch.cat([network.first, tokens], 1)).detach()[:, 1:]
    cam = (acts @ network.head.weight[1].detach()).view(1, 1, 2, 3, 4) / acts.shape[1]
    expected = F.interpolate(cam, (4, 12, 16), mode="trilinear", align_corners=False)[0, 0]
    assert np.allclose(ex.map, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "method", [m for m in sl.methods() if not m.needs & {"linear-head", "attention"}], ids=lambda m: m.id
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_method_explains_a_volume(method, channels):
    options = {"samples": 8} if "samples" in method.options else {}
    volume = noise(7, 9, 11, channels)
    ex = sl.explain(wrapped(conv(channels), channels=channels), volume, method.id, target=0, **options)
    assert ex.map.shape == (7, 9, 11)
    assert np.isfinite(ex.map).all()
    assert ex.map.any()


def test_a_baseline_or_fill_may_be_a_volume():
    network, volume, other = linear(), noise(*SIZE), noise(*SIZE, seed=3)
    model, weights = wrapped(network), network[1].weight[0].detach().view(SIZE).numpy()
    ex = sl.explain(model, volume, "integrated-gradients", target=0, baseline=other)
    assert np.allclose(ex.map, weights * (volume - other) / 0.25, atol=1e-4)
    ex = sl.explain(model, volume, "occlusion", target=0, window=1, fill=other)
    assert np.allclose(ex.map, weights * (volume - other) / 0.25, atol=1e-4)


def test_a_region_of_a_segmented_volume_is_in_its_own_voxels():
    torch.manual_seed(0)
    network = nn.Conv3d(1, 3, 1, bias=False)
    mask = np.zeros(SIZE, bool)
    mask[2:4, 3:5, 1:9] = True
    ex = sl.explain(wrapped(network), noise(*SIZE), "saliency", target=sl.targets.Region(mask, 2))
    assert np.allclose(ex.map, mask / mask.sum() * float(network.weight[2].detach()), atol=1e-6)
    with pytest.raises(sl.TargetError, match="they have to be equal"):
        sl.explain(wrapped(network), noise(*SIZE), "saliency", target=sl.targets.Region(mask[0], 2))
    with pytest.raises(sl.TargetError, match="take a class or a Region"):
        sl.explain(wrapped(network), noise(*SIZE), "saliency", target=sl.targets.Box((0, 0, 4, 4), 2))


# One and many, warnings, predictions ----------------------------------------------------------------------------


def test_one_gives_one_and_many_give_a_list(tmp_path):
    model, volumes = wrapped(linear()), noise(3, *SIZE, 1)
    np.save(tmp_path / "v.npy", volumes[0])
    alone = sl.explain(model, tmp_path / "v.npy", "saliency")
    for many in (volumes, list(volumes), torch.from_numpy(volumes).permute(0, 4, 1, 2, 3)):
        results = sl.explain(model, many, "saliency")
        assert len(results) == 3
        assert np.array_equal(results[0].map, alone.map)
        assert [one[0].index for one in sl.predict(model, many)] == [one.predictions[0].index for one in results]
    assert alone.photo.name == "v"


def test_a_window_of_its_own_is_said_by_every_result(tmp_path):
    nibabel.save(nibabel.Nifti1Image(noise(4, 5, 6) * 900, np.eye(4)), tmp_path / "scan.nii")
    model = wrapped(linear())
    ex = sl.explain(model, tmp_path / "scan.nii", "saliency")
    assert [one.code for one in ex.warnings] == ["own-window"]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        sl.predict(model, tmp_path / "scan.nii")
    assert ["percentile" in str(one.message) for one in told] == [True]
    ex = sl.explain(model, sl.open_volume(tmp_path / "scan.nii", window=(0, 900)), "saliency")
    assert ex.warnings == ()
    assert (ex.provenance["windows"], ex.provenance["axes"]) == ([[0, 900]], "SPL")


def test_attribute_takes_a_model_of_volumes():
    network = linear()
    heat = sl.attribute(wrapped(network), torch.zeros(1, 1, *SIZE), 1, "saliency")
    assert torch.equal(heat.values[0, 0], network[1].weight[1].detach().view(SIZE))


# Figures and files ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explained():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        model = wrapped(conv(), labels=["cyst", "nodule", "neither"])
        return sl.explain(model, noise(20, 24, 30), ["grad-cam", "saliency", "integrated-gradients"], target=1)


def texts(figure):
    return [text.get_text() for text in figure.findobj(pyplot.Text) if text.get_text()]


def test_a_figure_shows_the_slices_with_the_most_heat_once_for_each_method(explained):
    ex = explained["saliency"]
    shown = texts(ex.figure())
    heat = np.abs(ex.panel().heat).sum((1, 2))
    expected = [int(part[heat[part].argmax()]) for part in np.array_split(np.arange(20), 8)]
    captions = [f"slice {i + 1} of 20" for i in expected]
    assert [one for one in shown if one.startswith("slice")] == captions
    marked = [one for one in ex.figure().findobj(pyplot.Text) if one.get_text().startswith("slice")]
    assert [one.get_text() for one in marked if one.get_weight() == "bold"] == [f"slice {heat.argmax() + 1} of 20"]
    assert any("saliency" in one and "nodule" in one for one in shown)
    assert sum("cyst" in one for one in shown) == 1
    strips = [axis for axis in explained.figure().axes if axis.images]
    assert len([one for one in strips if one.get_title()]) == 8
    assert len(strips) == 8 * 4


@pytest.mark.parametrize("style", ["pair", "overlay", "contour", "cut-out", "signs", "mask"])
def test_every_style_is_drawn(explained, style, tmp_path):
    explained["saliency"].save(tmp_path / "a.png", style=style)
    explained.save(tmp_path / "b.svg", style=style)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 1500


def test_slices_share_one_scale(explained):
    panel = explained["saliency"].panel()
    assert {panel.slice(i).bounds for i in range(20)} == {panel.bounds}


def test_voxels_are_drawn_in_proportion(tmp_path):
    nibabel.save(nibabel.Nifti1Image(noise(8, 12, 20), np.diag([5.0, 1, 1, 1])), tmp_path / "scan.nii")
    panel = sl.explain(wrapped(linear()), tmp_path / "scan.nii", "saliency").panel()
    assert panel.photo.shape == (20, 12, 40, 3)
    assert panel.heat.shape == (20, 12, 40)


def test_files_hold_what_they_say(explained, tmp_path):
    ex = explained["saliency"]
    for name in ("a.npz", "a.html", "a.gif"):
        ex.save(tmp_path / name)
    with np.load(tmp_path / "a.npz") as arrays:
        assert np.array_equal(arrays["map"], ex.map)
        record = json.loads(str(arrays["provenance"]))
    assert record["photo_size"] == [20, 24, 30]
    assert record["recipe"]["input_size"] == list(SIZE)
    assert "nodule" in (tmp_path / "a.html").read_text()
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames >= 20
    explained.save(tmp_path / "all.npz")
    explained.save(tmp_path / "all.html")


def test_a_map_of_no_file_has_no_grid_to_be_written_on(explained, tmp_path):
    with pytest.raises(sl.SaveError, match=r"NIfTI.*Nifti1Image\(ex.map, affine\)"):
        explained["saliency"].save(tmp_path / "a.nii.gz")
    with pytest.raises(sl.SaveError, match=r"possible: .*\.nii\.gz"):
        explained["saliency"].save(tmp_path / "a.gz")
    photo = sl.explain(sl.wrap(lambda x: x.mean((2, 3)), input_size=8), noise(8, 8, 3), "rise", samples=8)
    with pytest.raises(sl.SaveError, match="possible"):
        photo.save(tmp_path / "a.nii.gz")


def test_the_mask_is_the_largest_part_above_a_quantile_and_the_box_is_around_it():
    volume = np.zeros((12, 12, 12), np.float32)
    volume[2:5, 6:10, 1:9] = 1
    volume[9:11, 1:3, 1:3] = 1
    ex = sl.explain(wrapped(Bright(), (12, 12, 12)), volume, "input-x-gradient", target=0)
    mask = ex.mask(smooth=0)
    assert np.argwhere(mask).min(0).tolist() == [2, 6, 1]
    assert mask.sum() == 3 * 4 * 8
    assert ex.box(smooth=0) == (1, 6, 2, 9, 10, 5)
    with pytest.raises(sl.OptionError, match="threshold"):
        ex.mask("grabcut")


def test_results_of_volumes_stack_in_a_grid_and_not_with_photos(explained):
    shown = texts(sl.grid([explained, explained]))
    assert sum(one.startswith("slice") for one in shown) == 16
    photo = sl.explain(sl.wrap(lambda x: x.mean((2, 3)), input_size=8), noise(8, 8, 3), "rise", samples=8)
    with pytest.raises(sl.OptionError, match="apart"):
        sl.grid([explained["saliency"], photo])


# What does not take volumes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda model, volume: sl.probe(model, volume, (0, 0, 4, 4)),
        sl.evidence,
        lambda model, volume: sl.sweep(model, volume, (0, 0, 4, 4)),
        lambda model, volume: sl.visualize(model, 0, steps=1),
        lambda model, volume: sl.responses(model, volume, "0"),
        lambda model, volume: sl.top_photos(model, [volume], "0", 1),
        lambda model, volume: sl.concepts(model, [volume], layer="0"),
    ],
)
def test_verbs_of_photos_say_what_there_is_for_volumes(ask):
    with pytest.raises(sl.ModelError, match=r"takes volumes or clips of \(6, 8, 10\).*sl.explain"):
        ask(wrapped(conv()), noise(*SIZE))


def test_a_photo_is_no_volume_and_a_volume_no_photo():
    with pytest.raises(sl.PhotoError, match=r"got shape \(8, 8\)"):
        sl.explain(wrapped(linear()), noise(8, 8))
    flat = sl.wrap(lambda x: x.mean((2, 3)), input_size=8)
    with pytest.raises(sl.PhotoError, match="got Volume"):
        sl.explain(flat, Volume(noise(4, 4, 4, 1)))


# torchvision's video networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("name", ["r3d_18", "s3d"])
def test_clips_become_what_torchvisions_preset_makes_of_them(name, dtype):
    model = sl.load(f"torchvision/{name}", weights=None)
    clip = noise(16, 50, 70, 3)
    clip = (clip * 255).astype(np.uint8) if dtype == np.uint8 else clip
    ours, _ = model.tensor(sl.open_volume(clip))
    preset = models.get_model_weights(name).DEFAULT.transforms()
    theirs = preset(torch.from_numpy(clip).permute(0, 3, 1, 2))
    off = (ours - theirs).abs() * 0.225 * 255
    assert off.max() < (1.1 if dtype == np.uint8 else 0.01)  # a level where rounding is a tie
    assert (off > 0.01).float().mean() < 0.001
    assert len(model.labels) == 400

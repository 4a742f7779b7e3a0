"""Photos in, explanations out: the map lies on the user's own photo, and the result says how it came about."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sightline as sl
from sightline.core.errors import OptionError, PhotoError, TargetError
from sightline.demo.scenes import draw


class Brightest(nn.Module):
    """Scores (dark, bright): the second is the sum of squares, so its gradient is the picture itself."""

    def forward(self, images):
        bright = images.square().sum((1, 2, 3))
        return torch.stack([-bright, bright], 1)


class Patches(nn.Module):
    """A small CNN of known weights: scores are the mean brightness of red, green and blue in a coarse map."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 3, 4, 4, bias=False)
        self.features.weight.data = torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4) / 16
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images):
        return self.pool(self.features(images)).flatten(1)


def brightest(**options):
    return sl.wrap(Brightest(), input_size=32, mean=0.0, std=1.0, labels=["dark", "bright"], **options)


def patches(**options):
    return sl.wrap(Patches(), input_size=32, mean=0.0, std=1.0, labels=["red", "green", "blue"], **options)


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("shape", [(40, 40), (80, 50), (50, 120), (32, 32)])
def test_one_bright_pixel_is_found_where_it_is(resize, shape):
    photo = np.zeros((*shape, 3), np.uint8)
    y, x = shape[0] // 2 - 5, shape[1] // 2 + 4
    photo[y : y + 2, x : x + 2] = 255
    ex = sl.explain(brightest(resize=resize), photo, "saliency", target="bright")
    found = np.unravel_index(np.nanargmax(ex.heatmap), shape)
    reach = max(1, max(shape) / 32)
    assert abs(found[0] - y - 0.5) <= reach
    assert abs(found[1] - x - 0.5) <= reach


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_map_is_on_the_upright_photo(tmp_path, orientation):
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[3:6, 50:53] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / "turned.png", exif=exif)
    ex = sl.explain(brightest(resize="squash"), tmp_path / "turned.png", "saliency", target="bright")
    upright = np.asarray(ex.photo.image())[..., 0]
    assert ex.map.shape == upright.shape
    found = np.unravel_index(np.nanargmax(ex.heatmap), upright.shape)
    lit = np.argwhere(upright == 255)
    assert np.abs(lit - found).max(1).min() <= 1


def test_what_a_crop_cut_off_is_unseen_and_not_stretched_over():
    ex = sl.explain(brightest(resize="crop"), np.full((35, 70, 3), 90, np.uint8), "saliency")
    seen = np.isfinite(ex.map)
    assert seen[:, :15].sum() == seen[:, -15:].sum() == 0
    assert seen[17, 35]
    assert seen.mean() == pytest.approx((7 / 8) ** 2 / 2, abs=0.03)
    assert np.array_equal(np.isfinite(ex.heatmap), seen)


def test_one_gives_one_and_many_give_a_list_in_order():
    photos = [np.full((32, 32, 3), value, np.uint8) for value in (10, 200, 90)]
    model = brightest(batch_size=2)
    many = sl.explain(model, photos, "saliency", target="bright")
    assert [round(float(ex.values.max()), 4) for ex in many] == [round(2 * v / 255, 4) for v in (10, 200, 90)]
    alone = sl.explain(model, photos[1], "saliency", target="bright")
    assert torch.equal(alone.values, many[1].values)
    assert len(sl.explain(model, np.stack(photos), "saliency")) == 3
    assert sl.explain(model, [], "saliency") == []


def test_a_list_of_methods_gives_a_comparison_and_shares_its_passes():
    model = patches()
    calls = []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    photo = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    sl.explain(model, photo, ["saliency", "grad-cam", "input-x-gradient"])  # finds out about the network
    calls.clear()
    maps = sl.explain(model, photo, ["saliency", "grad-cam", "input-x-gradient"])
    assert list(maps) == ["saliency", "grad-cam", "input-x-gradient"]
    assert len(calls) == 1
    for name, ex in maps.items():
        assert torch.allclose(ex.values, sl.explain(model, photo, name).values, atol=1e-6)


def test_the_predicted_class_is_explained_by_default_and_grad_cam_is_first():
    photo = np.zeros((32, 32, 3), np.uint8)
    photo[8:16, 8:24, 1] = 255
    ex = sl.explain(patches(resize="squash"), photo)
    assert (ex.method, ex.layer, ex.label, ex.target) == ("grad-cam", "features", "green", sl.targets.Class(1))
    assert ex.predictions[0] == sl.predict(patches(resize="squash"), photo)[0]
    inside = ex.heatmap[8:16, 8:24].sum() / ex.heatmap.sum()
    assert inside > 0.6
    assert ex.heatmap.max() == 1.0


def test_a_network_without_maps_is_explained_by_saliency():
    assert sl.explain(brightest(), np.full((32, 32, 3), 9, np.uint8)).method == "saliency"


def test_signed_maps_keep_the_sign_that_the_heat_map_drops():
    photo = np.full((32, 32, 3), 128, np.uint8)
    saliency = sl.explain(brightest(resize="squash"), photo, "saliency", target="dark")
    assert np.nanmax(saliency.map) < 0
    assert np.nanmin(saliency.heatmap) == pytest.approx(1.0)
    with pytest.warns(sl.SightlineWarning, match="only evidence against this target"):
        cam = sl.explain(patches(resize="squash"), photo, "grad-cam", target=-1 * sl.targets.Class(0))
    assert np.nanmax(cam.map) < 0
    assert np.nanmax(cam.heatmap) == 0
    assert [one.code for one in cam.warnings] == ["negative-evidence"]
    assert cam.panel().signed


def test_a_baseline_may_be_a_photo_and_completeness_is_reported():
    grey = np.full((32, 32, 3), 64, np.uint8)
    photo = np.full((32, 32, 3), 192, np.uint8)
    ex = sl.explain(brightest(resize="squash"), photo, "integrated-gradients", target="bright", baseline=grey)
    expected = 32 * 32 * 3 * ((192 / 255) ** 2 - (64 / 255) ** 2)
    assert float(ex.values.sum()) == pytest.approx(expected, rel=1e-3)
    assert ex.gap < 1e-3
    with pytest.raises(PhotoError, match=r"baseline: .*black, white, mean, blur, noise"):
        sl.explain(brightest(), photo, "integrated-gradients", baseline="blak")


def test_a_black_baseline_is_the_black_pixel_of_the_model():
    model = sl.wrap(Brightest(), input_size=32, mean=0.5, std=0.25, resize="squash")
    white = np.full((32, 32, 3), 255, np.uint8)
    ex = sl.explain(model, white // 2, "integrated-gradients", target=0)  # from -2 to nearly 0, of minus the square
    assert float(ex.values.sum()) == pytest.approx(4 * 32 * 32 * 3, rel=1e-3)


def test_a_region_is_in_pixels_of_the_photo():
    class Dense(nn.Module):
        def forward(self, images):
            return torch.stack([images[:, 0], images[:, 1]], 1)

    mask = np.zeros((64, 64), bool)
    mask[:32, 32:] = True
    model = sl.wrap(Dense(), input_size=32, mean=0.0, std=1.0, resize="squash")
    photo = np.full((64, 64, 3), 100, np.uint8)
    ex = sl.explain(model, photo, "saliency", target=sl.targets.Region(mask, 1))
    assert np.array_equal(ex.map[:28, 36:] > 0, np.ones((28, 28), bool))
    assert np.abs(ex.map[36:]).max() == 0
    with pytest.raises(TargetError, match=r"mask of shape \(32, 32\) for a photo of \(64, 64\)"):
        sl.explain(model, photo, "saliency", target=sl.targets.Region(mask[:32, :32], 1))
    photo[16:, :, 1] = 200  # by itself: the class with the largest area, there where it is
    ex = sl.explain(model, photo, "saliency")
    assert (ex.target.index, ex.label) == (1, "class 1 where it is seen")
    assert np.array_equal(ex.target.mask[[10, 20]] > 0.5, np.array([[False], [True]]).repeat(64, 1))


def test_warnings_are_on_the_result_and_issued():
    model = sl.wrap(Brightest(), input_size=32)
    with pytest.warns(sl.SightlineWarning, match="no mean and std"):
        ex = sl.explain(model, np.full((32, 32, 3), 9, np.uint8), "saliency")
    assert ex.warnings == (sl.Warning("not-normalized", ex.warnings[0].message),)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"target": "brigt"}, TargetError, "did you mean 'bright'"),
        ({"target": 2}, TargetError, "class 2 does not exist; the network has 2, numbered 0 to 1"),
        ({"target": [0, 1]}, TargetError, "2 targets for 1 images"),
        ({"method": "grad_camm"}, sl.MethodError, "did you mean 'grad-cam'"),
        ({"method": []}, OptionError, "names none"),
        ({"method": "smoothgrad", "sample": 3}, OptionError, "did you mean 'samples'"),
        ({"method": "saliency", "samples": 3}, OptionError, "no option 'samples' for saliency"),
        ({"method": "grad-cam", "layer": "features"}, sl.LayerError, "no layer named 'features'"),
    ],
)
def test_a_wrong_request_says_what_is_possible(options, error, words):
    with pytest.raises(error, match=words):
        sl.explain(brightest(), np.zeros((32, 32, 3), np.uint8), **options)


def test_a_label_that_occurs_twice_is_refused_with_its_indices():
    model = sl.wrap(Patches(), input_size=32, mean=0.0, std=1.0, labels=["crane", "tabby, tabby cat", "crane"])
    photo = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(TargetError, match=r"'crane' occurs 2 times, at \[0, 2\]"):
        sl.explain(model, photo, target="crane")
    assert sl.explain(model, photo + 9, "saliency", target="tabby").target == sl.targets.Class(1)


def test_predictions_hold_index_label_probability_and_score():
    photo = np.zeros((32, 32, 3), np.uint8)
    photo[..., 2] = 255
    first, second = sl.predict(patches(resize="squash"), photo, top=2)
    assert (first.index, first.label, second.score) == (2, "blue", 0.0)
    assert first.score == pytest.approx(1.0, abs=1e-5)
    assert first.probability == pytest.approx(np.e / (np.e + 2), abs=1e-5)
    assert [len(one) for one in sl.predict(patches(), [photo, photo], top=3)] == [3, 3]


def test_saved_values_hold_all_that_is_needed_to_make_them_again(tmp_path):
    photo = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "p.png")
    ex = sl.explain(patches(), tmp_path / "p.png", "smoothgrad", target="red", seed=3, samples=4)
    ex.save(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz", allow_pickle=False) as saved:
        record = json.loads(str(saved["provenance"]))
        assert np.array_equal(saved["values"], ex.values.numpy())
        assert np.array_equal(saved["map"], ex.map, equal_nan=True)
        assert saved["error"].shape == saved["values"].shape
    assert record["method"] == "smoothgrad"
    given = {"noise": 0.15, "samples": 4, "precision": None, "seconds": None, "wrt": None}
    assert record["options"] == given
    assert (record["seed"], record["label"], record["passes"]) == (3, "red", [4, 4])
    assert (record["photo"], record["photo_size"], len(record["photo_sha256"])) == ("p", [48, 64], 64)
    assert record["model"] == record["recipe"]["network"] == "Patches"
    assert (record["recipe"]["resize"], record["recipe"]["mean"]) == ("crop", [0.0, 0.0, 0.0])
    assert record["versions"].keys() == {"python", "sightline", "torch", "torchvision", "numpy"}
    again = sl.explain(patches(), tmp_path / "p.png", "smoothgrad", target="red", seed=3, samples=4)
    assert torch.equal(again.values, ex.values)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".svg", ".npz", ".html"])
def test_saving_is_whole_or_not_at_all(tmp_path, monkeypatch, suffix):
    ex = sl.explain(patches(), np.full((32, 32, 3), 90, np.uint8), target="red")
    goal = tmp_path / "new" / f"x{suffix}"
    ex.save(goal)
    before = goal.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(sl.SaveError, match="No space left"):
        ex.save(goal)
    assert goal.read_bytes() == before
    assert [path.name for path in goal.parent.iterdir()] == [goal.name]


def test_an_unknown_suffix_is_refused(tmp_path):
    ex = sl.explain(patches(), np.full((32, 32, 3), 90, np.uint8), target="red")
    with pytest.raises(sl.SaveError, match=r"'.gif'; possible: .png"):
        ex.save(tmp_path / "x.gif")


def test_results_show_themselves_in_a_notebook():
    photo = np.full((32, 32, 3), 90, np.uint8)
    for result in (sl.explain(patches(), photo, target=0), sl.explain(patches(), photo, ["grad-cam"], target=0)):
        assert Image.open(io.BytesIO(result._repr_png_())).format == "PNG"
        assert result.figure()._repr_png_() == result._repr_png_()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_callers_without_gradients_get_the_same_map(mode):
    photo = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    names = ["saliency", "grad-cam", "integrated-gradients", "input-x-gradient"]
    expected = sl.explain(patches(), photo, names, target=1)
    with mode():
        found = sl.explain(patches(), photo, names, target=1)
    for name in names:
        assert torch.equal(found[name].values, expected[name].values)


def test_a_network_of_one_channel_sees_a_grey_photo():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    model = sl.wrap(network, input_size=24, mean=0.5, std=0.5, channels=1)
    photo = np.random.default_rng(0).integers(0, 255, (30, 30, 3), np.uint8)
    ex = sl.explain(model, photo, "saliency")
    assert ex.values.shape == (1, 24, 24)
    assert np.array_equal(np.asarray(ex.photo.image())[..., 0], np.asarray(Image.fromarray(photo).convert("L")))


def test_an_interrupt_returns_the_best_map_so_far():
    model = brightest(batch_size=2)

    def stop(_rows):
        stop.count += 1
        if stop.count == 4:
            raise KeyboardInterrupt

    stop.count = 0
    photo = np.full((32, 32, 3), 90, np.uint8)
    with pytest.warns(sl.SightlineWarning, match="stopped after"):
        ex = sl.explain(model, photo, "smoothgrad", target="bright", samples=50, progress=stop)
    assert 0 < ex.passes[0] < 50
    assert ex.warnings[-1].code == "interrupted"


def test_names_and_labels_with_dollars_and_foreign_letters_are_drawn_as_they_are(tmp_path):
    model = sl.wrap(Patches(), input_size=32, mean=0.0, std=1.0, labels=[r"$\frac$ ball", "漢字", "c"])
    photo = sl.Photo(np.full((32, 32, 3), 90, np.uint8), r"a $\foo$ b")
    for suffix in (".png", ".svg", ".html"):
        sl.explain(model, photo, "saliency", target=0).save(tmp_path / f"x{suffix}")


def test_a_map_that_speaks_nearly_only_against_its_target_is_shown_with_its_signs():
    class Mostly(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Conv2d(3, 1, 1, bias=False)
            self.features.weight.data.fill_(1.0)

        def forward(self, images):
            maps = self.features(images)
            return torch.stack([-maps.mean((1, 2, 3)), maps.mean((1, 2, 3))], 1).flatten(1)

    photo = np.full((32, 32, 3), 128, np.uint8)
    model = sl.wrap(Mostly(), input_size=32, mean=0.01, std=1.0, resize="squash")
    photo[:4, :4] = 0
    with pytest.warns(sl.SightlineWarning, match="nearly all values are negative"):
        ex = sl.explain(model, photo, "grad-cam", target=0)
    assert float(ex.values.max()) > 0
    assert ex.panel().signed


def test_a_figure_of_a_large_photo_is_drawn_at_the_size_of_a_figure():
    ex = sl.explain(patches(), np.zeros((1500, 3000, 3), np.uint8) + np.uint8(90), "saliency", target=0)
    assert ex.map.shape == (1500, 3000)
    panel = ex.panel()
    assert panel.photo.shape[:2] == panel.heat.shape == (500, 1000)
    assert np.isfinite(panel.heat).mean() == pytest.approx(np.isfinite(ex.map).mean(), abs=0.01)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (sl.targets.Class(0) + 0.5 * sl.targets.Class(1) - sl.targets.Class(2), "red + 0.5 × green - blue"),
        (sl.targets.Contrast(0, 2), "red rather than blue"),
        (sl.targets.Unit("features", channel=1), "channel 1 of features"),
        (sl.targets.Output(1, "keep"), "what would keep green"),
        (lambda scores: scores[:, 0], "a function"),
    ],
)
def test_a_target_is_told_in_words(target, words):
    photo = np.random.default_rng(0).integers(1, 255, (32, 32, 3), np.uint8)
    ex = sl.explain(patches(), photo, "saliency", target=target)
    assert words in ex.label
    assert "0x" not in json.dumps(ex.provenance)


@pytest.mark.parametrize("smooth", [-1.0, float("nan"), "5"])
def test_a_smoothing_that_is_none_is_refused(smooth):
    ex = sl.explain(patches(), np.full((32, 32, 3), 90, np.uint8), "saliency", target=0)
    with pytest.raises(OptionError, match="smooth"):
        ex.figure(smooth=smooth)


def test_a_bare_network_is_told_how_to_become_a_model():
    photo = np.full((32, 32, 3), 90, np.uint8)
    for ask in (sl.explain, sl.predict):
        with pytest.raises(sl.ModelError, match=r"sl\.wrap\(network, input_size=\.\.\.\)"):
            ask(Patches(), photo)


@pytest.mark.parametrize("option", [("integrated-gradients", "baseline"), ("occlusion", "fill"), ("rise", "fill")])
def test_a_photo_as_baseline_or_fill_is_seen_as_the_photo_is(option, tmp_path):
    method, name = option
    scene, other = (draw(seed, thing="duck", background="beach").image() for seed in (1_000_020, 1_000_021))
    Image.fromarray(other).save(tmp_path / "other.png")
    model, fewer = sl.load("demo"), {"rise": {"samples": 8}, "occlusion": {"window": 64}}.get(method, {})
    tensor = torch.from_numpy(other).permute(2, 0, 1) / 255
    given = [tmp_path / "other.png", Image.fromarray(other), other, tensor]
    maps = [sl.explain(model, scene, method, **{name: one}, **fewer).values for one in given]
    plain = sl.explain(model, scene, method, **fewer).values
    assert all(torch.allclose(one, maps[0], atol=1e-5) for one in maps)
    assert not torch.allclose(maps[0], plain, atol=1e-2 * float(plain.abs().max()))

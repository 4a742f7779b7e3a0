"""Localization for free: the map's region and box lie on the user's own photo, and are the same every time."""

import numpy as np
import pytest
import torch
from torch import nn

import sightline as sl
from sightline.core.errors import OptionError
from sightline.demo.scenes import draw
from sightline.photos.localize import box_around, largest

SQUARES = [(80, 80), (60, 130), (150, 70)]


class Orange(nn.Module):
    """Scores (0, red less blue): it grows with what is orange, and with nothing else."""

    def forward(self, images):
        score = (images[:, 0] - images[:, 2]).clamp_min(0).square().sum((1, 2))
        return torch.stack([0 * score, score], 1)


def model(resize="squash", **options):
    return sl.wrap(Orange(), input_size=64, mean=0.0, std=1.0, labels=["other", "orange"], resize=resize, **options)


def photo(shape=(96, 96), where=(slice(30, 60), slice(20, 50))):
    pixels = np.random.default_rng(0).integers(20, 60, (*shape, 3)).astype(np.uint8)
    pixels[where] = (220, 120, 30)
    mask = np.zeros(shape, bool)
    mask[where] = True
    return pixels, mask


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("shape", SQUARES)
def test_the_region_is_on_the_photo_whatever_its_shape_and_resizing(shape, resize):
    middle = (slice(shape[0] // 2 - 14, shape[0] // 2 + 14), slice(shape[1] // 2 - 12, shape[1] // 2 + 12))
    pixels, mask = photo(shape, middle)
    ex = sl.explain(model(resize), pixels, "input-x-gradient", target="orange")
    found = ex.mask()
    assert (found.shape, found.dtype) == (shape, bool)
    assert overlap(found, mask) > 0.9
    assert np.abs(np.subtract(ex.box(), box_around(mask))).max() <= 2
    assert ex.box() == box_around(found)
    assert not found[np.isnan(ex.map)].any()


def test_a_threshold_is_the_largest_part_above_a_quantile_of_what_was_seen():
    pixels, _ = photo((60, 120), (slice(20, 40), slice(50, 75)))
    ex = sl.explain(model("crop"), pixels, "input-x-gradient", target="orange")
    heat = ex.heatmap
    expected = largest(np.nan_to_num(heat) > np.nanquantile(heat, 0.8))
    assert np.array_equal(ex.mask("threshold", foreground=0.8, smooth=0), expected)


def test_the_same_explanation_has_the_same_mask():
    pixels, _ = photo()
    ex = sl.explain(model(), pixels, "input-x-gradient", target="orange")
    again = sl.explain(model(), pixels, "input-x-gradient", target="orange")
    assert np.array_equal(ex.mask(), ex.mask())
    assert np.array_equal(ex.mask(), again.mask())


def test_a_blank_map_has_no_mask_and_says_what_to_do():
    pixels, _ = photo()
    with pytest.warns(sl.SightlineWarning):
        ex = sl.explain(model(), pixels, "saliency", target="other")
    assert "blank-map" in [one.code for one in ex.warnings]
    for ask in (ex.mask, ex.box):
        with pytest.raises(sl.SightlineError, match=r"no region stands out\. Explain another target"):
            ask()
    assert ex.figure(style="mask")._repr_png_()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"by": "grab"}, "did you mean 'grabcut'"), ({"foreground": 2}, "from 0 to 1"), ({"smooth": -1}, "smooth")],
)
def test_wrong_options_of_a_mask_are_refused(options, words):
    ex = sl.explain(model(), photo()[0], "saliency", target="orange")
    for ask in (ex.mask, ex.box):
        with pytest.raises(OptionError, match=words):
            ask(**options)


def test_a_network_of_one_channel_has_a_mask_on_a_grey_photo():
    class Bright(nn.Module):
        def forward(self, images):
            score = images.square().sum((1, 2, 3))
            return torch.stack([score, -score], 1)

    grey = sl.wrap(Bright(), input_size=64, mean=0.0, std=1.0, channels=1, resize="squash")
    pixels, mask = photo()
    ex = sl.explain(grey, pixels, "saliency", target=0)
    assert overlap(ex.mask(), mask) > 0.9


def test_the_embedded_model_finds_drawn_things_without_having_seen_a_mask():
    demo = sl.load("demo")
    scenes = [
        draw(3_500_000 + i, thing=thing, background="grass") for i, thing in enumerate(["mug", "duck", "crate"])
    ]
    for scene, ex in zip(scenes, sl.explain(demo, [one.image() for one in scenes], "smoothgrad"), strict=True):
        assert overlap(ex.mask(), scene.mask()) > 0.5


def test_a_picture_outlines_the_mask_itself():
    pixels, _ = photo((1200, 600), (slice(500, 800), slice(200, 420)))
    ex = sl.explain(model(), pixels, "input-x-gradient", target="orange")
    panel = ex.panel(style="mask")
    assert panel.region.shape == panel.photo.shape[:2] == (1000, 500)
    x0, y0, x1, y1 = (side * 5 / 6 for side in ex.box())
    assert np.abs(np.subtract(box_around(panel.region), (x0, y0, x1, y1))).max() <= 1


def test_lines_and_cut_outs_smooth_a_map_unless_told_otherwise():
    ex = sl.explain(model(), photo()[0], "saliency", target="orange")
    assert [ex.panel(style=style).smooth for style in ("pair", "contour", "cut-out")] == [0, 0.03 * 64, 0.03 * 64]
    assert ex.panel(0, style="contour").smooth == 0
    assert np.array_equal(ex.panel(0, style="contour").heat, ex.panel().heat)


def test_signs_are_of_the_raw_map():
    class LeftRight(nn.Module):
        def forward(self, images):
            left, right = images.square().sum((1, 2)).chunk(2, 1)
            return torch.stack([left.sum(1) - right.sum(1), right.sum(1)], 1)

    halved = sl.wrap(LeftRight(), input_size=64, mean=0.0, std=1.0, resize="squash")
    ex = sl.explain(halved, np.full((64, 64, 3), 128, np.uint8), "saliency", target=0)
    positive, negative = ex.panel(style="signs").halves()
    assert np.array_equal(positive.heat > 0, np.indices((64, 64))[1] < 32)
    assert np.array_equal(negative.heat < 0, np.indices((64, 64))[1] >= 32)
    assert np.allclose(positive.heat + negative.heat, ex.map)


@pytest.mark.parametrize("style", ["contour", "cut-out", "signs", "mask"])
def test_comparisons_and_grids_take_a_style(style, tmp_path):
    pixels, _ = photo()
    both = sl.explain(model(), pixels, ["saliency", "input-x-gradient"], target="orange")
    shown = [both.figure(style=style), sl.grid([both], style=style)]
    assert shown[0]._repr_png_() == shown[1]._repr_png_() != both.figure()._repr_png_()
    both.save(tmp_path / "x.png", style=style)
    assert (tmp_path / "x.png").read_bytes() == shown[0]._repr_png_()
    both["saliency"].save(tmp_path / "y.html", style=style)
    with pytest.raises(OptionError, match="possible: 'pair'"):
        both.figure(style="outline")


def test_one_photo_for_several_targets_is_a_grid_with_a_row_each():
    pixels, _ = photo()
    names = ["saliency", "input-x-gradient"]
    rows = [sl.explain(model(), pixels, names, target=one) for one in ("orange", sl.targets.Contrast(1, 0))]
    drawn = sl.grid(rows)
    titles = [axis.get_title() for axis in drawn.axes if axis.get_title()]
    assert titles == ["photo", *names, *names]

"""A heat that points at a thing finds the thing: its pixels, its box, the same every time, and never by a crash."""

import subprocess
import sys

import numpy as np
import pytest

from sightline.core.errors import OptionError, PhotoError, SightlineError
from sightline.photos.localize import CUT_ON, box_around, largest, localize, seeds, stands_out


def disc(shape, centre, radius):
    y, x = np.indices(shape)
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def scene(shape=(120, 160), centre=(70, 95), radius=30):
    """An orange disc on blue noise, the disc's mask, and a heat that is only a spot within the disc."""
    rng, mask = np.random.default_rng(0), disc(shape, centre, radius)
    pixels = np.where(mask[..., None], (220, 120, 30), (40, 70, 160)) + rng.integers(-15, 16, (*shape, 3))
    y, x = np.indices(shape)
    heat = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * (0.6 * radius) ** 2))
    return pixels.clip(0, 255).astype(np.uint8), mask, heat.astype(np.float32)


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def test_the_cut_follows_the_things_colours_where_a_threshold_cannot():
    pixels, mask, heat = scene()
    assert overlap(localize(pixels, heat), mask) > 0.95
    assert overlap(localize(pixels, heat, "threshold"), mask) < 0.8
    box = box_around(localize(pixels, heat))
    assert np.abs(np.subtract(box, box_around(mask))).max() <= 1


def test_a_spot_beside_the_things_middle_still_finds_all_of_it():
    pixels, mask, heat = scene()
    assert overlap(localize(pixels, np.roll(heat, (-12, 10), (0, 1))), mask) > 0.9


def test_a_threshold_takes_what_lies_above_its_quantile():
    heat = np.arange(100, dtype=np.float32).reshape(10, 10)
    pixels = np.zeros((10, 10, 3), np.uint8)
    found = localize(pixels, heat, "threshold", foreground=0.75)
    assert np.array_equal(found, heat > 74.25)
    assert np.array_equal(localize(pixels, heat, "threshold"), heat > 89.1)
    assert localize(pixels, heat, "threshold", foreground=0.1).mean() == 0.9


def test_seeds_are_above_one_quantile_and_up_to_another():
    heat = np.arange(100, dtype=np.float32).reshape(10, 10)
    hot, cold = seeds(heat, 0.95, 0.30)
    assert sorted(heat[hot]) == [95, 96, 97, 98, 99]
    assert sorted(heat[cold]) == list(range(30))


def test_a_plateau_at_the_bottom_is_cold_though_none_of_it_lies_below_the_quantile():
    heat = np.maximum(np.arange(100, dtype=np.float32).reshape(10, 10) - 60, 0)
    hot, cold = seeds(heat, 0.95, 0.30)
    assert np.array_equal(cold, heat == 0)
    assert hot.sum() == 5


def test_what_is_hot_is_in_and_what_is_cold_is_out_whatever_its_colour():
    pixels = np.full((40, 80, 3), (40, 70, 160), np.uint8)
    pixels[10:30] = (220, 120, 30)  # a bar from edge to edge, hot at its left end
    pixels[12:15, 5:8] = (40, 70, 160)
    heat = np.tile(np.exp(-np.arange(80) / 20), (40, 1)) * np.exp(-(np.abs(np.arange(40) - 20) / 30)[:, None])
    hot, cold = seeds(heat, 0.95, 0.30)
    found = localize(pixels, heat)
    assert cold[20].any()
    assert found[hot].all()
    assert not found[cold].any()


def test_quantiles_are_over_what_was_seen_and_the_rest_is_never_in():
    pixels, mask, heat = scene()
    seen = np.zeros(mask.shape, bool)
    seen[:, 30:120] = True
    laid = np.where(seen, heat, np.nan)
    for by in ("grabcut", "threshold"):
        assert not localize(pixels, laid, by)[~seen].any()
        alone = localize(pixels[:, 30:120], heat[:, 30:120], by)
        assert np.array_equal(localize(pixels, laid, by)[:, 30:120], alone)
    assert overlap(localize(pixels, laid), mask & seen) > 0.95


def test_only_the_largest_part_is_kept_and_corners_connect():
    mask = np.zeros((8, 8), bool)
    mask[0, 0] = mask[1, 1] = mask[2, 2] = True
    mask[6, 5:7] = True
    assert np.argwhere(largest(mask)).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert not largest(np.zeros((3, 3), bool)).any()


def test_a_box_is_half_open():
    mask = np.zeros((10, 20), bool)
    mask[3:5, 7:12] = True
    assert box_around(mask) == (7, 3, 12, 5)


def test_a_plateau_at_the_top_stands_for_what_lies_above_the_quantile():
    heat = np.zeros((10, 10), np.float32)
    heat[:, 5:] = 1.0
    pixels = np.zeros((10, 10, 3), np.uint8)
    for by in ("grabcut", "threshold"):
        assert np.array_equal(localize(pixels, heat, by), heat == 1)


def test_where_both_quantiles_are_one_value_the_pixels_above_it_are_the_region():
    pixels, _, _ = scene()
    heat = np.zeros(pixels.shape[:2], np.float32)
    heat[40:44, 50:56] = 1.0
    assert np.array_equal(localize(pixels, heat), heat == 1)


@pytest.mark.parametrize("value", [0.0, 0.3, np.nan])
def test_a_map_that_is_the_same_everywhere_has_no_region(value):
    heat = np.full((9, 9), value, np.float32)
    assert not stands_out(heat)
    for by in ("grabcut", "threshold"):
        with pytest.raises(SightlineError, match=r"no region stands out\. Explain another target, layer or method"):
            localize(np.zeros((9, 9, 3), np.uint8), heat, by)


def test_one_colour_leaves_the_heat_to_decide():
    _, _, heat = scene()
    flat = np.full((*heat.shape, 3), 90, np.uint8)
    assert np.array_equal(localize(flat, heat), localize(flat, heat, "threshold", foreground=0.95))


def test_a_grey_photo_is_cut_as_well():
    _, mask, heat = scene()
    grey = np.where(mask, 200, 60)[..., None] + np.random.default_rng(1).integers(-9, 10, (*mask.shape, 1))
    assert overlap(localize(np.repeat(grey, 3, 2).astype(np.uint8), heat), mask) > 0.95


@pytest.mark.parametrize("shape", [(1, 2), (2, 2), (3, 1), (5, 5), (1, 900), (700, 2)])
@pytest.mark.parametrize("colours", [1, 2, 256])
def test_tiny_and_thin_photos_have_a_region(shape, colours):
    rng = np.random.default_rng(2)
    pixels = (rng.integers(0, colours, (*shape, 3)) * (255 // colours)).astype(np.uint8)
    for heat in (rng.random(shape), np.arange(shape[0] * shape[1]).reshape(shape) % 2):
        found = localize(pixels, heat.astype(np.float32))
        assert found.shape == shape
        assert found.any()


def test_a_large_photo_is_cut_on_a_small_copy_and_the_region_laid_back(monkeypatch):
    import cv2

    cut, sizes = cv2.grabCut, []
    monkeypatch.setattr(cv2, "grabCut", lambda image, *rest: sizes.append(image.shape) or cut(image, *rest))
    pixels, mask, heat = (np.kron(part, np.ones((10, 10, 1)[: part.ndim], part.dtype)) for part in scene())
    assert overlap(localize(pixels, heat), mask) > 0.95
    assert heat.shape == (1200, 1600)
    assert sizes == [(240, CUT_ON, 3)]


def test_the_same_input_gives_the_same_region_and_the_callers_random_numbers_are_not_touched():
    import cv2

    pixels = np.random.default_rng(3).integers(0, 256, (60, 60, 3), np.uint8)
    _, _, heat = scene((60, 60), (30, 30), 14)
    cv2.setRNGSeed(5)
    first, expected = localize(pixels, heat), np.zeros((1, 4))
    drawn = cv2.randu(np.zeros((1, 4)), 0, 1)
    assert np.array_equal(localize(pixels, heat), first)
    cv2.setRNGSeed(5)
    assert np.array_equal(drawn, cv2.randu(expected, 0, 1))
    cv2.setRNGSeed(99)
    assert np.array_equal(localize(pixels, heat), first)


def test_another_process_gives_the_same_region():
    code = (
        "import numpy as np; from sightline.photos.localize import localize;"
        "p = np.random.default_rng(3).integers(0, 256, (60, 60, 3), np.uint8); y, x = np.indices((60, 60));"
        "print(np.flatnonzero(localize(p, np.exp(-((y - 30.) ** 2 + (x - 30.) ** 2) / 100))).sum())"
    )
    found = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "grabcat"}, "did you mean 'grabcut'"),
        ({"foreground": 1.5}, r"foreground=1.5; it is a quantile of the map, from 0 to 1"),
        ({"foreground": float("nan")}, "foreground=nan"),
        ({"background": True}, "background=True"),
        ({"foreground": 0.2}, r"background=0.3 is above foreground=0.2"),
        ({"by": "threshold", "foreground": "0.9"}, "foreground='0.9'"),
    ],
)
def test_options_that_are_none_are_refused(options, words):
    pixels, _, heat = scene()
    with pytest.raises(OptionError, match=words):
        localize(pixels, heat, **options)


def test_a_heat_of_another_size_is_refused():
    pixels, _, heat = scene()
    with pytest.raises(PhotoError, match=r"got \(120, 160, 3\) and \(119, 160\)"):
        localize(pixels, heat[1:])

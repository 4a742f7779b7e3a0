"""A region covers what it says, to the fraction of a pixel, and what is no region is told what would be."""

import pickle
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core.errors import OptionError
from sightline.photos.coverage import polygon_coverage
from sightline.photos.decode import Photo
from sightline.photos.localize import CUT_ON
from sightline.photos.regions import Box, GrabCut, Mask, Polygon, Top, mask_of, region_of

EDGES = st.floats(-30, 60).map(lambda edge: round(edge, 2))
BOXES = st.tuples(EDGES, EDGES, st.floats(0.1, 40), st.floats(0.1, 40)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


def blank(height=40, width=50):
    return Photo(np.zeros((height, width, 3), np.uint8))


def disc_photo(shape=(120, 160), centre=(60, 80), radius=30, grain=10):
    """An orange disc on grainy blue, and the disc's mask."""
    y, x = np.indices(shape)
    disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    grains = np.random.default_rng(0).integers(-grain, grain + 1, (*shape, 3))
    pixels = np.where(disc[..., None], (220, 120, 30), (40, 70, 160)) + grains
    return Photo(pixels.clip(0, 255).astype(np.uint8)), disc


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def shoelace(points):
    x, y = np.array(points, np.float64).T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


# Boxes ------------------------------------------------------------------------------------------------------


def test_a_box_is_half_open_to_the_pixel():
    mask = Box(35, 5, 45, 8).on(blank())
    assert mask.dtype == np.float32
    assert np.array_equal(np.argwhere(mask), [(y, x) for y in (5, 6, 7) for x in range(35, 45)])
    assert set(mask[5:8, 35:45].flat) == {1.0}


def test_edge_pixels_of_a_fractional_box_are_covered_in_part():
    mask = Box(1.25, 0.5, 3.5, 2).on(blank(3, 5))
    assert mask.tolist() == [[0, 0.375, 0.5, 0.25, 0], [0, 0.75, 1, 0.5, 0], [0, 0, 0, 0, 0]]


def test_a_box_within_one_pixel_covers_its_area():
    assert Box(2.25, 1.5, 2.75, 1.75).on(blank(3, 4))[1, 2] == 0.125


@settings(max_examples=100, deadline=None)
@given(box=BOXES)
def test_a_box_covers_its_area_within_the_photo(box):
    x0, y0, x1, y1 = np.clip(box, 0, (50, 40, 50, 40))
    assert Box(*box).on(blank()).sum(dtype=float) == pytest.approx((x1 - x0) * (y1 - y0), abs=1e-3)


# Polygons ---------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(box=BOXES)
def test_a_polygon_of_four_corners_is_the_box(box):
    x0, y0, x1, y1 = box
    polygon = Polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    assert np.abs(polygon.on(blank()) - Box(*box).on(blank())).max() < 2e-6


@settings(max_examples=100, deadline=None)
@given(points=st.lists(st.tuples(st.floats(0, 50), st.floats(0, 40)), min_size=3, max_size=3))
def test_a_triangle_covers_the_area_of_the_shoelace_formula(points):
    assert Polygon(points).on(blank()).sum(dtype=float) == pytest.approx(shoelace(points), abs=1e-3)


def test_a_star_of_twenty_points_covers_the_area_of_the_shoelace_formula_in_either_direction():
    angles = np.arange(20) * np.pi / 10
    radius = np.where(np.arange(20) % 2, 17.3, 7.1)
    points = np.stack([25.2 + radius * np.cos(angles), 19.7 + radius * np.sin(angles)], 1)
    mask = Polygon(points).on(blank())
    assert mask.sum(dtype=float) == pytest.approx(shoelace(points), abs=1e-3)
    assert mask[19, 25] == 1
    assert np.array_equal(Polygon(points[::-1]).on(blank()), mask)


def test_half_pixels_along_a_diagonal():
    mask = Polygon([(0, 0), (4, 4), (0, 4)]).on(blank(4, 4))
    assert np.allclose(mask, np.tril(np.ones((4, 4)), -1) + np.eye(4) / 2)


@settings(max_examples=30, deadline=None)
@given(points=st.lists(st.tuples(st.integers(-400, 1400), st.integers(-400, 1200)), min_size=3, max_size=6))
def test_a_pixel_of_a_polygon_agrees_with_counting_points_in_it(points):
    points = [(x / 100, y / 100) for x, y in points]
    fine = 24
    y, x = ((np.indices((8 * fine, 10 * fine)) + 0.5) / fine).reshape(2, -1)
    inside = np.zeros(len(x), bool)
    for (xa, ya), (xb, yb) in zip(points, points[1:] + points[:1], strict=True):
        if ya != yb:
            inside ^= ((ya <= y) != (yb <= y)) & (x > xa + (y - ya) / (yb - ya) * (xb - xa))
    counted = inside.reshape(8, fine, 10, fine).mean((1, 3))
    # An edge is placed to half a strip (1/16), and the counting to half a point; where edges meet, theirs add up.
    assert np.abs(Polygon(points).on(blank(8, 10)) - counted).max() < len(points) * (1 / 16 + 1 / 48)


def test_what_is_enclosed_twice_is_outside():
    bow = Polygon([(0, 0), (8, 8), (8, 0), (0, 8)]).on(blank(8, 8))
    assert bow[1, 4] == bow[6, 3] == 0
    assert bow[4, 1] == bow[3, 6] == 1
    ring = Polygon([(0, 0), (8, 0), (8, 8), (0, 8), (0, 0), (2, 2), (6, 2), (6, 6), (2, 6), (2, 2)]).on(blank(8, 8))
    assert ring[3, 3] == 0
    assert ring.sum() == 64 - 16


def test_far_points_and_a_large_photo_are_no_matter():
    assert (polygon_coverage(np.array([(-9e8, -9e8), (9e8, -9e8), (0, 9e8)]), 30, 40) == 1).all()
    assert not Polygon([(60, 0), (90, 0), (90, 30)]).on(blank()).any()
    assert not Polygon([(1, 1), (5, 5), (9, 9)]).on(blank()).any()
    assert Polygon([(0, 0), (2000, 0), (0, 1500)]).on(blank(1500, 2000)).sum(dtype=float) == pytest.approx(1.5e6)


# Masks and the tops of heat maps ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_a_mask_is_itself(kind):
    values = np.eye(40, 50).astype(kind)
    mask = Mask(values).on(blank())
    assert mask.dtype == np.float32
    assert np.array_equal(mask, np.eye(40, 50))


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.float32, torch.bfloat16])
def test_a_tensor_is_a_mask(kind):
    values = torch.eye(40, 50).to(kind)
    assert np.array_equal(mask_of(values, blank()), np.eye(40, 50))


def test_a_tensor_with_a_gradient_is_a_mask_and_keeps_its_fractions():
    values = torch.full((40, 50), 0.3, requires_grad=True)
    assert (mask_of(values, blank()) == np.float32(0.3)).all()


def test_a_mask_is_a_copy_that_nobody_can_write_into():
    values = np.ones((40, 50), np.float32)
    mask = Mask(values)
    values[:] = 0
    mask.on(blank())[:] = 0
    assert (mask.on(blank()) == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        mask.values[0, 0] = 0


def test_rounding_that_sticks_out_is_cut_off():
    values = np.array([[1 + 1e-7, -1e-7]])
    assert Mask(values).on(blank(1, 2)).tolist() == [[1, 0]]


def test_the_top_is_the_hottest_share_of_what_was_seen():
    heat = np.arange(2000.0).reshape(40, 50)
    assert np.array_equal(Top(heat, 0.1).on(blank()), heat >= 1800)
    assert (Top(heat, 1).on(blank()) == 1).all()
    heat[30:] = np.nan
    heat[0, 0], heat[0, 1] = np.inf, -np.inf
    top = Top(heat, 0.1).on(blank())
    assert top.sum() == round(0.1 * 1498)
    assert np.array_equal(top.ravel().nonzero()[0], np.arange(1350, 1500))


def test_of_equals_the_upper_and_then_the_left_are_taken():
    heat = np.zeros((4, 5))
    heat[2] = 1
    assert np.argwhere(Top(heat, 0.15).on(blank(4, 5))).tolist() == [[2, 0], [2, 1], [2, 2]]
    assert np.argwhere(Top(heat, 0.35).on(blank(4, 5))).tolist() == [[0, 0], [0, 1], *([2, x] for x in range(5))]


@settings(max_examples=100, deadline=None)
@given(
    heat=st.lists(st.sampled_from([0.0, 0.5, 1.0, -2.0, np.nan]), min_size=12, max_size=12),
    share=st.floats(0.001, 1),
)
def test_exactly_the_share_is_taken_and_nothing_left_is_hotter(heat, share):
    values = np.array(heat).reshape(3, 4)
    seen = np.isfinite(values)
    if not seen.any():
        return
    mask = Top(values, share).on(blank(3, 4)) == 1
    assert mask.sum() == max(1, round(share * seen.sum()))
    assert not mask[~seen].any()
    assert mask[seen].all() or values[mask].min() >= values[seen & ~mask].max()


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.int32])
def test_the_top_of_a_tensor(kind):
    heat = torch.zeros(40, 50, dtype=kind)
    heat[7, 9] = 3
    assert np.argwhere(Top(heat, 1e-9).on(blank())).tolist() == [[7, 9]]


def test_the_top_of_whole_numbers_knows_no_overflow():
    assert np.argwhere(Top(np.array([[0, 255, 3]], np.uint8), 0.3).on(blank(1, 3))).tolist() == [[0, 1]]


# The object in a box ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bytes", "floats", "grey"])
def test_the_object_in_a_box_is_found(kind):
    photo, disc = disc_photo()
    if kind == "floats":
        photo = Photo((photo.pixels / 255).astype(np.float32))
    if kind == "grey":
        photo = Photo(photo.pixels[..., :1])
    mask = GrabCut((40, 22, 122, 101)).on(photo)
    assert mask.dtype == np.float32
    assert set(mask.flat) == {0.0, 1.0}
    assert overlap(mask > 0, disc) > 0.95


def test_nothing_outside_of_the_box_is_in_the_object():
    photo, disc = disc_photo()
    cut_off = GrabCut(Box(45, 25, 104.5, 95)).on(photo)
    assert not cut_off[:, 105:].any()
    assert overlap(cut_off > 0, disc & (np.arange(160) < 105)) > 0.95


def test_another_thing_of_the_same_colours_far_from_the_box_is_no_background():
    photo, disc = disc_photo((200, 400), (100, 80), 30)
    twin = Photo(np.where((np.arange(400) < 200)[:, None], photo.pixels, photo.pixels[:, ::-1]))
    assert overlap(GrabCut((40, 62, 122, 141)).on(twin) > 0, disc) > 0.95


def test_a_small_object_in_a_large_photo_is_cut_at_the_size_of_its_box(monkeypatch):
    import cv2

    cut, sizes = cv2.grabCut, []
    monkeypatch.setattr(cv2, "grabCut", lambda image, *rest: sizes.append(image.shape) or cut(image, *rest))
    photo, disc = disc_photo((900, 1200), (300, 500), 12)
    assert overlap(GrabCut((485, 285, 516, 316)).on(photo) > 0, disc) > 0.95
    assert sizes == [(63, 63, 3)]
    photo, disc = disc_photo((900, 1200), (450, 600), 300)
    assert overlap(GrabCut((280, 130, 920, 770)).on(photo) > 0, disc) > 0.95
    assert max(sizes[1]) == CUT_ON


def test_the_same_photo_gives_the_same_object_and_the_callers_random_numbers_are_not_touched():
    import cv2

    photo, _ = disc_photo(grain=120)
    region = GrabCut((40, 22, 122, 101))
    cv2.setRNGSeed(5)
    first = region.on(photo)
    drawn = cv2.randu(np.zeros((1, 4)), 0, 1)
    cv2.setRNGSeed(5)
    assert np.array_equal(drawn, cv2.randu(np.zeros((1, 4)), 0, 1))
    cv2.setRNGSeed(99)
    assert np.array_equal(region.on(photo), first)


def test_the_photo_is_not_written_into():
    photo, _ = disc_photo()
    before = photo.pixels.copy()
    GrabCut((40, 22, 122, 101)).on(photo)
    assert np.array_equal(photo.pixels, before)


@pytest.mark.parametrize("shape", [(2, 2), (1, 2), (3, 3), (5, 5), (2, 900), (700, 2)])
def test_tiny_and_thin_photos_have_an_object_or_a_word(shape):
    photo = Photo(np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8))
    for region in (GrabCut((0, 0, 1, 1)), GrabCut((0, 0, shape[1] - 0.5, shape[0]))):
        with suppress(OptionError):
            assert region.on(photo).any()


def test_where_there_is_no_object_an_error_says_so():
    noise = Photo(np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8))
    with pytest.raises(OptionError, match=r"finds no object in the box \(40, 20, 120, 100\).* or a mask or polygon"):
        GrabCut((40, 20, 120, 100)).on(noise)
    with pytest.raises(OptionError, match="the photo has one colour in the box"):
        GrabCut((10, 10, 20, 20)).on(blank())
    for everything in ((0, 0, 160, 120), (-5, -5, 999, 999)):
        with pytest.raises(OptionError, match=r"the box \(0, 0, 160, 120\) leaves too little in it or around it"):
            GrabCut(everything).on(noise)
    with pytest.raises(OptionError, match=r"box \(200, 0, 220, 9\) covers nothing of the photo, which is 160 pixels"):
        GrabCut((200, 0, 220, 9)).on(noise)


# What was given ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "name"),
    [
        (Box(35, 5, 75, 45), "box (35, 5, 75, 45)"),
        (Box(0.1 + 0.2, -1, 12345.25, np.float32(7.5)), "box (0.3, -1, 12345.25, 7.5)"),
        (Mask(np.ones((40, 40), bool)), "mask of 1600 pixels"),
        (Polygon(np.eye(5, 2)), "polygon of 5 points"),
        (Top(np.eye(4), 0.1), "hottest 10 %"),
        (Top(np.eye(4), np.float32(0.125)), "hottest 12.5 %"),
        (GrabCut((35, 5, 75, 45)), "object in box (35, 5, 75, 45)"),
    ],
)
def test_a_region_has_a_name_to_read_and_travels(region, name):
    assert str(region) == name
    assert str(pickle.loads(pickle.dumps(region))) == name
    assert region_of(region) is region


@pytest.mark.parametrize(
    "box", [(1, 2, 30, 4), [1.0, 2, 30, 4], np.array([1, 2, 30, 4]), torch.tensor([1.0, 2.0, 30.0, 4.0])]
)
def test_four_numbers_are_a_box(box):
    assert region_of(box) == Box(1, 2, 30, 4)
    assert GrabCut(box) == GrabCut(Box(1, 2, 30, 4))


class Sky:
    """A region of a user's own."""

    def __init__(self, mask):
        self.mask = mask

    def on(self, photo):
        return self.mask

    def __str__(self):
        return "the sky"


def test_everything_that_says_where_it_is_on_a_photo_is_a_region():
    mask = mask_of(Sky(torch.ones(40, 50, dtype=torch.bool)), blank())
    assert mask.dtype == np.float32
    assert (mask == 1).all()


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((40, 50)), "the sky covers nothing of the photo"),
        (np.ones((9, 9)), r"the sky is \(9, 9\) and the upright photo \(40, 50\)"),
        (np.full((40, 50), np.nan), "the sky is finite"),
        (np.full((40, 50), 2), r"the sky lies in \[0, 1\]"),
        (None, r"the sky is \(h, w\)"),
    ],
)
def test_a_region_of_ones_own_is_checked(mask, words):
    with pytest.raises(OptionError, match=words):
        mask_of(Sky(mask), blank())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            (75, 5, 35, 45),
            r"box \(75, 5, 35, 45\) holds no pixel; give x0 < x1 and y0 < y1, in pixels of the upright",
        ),
        ((5, 5, 5, 9), r"the box \(x, y, x \+ width, y \+ height\)"),
        ((0, 9, 5, 9), "holds no pixel"),
        ((0, 0, float("nan"), 9), r"a box is \(x0, y0, x1, y1\), finite numbers in pixels .* got \(0, 0, nan, 9\)"),
        ((0, 0, float("inf"), 9), "finite numbers"),
        ((0, 0, 10**400, 9), "finite numbers"),
        (np.array([0, 0, 9, np.iinfo(np.int64).min]), "finite numbers"),
        (("0", "0", "9", "9"), "finite numbers"),
        ((0, 0, None, 9), "finite numbers"),
        ((50, 0, 60, 10), r"box \(50, 0, 60, 10\) covers nothing of the photo, which is 50 pixels wide and 40 high"),
        ((-9, -9, 0, 0), "covers nothing"),
        (Polygon([(60, 0), (90, 0), (90, 9)]), "polygon of 3 points covers nothing"),
        (np.zeros((40, 50)), "mask of 0 pixels covers nothing of the photo"),
        (np.ones((50, 40)), r"the mask is \(50, 40\) and the upright photo \(40, 50\), both \(h, w\)\. Turn it"),
        (np.ones((41, 50)), r"the mask is \(41, 50\) and the upright photo \(40, 50\), both \(h, w\)\.$"),
        (np.ones((1, 40, 50)), r"a mask is \(h, w\), of bools or of floats .* got float64 of shape \(1, 40, 50\)"),
        (np.ones((0, 50)), r"shape \(0, 50\)"),
        (np.ones((40, 50), complex), "got complex128"),
        (np.full((40, 50), np.nan), "a mask is finite; got NaN or infinity.*nan_to_num"),
        (np.full((40, 50), 255, np.uint8), r"a mask lies in \[0, 1\].* got 255 to 255\. .*divide by 255"),
        (np.full((40, 50), 1.5), "divide by 255"),
        (torch.full((40, 50), -0.5), r"got -0.5 to -0.5\. Of a heat map, take Top\(heatmap, share\)"),
        (torch.eye(4).to_sparse(), "Tensor cannot be read"),
        ([[1, 0], [0, 1]], r"a region is a box .* got a list of shape \(2, 2\)"),
        ([[1, 0], [0]], "list cannot be read"),
        ((1, 2, 3), r"Box, Mask, Polygon, Top, GrabCut; got a tuple of shape \(3,\)"),
        (None, "got None"),
        ("the dog", "got 'the dog'"),
        (Box, "got <class"),
    ],
)
def test_what_is_no_region_is_told_what_would_be(given, words):
    with pytest.raises(OptionError, match=words):
        mask_of(given, blank())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Box(True, False, True, True), "a box is"),
        (lambda: Mask([[True], [True, False]]), r"a mask is an array or tensor \(h, w\); list cannot be read"),
        (lambda: Polygon([(0, 0), (1, 1)]), r"at least 3 points \(x, y\), in pixels of the upright photo.* got 2"),
        (lambda: Polygon([(0, 0, 0)] * 3), r"points \(x, y\), finite numbers"),
        (lambda: Polygon([]), "at least 3 points"),
        (lambda: Polygon([(0, 0), (1, np.nan), (3, 3)]), "finite numbers"),
        (lambda: Polygon(np.array([(0, 0), (1, np.iinfo(np.int64).min), (3, 3)])), "finite numbers"),
        (lambda: Top(np.eye(3), 10), r"share=10; .*above 0 and up to 1 \(10 % is 0.1\)"),
        (lambda: Top(np.eye(3), 0), "share=0"),
        (lambda: Top(np.eye(3), float("nan")), "share=nan"),
        (lambda: Top(np.eye(3), True), "share=True"),
        (lambda: Top(np.ones((3, 3, 3)), 0.1), r"a heat map is \(h, w\).* got float64 of shape \(3, 3, 3\)"),
        (lambda: Top(np.full((3, 3), np.nan), 0.1), "no finite pixel; explain another target"),
        (lambda: Top(np.eye(3), 0.1).on(blank()), r"the heat map is \(3, 3\) and the upright photo \(40, 50\)"),
        (lambda: GrabCut((9, 9, 1, 1)), "give x0 < x1"),
        (lambda: GrabCut(Top(np.eye(3), 0.1)), r"a box is \(x0, y0, x1, y1\), finite numbers"),
    ],
)
def test_values_that_make_no_region_are_refused(make, words):
    with pytest.raises(OptionError, match=words):
        make()

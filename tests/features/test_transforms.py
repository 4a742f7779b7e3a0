"""Transforms, each on paper: where every pixel of a moved image comes from."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from climbs import climb, conv_net, model_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import sightline as sl
from sightline.features import transforms
from sightline.features.ascent import _dice
from sightline.features.transforms import transformed
from sightline.transforms import Blur, Crop, Flip, Jitter, Noise, Pad, Rotate, Scale

ALL = [Jitter(2), Jitter(0.2), Rotate(30), Scale(0.8, 1.3), Crop(0.4, 0.9), Pad(2), Pad(0.2), Flip(), Blur(), Noise()]
EDGES = ("reflect", "wrap", "grey")


def dice(count=2, seed=0):
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


def noise(size=(6, 8), count=2, channels=3, seed=4):
    """Pixels in [0, 1]."""
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(seed))


def smooth(size=(24, 32), count=2):
    """Low waves that fit into the image, so that it can be wrapped."""
    y, x = (torch.arange(side) * 2 * torch.pi / side for side in size)
    waves = [(y + i).sin()[:, None] * (x - i).cos() for i in range(3 * count)]
    return 0.5 + 0.4 * torch.stack(waves).view(count, 3, *size)


def moved(images, *given, seed=0, size=None, edge="reflect"):
    return transformed(images, given, dice(len(images), seed), size or tuple(images.shape[2:]), edge)


@pytest.fixture
def at_most(monkeypatch):
    """All that is drawn is the most that can be."""
    monkeypatch.setattr(transforms, "_between", lambda _die, _low, high: high)


@pytest.fixture
def at_least(monkeypatch):
    """All that is drawn is the least that can be."""
    monkeypatch.setattr(transforms, "_between", lambda _die, low, _high: low)


# One by one -----------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 500), by=st.integers(0, 5), size=st.tuples(st.integers(2, 9), st.integers(2, 9)))
@settings(max_examples=50, deadline=None)
def test_a_jitter_of_whole_pixels_rolls_the_image(seed, by, size):
    images = noise(size, count=1, channels=1)
    found = moved(images, Jitter(by), seed=seed, edge="wrap")
    shifts = [(dy, dx) for dy in range(-by, by + 1) for dx in range(-by, by + 1)]
    assert any(torch.allclose(found, torch.roll(images, one, (2, 3)), atol=1e-5) for one in shifts)


def test_a_jitter_draws_every_shift_as_often():
    images, counts = torch.zeros(900, 1, 5, 5), torch.zeros(5, 5)
    images[..., 2, 2] = 1
    for one in moved(images, Jitter(1), edge="wrap"):
        counts += one[0].round()
    assert counts.sum() == 900
    assert counts[1:4, 1:4].min() > 60
    assert counts[1:4, 1:4].sum() == 900


def test_a_jitter_of_a_share_reaches_that_share_of_the_sides(at_most):
    images = noise((10, 20))
    found = moved(images, Jitter(0.1), edge="wrap")
    assert torch.allclose(found, torch.roll(images, (-1, -2), (2, 3)), atol=1e-5)


@pytest.mark.parametrize(
    ("edge", "mode"),
    [("reflect", {"mode": "symmetric"}), ("wrap", {"mode": "wrap"}), ("grey", {"constant_values": 0.5})],
)
def test_beyond_the_border_is_the_mirror_image_the_other_side_or_grey(edge, mode):
    images = noise((4, 6), 1)
    found = moved(images, Pad(0.5), size=(8, 12), edge=edge)
    expected = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (3, 3)), **mode)
    assert np.allclose(found, expected, atol=1e-5)


def test_flips_mirror_left_and_right_half_of_the_time():
    images = noise(count=200)
    found = moved(images, Flip())
    same = torch.isclose(found, images, atol=1e-5).flatten(1).all(1)
    mirrored = torch.isclose(found, images.flip(3), atol=1e-5).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 70 < int(same.sum()) < 130


@pytest.mark.parametrize("size", [(24, 32), (16, 16)])
def test_twice_as_large_is_the_centre_enlarged(size):
    images = noise(size)
    high, wide = size
    centre = images[..., high // 4 : -high // 4, wide // 4 : -wide // 4]
    enlarged = F.interpolate(centre, size, mode="bilinear", align_corners=False)
    found = moved(images, Scale(2, 2))
    assert torch.allclose(found[..., 1:-1, 1:-1], enlarged[..., 1:-1, 1:-1], atol=1e-5)


@pytest.mark.parametrize(("factor", "bound"), [(1.3, "at_most"), (0.7, "at_least")])
def test_a_scale_goes_from_low_to_high(factor, bound, request):
    request.getfixturevalue(bound)
    assert torch.allclose(
        Scale(0.7, 1.3).matrix(dice()[0], (4, 9)), torch.diag(torch.tensor([1 / factor, 1 / factor, 1]))
    )


@pytest.mark.parametrize("low", [0.2, 0.5, 1.0])
def test_crops_are_inside_the_image_and_anywhere_in_it(low):
    corners = torch.tensor([[-1.0, -1, 1], [1, 1, 1]]).T
    windows = torch.stack([Crop(low, 1.0).matrix(die, (6, 9)) @ corners for die in dice(300)])[:, :2]
    assert windows.abs().max() <= 1 + 1e-6
    sides = (windows[:, 0, 1] - windows[:, 0, 0]) / 2
    assert torch.allclose(sides, (windows[:, 1, 1] - windows[:, 1, 0]) / 2, atol=1e-5)
    assert low - 1e-6 <= float(sides.min()) <= low + 0.02
    assert float(sides.max()) > 0.98
    if low < 1:
        assert windows[:, :, 0].min() < -0.95
        assert windows[:, :, 1].max() > 0.95


def test_a_crop_shows_its_window(at_most):
    """The largest draw is the window at the bottom right."""
    images = noise((8, 12))
    found = moved(images, Crop(0.5, 0.5), size=(4, 6))
    assert torch.allclose(found, images[..., 4:, 6:], atol=1e-5)


@pytest.mark.parametrize("given", [Pad(4), Pad(0.5)])
def test_a_pad_shows_the_whole_image_in_a_border(given):
    images = noise((8, 8))
    found = moved(images, given, size=(16, 16), edge="grey")
    assert torch.allclose(found[..., 4:-4, 4:-4], images, atol=1e-5)
    border = torch.ones(16, 16, dtype=torch.bool)
    border[3:-3, 3:-3] = False
    assert torch.equal(found[..., border], torch.full_like(found[..., border], 0.5))


def test_a_pad_of_pixels_is_as_wide_on_all_sides():
    images = noise((4, 12))
    found = moved(images, Pad(2), size=(8, 16), edge="grey")
    assert torch.allclose(found[..., 2:-2, 2:-2], images, atol=1e-5)


@pytest.mark.parametrize(("high", "wide"), [(8, 4), (4, 8), (6, 6), (5, 9)])
def test_a_quarter_turn_keeps_the_aspect(at_most, high, wide):
    images, short = noise((high, wide)), min(high, wide)
    found = moved(images, Rotate(90), edge="grey")

    def centre(one):
        top, left = ((side - short) // 2 for side in one.shape[2:])
        return one[..., top : top + short, left : left + short]

    assert torch.allclose(centre(found), torch.rot90(centre(images), 1, (2, 3)), atol=1e-4)
    turned = torch.rot90(images, 1, (2, 3))
    top, left = (high - short) // 2, (wide - short) // 2
    outside = found.clone()
    outside[..., top : top + short, left : left + short] = 0.5
    assert turned.shape[2:] == (wide, high)
    assert (outside - 0.5).abs().max() < 1e-4


def test_half_a_turn_is_both_mirrors(at_most):
    images = noise((5, 8))
    assert torch.allclose(moved(images, Rotate(180)), images.flip(2, 3), atol=1e-4)


def test_a_turn_keeps_a_circle_round_on_an_image_that_is_not_square(at_most):
    y, x = torch.meshgrid(torch.arange(24) - 11.5, torch.arange(40) - 19.5, indexing="ij")
    away = (y.square() + x.square()).sqrt()
    disc, near = torch.sigmoid(8 - away)[None, None], away < 11.5
    for degrees in (17, 45, 90, 130):
        assert (moved(disc, Rotate(degrees)) - disc)[..., near].abs().max() < 0.05


def test_turns_go_either_way():
    angles = [math.degrees(math.asin(float(Rotate(20).matrix(die, (7, 7))[1, 0]))) for die in dice(200)]
    assert -20 <= min(angles) < -18
    assert 18 < max(angles) <= 20


def test_a_blur_keeps_the_sum_of_what_is_far_from_the_border():
    images = torch.zeros(1, 1, 17, 17)
    images[..., 8, 8] = 1
    found = moved(images, Blur(1.0))[0, 0]
    bell = torch.exp(-0.5 * (torch.arange(17) - 8.0).square())
    expected = bell[:, None] * bell / (bell[:, None] * bell).sum()
    assert torch.allclose(found, expected, atol=1e-4)
    assert torch.equal(moved(images, Blur(0)), images)


def test_noise_is_a_share_of_white():
    images = torch.full((4, 3, 40, 40), 0.5)
    found = moved(images, Noise(0.1)) - 0.5
    assert float(found.std()) == pytest.approx(0.1, rel=0.05)
    assert float(found.mean()) == pytest.approx(0, abs=0.01)
    assert not torch.allclose(found[0], found[1])


# One after another ----------------------------------------------------------------------------------------------


def test_no_transforms_do_not_touch_pixels():
    images = noise()
    assert moved(images) is images
    for nothing in (Jitter(0), Rotate(0), Scale(1, 1), Crop(1, 1), Pad(0)):
        for edge in EDGES:
            assert torch.allclose(moved(images, nothing, edge=edge), images, atol=1e-5)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(
    "pair",
    [
        (Scale(0.8, 0.9), Rotate(25)),
        (Rotate(25), Jitter(3)),
        (Jitter(0.1), Crop(0.6, 0.9)),
        (Pad(2), Flip()),
        (Crop(0.5, 0.8), Scale(0.6, 0.9)),
        (Rotate(40), Rotate(40)),
    ],
    ids=str,
)
def test_moves_are_those_one_after_another(pair, edge):
    """But for one interpolation less; and but for the border, which a first move may have left behind."""
    images, size = smooth(), (24, 32)
    found = transformed(images, pair, dice(), size, edge)
    own = dice()  # drawn from image by image, in the order of the moves
    first = transformed(images, pair[:1], own, size, edge)
    second = transformed(first, pair[1:], own, size, edge)
    inner = (..., slice(8, 16), slice(10, 22))
    assert (found - second)[inner].abs().max() < 0.02
    assert (found - images)[inner].abs().max() > 0.02


def test_moves_go_in_the_order_in_which_they_are_given():
    images = noise((32, 32), 1)
    jitter, scale = Jitter(6), Pad(0.5)
    first = moved(images, jitter, scale, edge="wrap")
    last = moved(images, scale, jitter, edge="wrap")
    near = [(dy, dx) for dy in range(-6, 7) for dx in range(-6, 7)]
    half = moved(images, scale, edge="wrap")

    rolled = min(near, key=lambda one: float((last - torch.roll(half, one, (2, 3))).abs().max()))
    assert any(rolled)
    assert torch.allclose(last, torch.roll(half, rolled, (2, 3)), atol=1e-4)
    expected = moved(
        torch.roll(images, rolled, (2, 3)), scale, edge="wrap"
    )  # the same draw, before it is made smaller
    assert torch.allclose(first, expected, atol=1e-4)
    assert not torch.allclose(first, last, atol=0.05)


def test_changes_have_their_place_in_the_order():
    images = noise((12, 12), 1)
    padded = moved(images, Pad(3), Blur(2), edge="grey")
    blurred = moved(images, Blur(2), Pad(3), edge="grey")
    assert (padded - blurred).abs().max() > 0.05
    assert torch.allclose(blurred, moved(moved(images, Blur(2)), Pad(3), edge="grey"), atol=1e-6)
    assert torch.allclose(padded, moved(moved(images, Pad(3), edge="grey"), Blur(2)), atol=1e-6)


@pytest.mark.parametrize("edge", EDGES)
def test_each_image_moves_as_its_own_generator_says(edge):
    images, given = noise((9, 12), 4), (Jitter(0.2), Rotate(30), Noise(), Flip(), Crop(0.5, 0.9), Blur(), Scale())
    together = transformed(images, given, dice(4), (9, 12), edge)
    for i in range(4):
        alone = transformed(images[i : i + 1], given, dice(1, seed=i), (9, 12), edge)
        assert torch.allclose(together[i], alone[0], atol=1e-6)
    assert all(not torch.allclose(a, b, atol=1e-2) for a, b in pairwise(together))


def test_a_view_s_dice_depend_on_its_seed_step_and_number_alone():
    drawn = {
        (seed, step, view): tuple(torch.rand(3, generator=_dice(seed, step, view)).tolist())
        for seed in range(6)
        for step in range(6)
        for view in range(3)
    }
    assert len(set(drawn.values())) == len(drawn)
    assert drawn[3, 4, 2] == tuple(torch.rand(3, generator=_dice(3, 4, 2)).tolist())


@pytest.mark.parametrize("given", ALL, ids=str)
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("size", [(6, 8), (9, 7)])
def test_every_transform_gives_the_network_s_size_and_a_slope(given, edge, size):
    images = noise((8, 10)).requires_grad_()
    found = moved(images, given, size=size, edge=edge)
    assert found.shape == (2, 3, *size)
    (slope,) = torch.autograd.grad(found.sum(), images)
    found = found.detach()
    assert slope.isfinite().all()
    assert slope.flatten(1).any(1).all()
    if edge != "grey" and not isinstance(given, Noise):
        assert -1e-5 <= float(found.min()) <= float(found.max()) <= 1 + 1e-5


@pytest.mark.parametrize("edge", EDGES)
def test_a_canvas_of_another_size_is_brought_to_the_input_s(edge):
    images = smooth((16, 24))
    shrunk = F.interpolate(images, (8, 12), mode="bilinear", antialias=True)
    assert torch.equal(moved(images, size=(8, 12), edge=edge), shrunk), "as the result is judged"


def test_transforms_do_not_hang_on_the_default_dtype():
    images = noise((9, 12))
    expected = moved(images, *ALL)
    torch.set_default_dtype(torch.float64)
    try:
        found = moved(images, *ALL)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-5)


def test_double_images_stay_double():
    images = noise().double()
    assert moved(images, *ALL).dtype == torch.float64


# What users bring, and what is refused --------------------------------------------------------------------------


def test_a_function_is_a_transform():
    shown = []

    def brighter(images, dice):
        shown.append((images.shape, len(dice)))
        return images + 0.1

    images = noise()
    assert torch.allclose(moved(images, brighter), images + 0.1)
    vis = climb(model_of(conv_net()), [0, 1], steps=2, transforms=(Flip(), brighter), views=2)
    assert len(vis) == 2
    assert shown[1:] == [((4, 3, 8, 12), 4)] * 2


def test_an_object_with_a_matrix_is_a_move():
    class Upside:
        def matrix(self, die, size):
            return torch.diag(torch.tensor([1.0, -1.0, 1.0]))

    images = noise()
    assert torch.allclose(moved(images, Upside()), images.flip(2), atol=1e-5)
    assert len(climb(model_of(conv_net()), 1, steps=2, transforms=[Upside(), Jitter(1)])) == 1


@pytest.mark.parametrize("given", [3, "jitter", Jitter, None])
def test_what_is_no_transform_is_refused(given):
    with pytest.raises(sl.OptionError, match=r"is no transform; give values of sl\.transforms"):
        climb(model_of(conv_net()), transforms=(given,))


@pytest.mark.parametrize("edge", ["mirror", "", 0])
def test_an_edge_is_one_of_three(edge):
    with pytest.raises(sl.OptionError, match="possible: 'reflect', 'wrap', 'grey'"):
        climb(model_of(conv_net()), edge=edge)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Scale(0, 1),
        lambda: Scale(1.2, 0.8),
        lambda: Scale(1, math.inf),
        lambda: Crop(0.5, 1.2),
        lambda: Crop(0.9, 0.5),
        lambda: Crop(-0.1, 0.5),
        lambda: Jitter(-1),
        lambda: Jitter(-0.1),
        lambda: Pad(-1),
        lambda: Blur(-1.0),
        lambda: Noise(-0.1),
        lambda: Rotate(math.nan),
        lambda: Jitter("8"),
    ],
)
def test_values_out_of_range_are_refused(make):
    with pytest.raises(sl.OptionError):
        make()

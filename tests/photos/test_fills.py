"""What hidden pixels become: each fill by hand, blends, a user's own functions, inpainting, and what is refused."""

import functools
import math

import numpy as np
import pytest
import torch

from sightline.core.errors import OptionError
from sightline.photos.fills import NAMES, STEADY, Fill, fills_of, is_colour, steady


def pixels_of(*size, channels=3, seed=1):
    """Pixels (C, *size) in [0, 1] that are the same every time."""
    return torch.rand(channels, *size, generator=torch.Generator().manual_seed(seed))


def only(given, pixels, seed=0):
    (fill,) = fills_of(given, pixels, seed)
    return fill


def shown(given, pixels, seed=0):
    """All of an image hidden."""
    return only(given, pixels, seed).hide(pixels, torch.ones(pixels.shape[1:]))


# Names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(5, 7), (9,), (3, 4, 5)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_black_white_and_the_mean_of_each_channel(size, channels):
    pixels = pixels_of(*size, channels=channels)
    assert torch.equal(shown("black", pixels), torch.zeros_like(pixels))
    assert torch.equal(shown("white", pixels), torch.ones_like(pixels))
    for channel, plane in zip(pixels, shown("mean", pixels), strict=True):
        assert torch.allclose(plane, torch.tensor(sum(channel.flatten().tolist()) / channel.numel()))


@pytest.mark.parametrize("size", [(40, 90), (64,), (10, 20, 30)])
def test_blur_is_a_bell_of_a_tenth_of_each_side(size):
    pixels = torch.zeros(1, *size)
    middle = tuple(side // 2 for side in size)
    pixels[(0, *middle)] = 1
    spot = shown("blur", pixels)[0].double()
    assert float(spot.sum()) == pytest.approx(1, abs=0.05)
    for axis, side in enumerate(size):
        profile = spot.movedim(axis, -1).flatten(0, -2).sum(0) if spot.ndim > 1 else spot
        at = torch.arange(side, dtype=torch.float64) - middle[axis]
        width = max(1, round(0.1 * side))
        ratio = float(profile[middle[axis] + width] / profile[middle[axis]])
        assert ratio == pytest.approx(math.exp(-0.5 * (width / (0.1 * side)) ** 2), rel=0.03)
        assert float((profile * at).sum()) == pytest.approx(0, abs=0.3)
        assert float((profile * at**2).sum() / profile.sum()) ** 0.5 == pytest.approx(0.1 * side, rel=0.04)


def test_blur_leaves_one_colour_as_it_is_up_to_the_border():
    pixels = torch.tensor([0.2, 0.5, 1.0]).view(3, 1, 1).expand(3, 20, 31)
    assert torch.allclose(shown("blur", pixels), pixels, atol=1e-6)


@pytest.mark.parametrize("size", [(5, 7), (9,), (3, 4, 5)])
def test_shuffle_moves_whole_pixels_and_loses_none(size):
    pixels = pixels_of(*size)
    found = shown("shuffle", pixels)
    before, after = (sorted(map(tuple, one.flatten(1).T.tolist())) for one in (pixels, found))
    assert before == after
    assert not torch.equal(found, pixels)
    assert torch.equal(found, shown("shuffle", pixels))
    assert not torch.equal(found, shown("shuffle", pixels, seed=1))


def test_noise_is_even_in_0_to_1_and_follows_the_seed():
    pixels = pixels_of(60, 60)
    found = shown("noise", pixels)
    assert 0 <= float(found.min()) < 0.001
    assert 0.999 < float(found.max()) <= 1
    assert float(found.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(found.std()) == pytest.approx(12**-0.5, abs=0.01)
    assert abs(float(torch.corrcoef(found.flatten(1))[0, 1])) < 0.05, "each channel by itself"
    assert torch.equal(found, shown("noise", pixels))
    assert not torch.allclose(found, shown("noise", pixels, seed=1), atol=0.1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        state = torch.random.get_rng_state()
        shown("noise", pixels)
        shown("shuffle", pixels)
        assert torch.equal(state, torch.random.get_rng_state()), "the owner's own dice are left alone"


@pytest.mark.parametrize("name", STEADY)
def test_steady_fills_are_the_same_whatever_is_hidden(name):
    pixels, hidden = pixels_of(6, 8), torch.zeros(6, 8)
    before = pixels.clone()
    fill = only(name, pixels)
    assert fill.name == name
    assert torch.equal(fill.image, steady(name, pixels, 0))
    hidden[2:4, 1:5] = 1
    assert torch.equal(fill.hide(pixels, hidden), torch.where(hidden.bool(), fill.image, pixels))
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("given", [*NAMES, 0.3, (0.1, 0.2, 0.3), lambda photo, mask: 1 - photo])
def test_pixels_stay_of_their_type(given, dtype):
    pixels = pixels_of(6, 8).to(dtype)
    hidden = torch.zeros(6, 8)
    hidden[2:4, 2:6] = 0.5
    assert only(given, pixels).hide(pixels, hidden).dtype == dtype


# Colours and pictures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name", "colour"),
    [
        (0, "0", (0, 0, 0)), (1, "1", (1, 1, 1)), (0.25, "0.25", (0.25,) * 3),
        ((0.1, 0.5, 1), "(0.1, 0.5, 1)", (0.1, 0.5, 1)), ([0.1, 0.5, 1.0], "(0.1, 0.5, 1)", (0.1, 0.5, 1)),
    ],
)  # fmt: skip
def test_a_colour_is_a_number_or_one_for_each_channel(given, name, colour):
    pixels = pixels_of(4, 5)
    assert only(given, pixels).name == name
    assert torch.allclose(shown(given, pixels), torch.tensor(colour).float().view(3, 1, 1).expand(3, 4, 5))


def test_what_is_a_colour():
    assert is_colour((0.1, 0.2, 0.3))
    assert is_colour([1])
    for given in ((), (0.1, "black"), (True, False), "black", 0.5, None, (None,)):
        assert not is_colour(given)


def test_a_picture_is_taken_as_it_is_and_bytes_as_shares_of_255():
    pixels, picture = pixels_of(4, 5), pixels_of(4, 5, seed=2)
    assert only(picture, pixels).name == "a picture"
    assert torch.equal(shown(picture, pixels), picture)
    assert torch.equal(shown(picture.numpy().astype(np.float64), pixels), picture)
    raw = (picture * 255).to(torch.uint8)
    assert torch.allclose(shown(raw, pixels), raw / 255)
    assert torch.allclose(shown(raw.numpy(), pixels), raw / 255)


# Masks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["white", 0.25, "noise", lambda photo, mask: 0.5 + 0 * photo])
def test_what_is_hidden_in_part_is_filled_in_part(given):
    pixels = pixels_of(6, 8)
    hidden = torch.rand(6, 8, generator=torch.Generator().manual_seed(3))
    hidden[:2] = 0
    fill = only(given, pixels)
    expected = pixels * (1 - hidden) + fill.under(pixels, hidden) * hidden
    assert torch.allclose(fill.hide(pixels, hidden), expected, atol=1e-6)
    assert torch.equal(fill.hide(pixels, hidden)[:, :2], pixels[:, :2])


def test_where_nothing_is_hidden_nothing_is_made():
    def never(photo, mask):
        raise AssertionError("it was asked for nothing")

    pixels = pixels_of(6, 8)
    assert torch.equal(only(never, pixels).hide(pixels, torch.zeros(6, 8)), pixels)
    assert torch.equal(only("inpaint", pixels).hide(pixels, torch.zeros(6, 8)), pixels)


# Functions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(6, 8), (9,), (3, 4, 5)])
def test_a_function_is_given_an_array_and_where_it_is_hidden(size):
    given = []

    def paint(photo, mask):
        given.append((photo, mask))
        return np.where(mask[..., None], 1 - photo, 0.0)

    pixels, hidden = pixels_of(*size), torch.zeros(size)
    hidden[1:3] = torch.tensor([0.4, 1.0]).view(-1, *[1] * (len(size) - 1))
    fill = only(paint, pixels)
    found = fill.hide(pixels, hidden)
    ((photo, mask),) = given
    assert fill.name == "paint"
    assert (photo.shape, photo.dtype) == ((*size, 3), np.float32)
    assert np.array_equal(photo, pixels.movedim(0, -1).numpy())
    assert (mask.dtype, mask.shape) == (bool, size)
    assert np.array_equal(mask, hidden.numpy() > 0)
    assert torch.allclose(found, pixels + hidden * (1 - 2 * pixels), atol=1e-6)


def test_a_function_may_scribble_on_what_it_is_given():
    def scribble(photo, mask):
        photo[:], mask[:] = 0, True
        return photo

    pixels, hidden = pixels_of(6, 8), torch.zeros(6, 8)
    hidden[2:4] = 1
    before = pixels.clone()
    assert torch.equal(only(scribble, pixels).hide(pixels, hidden), torch.where(hidden.bool(), 0.0, before))
    assert torch.equal(pixels, before)
    assert float(hidden.sum()) == 16


@pytest.mark.parametrize(
    "answer",
    [
        lambda photo, mask: np.full(photo.shape, 51, np.uint8),
        lambda photo, mask: np.full(photo.shape, 0.2),
        lambda photo, mask: np.full(photo.shape, 0.2, np.float16),
        lambda photo, mask: torch.full(photo.shape, 0.2, requires_grad=True),
        lambda photo, mask: np.full(photo.shape, 0.2).tolist(),
    ],
    ids=["bytes", "float64", "float16", "tensor", "list"],
)
def test_a_function_may_answer_in_bytes_in_floats_or_in_a_tensor(answer):
    found = shown(answer, pixels_of(6, 8))
    assert torch.allclose(found, torch.full((3, 6, 8), 0.2), atol=1e-3)
    assert not found.requires_grad


def test_rounding_is_no_offence():
    """A blur of white pixels in float32 can come to a little more than 1."""
    over = np.float32(1) + np.finfo(np.float32).eps * 4
    assert torch.equal(shown(lambda photo, mask: np.full(photo.shape, over), pixels_of(6, 8)), torch.ones(3, 6, 8))
    assert torch.equal(shown(lambda photo, mask: 0 * photo - 1e-7, pixels_of(6, 8)), torch.zeros(3, 6, 8))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda photo, mask: photo[..., 0], r"the fill a function gave shape \(6, 8\).* \(6, 8, 3\), uint8 or in"),
        (lambda photo, mask: None, r"gave shape \(\)"),
        (lambda photo, mask: np.where(photo > 0.5, np.nan, photo), "gave numbers that are not finite"),
        (lambda photo, mask: np.full(photo.shape, np.inf), "gave numbers that are not finite"),
        (lambda photo, mask: np.full(photo.shape, 1.5), r"pixels from 1.5 to 1.5; give uint8, or floats in \[0, 1\]"),
        (lambda photo, mask: np.full(photo.shape, -0.5), "pixels from -0.5 to -0.5; give uint8"),
        (lambda photo, mask: np.full(photo.shape, 200), "pixels from 200 to 200; give uint8"),
    ],
)
def test_a_function_that_gives_no_picture_is_refused(answer, words):
    with pytest.raises(OptionError, match=words):
        shown(answer, pixels_of(6, 8))


def test_what_a_function_raises_goes_through():
    def fails(photo, mask):
        raise ZeroDivisionError("in my own code")

    with pytest.raises(ZeroDivisionError, match="in my own code"):
        shown(fails, pixels_of(6, 8))


# Inpainting --------------------------------------------------------------------------------------------------------


def gradient(height, width, channels=3):
    """A smooth slope of colours."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([0.2 + 0.5 * rows, 0.1 + 0.6 * columns, 0.8 - 0.3 * (rows + columns)])[:channels]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["inpaint", "inpaint-ns"])
def test_inpainting_restores_a_slope_under_a_hole_and_leaves_the_rest_alone(name, channels):
    truth, hidden = gradient(40, 50, channels), torch.zeros(40, 50)
    hidden[4:14, 32:44] = 1
    pixels = torch.where(hidden.bool(), 0.0, truth)  # what is hidden is not looked at
    found = only(name, pixels).hide(pixels, hidden)
    assert torch.equal(found[:, hidden == 0], truth[:, hidden == 0])
    assert float((found - truth).abs().max()) < 0.05
    mean = truth.flatten(1).mean(1).view(-1, 1, 1)
    inside = hidden.bool()
    error, of_mean = ((one.expand_as(truth) - truth)[:, inside].abs().mean() for one in (found, mean))
    assert float(error) < 0.02
    assert float(error) < 0.5 * float(of_mean)


def test_the_two_ways_to_inpaint_are_two():
    pixels, hidden = pixels_of(40, 50), torch.zeros(40, 50)
    hidden[15:25, 20:32] = 1
    telea, stokes = (only(name, pixels).hide(pixels, hidden) for name in ("inpaint", "inpaint-ns"))
    assert not torch.allclose(telea, stokes, atol=0.02)


@pytest.mark.parametrize("name", ["inpaint", "inpaint-ns"])
def test_with_nothing_to_paint_from_inpainting_shows_the_mean(name):
    pixels = pixels_of(6, 8)
    assert torch.allclose(shown(name, pixels), pixels.mean((1, 2), keepdim=True).expand_as(pixels))


# Several -----------------------------------------------------------------------------------------------------------


def test_several_keep_their_order_and_have_names_of_their_own():
    def smear(photo, mask):
        return photo

    pixels = pixels_of(4, 5)
    given = (
        "blur",
        smear,
        pixels,
        "blur",
        0.5,
        pixels,
        (0.1, 0.2, 0.3),
        "blur",
        functools.partial(smear),
        lambda p, m: p,
    )
    names = [fill.name for fill in fills_of(given, pixels, 0)]
    assert names == [
        "blur", "smear", "a picture", "blur (2)", "0.5", "a picture (2)", "(0.1, 0.2, 0.3)", "blur (3)", "partial",
        "a function",
    ]  # fmt: skip
    assert len(set(names)) == len(given)
    assert [fill.name for fill in fills_of(["black", "white"], pixels, 0)] == ["black", "white"]
    assert all(isinstance(fill, Fill) for fill in fills_of("black", pixels, 0))


# What is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("blak", "no fill named 'blak'; did you mean 'black'"),
        ("Blur", "no fill named 'Blur'; did you mean 'blur'"),
        ("inpaintns", "did you mean 'inpaint-ns' or 'inpaint'|did you mean 'inpaint"),
        ("zzz", "no fill named 'zzz'; possible: black, blur, inpaint, inpaint-ns, mean, noise, shuffle, white"),
        ((), r"fill=\(\) names none; possible: black, blur"),
        ([], r"fill=\(\) names none"),
        (("black", "whit"), "no fill named 'whit'; did you mean 'white'"),
        (("black", ("white", "mean")), r"fill=\('white', 'mean'\) is none of a name, a colour, a picture"),
        (None, r"fill=None is none of a name, a colour, a picture or a function of \(photo, mask\); possible: black"),
        (True, "fill=True is none of a name"),
        ({"black": 1}, "is none of a name"),
        (1.5, r"fill=1.5: a colour is of numbers in \[0, 1\]; divide one of 0..255 by 255"),
        (-1, r"fill=-1: a colour is of numbers in \[0, 1\]"),
        (128, r"fill=128: .*divide one of 0..255 by 255"),
        (math.nan, r"fill=nan: a colour is of numbers in \[0, 1\]"),
        ((0.1, 0.2), r"fill=\(0.1, 0.2\) names 2 channels; the input has 3"),
        ((0, 0, 255), r"fill=\(0, 0, 255\): .*divide one of 0..255 by 255"),
        (torch.zeros(3, 4, 4), r"a fill of shape \(3, 4, 4\); the input takes \(3, 6, 8\)"),
        (np.zeros((6, 8, 3)), r"a fill of shape \(6, 8, 3\); the input takes \(3, 6, 8\)"),
        (torch.full((3, 6, 8), math.inf), "the fill holds NaN or infinite numbers"),
    ],
)
def test_what_is_no_fill_is_refused(given, words):
    with pytest.raises(OptionError, match=words):
        fills_of(given, pixels_of(6, 8), 0)


@pytest.mark.parametrize("shape", [(4, 6, 8), (2, 6, 8), (3, 9), (3, 4, 5, 6)])
@pytest.mark.parametrize("name", ["inpaint", "inpaint-ns"])
def test_what_is_no_picture_is_not_inpainted(name, shape):
    with pytest.raises(
        OptionError, match=rf"fill='{name}' paints pictures of 1 or 3 channels; this input is \({shape[0]},"
    ):
        fills_of(name, torch.rand(shape), 0)

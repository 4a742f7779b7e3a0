"""The way to the input, to torchvision's bit; test_way_back has the other direction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from sightline.core.errors import PhotoError
from sightline.photos.decode import Photo
from sightline.photos.geometry import Geometry

FILTERS = ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
WAYS = ["crop", "squash", "pad"]
SIDES = st.integers(1, 60)
SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def noise(height, width, channels=3, seed=0):
    return Photo(np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8))


def floats(photo):
    return Photo((photo.pixels / 255).astype(np.float32))


def view_of(geometry, photo):
    return geometry.view(photo.height, photo.width)


def to_input(geometry, photo):
    return view_of(geometry, photo).to_input(photo)


def by_torchvision(photo, size, short, interpolation="bilinear"):
    steps = [
        transforms.Resize(short, InterpolationMode(interpolation)),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
    ]
    picture = Image.fromarray(photo.pixels if photo.channels == 3 else photo.pixels[..., 0])
    return transforms.Compose(steps)(picture).numpy()


# To the input -----------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    shape=st.tuples(SIDES, SIDES, st.sampled_from([1, 3])),
    size=SIZES,
    short=st.one_of(st.integers(1, 50), SIZES),
    interpolation=st.sampled_from(FILTERS),
)
def test_crop_is_torchvisions_to_the_bit(shape, size, short, interpolation):
    photo = noise(*shape)
    ours = to_input(Geometry(size, short=short, interpolation=interpolation), photo)
    assert ours.dtype == np.float32
    assert np.array_equal(ours, by_torchvision(photo, size, short, interpolation))


@pytest.mark.parametrize(
    ("height", "width", "size", "short"),
    [
        (375, 500, 224, 256),
        (501, 333, 224, 232),
        (640, 427, 299, 342),
        (100, 90, 224, 256),
        (333, 1001, 224, 150),
    ],
)
def test_crop_is_torchvisions_on_real_sizes(height, width, size, short):
    photo = noise(height, width)
    assert np.array_equal(to_input(Geometry((size, size), short=short), photo), by_torchvision(photo, size, short))


@settings(max_examples=100, deadline=None)
@given(height=SIDES, width=SIDES, side=st.integers(1, 40))
def test_of_a_square_input_alone_the_short_side_is_8_7ths(height, width, side):
    photo = noise(height, width)
    assert np.array_equal(to_input(Geometry((side, side)), photo), by_torchvision(photo, side, round(8 / 7 * side)))


@settings(max_examples=200, deadline=None)
@given(height=SIDES, width=SIDES, size=SIZES)
def test_of_any_input_alone_the_photo_just_covers_8_7ths(height, width, size):
    view = Geometry(size).view(height, width)
    box = [round(8 / 7 * side) for side in size]
    assert all(resized >= side for resized, side in zip(view.resized, box, strict=True))
    assert any(resized == side for resized, side in zip(view.resized, box, strict=True))
    assert abs(view.scale[0] / view.scale[1] - 1) <= 1 / min(view.resized)  # the shape is kept


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize(("height", "width"), [(31, 47), (5, 3)])
def test_squash_is_pillows_resize(height, width, interpolation):
    photo = noise(height, width)
    wanted = photo.image().resize((14, 9), Image.Resampling[interpolation.upper()])
    ours = to_input(Geometry((9, 14), "squash", interpolation=interpolation), photo)
    assert np.array_equal(ours, np.asarray(wanted).transpose(2, 0, 1).astype(np.float32) / np.float32(255))


def test_pad_fits_the_photo_in_and_fills_the_rest():
    photo = noise(20, 40)
    ours = to_input(Geometry((16, 16), "pad", fill=(0.1, 0.2, 0.3)), photo)
    inside = np.asarray(photo.image().resize((16, 8), Image.Resampling.BILINEAR)) / 255
    assert np.allclose(ours[:, 4:12], inside.transpose(2, 0, 1), atol=1e-6)
    for rows in (slice(0, 4), slice(12, 16)):
        assert np.allclose(ours[:, rows], np.array([0.1, 0.2, 0.3])[:, None, None])
    assert (to_input(Geometry((16, 16), "pad"), photo)[:, :4] == 0.5).all()
    assert (to_input(Geometry((16, 16), "pad", fill=(1.0,)), photo)[:, :4] == 1).all()


def test_pad_puts_an_odd_rest_below_and_on_the_right():
    white = Photo(np.full((10, 20, 1), 255, np.uint8))
    ours = to_input(Geometry((9, 8), "pad", fill=(0.0,)), white)
    assert ours[0, :, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("way", WAYS)
def test_floats_and_bytes_give_the_same_input(way, interpolation):
    slope = np.add.outer(np.arange(33) * 4, np.arange(21) * 5).astype(np.uint8)
    photo = Photo(np.stack([slope, 255 - slope, slope // 2], 2))  # smooth: 8 bits clip where a filter overshoots
    geometry = Geometry((24, 30), way, interpolation=interpolation)
    assert np.abs(to_input(geometry, floats(photo)) - to_input(geometry, photo)).max() < 2 / 255


def test_other_channels_are_resized_one_by_one():
    photo = noise(33, 21, channels=5)
    geometry = Geometry((24, 30))
    ours = to_input(geometry, photo)
    assert ours.shape == (5, 24, 30)
    for index in range(5):
        alone = Photo(floats(photo).pixels[..., index : index + 1])
        assert np.array_equal(ours[index], to_input(geometry, alone)[0])


def test_floats_keep_their_16_bits_and_stay_in_range():
    ramp = Photo(np.linspace(0, 1, 4001, dtype=np.float32).reshape(1, -1, 1))
    ours = to_input(Geometry((1, 4001), "squash"), ramp)
    assert np.array_equal(ours[0, 0], ramp.pixels[0, :, 0])
    edge = Photo(np.repeat(np.array([0, 1], np.float32), 8).reshape(1, -1, 1))
    sharp = to_input(Geometry((1, 40), "squash", interpolation="lanczos"), edge)
    assert (sharp.min(), sharp.max()) == (0, 1)  # Lanczos overshoots both


# Limits -----------------------------------------------------------------------------------------------------


def test_inputs_are_not_written_into():
    photo, values = noise(20, 30), np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    pixels, before = photo.pixels.copy(), values.copy()
    view = view_of(Geometry((16, 16)), photo)
    first = view.to_input(photo)
    first[:] = 9
    view.to_photo(values)[:] = 9
    assert np.array_equal(photo.pixels, pixels)
    assert np.array_equal(values, before)
    assert view.to_input(photo).max() <= 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Geometry((8, 8), resize="stretch"), "no way to resize named 'stretch'.*crop"),
        (lambda: Geometry((8, 8), interpolation="bilinaer"), "did you mean 'bilinear'"),
        (lambda: Geometry((0, 8)), "size is"),
        (lambda: Geometry(8), "size is.*got 8"),
        (lambda: Geometry((8, 8), short=0), "short is"),
        (lambda: Geometry((8, 8), short=(8, 0)), "short is"),
        (lambda: Geometry((8, 8), fill=(255.0,)), r"fill is a colour of values in \[0, 1\]"),
        (lambda: Geometry((8, 8)).view(0, 5), "sides are 1 to"),
        (lambda: Geometry((8, 8), "squash").view(1, 10**8), "sides are 1 to"),
        (lambda: Geometry((224, 224)).view(1, 90_000), "too elongated.*squash"),
        (lambda: Geometry((8, 8)).view(9, 9).to_input(noise(9, 8)), r"photos of \(9, 9\).*got \(9, 8\)"),
        (lambda: Geometry((8, 8), "pad", fill=(0.0, 1.0)).view(9, 9).to_input(noise(9, 9)), "fill has 2"),
        (lambda: Geometry((8, 8)).view(9, 9).to_photo(np.zeros((9, 9))), r"is \(8, 8\).*got \(9, 9\)"),
        (lambda: Geometry((8, 8)).view(9, 9).to_photo(np.full((8, 8), np.nan)), "finite"),
        (lambda: Geometry((8, 8)).view(9, 9).to_photo(np.full((8, 8), 1e300)), "finite"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(PhotoError, match=words):
        make()

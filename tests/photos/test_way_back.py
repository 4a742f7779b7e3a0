"""A map's way back to the photo, to the pixel."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sightline.photos.decode import Photo, open_photo
from sightline.photos.geometry import Geometry

WAYS = ["crop", "squash", "pad"]
SIDES = st.integers(1, 60)
SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


# Back to the photo ------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(size=st.tuples(st.integers(1, 12), st.integers(1, 12)), down=st.integers(0, 40), across=st.integers(0, 40))
def test_a_map_is_enlarged_as_torch_does_without_align_corners(size, down, across):
    values = np.random.default_rng(0).normal(size=size).astype(np.float32)
    larger = (size[0] + down, size[1] + across)
    ours = Geometry(size, "squash").view(*larger).to_photo(values)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], larger, mode="bilinear", align_corners=False
    )
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs[0, 0].numpy()).max() < 1e-5


@settings(max_examples=150, deadline=None)
@given(size=SIZES, height=SIDES, width=SIDES)
def test_a_map_shrinks_antialiased_as_pillow_does(size, height, width):
    """Each axis for itself: one may grow while the other shrinks."""
    values = np.random.default_rng(0).normal(size=size).astype(np.float32)
    theirs = np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))
    assert np.abs(Geometry(size, "squash").view(height, width).to_photo(values) - theirs).max() < 1e-5


def seen_slowly(view):
    """The definition, pixel by pixel: its centre lies in the input."""
    mask = np.zeros(view.photo_size, bool)
    for y in range(view.photo_size[0]):
        for x in range(view.photo_size[1]):
            down = (y + 0.5) * view.scale[0] + view.shift[0]
            across = (x + 0.5) * view.scale[1] + view.shift[1]
            mask[y, x] = 0 <= down < view.input_size[0] and 0 <= across < view.input_size[1]
    return mask


@settings(max_examples=100, deadline=None)
@given(way=st.sampled_from(WAYS), size=SIZES, height=st.integers(1, 30), width=st.integers(1, 30))
def test_a_map_is_nan_exactly_where_nothing_was_seen(way, size, height, width):
    view = Geometry(size, way).view(height, width)
    laid = view.to_photo(np.full(size, 7.0))
    assert np.array_equal(view.seen(), seen_slowly(view))
    assert np.array_equal(np.isnan(laid), ~view.seen())
    assert np.allclose(laid[view.seen()], 7, atol=1e-5)  # shares add up to one, up to every border
    if all(side >= scale for side, scale in zip(size, view.scale, strict=True)):
        assert view.seen().any()  # else the input may lie between two centres
    if way != "crop":
        assert view.seen().all()


def test_what_is_cut_off_is_unseen_on_both_sides_alike():
    view = Geometry((7, 7)).view(80, 160)  # to 8 x 16; 7 of the 16 columns are seen, and 7 of the 8 rows
    assert (view.resized, view.corner) == ((8, 16), (0, -4))
    rows, columns = np.nonzero(view.seen())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 69, 40, 109)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("height", "width"), [(40, 60), (200, 120), (64, 64), (1000, 700), (9, 300)])
def test_a_ramp_comes_back_as_the_ramp(way, height, width):
    """Place is kept to a fraction of a pixel: the input's own coordinates come back as the affine map."""
    view = Geometry((64, 64), way, fill=(0.0,)).view(height, width)
    for axis in (0, 1):
        ramp = np.indices((64, 64))[axis] + 0.5
        place = (np.indices((height, width))[axis] + 0.5) * view.scale[axis] + view.shift[axis]
        laid = view.to_photo(ramp)
        low, high = max(view.corner[axis], 0), min(view.corner[axis] + view.resized[axis], 64)
        reach = max(1, view.scale[axis])
        inside = view.seen() & (place >= low + reach) & (place <= high - reach)
        assert inside.any()
        off = np.abs(laid - place)[inside].max()
        assert off < (1e-4 if reach == 1 else 0.1)  # input pixels; few samples per triangle when it shrinks


def test_padding_does_not_leak_into_the_map():
    view = Geometry((16, 16), "pad").view(20, 40)
    values = np.full((16, 16), 100.0)
    values[4:12] = 1.0
    assert np.allclose(view.to_photo(values), 1, atol=1e-6)
    small = Geometry((16, 16), short=8).view(20, 20)  # smaller than the input: torchvision's black border
    values = np.full((16, 16), 100.0)
    values[4:12, 4:12] = 1.0
    assert np.allclose(small.to_photo(values), 1, atol=1e-6)


# There and back ---------------------------------------------------------------------------------------------


def places(view, blob):
    """Corners, edges and insides of what is seen, as the top left of a blob that fits in it."""
    rows, columns = np.nonzero(view.seen())
    for y in np.linspace(rows.min(), rows.max() + 1 - blob[0], 4):
        for x in np.linspace(columns.min(), columns.max() + 1 - blob[1], 4):
            yield int(np.ceil(y)), int(np.ceil(x))


@pytest.mark.parametrize("kind", ["bytes", "floats"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("height", "width"), [(20, 30), (31, 17), (48, 48), (97, 150), (333, 120), (250, 251), (12, 200)]
)
@pytest.mark.parametrize("size", [(48, 48), (40, 64)])
def test_a_bright_spot_comes_back_to_its_place(size, height, width, way, kind):
    view = Geometry(size, way, fill=(0.0,)).view(height, width)
    blob = [int(np.ceil(1 / scale)) for scale in view.scale]  # one pixel, or one input pixel when it shrinks
    for y, x in places(view, blob):
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[y : y + blob[0], x : x + blob[1]] = 255
        photo = Photo(pixels) if kind == "bytes" else Photo((pixels / 255).astype(np.float32))
        laid = view.to_photo(view.to_input(photo).mean(0))
        found = np.unravel_index(np.nanargmax(laid), laid.shape)
        for got, start, side, scale in zip(found, (y, x), blob, view.scale, strict=True):
            assert abs(got + 0.5 - (start + side / 2)) <= max(1, 1 / scale), (y, x, found)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_bright_spot_comes_back_on_a_turned_photo(tmp_path, orientation, way):
    """The map is on the upright photo, whatever way up the file was stored."""
    stored = np.zeros((60, 90), np.uint8)
    stored[26:30, 32:36] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "kitten.png", exif=exif)
    photo = open_photo(tmp_path / "kitten.png")
    rows, columns = np.nonzero(photo.pixels[..., 0])
    assert photo.height == (90 if orientation > 4 else 60)
    view = Geometry((48, 48), way, fill=(0.0,)).view(photo.height, photo.width)
    laid = view.to_photo(view.to_input(photo).mean(0))
    y, x = np.unravel_index(np.nanargmax(laid), laid.shape)
    assert abs(y - rows.mean()) <= max(1, 1 / view.scale[0])
    assert abs(x - columns.mean()) <= max(1, 1 / view.scale[1])


def test_twelve_megapixels_take_well_under_a_second():
    view = Geometry((224, 224)).view(3000, 4000)
    values = np.random.default_rng(0).normal(size=(224, 224))
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        view.to_photo(values)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 1  # 0.2 s on two cores

"""What a photo's pixels are, for every way to store one and every way to pass one."""

import gc
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sightline.core.errors import PhotoError
from sightline.photos.decode import Photo, open_photo, photos_of

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION = 0x0112


def noise(height=5, width=7, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def saved(folder, image, suffix, **options):
    path = folder / f"kitten.{suffix}"
    image.save(path, **options)
    return path


# Orientation ------------------------------------------------------------------------------------------------

# Where the corners (top left, top right, bottom right, bottom left) of the upright photo are stored: EXIF 2.3
# names the sides that row 0 and column 0 of the stored picture show.
SHOWN = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def stored_as(upright, orientation):
    """The stored form of an upright photo, from the words of the EXIF standard."""
    row, column = SHOWN[orientation]
    stored = upright if row in ("top", "bottom") else upright.swapaxes(0, 1)
    if row in ("bottom", "right"):
        stored = stored[::-1]
    return stored[:, ::-1] if column in ("bottom", "right") else stored


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(tmp_path, orientation, suffix):
    upright = noise()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored_as(upright, orientation)))
    path = saved(tmp_path, image, suffix, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    assert np.array_equal(open_photo(path).pixels, upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phones_jpeg_comes_out_upright(tmp_path, orientation):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16] = WHITE  # one white corner, top left, on whole JPEG blocks
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored_as(upright, orientation)))
    photo = open_photo(saved(tmp_path, image, "jpg", exif=exif, quality=95, subsampling=0))
    assert (photo.height, photo.width) == (32, 48)
    assert np.abs(photo.pixels.astype(int) - upright).max() <= 8


def test_16_bits_are_turned_upright_too(tmp_path):
    upright = np.arange(35, dtype=np.uint16).reshape(5, 7) * 1000
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = saved(tmp_path, Image.fromarray(np.ascontiguousarray(stored_as(upright, 6))), "png", exif=exif)
    assert np.allclose(open_photo(path, channels=1).pixels[..., 0], upright / 65535, atol=1e-7)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b""])
def test_broken_exif_leaves_sound_pixels_as_stored(tmp_path, exif):
    image = Image.new("RGB", (9, 8), RED)
    photo = open_photo(saved(tmp_path, image, "png", exif=exif))
    assert (photo.pixels == RED).all()


# Arrays and tensors -----------------------------------------------------------------------------------------

BYTES = noise()
UNIT = (BYTES / 255).astype(np.float32)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (BYTES, BYTES),
        (BYTES[..., 0], np.repeat(BYTES[..., :1], 3, 2)),
        (BYTES[..., :1], np.repeat(BYTES[..., :1], 3, 2)),
        (BYTES[::-1, ::-2], BYTES[::-1, ::-2]),
        (np.asfortranarray(BYTES), BYTES),
        (UNIT, UNIT),
        (UNIT.astype(np.float64), UNIT),
        (UNIT.astype(">f4"), UNIT),
        (UNIT.astype(np.float16), UNIT.astype(np.float16).astype(np.float32)),
        (BYTES.astype(np.uint16) * 257, UNIT),
        ((BYTES.astype(np.uint16) * 257).astype(">u2"), UNIT),
        (BYTES > 99, (BYTES > 99) * np.uint8(255)),
        (UNIT * (1 + 1e-7) - 1e-8, UNIT),
        (torch.from_numpy(BYTES).permute(2, 0, 1), BYTES),
        (torch.from_numpy(UNIT).permute(2, 0, 1), UNIT),
        (torch.from_numpy(UNIT).permute(2, 0, 1).double().requires_grad_(), UNIT),
        (torch.from_numpy(UNIT[..., 0]), np.repeat(UNIT[..., :1], 3, 2)),
        (
            torch.from_numpy(UNIT).permute(2, 0, 1).bfloat16(),
            torch.from_numpy(UNIT).bfloat16().float().numpy(),
        ),
        (torch.from_numpy(UNIT).permute(2, 0, 1).half(), UNIT.astype(np.float16).astype(np.float32)),
        (Photo(BYTES, "kitten"), BYTES),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_arrays_and_tensors_keep_their_values(source, expected):
    photo = open_photo(source)
    assert photo.pixels.dtype == expected.dtype
    assert np.allclose(photo.pixels, expected, atol=1e-6, rtol=0)


def test_alpha_in_arrays_lies_over_white():
    rgba = np.array([[(*RED, 51), (*BLUE, 255), (*BLUE, 0)]], np.uint8)
    expected = np.array([[(255, 204, 204), BLUE, WHITE]])
    assert np.array_equal(open_photo(rgba).pixels, expected)
    assert np.allclose(open_photo(rgba / 255).pixels, expected / 255, atol=1e-6)
    assert np.array_equal(open_photo(torch.from_numpy(rgba).permute(2, 0, 1)).pixels, expected)


def test_luma_is_pillows_for_bytes_and_its_weights_for_floats():
    pillow = np.asarray(Image.fromarray(BYTES).convert("L"))
    assert np.array_equal(open_photo(BYTES, channels=1).pixels[..., 0], pillow)
    assert np.allclose(open_photo(UNIT, channels=1).pixels[..., 0], UNIT @ [0.299, 0.587, 0.114], atol=1e-6)


@pytest.mark.parametrize("channels", [2, 4, 5, 13])
def test_other_channel_counts_pass_as_they_are(channels):
    bands = noise(channels=channels)
    assert np.array_equal(open_photo(bands, channels=channels).pixels, bands)
    tensor = torch.from_numpy(bands).permute(2, 0, 1)
    assert np.array_equal(open_photo(tensor, channels=channels).pixels, bands)


def test_the_pixels_are_the_photos_own():
    array, tensor = BYTES.copy(), torch.from_numpy(UNIT.copy()).permute(2, 0, 1)
    photos = [open_photo(array), open_photo(tensor), open_photo(Photo(array))]
    array[:], tensor[:] = 0, 0
    assert np.array_equal(photos[0].pixels, BYTES)
    assert np.array_equal(photos[1].pixels, UNIT)
    assert np.array_equal(photos[2].pixels, BYTES)
    assert all(photo.pixels.flags.c_contiguous and photo.pixels.flags.writeable for photo in photos)


@pytest.mark.parametrize(
    ("source", "channels", "words"),
    [
        (np.zeros((3, 8, 9)), 3, r"got shape \(3, 8, 9\).*transpose\(1, 2, 0\)"),
        (torch.zeros(8, 9, 3), 3, r"got shape \(8, 9, 3\).*permute\(2, 0, 1\)"),
        (np.zeros((5, 8, 9)), 5, r"C is 5 for a network of 5 channels.*transpose"),
        (np.zeros((8, 9, 2)), 3, r"C is 1 or 3 or 4"),
        (np.zeros((8, 9)), 4, r"C is 4"),
        (np.zeros((2, 8, 9, 3)), 3, r"got shape \(2, 8, 9, 3\)"),
        (np.zeros(9), 3, r"got shape \(9,\)"),
        (np.zeros((0, 9, 3)), 3, "empty"),
        (torch.zeros(3, 9, 0), 3, "empty"),
        (np.full((4, 4, 3), 255.0), 3, "got 255 to 255.*divide by 255"),
        (np.full((4, 4, 3), -2.0), 3, "-2 to -2.*before normalization"),
        (np.full((4, 4, 3), 1 + 1e-5), 3, r"lie in \[0, 1\]"),
        (np.full((4, 4, 3), np.nan), 3, "NaN"),
        (np.full((4, 4, 3), np.inf), 3, "infinity"),
        (np.full((4, 4, 3), 1e300), 3, "got 1e.300"),
        (np.zeros((4, 4, 3), np.int64), 3, "got int64.*uint8"),
        (np.zeros((4, 4, 3), np.complex64), 3, "got complex64"),
        (np.full((4, 4, 3), None), 3, "got object"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), 3, "got int64"),
        (torch.zeros(3, 4, 4, device="meta"), 3, "tensor cannot be read"),
        (torch.zeros(3, 4, 4).to_sparse(), 3, "tensor cannot be read"),
        (Image.new("RGB", (0, 4)), 3, "empty"),
        (Image.new("RGB", (4, 4)), 4, r"takes 4 channels and the photo has 3.*\(h, w, 4\)"),
        (None, 3, "got NoneType"),
        (7, 3, "got int"),
        (b"\x89PNG", 3, "got bytes"),
        ([BYTES], 3, "got list"),
        (BYTES, 0, "channels is a whole number"),
        (BYTES, 2.5, "channels is a whole number"),
    ],
)
def test_what_is_no_photo_is_refused_with_advice(source, channels, words):
    with pytest.raises(PhotoError, match=words):
        open_photo(source, channels=channels)


# Names, pictures, one or many -------------------------------------------------------------------------------


def test_a_photo_is_named_after_its_file(tmp_path):
    path = saved(tmp_path, Image.fromarray(BYTES), "v2.png")
    assert open_photo(path).name == "kitten.v2"
    assert open_photo(str(path)).name == "kitten.v2"
    with Image.open(path) as image:
        assert open_photo(image).name == "kitten.v2"
    assert open_photo(open_photo(path), channels=1).name == "kitten.v2"
    assert open_photo(BYTES).name is None
    assert open_photo(Image.fromarray(BYTES)).name is None


def test_size_and_channels_are_told_apart():
    photo = open_photo(noise(5, 7))
    assert (photo.height, photo.width, photo.channels) == (5, 7, 3)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_the_picture_to_look_at_shows_the_first_channels(channels):
    bands = noise(channels=channels)
    shown = bands[..., :3] if channels >= 3 else np.repeat(bands[..., :1], 3, 2)
    assert np.array_equal(np.asarray(Photo(bands).image()), shown)
    assert np.array_equal(np.asarray(Photo((bands / 255).astype(np.float32)).image()), shown)
    assert Photo(bands).image().mode == "RGB"


def test_one_or_many():
    image, path = Image.fromarray(BYTES), Path("kitten.png")
    for one in (image, path, "kitten.png", Photo(BYTES), BYTES, BYTES[..., 0], torch.zeros(3, 4, 5)):
        sources, alone = photos_of(one)
        assert alone
        assert sources[0] is one
    for many in ([path, image], (image, path, BYTES), [path], []):
        sources, alone = photos_of(many)
        assert not alone
        assert len(sources) == len(many)
        assert all(source is given for source, given in zip(sources, many, strict=True))
    array = np.stack([BYTES, 255 - BYTES])
    sources, alone = photos_of(array)
    assert not alone
    assert np.array_equal(open_photo(sources[1]).pixels, 255 - BYTES)
    sources, alone = photos_of(torch.from_numpy(array).permute(0, 3, 1, 2))
    assert not alone
    assert np.array_equal(open_photo(sources[1]).pixels, 255 - BYTES)


@pytest.mark.parametrize("source", [None, {"a": 1}, {1, 2}, b"bytes", np.zeros(3), torch.zeros(1, 2, 3, 4, 5)])
def test_neither_one_nor_many_is_refused(source):
    with pytest.raises(PhotoError, match=r"a photo is|2 or 3 dimensions"):
        photos_of(source)


# Habits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tiff", "bmp", "jp2"])
def test_no_file_stays_open(tmp_path, suffix):
    path = saved(tmp_path, Image.fromarray(noise(16, 16)), suffix)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        open_photo(path)
        path.write_bytes(path.read_bytes()[:90])
        with pytest.raises(PhotoError):
            open_photo(path)
        gc.collect()
    assert not seen


def test_importing_the_room_does_not_import_torch():
    code = "import sys, sightline.photos.decode, sightline.photos.geometry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

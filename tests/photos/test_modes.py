"""Colours and greys of every mode and depth that a picture can be stored in."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from sightline.core.errors import PhotoError
from sightline.photos.decode import open_photo

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(folder, image, suffix, **options):
    path = folder / f"kitten.{suffix}"
    image.save(path, **options)
    return path


# Modes ------------------------------------------------------------------------------------------------------


def of_mode(mode, *colours):
    """A picture one row high, of these pixels."""
    image = Image.new(mode, (len(colours), 1))
    for x, colour in enumerate(colours):
        image.putpixel((x, 0), colour)
    return image


def palette(*entries):
    image = of_mode("P", *range(len(entries)))
    image.putpalette([value for colour in entries for value in colour])
    return image


def with_transparency(image, clear):
    image.info["transparency"] = clear
    return image


PICTURES = {
    "1": (of_mode("1", 0, 255), [(0, 0, 0), WHITE]),
    "L": (of_mode("L", 10, 200), [(10,) * 3, (200,) * 3]),
    "L, a clear grey": (with_transparency(of_mode("L", 10, 200), 10), [WHITE, (200,) * 3]),
    "LA": (of_mode("LA", (10, 255), (100, 0), (0, 128)), [(10,) * 3, WHITE, (127,) * 3]),
    "La": (of_mode("LA", (10, 255), (100, 0)).convert("La"), [(10,) * 3, WHITE]),
    "RGB": (of_mode("RGB", RED, (1, 2, 3)), [RED, (1, 2, 3)]),
    "RGB, a clear colour": (with_transparency(of_mode("RGB", RED, (1, 2, 3)), RED), [WHITE, (1, 2, 3)]),
    "RGBA": (of_mode("RGBA", (*RED, 255), (*RED, 0), (*RED, 51)), [RED, WHITE, (255, 204, 204)]),
    "RGBa": (of_mode("RGBA", (*RED, 255), (*RED, 0)).convert("RGBa"), [RED, WHITE]),
    "RGBX": (of_mode("RGBX", (*RED, 0), (*BLUE, 9)), [RED, BLUE]),
    "P": (palette(RED, GREEN, (1, 2, 3)), [RED, GREEN, (1, 2, 3)]),
    "P, one clear entry": (with_transparency(palette(RED, GREEN), 1), [RED, WHITE]),
    "P, alphas": (with_transparency(palette(RED, GREEN), bytes([51, 255])), [(255, 204, 204), GREEN]),
    "PA": (palette(RED, GREEN).convert("PA"), [RED, GREEN]),
    "CMYK": (of_mode("CMYK", (0, 255, 255, 0), (0, 0, 0, 255), (0, 0, 0, 0)), [RED, (0, 0, 0), WHITE]),
    "YCbCr": (of_mode("YCbCr", (255, 128, 128), (76, 85, 255)), [WHITE, (254, 0, 0)]),
    "HSV": (of_mode("HSV", (0, 255, 255), (0, 0, 128)), [RED, (128,) * 3]),
    # CIE Lab at D50 of sRGB white and red: (100, 0, 0) and (54.3, 80.8, 69.9); as L * 2.55, a + 128, b + 128
    "LAB": (of_mode("LAB", (255, 128, 128), (138, 209, 198)), [WHITE, RED]),
    "I;16": (Image.fromarray(np.array([[0, 65535, 13107]], np.uint16)), [0.0, 1.0, 0.2]),
    "I": (of_mode("I", 0, 65535, 13107), [0.0, 1.0, 0.2]),
    "F": (of_mode("F", 0.0, 1.0, 0.2), [0.0, 1.0, 0.2]),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_mode_gives_its_colours(name):
    image, colours = PICTURES[name]
    near = {"YCbCr": 2, "LAB": 6, "LA": 1, "HSV": 1}.get(name, 0)  # rounding of the colour spaces
    photo = open_photo(image)
    deep = isinstance(colours[0], float)
    expected = np.repeat(np.array(colours)[:, None], 3, 1) if deep else np.array(colours)
    assert photo.pixels.dtype == (np.float32 if deep else np.uint8)
    assert photo.pixels.shape == (1, len(colours), 3)
    assert np.abs(photo.pixels[0].astype(float) - expected).max() <= (1e-7 if deep else near)


@pytest.mark.parametrize("name", PICTURES)
def test_a_grey_network_gets_the_luma_of_every_mode(name):
    image, colours = PICTURES[name]
    rgb = np.array([np.broadcast_to(colour, 3) for colour in colours], float)
    off = open_photo(image, channels=1).pixels[0, :, 0] - rgb @ (0.299, 0.587, 0.114)
    assert np.abs(off).max() <= (1e-6 if isinstance(colours[0], float) else 3)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("LA", "png"), ("RGBA", "png"), ("RGBA", "webp"), ("RGBA", "tiff"), ("P", "gif"), ("P", "png")],
)
def test_transparency_in_files_lies_over_white(tmp_path, mode, suffix):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = (0, 0, 0, 255)
    options = {"transparency": 1} if mode == "P" else {}
    image = Image.fromarray(pixels).convert(mode)
    if mode == "P":
        image = Image.fromarray((pixels[..., 3] == 0).astype(np.uint8)).convert("P")
        image.putpalette([0, 0, 0, 90, 0, 0])
    if suffix == "webp":
        options["lossless"] = True
    photo = open_photo(saved(tmp_path, image, suffix, **options))
    assert (photo.pixels[:, :4] == 0).all()
    assert (photo.pixels[:, 4:] == 255).all()


def test_cmyk_jpegs_have_their_colours_and_not_the_negative(tmp_path):
    """Adobe stores CMYK inverted; libjpeg writes Adobe's marker, and so does what comes from Photoshop."""
    cmyk = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    path = saved(tmp_path, cmyk, "jpg", quality=95)
    assert b"Adobe" in path.read_bytes()
    assert np.abs(open_photo(path).pixels.astype(int) - RED).max() <= 4


# 16 bits ----------------------------------------------------------------------------------------------------

GRADIENT = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(4, 64)


def tiff(values, bits, order="<", photometric=1):
    """A TIFF of one grey strip, by hand: what Pillow reads but does not write."""
    if bits == 12:
        pairs = values.reshape(-1, 2).astype(int)
        data = b"".join(((a << 12) | b).to_bytes(3, "big") for a, b in pairs.tolist())
    else:
        data = values.astype(f"{order}u{bits // 8}").tobytes()
    height, width = values.shape
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(data))]
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1) + struct.pack(f"{order}I" if kind == 4 else f"{order}HH", *value)
        for tag, kind, value in ((t, k, (v,) if k == 4 else (v, 0)) for t, k, v in tags)
    )
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data))
    return head + data + struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


DEEP_FILES = {
    "png": encoded(Image.fromarray(GRADIENT), "PNG"),
    "tiff": encoded(Image.fromarray(GRADIENT), "TIFF"),
    "compressed tiff": encoded(Image.fromarray(GRADIENT), "TIFF", compression="tiff_lzw"),
    "big-endian tiff": tiff(GRADIENT, 16, ">"),
    "32-bit tiff": encoded(Image.fromarray(GRADIENT.astype(np.int32)), "TIFF"),
    "jpeg 2000": encoded(Image.fromarray(GRADIENT), "JPEG2000"),
    "pgm": b"P5 64 4 65535\n" + GRADIENT.astype(">u2").tobytes(),
    "white is zero": tiff(65535 - GRADIENT, 16, photometric=0),
    "float tiff": encoded(Image.fromarray((GRADIENT / 65535).astype(np.float32)), "TIFF"),
}


@pytest.mark.parametrize("name", DEEP_FILES)
def test_16_bits_keep_their_gradient(tmp_path, name):
    path = tmp_path / "deep"
    path.write_bytes(DEEP_FILES[name])
    photo = open_photo(path, channels=1)
    assert photo.pixels.dtype == np.float32
    assert np.allclose(photo.pixels[..., 0], GRADIENT / 65535, atol=1e-7)
    assert np.array_equal(open_photo(path).pixels, np.repeat(photo.pixels, 3, axis=2))


def test_12_bits_reach_white(tmp_path):
    path = tmp_path / "deep"
    path.write_bytes(tiff(GRADIENT >> 4, 12))
    assert np.allclose(open_photo(path, channels=1).pixels[..., 0], (GRADIENT >> 4) / 4095, atol=1e-7)


def test_a_clear_grey_of_16_bits_lies_over_white(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([[5, 700]], np.uint16)), "png", transparency=700)
    assert open_photo(path, channels=1).pixels.ravel().tolist() == pytest.approx([5 / 65535, 1])


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (of_mode("I", 0, 65536), "0 to 65536"),
        (of_mode("I", -1, 9), "-1 to 9"),
        (of_mode("F", 0.0, 255.0), "got 0 to 255.*divide by 255"),
        (of_mode("F", 0.0, float("nan")), "NaN"),
    ],
)
def test_pixels_out_of_range_are_refused(image, words):
    with pytest.raises(PhotoError, match=words):
        open_photo(image)

"""Files that are broken, huge, or no photo: each is a PhotoError that says so, and nothing else is raised."""

import io
import os
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sightline.core.errors import PhotoError
from sightline.photos.decode import Photo, open_photo, photos_of
from sightline.photos.files import MAX_PIXELS

NOISE = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
Image.init()
AVIF = ["AVIF"] if "AVIF" in Image.SAVE else []  # younger than the oldest Pillow that we take
KINDS = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "PPM", *AVIF]
SIGNATURES = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"II*\0",
    b"MM\0*",
]
SIGNATURES += [
    b"BM",
    b"P6 ",
    b"P5 ",
    b"qoif",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\0\0\0\x1cftypavif",
    b"\xffO\xffQ",
]


def encoded(kind, *frames, **options):
    stream = io.BytesIO()
    more = {"save_all": True, "append_images": frames[1:]} if len(frames) > 1 else {}
    frames[0].save(stream, kind, **more, **options)
    return stream.getvalue()


def colour(*rgb):
    return Image.new("RGB", (16, 16), rgb)


def chunk(name, data):
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def bomb(width, height):
    """A PNG of a few bytes that says it is huge."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function that puts bytes in a file and gives its path; one file for all, for hypothesis's sake."""
    path = tmp_path_factory.mktemp("photos") / "suspect"

    def write(data):
        path.write_bytes(data)
        return path

    return write


def tried(source, **options):
    """The photo, or the error that a user would see; anything else that is raised fails the test."""
    try:
        return open_photo(source, **options)
    except PhotoError as error:
        return error


# Frames -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", *AVIF])
def test_several_frames_are_refused_with_their_number(written, kind):
    path = written(encoded(kind, colour(255, 0, 0), colour(0, 255, 0), colour(0, 0, 255)))
    with pytest.raises(PhotoError, match=r"holds 3 frames.*seek"):
        open_photo(path)
    with Image.open(path) as image:
        with pytest.raises(PhotoError, match="holds 3 frames"):
            open_photo(image)
        image.seek(1)
        one = open_photo(image.copy()).pixels.astype(int)  # what the error advises
    assert np.abs(one - (0, 255, 0)).max() <= 4


def test_a_gif_of_one_frame_is_a_photo(written):
    assert (open_photo(written(encoded("GIF", colour(9, 200, 30)))).pixels == (9, 200, 30)).all()


def test_a_phones_mpo_gives_its_first_picture(written):
    path = written(encoded("MPO", colour(255, 0, 0), colour(0, 0, 255)))
    with Image.open(path) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    assert np.abs(open_photo(path).pixels.astype(int) - (255, 0, 0)).max() <= 4


# Broken files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_is_whole_or_refused(written, kind):
    data = encoded(kind, Image.fromarray(NOISE))
    whole = open_photo(written(data)).pixels
    accepted = 0
    for cut in range(0, len(data), max(1, len(data) // 150)):
        result = tried(written(data[:cut]))
        if isinstance(result, PhotoError):
            assert result.__cause__ is not None
        else:
            accepted += 1
            assert np.array_equal(result.pixels, whole), cut
    assert accepted <= 25  # only what ends in something that is not pixels


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_cut_in_half_says_so(written, kind):
    data = encoded(kind, Image.fromarray(NOISE))
    with pytest.raises(PhotoError, match=r"suspect.*cannot be (read|decoded)|suspect.*truncated"):
        open_photo(written(data[: len(data) // 2]))


@settings(max_examples=300, deadline=None)
@given(start=st.sampled_from(SIGNATURES), rest=st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(written, start, rest):
    result = tried(written(start + rest), max_pixels=10**6)
    assert result.pixels.size if isinstance(result, Photo) else "suspect" in str(result)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_files_raise_nothing_else(written, kind, edits):
    data = bytearray(encoded(kind, Image.fromarray(NOISE)))
    for place, value in edits:
        data[int(place**3 * len(data))] = value  # most of them in the header
    result = tried(written(bytes(data)), max_pixels=10**6)
    assert result.pixels.size if isinstance(result, Photo) else "suspect" in str(result)


def test_what_is_no_picture_file_is_refused(written, tmp_path):
    cases = [
        (written(b"Dear diary"), "no picture.*PNG", OSError),
        (tmp_path, "folder", IsADirectoryError),
        (tmp_path / "none.png", "No such file", FileNotFoundError),
        ("bad\0name.png", "null", ValueError),
        ("long" * 5000, "long", OSError),
    ]
    for source, words, cause in cases:
        with pytest.raises(PhotoError, match=words) as caught:
            open_photo(source)
        assert isinstance(caught.value.__cause__, cause)
    with pytest.raises(PhotoError, match="empty"):
        open_photo(written(b""))


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PhotoError, match="not a regular file"):
        open_photo(tmp_path / "pipe.png")


@pytest.mark.parametrize("address", ["http://a.org/b.jpg", "https://a.org/b.jpg", "s3://bucket/b.jpg"])
def test_an_address_is_to_be_downloaded_first(address):
    assert photos_of(address) == ([address], True)
    with pytest.raises(PhotoError, match="download it first"):
        open_photo(address)


@pytest.mark.parametrize("start", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xd7\xcd\xc6\x9a"])
def test_formats_that_start_programs_are_not_even_tried(written, start):
    with pytest.raises(PhotoError, match="no picture that can be read"):
        open_photo(written(start + bytes(99)))


def test_a_broken_pil_image_is_refused(written):
    data = encoded("PNG", Image.fromarray(NOISE))
    with Image.open(written(data[:300])) as image, pytest.raises(PhotoError, match="cannot be decoded"):
        open_photo(image)
    closed = Image.open(written(data))
    closed.close()
    with pytest.raises(PhotoError, match="cannot be decoded"):
        open_photo(closed)


# The pixel limit --------------------------------------------------------------------------------------------


def test_a_bomb_is_refused_on_its_header(written):
    with pytest.raises(PhotoError, match=r"20000 x 30000 is 600000000 pixels.*limit of 100000000.*max_pixels"):
        open_photo(written(bomb(20000, 30000)))


def test_a_small_tiff_of_one_huge_tile_is_refused(written):
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 322: 40000, 323: 30000, 324: 8, 325: 9}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    with pytest.raises(PhotoError, match="40000 x 30000 is 1200000000 pixels"):
        open_photo(written(data))


def test_the_limit_moves_by_argument_and_by_environment(written, monkeypatch):
    path = written(encoded("PNG", Image.fromarray(NOISE)))
    size = NOISE.shape[0] * NOISE.shape[1]
    with pytest.raises(PhotoError, match=f"20 x 24 is {size} pixels, over the limit of {size - 1};"):
        open_photo(path, max_pixels=size - 1)
    assert np.array_equal(open_photo(path, max_pixels=size).pixels, NOISE)
    monkeypatch.setenv("SIGHTLINE_MAX_PIXELS", str(size - 1))
    with pytest.raises(PhotoError, match=f"SIGHTLINE_MAX_PIXELS={size}"):
        open_photo(path)
    with pytest.raises(PhotoError, match="over the limit"):
        open_photo(Image.fromarray(NOISE))
    assert np.array_equal(open_photo(path, max_pixels=size).pixels, NOISE)  # the argument goes first
    monkeypatch.setenv("SIGHTLINE_MAX_PIXELS", str(size))
    assert np.array_equal(open_photo(path).pixels, NOISE)


@pytest.mark.parametrize("limit", [0, -1, "many", float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(PhotoError, match="max_pixels is a number"):
        open_photo(NOISE, max_pixels=limit)


def test_a_broken_variable_is_named(monkeypatch):
    monkeypatch.setenv("SIGHTLINE_MAX_PIXELS", "1e9")
    with pytest.raises(PhotoError, match=r"SIGHTLINE_MAX_PIXELS is a number.*'1e9'"):
        open_photo(NOISE)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "WEBP"])
def test_pillows_own_limit_neither_warns_nor_stops_and_comes_back(written, monkeypatch, kind):
    pixels = np.full((24, 20, 3), 255, np.uint8)
    path = written(encoded(kind, Image.fromarray(pixels)))
    for pillows in (300, 100, 1):  # Pillow would warn, then refuse
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows)
        assert np.array_equal(open_photo(path).pixels, pixels)
        assert pillows == Image.MAX_IMAGE_PIXELS
        with pytest.raises(PhotoError):
            open_photo(path, max_pixels=9)
        assert pillows == Image.MAX_IMAGE_PIXELS


def test_threads_do_not_lose_pillows_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 77)
    path = tmp_path / "kitten.png"
    Image.fromarray(NOISE).save(path)
    wrong = []

    def work():
        for _ in range(50):
            if not np.array_equal(open_photo(path).pixels, NOISE):
                wrong.append(path)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert Image.MAX_IMAGE_PIXELS == 77


def test_the_default_is_above_any_camera_and_below_a_bomb():
    assert 48e6 < MAX_PIXELS <= 200e6


def test_no_warning_escapes_from_a_sound_large_header(written, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        open_photo(written(encoded("PNG", Image.fromarray(NOISE))))
    assert not seen

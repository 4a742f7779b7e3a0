"""Segments follow colours, are connected, leave no gaps, and are about as many as asked, whatever the picture."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core.errors import OptionError, PhotoError
from sightline.photos.segments import segments


def noise(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def squares():
    """Four colours in quarters, and which quarter a pixel is in."""
    quarter = np.kron([[0, 1], [2, 3]], np.ones((30, 40), int))
    return np.array([(220, 40, 30), (40, 160, 60), (30, 60, 200), (240, 220, 60)], np.uint8)[quarter], quarter


def check(labels, shape):
    """Labels 0 to k - 1, each one connected piece; k."""
    assert labels.dtype == np.int64
    assert labels.shape == shape
    found = np.unique(labels)
    assert np.array_equal(found, np.arange(len(found)))
    for label in found:
        assert cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=4)[0] == 2
    return len(found)


def test_no_piece_crosses_a_border_of_colours():
    pixels, quarter = squares()
    labels = segments(pixels, 20)
    assert check(labels, (60, 80)) >= 10
    crossing = [label for label in np.unique(labels) if len(set(quarter[labels == label])) > 1]
    assert not crossing


def test_bytes_and_floats_are_the_same_picture():
    pixels, _ = squares()
    assert np.array_equal(segments(pixels, 20), segments((pixels / 255).astype(np.float32), 20))


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 10, 200)])
@pytest.mark.parametrize("count", [10, 50, 200])
def test_one_colour_still_gives_about_the_count(colour, count):
    flat = np.full((100, 120, 3), colour, np.uint8)
    assert 0.7 * count <= check(segments(flat, count), (100, 120)) <= 1.3 * count


@pytest.mark.parametrize("count", [10, 50, 200])
def test_noise_does_not_melt_into_one_piece(count):
    assert 0.5 * count <= check(segments(noise(100, 120), count), (100, 120)) <= 1.3 * count


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    count=st.integers(1, 60),
    levels=st.sampled_from([1, 2, 256]),
)
def test_pictures_of_every_size_have_pieces_without_gaps(height, width, count, levels):
    pixels = np.random.default_rng(1).integers(0, levels, (height, width, 3)) * (255 // levels)
    found = check(segments(pixels.astype(np.uint8), count), (height, width))
    assert min(count, height * width) / 2 <= found <= min(3 * count, height * width)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 12), width=st.integers(1, 12), more=st.integers(0, 100), levels=st.sampled_from([1, 256])
)
def test_in_a_picture_of_up_to_as_many_pixels_each_is_a_piece(height, width, more, levels):
    pixels = (np.random.default_rng(1).random((height, width, 3)) * levels).astype(np.uint8)
    labels = segments(pixels, height * width + more)
    assert np.array_equal(labels.ravel(), np.arange(height * width))


def test_channels_are_seen_as_colour_or_grey():
    pixels, _ = squares()
    five = np.concatenate([pixels, noise(60, 80, 2)], 2)
    assert np.array_equal(segments(five, 20), segments(pixels, 20))
    grey = (np.arange(80) // 20 * 60 + np.zeros((60, 1))).astype(np.uint8)[..., None]
    assert np.array_equal(segments(grey, 20), segments(np.repeat(grey, 3, 2), 20))
    for two in ([grey, np.full_like(grey, 90)], [np.full_like(grey, 90), grey]):
        labels = segments(np.concatenate(two, 2), 20)
        assert all(len(set(grey[labels == label].flat)) == 1 for label in np.unique(labels))


def test_more_compactness_gives_rounder_pieces():
    pixels = cv2.GaussianBlur(noise(100, 120), (0, 0), 4)

    def border(labels):
        return (np.diff(labels, axis=0) != 0).sum() + (np.diff(labels, axis=1) != 0).sum()

    assert border(segments(pixels, 30, 5)) > 1.1 * border(segments(pixels, 30, 100))


def test_the_pixels_are_not_written_into_and_the_same_pixels_give_the_same_pieces():
    pixels = noise(60, 80) / 255
    before = pixels.copy()
    assert np.array_equal(segments(pixels), segments(pixels))
    assert np.array_equal(pixels, before)


def test_what_cuts_is_loaded_when_it_is_used():
    code = (
        "import sys, sightline.photos.segments, sightline.photos.regions; print({'skimage', 'cv2'} & {*sys.modules})"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "count=0; count has to be 1 or more, a whole number"),
        ({"count": 2.5}, "count=2.5"),
        ({"compactness": 0}, "compactness=0; possible: compactness above 0"),
        ({"compactness": float("inf")}, "compactness=inf"),
    ],
)
def test_options_that_are_none_are_refused(options, words):
    with pytest.raises(OptionError, match=words):
        segments(noise(9, 9), **options)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((9, 9)), r"pixels are \(h, w, C\), uint8 or floats in \[0, 1\]; got float64 of shape \(9, 9\)"),
        (np.zeros((9, 0, 3)), r"shape \(9, 0, 3\)"),
        (np.zeros((9, 9, 3), int), "got int64"),
        (np.full((9, 9, 3), 200.0), r"finite and in \[0, 1\]; got 200 to 200"),
        (np.full((9, 9, 3), np.nan), "finite and in"),
    ],
)
def test_pixels_that_are_none_are_refused(pixels, words):
    with pytest.raises(PhotoError, match=words):
        segments(pixels)

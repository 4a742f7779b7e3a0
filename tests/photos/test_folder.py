"""Folders of pictures, and boxes on the way back from the input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.core.errors import PhotoError
from sightline.photos.folder import pictures_in
from sightline.photos.geometry import Geometry


def test_pictures_come_in_the_order_of_their_paths(tmp_path):
    names = ["b.png", "a/z.JPG", "a/b/c.webp", "a.jpg", "ab/1.tif"]
    for name in (*names, "notes.txt", ".x.png", ".git/d.png", "a/._b.png", "c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "round").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in pictures_in(tmp_path)]
    assert found == ["a/b/c.webp", "a/z.JPG", "a.jpg", "ab/1.tif", "b.png"]


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(PhotoError, match="cannot be searched for pictures: No such file"):
        pictures_in(tmp_path / "nowhere")
    with pytest.raises(PhotoError, match=r"no picture in .* or below; looked for \.avif"):
        pictures_in(tmp_path)


sides = st.integers(1, 40)


@given(sides, sides, st.sampled_from(["crop", "squash", "pad"]), st.data())
def test_a_box_comes_back_as_the_pixels_that_it_covers(height, width, resize, data):
    view = Geometry((9, 13), resize=resize).view(height, width)
    x0, x1 = sorted(data.draw(st.lists(st.integers(0, 13), min_size=2, max_size=2, unique=True)))
    y0, y1 = sorted(data.draw(st.lists(st.integers(0, 9), min_size=2, max_size=2, unique=True)))
    rows = [y for y in range(height) if covers(view, 0, y, (y0, y1))]
    columns = [x for x in range(width) if covers(view, 1, x, (x0, x1))]
    expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if rows and columns else None
    assert view.box_to_photo((x0, y0, x1, y1)) == expected


def covers(view, axis, pixel, part):
    """Whether a photo's pixel and a part of the input share more than an edge."""
    start, stop = (edge * view.scale[axis] + view.shift[axis] for edge in (pixel, pixel + 1))
    return min(stop, part[1]) - max(start, part[0]) > 1e-6 * view.scale[axis]


def test_the_whole_input_is_what_was_seen():
    view = Geometry((20, 20), resize="crop").view(60, 90)
    x0, y0, x1, y1 = view.box_to_photo((0, 0, 20, 20))
    rows, columns = np.flatnonzero(view.seen().any(1)), np.flatnonzero(view.seen().any(0))
    assert (y0, x0) <= (rows[0], columns[0])
    assert (y1, x1) >= (rows[-1] + 1, columns[-1] + 1)

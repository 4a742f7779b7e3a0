"""The wall: every tile is drawn, crisp or antialiased, with its words, in rows that fit; and bars."""

import base64
import re

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from strips import outside, overlaps, texts

from sightline.core.errors import OptionError, SaveError
from sightline.core.heats import Warning
from sightline.render.page import wall_page
from sightline.render.paint import HEAT, SIGNED
from sightline.render.save import save_wall
from sightline.render.tiles import Bars
from sightline.render.wall import Row, Scale, Tile, Wall, figure_of, scale_for, wall_figure


def grey(height=3, width=3, level=100):
    return np.full((height, width, 3), level, np.uint8)


def numbered(count, *shape, **more):
    return tuple(Tile(grey(*shape), str(i), **more) for i in range(count))


def wall(tiles, heading="", **more):
    return Wall("A title", (Row(heading, tuple(tiles)),), **more)


def pictures(drawn):
    """The axes that hold a picture, in the order in which they were drawn."""
    return [axis for axis in drawn.axes if axis.images]


def left_top(axis):
    """Where an axis begins, in tenths of an inch from the left and the top."""
    width, high = axis.figure.get_size_inches()
    box = axis.get_position(original=True)
    return round(box.x0 * width, 1), round((1 - box.y1) * high, 1)


def columns(drawn):
    return len({left_top(axis)[0] for axis in pictures(drawn)})


def test_every_tile_is_drawn_in_order_with_its_words():
    tiles = [Tile(grey(level=i), f"tile {i}", f"{i} units") for i in range(7)]
    drawn = wall_figure(wall(tiles, footer="A footer.", warnings=(Warning("x", "a doubt"),), about="of a thing"))
    assert [axis.images[-1].get_array()[0, 0, 0] for axis in pictures(drawn)] == list(range(7))
    places = [left_top(axis)[::-1] for axis in pictures(drawn)]
    assert places == sorted(places)
    assert {"A title", "of a thing", "A footer.", "⚠ a doubt", "tile 3", "3 units"} <= set(texts(drawn))


@pytest.mark.parametrize(("count", "across"), [(1, 1), (5, 5), (6, 6), (16, 4), (24, 6), (36, 6), (64, 8), (256, 12)])
def test_a_row_without_a_heading_is_wrapped_to_look_well(count, across):
    drawn = wall_figure(wall(numbered(count)))
    assert columns(drawn) == across
    wide, high = drawn.get_size_inches()
    assert wide < 16
    assert high < 40


def test_columns_are_as_asked_for():
    assert columns(wall_figure(wall(numbered(6), columns=2))) == 2
    assert columns(wall_figure(wall(numbered(3), columns=9))) == 3


def test_short_headings_stand_beside_their_rows_and_long_ones_above():
    rows = tuple(Row(f"out {i}", numbered(4)) for i in range(3))
    beside = wall_figure(Wall("A title", rows))
    assert [left_top(axis)[0] > 0.5 for axis in pictures(beside)] == [True] * 12
    rows = tuple(Row(f"a heading that takes more than a little room {i}", numbered(4)) for i in range(3))
    above = wall_figure(Wall("A title", rows))
    assert left_top(pictures(above)[0])[0] < 0.2
    for drawn in (beside, above):
        assert len({left_top(axis)[1] for axis in pictures(drawn)}) == 3
        assert not outside(drawn)
        assert not overlaps(drawn)


def test_a_row_that_is_too_long_goes_on_under_one_heading():
    rows = (Row("first", numbered(40)), Row("second", numbered(3)))
    drawn = wall_figure(Wall("A title", rows))
    assert texts(drawn).count("first") == 1
    assert drawn.get_size_inches()[0] < 16


def test_small_grids_are_squares_and_large_pictures_are_antialiased():
    for shape, crisp in (((3, 3), True), ((8, 8), True), ((64, 64), True), ((500, 300), False)):
        image = pictures(wall_figure(wall([Tile(grey(*shape))])))[0].images[-1]
        assert (image.get_interpolation() == "nearest") == crisp, shape


def test_squares_are_drawn_to_the_pixel():
    checks = np.repeat((np.indices((3, 3)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, 2)
    drawn = wall_figure(wall([Tile(checks)]))
    drawn.canvas.draw()
    box = pictures(drawn)[0].get_window_extent()
    shown = np.asarray(drawn.canvas.buffer_rgba())[::-1]
    inside = shown[int(box.y0) + 3 : int(box.y1) - 3, int(box.x0) + 3 : int(box.x1) - 3, 0]
    assert set(np.unique(inside)) == {0, 255}


def test_what_is_clear_shows_a_checkerboard():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:, 2:] = 255
    drawn = wall_figure(wall([Tile(pixels)]))
    drawn.canvas.draw()
    box = pictures(drawn)[0].get_window_extent()
    shown = np.asarray(drawn.canvas.buffer_rgba())[::-1]
    rows = slice(int(box.y0) + 3, int(box.y1) - 3)
    middle = int((box.x0 + box.x1) / 2)
    assert len(np.unique(shown[rows, int(box.x0) + 3 : middle - 3, 0])) >= 2
    assert np.unique(shown[rows, middle + 3 : int(box.x1) - 3, 0]).tolist() == [255]


def test_a_box_is_outlined_where_it_lies():
    axis = pictures(wall_figure(wall([Tile(grey(40, 60), box=(10, 5, 30, 25))])))[0]
    (box,) = [one for one in axis.patches if isinstance(one, Rectangle)]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (9.5, 4.5, 20, 20)
    assert not pictures(wall_figure(wall([Tile(grey())])))[0].patches


def test_long_captions_are_cut_and_touch_nothing():
    tiles = [
        Tile(grey(8, 8), f"{i} great white shark, man-eater, carcharodon", "logit 23.1 of the shark")
        for i in range(9)
    ]
    drawn = wall_figure(wall(tiles, footer="A footer.", about="x" * 300))
    assert not outside(drawn)
    assert not overlaps(drawn)
    assert any(text.endswith("…") for text in texts(drawn))


def test_signs_of_formulas_are_letters():
    assert "a $5 bill and a $6 one" in texts(wall_figure(wall([Tile(grey(100, 100), "a $5 bill and a $6 one")])))


def test_pictures_of_other_shapes_keep_their_proportions():
    drawn = wall_figure(wall([Tile(grey(10, 40)), Tile(grey(40, 20))]))
    drawn.canvas.draw()
    for axis, proportion in zip(pictures(drawn), (0.25, 2.0), strict=True):
        box = axis.get_window_extent()
        assert box.height / box.width == pytest.approx(proportion, rel=0.05)


def test_the_colour_bar_is_in_raw_units():
    scale = Scale(-2.0, 2.0, SIGNED, "weight")
    drawn = wall_figure(wall([scale.tile(np.eye(3))], scale=scale))
    bar = next(axis for axis in drawn.axes if axis.get_ylabel() == "weight")
    assert bar.get_ylim() == (-2.0, 2.0)
    assert "−2" in [text.get_text() for text in bar.get_yticklabels()]
    assert not outside(drawn)


def test_a_scale_paints_low_middle_and_high():
    from matplotlib import colormaps

    pixels = Scale(-2.0, 2.0, SIGNED, "").paint([[-2.0, 0.0, 2.0, 5.0]])
    ends = (colormaps[SIGNED](np.array([0.0, 0.5, 1.0, 1.0]), bytes=True))[:, :3]
    assert np.array_equal(pixels[0], ends)


def test_what_is_not_known_is_clear_or_the_pale_picture_behind():
    scale, values = Scale(0.0, 1.0, HEAT, ""), np.array([[0.5, np.nan]])
    assert scale.paint(values)[0, :, 3].tolist() == [255, 0]
    behind = np.array([[[0, 0, 0], [255, 0, 0]]], np.uint8)
    painted = scale.paint(values, behind)
    assert painted.shape == (1, 2, 3)
    assert len(set(painted[0, 1].tolist())) == 1
    assert painted[0, 1, 0] >= 165


@pytest.mark.parametrize(
    ("values", "low", "high", "beyond"),
    [
        ([0.0, 1.0, 2.0], 0.0, 2.0, "neither"),
        ([-1.0, 1.0, 2.0], -2.0, 2.0, "neither"),
        ([np.nan, 3.0], 0.0, 3.0, "neither"),
        ([0.0, 0.0], 0.0, 1.0, "neither"),
        ([*[1.0] * 999, 50.0], 0.0, 1.0, "max"),
        ([*[1.0] * 999, -50.0], -1.0, 1.0, "min"),
    ],
)
def test_a_scale_fits_its_values(values, low, high, beyond):
    scale = scale_for(values, "units")
    assert (scale.low, scale.beyond, scale.unit) == (pytest.approx(low, abs=0.02), beyond, "units")
    assert scale.high == pytest.approx(high, abs=0.02)
    assert scale.colours == (SIGNED if low < 0 else HEAT)
    assert scale_for(values, "units", signed=True).low == -scale.high


def test_nothing_to_draw_is_an_error():
    for empty in (Wall("A title", ()), wall([])):
        with pytest.raises(OptionError, match="nothing to draw"):
            figure_of(empty)
    with pytest.raises(OptionError, match="nothing to draw"):
        figure_of(bars(names=(), values=()))


def bars(**changes):
    values = {"title": "A title", "picture": Tile(grey(40, 60), "photo"), "names": ("a", "b", "c"),
              "values": (3.0, 1.0, -2.0), "unit": "activation", "footer": "A footer."}  # fmt: skip
    return Bars(**(values | changes))


def test_bars_are_as_long_as_their_values():
    drawn = figure_of(bars())
    axis = next(axis for axis in drawn.axes if axis.get_xlabel() == "activation")
    lengths = [one.get_width() for one in axis.patches if isinstance(one, Rectangle)]
    assert lengths == [3.0, 1.0, -2.0]
    assert {"a", "b", "c", "3", "1", "−2", "photo", "A title", "A footer."} <= set(texts(drawn))
    assert not outside(drawn)


def test_many_bars_with_long_names_touch_nothing():
    names = tuple(f"washbasin, handbasin, washbowl, lavabo, wash-hand basin {i}" for i in range(36))
    drawn = figure_of(bars(names=names, values=tuple(np.linspace(9, -3, 36))))
    assert not outside(drawn)
    assert not overlaps(drawn)


@pytest.mark.parametrize("shown", [wall([Tile(grey(), "<b>")], about="<i>", footer="&"), bars(title="<b>")])
def test_a_page_is_self_contained_and_escaped(shown):
    text = wall_page(shown, {"photo": "</pre><script>"})
    assert "<script" not in text
    assert "<b>" not in text
    assert re.search(r'src="data:image/png;base64,(.*?)"', text)
    assert base64.b64decode(re.search(r'base64,(.*?)"', text)[1]).startswith(b"\x89PNG")
    assert not re.search(r"https?://", text)


def test_files_are_what_their_suffix_says(tmp_path):
    shown, arrays = wall([Tile(grey())]), {"values": np.arange(3)}
    begins = {"a.png": b"\x89PNG", "a.jpg": b"\xff\xd8", "a.svg": b"<?xml", "a.html": b"<!doctype", "a.npz": b"PK"}
    for name, start in begins.items():
        save_wall(tmp_path / name, shown, {"seed": 1}, arrays)
        assert (tmp_path / name).read_bytes().startswith(start)
    with np.load(tmp_path / "a.npz") as held:
        assert held["values"].tolist() == [0, 1, 2]
        assert str(held["provenance"]) == '{"seed": 1}'
    with pytest.raises(SaveError, match="cannot save as"):
        save_wall(tmp_path / "a.gif", shown, {}, arrays)

"""Every style by its pixels: lines where heat crosses a level, the photo where heat is, each sign by itself."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from panels import PHOTO, panel, spot, titles
from PIL import Image

from sightline.render.figure import MARK, figure, figure_grid
from sightline.render.page import explanation_page
from sightline.render.paint import cut_out, levels
from sightline.render.styles import BESIDE, STYLES


def ramp(low=0.0, high=8.0):
    """A heat that grows evenly from left to right."""
    return np.tile(np.linspace(low, high, 60, dtype=np.float32), (40, 1))


def painted(axis):
    return np.asarray(axis.images[0].get_array())


def lines(axis):
    """The level and the points of each line of equal heat."""
    return {
        level: np.concatenate([path.vertices for path in found.get_paths()[i : i + 1]])
        for found in axis.collections
        for i, level in enumerate(found.levels)
    }


def cells(drawn):
    return [axis for axis in drawn.axes if axis.images]


@pytest.mark.parametrize("style", STYLES)
def test_every_style_draws_a_picture_of_one_and_of_many(style):
    ball = np.zeros((40, 60), bool)
    ball[10:20, 10:20] = True
    one = panel(spot(), region=ball)
    for drawn in (figure([one], style=style), figure_grid([[one, one], [panel(spot(2.0), name="b")]], style=style)):
        picture = Image.open(io.BytesIO(drawn._repr_png_()))
        assert np.asarray(picture.convert("L")).std() > 10
    assert (titles(figure([one], style=style))[0] == one.name) == (style in BESIDE)


@pytest.mark.parametrize("style", STYLES)
def test_a_blank_map_can_be_drawn_in_every_style(style):
    assert figure([panel(np.zeros((40, 60)))], style=style)._repr_png_()
    assert figure([panel(np.full((40, 60), np.nan))], style=style)._repr_png_()


def test_contours_lie_where_the_heat_crosses_their_level_and_the_bar_shows_these_levels():
    axis, bar = figure([panel(ramp())], style="contour").axes
    crossed = lines(axis)
    assert list(crossed) == list(bar.get_yticks()) == [2.0, 4.0, 6.0]
    for level, points in crossed.items():
        assert np.allclose(points[:, 0], level / 8 * 59, atol=0.1)
    assert np.allclose(painted(axis), 128 / 255, atol=1e-3)


def test_contours_of_a_signed_map_go_both_ways():
    axis, bar = figure([panel(ramp(-8, 8), signed=True)], style="contour").axes
    assert list(lines(axis)) == list(bar.get_yticks()) == [-6, -4, -2, 2, 4, 6]
    assert levels(panel(np.zeros((4, 4)))) == []


def test_levels_are_few_and_round_in_any_units():
    for top in (1e-7, 0.0034, 0.7, 1.0, 9.99, 123456.0):
        found = levels(panel(spot(top)))
        assert 2 <= len(found) <= 5
        assert all(float(f"{level:.2g}") == pytest.approx(level) for level in found)


def test_a_cut_out_keeps_the_photo_where_the_heat_is_and_fades_the_rest():
    shown = cut_out(panel(spot()), alpha=1.0)
    assert np.allclose(shown[10:20, 10:20], 128 / 255, atol=1e-3)
    assert shown[30:].min() > 0.95
    assert np.allclose(cut_out(panel(spot()), alpha=0.0), 128 / 255, atol=1e-3)
    unseen = spot()
    unseen[:, 50:] = np.nan
    assert cut_out(panel(unseen), alpha=1.0)[:, 50:].min() > 0.95


def test_signs_stand_side_by_side_on_one_scale():
    heat = spot(2.0)
    heat[30:, 40:] = -4.0
    drawn = figure([panel(heat, signed=True)], style="signs")
    assert titles(drawn) == ["a <b>photo</b>", "grad-cam, positive  ·  ball", "grad-cam, negative  ·  ball"]
    _, positive, negative = cells(drawn)
    first, second = (axis for axis in drawn.axes if axis.get_ylabel() == "units")
    assert (first.get_ylim(), second.get_ylim()) == ((0.0, 4.0), (-4.0, 0.0))
    assert painted(positive)[15, 15, 0] > painted(positive)[15, 15, 2] + 0.2
    assert np.ptp(painted(positive)[35, 50]) < 0.01
    assert painted(negative)[35, 50, 2] > painted(negative)[35, 50, 0] + 0.3
    assert np.ptp(painted(negative)[15, 15]) < 0.01


def test_a_region_is_outlined_and_boxed():
    region = np.zeros((40, 60), bool)
    region[5:15, 20:50] = True
    (axis,) = figure([panel(spot(), region=region)], style="mask").axes
    (outline,) = axis.collections
    points = outline.get_paths()[0].vertices
    assert np.abs(points.min(0) - (19.5, 4.5)).max() <= 0.01
    assert np.abs(points.max(0) - (49.5, 14.5)).max() <= 0.01
    box = axis.patches[0]
    assert (box.get_xy(), box.get_width(), box.get_height()) == ((19.5, 4.5), 30, 10)


def test_an_outline_closes_at_the_photos_edge():
    (axis,) = figure([panel(spot(), region=np.ones((40, 60), bool))], style="mask").axes
    points = axis.collections[0].get_paths()[0].vertices
    assert np.array_equal(points[0], points[-1])
    assert points.min() >= -0.5


def test_a_map_without_a_region_says_so():
    drawn = figure([panel(np.zeros((40, 60)))], style="mask")
    assert "no region stands out" in [text.get_text() for text in drawn.findobj(Text)]
    assert not any("Outlined" in text.get_text() for text in drawn.texts)


@pytest.mark.parametrize("style", ["contour", "mask"])
def test_what_was_not_seen_is_pale_on_the_photo_too(style):
    heat = spot()
    heat[:, 50:] = np.nan
    shown = painted(cells(figure([panel(heat)], style=style))[0])
    assert shown[5, 55].min() > shown[5, 45].max() + 0.1


def test_smoothing_is_told_below_and_whose_it_is():
    drawn = figure([panel(spot(), smooth=5.0)])
    assert "Smoothed: σ = 5 pixels of the network's input." in [text.get_text() for text in drawn.texts]
    drawn = figure([panel(spot(), smooth=5.0, method="saliency"), panel(spot())])
    assert "Smoothed, saliency: σ = 5 pixels of the network's input." in [text.get_text() for text in drawn.texts]


def test_rows_of_one_photo_show_it_once_and_are_labelled_with_their_targets():
    targets = ("ball", "mug")
    rows = [[panel(spot(), label=one), panel(spot(), label=one, method="saliency")] for one in targets]
    drawn = figure_grid([*rows, [panel(spot(), name="another")]])
    assert titles(drawn) == ["a <b>photo</b>", *["grad-cam", "saliency"] * 2, "another", "grad-cam  ·  ball"]
    marked = [text for text in drawn.findobj(Text) if text.get_rotation() == 90 and text.get_color() == MARK]
    assert [text.get_text() for text in marked] == ["ball", "mug"]
    first, second = (text.axes.get_position() for text in marked)
    photo = next(axis for axis in drawn.axes if axis.get_title() == "a <b>photo</b>").get_position()
    assert photo.y0 + photo.y1 == pytest.approx((first.y0 + first.y1 + second.y0 + second.y1) / 2)
    assert first.x0 >= photo.x1


def test_photos_that_differ_in_their_pixels_are_not_taken_for_one():
    other = PHOTO.copy()
    other[0, 0] = 0
    drawn = figure_grid([[panel(spot())], [panel(spot(), photo=other)]])
    assert titles(drawn) == ["a <b>photo</b>", "grad-cam  ·  ball"] * 2


def test_rows_without_a_photo_beside_them_are_named_in_their_titles():
    drawn = figure_grid([[panel(spot())], [panel(spot(), label="mug")]], style="contour")
    assert titles(drawn) == ["a <b>photo</b>: grad-cam"] * 2


def test_nothing_is_written_beyond_a_pictures_own_cell():
    long = {"name": "a photo whose name is long enough for two", "label": "a label that is very long, and more"}
    wide = panel(spot(), **long, unit="size of the change of the score per unit of normalized input" * 2)
    drawn = figure_grid([[wide, wide]], style="overlay")
    drawn.canvas.draw()
    written = [text for axis in drawn.axes for text in (axis.title, axis.yaxis.label) if text.get_text()]
    boxes = [text.get_window_extent() for text in written]
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= drawn.bbox.width
    first, second = (axis.title.get_window_extent() for axis in cells(drawn))
    assert first.x1 < second.x0


def test_answers_stay_within_a_very_wide_photo():
    wide = panel(spot(shape=(12, 120)), photo=np.full((12, 120, 3), 128, np.uint8), method="saliency")
    drawn = figure([wide])
    drawn.canvas.draw()
    axis = cells(drawn)[1]
    (box,) = (one for one in axis.artists if hasattr(one, "patch"))
    assert box.get_window_extent(drawn.canvas.get_renderer()).y1 <= axis.get_window_extent().y1


def test_a_page_takes_a_style_and_marks_every_target_explained():
    text = explanation_page([panel(spot()), panel(spot(), label="<script>", marked=(1,))], {}, "contour")
    assert text.count('<tr class="marked">') == 2
    assert "ball, &lt;script&gt;" in text


def test_the_colours_of_lines_are_those_of_the_bar():
    axis, bar = figure([panel(ramp())], style="contour").axes
    on_photo = axis.collections[0].get_edgecolor()
    on_bar = next(one for one in bar.collections if len(one.get_paths()) == 3).get_edgecolor()
    assert np.allclose(on_photo, on_bar, atol=0.01)
    assert not np.allclose(on_photo[0, :3], to_rgb("white"), atol=0.2)

"""Where and how big: a cell for each position tried, points for sizes and rotations, the photo's own state marked."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from strips import SCORES, crowded, mask, outside, overlaps, sweep, texts

from sightline.core.errors import OptionError
from sightline.render.answers import MARK
from sightline.render.sweeps import sweep_figure

NONE = np.zeros(0)
NO_MAP = {"xs": NONE, "ys": NONE, "scores": np.zeros((0, 0)), "holds": np.zeros((0, 0), bool)}
NO_SIZES = {"scales": NONE, "scale_scores": NONE, "scale_holds": NONE}
NO_TURNS = {"degrees": NONE, "degree_scores": NONE, "degree_holds": NONE}


def axes(drawn, title):
    return next((axis for axis in drawn.axes if axis.get_title() == title), None)


def cells(axis):
    return [one for one in axis.patches if isinstance(one, Rectangle)]


def points(axis, filled):
    """(x, y) of the filled or hollow points."""
    found = [line for line in axis.lines if line.get_marker() == "o"]
    return [
        point
        for line in found
        if (line.get_markerfacecolor() != "white") == filled
        for point in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def dashed(axis):
    return [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"]


def test_a_cell_is_drawn_for_each_position_tried_and_none_for_the_others():
    axis = axes(sweep_figure(sweep()), "where")
    middles = {(one.get_x() + one.get_width() / 2, one.get_y() + one.get_height() / 2): one for one in cells(axis)}
    assert set(middles) == {(10, 10), (30, 10), (50, 10), (10, 30), (50, 30)}
    assert max(one.get_width() for one in middles.values()) < 20, "neighbours do not touch"
    low, high = (sum(middles[at].get_facecolor()[:2]) for at in ((10, 10), (50, 30)))
    assert low < high


def test_positions_where_the_answer_is_another_are_crossed():
    axis = axes(sweep_figure(sweep()), "where")
    crossed = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines if line.get_marker() == "x"]
    assert crossed == [(10, 10), (30, 10)]


def test_the_photos_own_position_is_ringed_and_its_score_is_a_line_on_the_bar():
    drawn = sweep_figure(sweep(own=(25.0, 10.0, 5.5)))
    (ring,) = [line for line in axes(drawn, "where").lines if line.get_marker() == "o"]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (25.0, 10.0)
    bar = drawn.axes[1]
    assert bar.get_ylabel() == "logit of basketball"
    assert bar.get_ylim() == (1.0, 6.0)
    assert [line.get_ydata()[0] for line in bar.lines if line.get_color() == MARK] == [5.5]


def test_an_own_score_beyond_those_tried_is_on_the_bar_too():
    bar = sweep_figure(sweep(own=(1, 1, 9.0))).axes[1]
    assert bar.get_ylim() == (1.0, 9.0)


def test_the_object_is_outlined_where_its_mask_is_given():
    assert not axes(sweep_figure(sweep()), "where").collections
    assert len(axes(sweep_figure(sweep(outline=mask())), "where").collections) == 1


def test_sizes_are_points_on_an_axis_of_octaves_filled_where_the_answer_holds():
    axis = axes(sweep_figure(sweep()), "size")
    assert axis.get_xscale() == "log"
    assert points(axis, filled=True) == [(0.5, 3.0), (1.0, 5.0), (2.0, 4.0)], "in order of size"
    assert points(axis, filled=False) == [(0.25, 1.0)]
    assert dashed(axis) == [pytest.approx(0.125**0.5)]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["0.25", "0.5", "1", "2"]
    assert axis.get_ylabel() == "logit of basketball"


def test_rotations_are_points_over_degrees():
    axis = axes(sweep_figure(sweep()), "rotation")
    assert points(axis, filled=True) == [(-30, 4), (0, 5), (30, 4)]
    assert points(axis, filled=False) == [(-90, 1), (90, 2)]
    assert dashed(axis) == [-60, 60]
    assert axis.get_xlabel() == "rotation in degrees"


@pytest.mark.parametrize(("title", "at"), [("size", 1.0), ("rotation", 0.0)])
def test_the_photos_own_state_is_marked_on_the_curves(title, at):
    axis = axes(sweep_figure(sweep(own=(1, 1, 4.5))), title)
    (own,) = [line for line in axis.lines if line.get_marker() == "s"]
    assert (own.get_xdata()[0], own.get_ydata()[0]) == (at, 4.5)
    assert to_hex(own.get_markeredgecolor()) == MARK


def test_what_is_drawn_is_explained_below():
    told = " ".join(texts(sweep_figure(sweep())))
    for part in ("Basketball almost everywhere.", "crossed where the answer is no longer basketball", "hollow",
                 "⚠ the hole was filled", "model  ·  layer"):  # fmt: skip
        assert part in told
    assert "crossed" not in " ".join(texts(sweep_figure(sweep(**NO_MAP))))
    assert "hollow" not in " ".join(texts(sweep_figure(sweep(**NO_SIZES, **NO_TURNS))))


@pytest.mark.parametrize(
    ("without", "left"),
    [
        (NO_MAP, ["size", "rotation"]),
        (NO_SIZES, ["where", "rotation"]),
        (NO_TURNS, ["where", "size"]),
        (NO_SIZES | NO_TURNS, ["where"]),
        (NO_MAP | NO_TURNS, ["size"]),
    ],
)
def test_a_part_that_was_not_tried_is_left_out(without, left):
    drawn = sweep_figure(sweep(**without))
    assert [axis.get_title() for axis in drawn.axes if axis.get_title()] == left
    assert drawn._repr_png_()


def test_a_sweep_of_nothing_is_refused():
    with pytest.raises(OptionError, match="nothing to draw"):
        sweep_figure(sweep(**NO_MAP, **NO_SIZES, **NO_TURNS))
    with pytest.raises(OptionError, match="nothing to draw"):
        sweep_figure(sweep(scores=SCORES * np.nan, **NO_SIZES, **NO_TURNS))


def test_scores_not_known_are_no_points():
    axis = axes(sweep_figure(sweep(degree_scores=np.array([1.0, np.nan, 5.0, 4.0, 2.0]))), "rotation")
    assert points(axis, filled=True) == [(0, 5), (30, 4)]


def test_scores_that_nearly_agree_are_told_apart_on_the_axis():
    near = 1000 + np.linspace(0, 0.01, 5)
    axis = axes(sweep_figure(sweep(degree_scores=near, own=(1, 1, 1000.0), **NO_MAP)), "rotation")
    ticks = [text.get_text() for text in axis.get_yticklabels()]
    assert len(set(ticks)) == len(ticks) >= 3


def test_one_row_one_column_and_one_position_can_be_drawn():
    for xs, ys in (([30.0], [10.0, 30.0]), ([10.0, 50.0], [20.0]), ([30.0], [20.0])):
        scores = np.ones((len(ys), len(xs)))
        drawn = sweep_figure(sweep(xs=np.array(xs), ys=np.array(ys), scores=scores, holds=scores > 0))
        assert len(cells(axes(drawn, "where"))) == scores.size


LONG = "Egyptian cat, a cat of a breed whose name goes on and on, tabby, tabby cat, tiger cat"


@pytest.mark.parametrize("without", [{}, NO_MAP, NO_TURNS])
@pytest.mark.parametrize("shape", [(40, 60), (120, 30), (20, 160)])
def test_nothing_is_written_beyond_the_figure_or_over_a_neighbour(shape, without):
    changes = {"picture": np.zeros((*shape, 3), np.uint8), "label": LONG, "headline": LONG * 3, "footer": LONG * 4}
    far = {"scores": SCORES * 1e-6, "scale_scores": np.array([4.0, 1.0, 3.0, 5.0]) * 1e6}
    drawn = sweep_figure(sweep(**(changes | far | without)))
    assert (outside(drawn), overlaps(drawn), crowded(drawn)) == ([], [], 0)
    assert not any(text.get_parse_math() for text in drawn.findobj(Text))

"""The strip: every picture with its answers, every effect beside exactly the controls that count."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from strips import (
    BALL,
    CONTROLS,
    OTHERS,
    PHOTO,
    WEB,
    axis_with,
    crowded,
    mask,
    named,
    outside,
    overlaps,
    shot,
    strand,
    strip,
    texts,
)

from sightline.core.errors import OptionError
from sightline.core.heats import Prediction, Warning
from sightline.render.answers import MARK
from sightline.render.strands import REST, TAIL
from sightline.render.strip import strip_figure


def pictures(drawn):
    return [axis for axis in drawn.axes if axis.images]


def controls(drawn, nth=0):
    """The axes of the nth edit's controls."""
    return [axis for axis in drawn.axes if axis.get_xlabel().startswith("change of the")][nth]


def tall(axis, colour):
    """What the bars of a colour hold altogether, and where they begin and end."""
    found = [bar for bar in axis.patches if to_hex(bar.get_facecolor()) == colour and bar.get_height() >= 1]
    return (
        sum(bar.get_height() for bar in found),
        [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in found],
    )


def effect(axis):
    """Where the line of the effect lies."""
    return [line.get_xdata()[0] for line in axis.lines if line.get_color() == MARK and line.get_linewidth() == 2]


def answers(drawn):
    """The axes of the answers, each with the widths of its bars."""
    found = [axis for axis in drawn.axes if any(text.get_text().startswith("▸") for text in axis.texts)]
    return [(axis, [bar.get_width() for bar in axis.patches]) for axis in found]


def test_the_headline_the_shots_and_what_it_is_about_are_written():
    told = texts(strip_figure(strip()))
    for text in ("Still basketball without the ball.", "original", "removed", "kept", "dirk.png · basketball"):
        assert text in told
    assert "⚠ the region is small" in told
    assert "model  ·  layer" in told
    assert "A note on the removal." in told


def test_every_shot_is_drawn_with_its_map_below_it_and_a_bar_in_raw_units():
    drawn = strip_figure(strip())
    assert len(pictures(drawn)) == 6
    assert np.array_equal(pictures(drawn)[0].images[0].get_array(), PHOTO)
    bars = [axis for axis in drawn.axes if axis.get_xlabel() == "units"]
    assert [bar.get_xlim() for bar in bars] == [(0, 4.0)] * 3


def test_a_maps_most_is_told_beside_that_of_the_original_since_each_has_its_own_scale():
    faint = shot("removed", heat=shot().heat * 0.123)
    drawn = strip_figure(strip(shots=(shot(), faint, shot("kept", heat=None))))
    assert [axis.get_title() for axis in pictures(drawn) if axis.get_title()] == [
        "grad-cam",
        "grad-cam  ·  peak 0.12× the original's",
    ]
    assert "no map" in texts(drawn)


def test_without_maps_their_row_is_left_out():
    plain = (shot(heat=None), shot("removed", heat=None))
    drawn, with_maps = strip_figure(strip(shots=plain, strands=())), strip_figure(strip(strands=()))
    assert len(pictures(drawn)) == 2
    assert drawn.get_size_inches()[1] < with_maps.get_size_inches()[1] - 2
    assert "no map" not in texts(drawn)


def test_the_region_is_outlined_on_the_shot_that_has_it_only():
    first, *others = pictures(strip_figure(strip()))
    (outline,) = first.collections
    assert outline.get_linewidth() == 1.8
    points = outline.get_paths()[0].vertices
    assert np.abs(points.min(0) - (19.5, 4.5)).max() <= 0.01
    assert np.abs(points.max(0) - (49.5, 14.5)).max() <= 0.01
    assert not any(axis.collections for axis in others)


@pytest.mark.parametrize("region", [np.zeros((40, 60)), np.ones((40, 60)), mask() * 0.3])
def test_an_empty_a_full_and_a_soft_region_can_be_outlined(region):
    assert strip_figure(strip(shots=(shot(outline=region),)))._repr_png_().startswith(b"\x89PNG")


def test_answers_are_bars_as_long_as_their_probabilities_and_the_target_stands_out():
    drawn = strip_figure(strip())
    assert [widths for _, widths in answers(drawn)] == [
        [0.9, 0.06, 0.02, 0.01, 0.01], [0.9, 0.06, 0.02, 0.01, 0.01], [0.06, 0.9, 0.02, 0.01, 0.01]
    ]  # fmt: skip
    axis, _ = answers(drawn)[0]
    told = {text.get_text(): text.get_color() for text in axis.texts}
    assert told["▸ basketball"] == told["90.0%"] == MARK != told["web site"]
    assert axis.get_xlim()[0] == 0
    assert axis.get_xlim()[1] > 1, "the numbers stand beside the longest bar"


def test_a_target_that_is_not_among_the_best_stands_apart_or_is_said_to_be_missing():
    six = (WEB, *OTHERS, Prediction(5, "tree", 0.005, 0.5), BALL)
    (axis, widths) = answers(strip_figure(strip(shots=(shot(predictions=six),))))[0]
    assert len(widths) == 6
    assert [line.get_ydata()[0] for line in axis.lines if line.get_linestyle() == ":"] == [4.5]
    assert "▸ not among them: basketball" in texts(strip_figure(strip(shots=(shot(predictions=(WEB, *OTHERS)),))))


def test_scores_of_a_regression_share_one_scale_and_begin_at_zero():
    def age(value):
        return (Prediction(0, "age", None, value),)

    drawn = strip_figure(strip(shots=(shot(predictions=age(30.0)), shot("removed", predictions=age(-10.0)))))
    (first, one), (second, two) = answers(drawn)
    assert (one, two) == ([30.0], [-10.0])
    assert first.get_xlim() == second.get_xlim()
    assert first.get_xlim()[0] == -10
    assert "−10" in texts(drawn)


def test_the_target_before_and_after_are_two_bars():
    axis = axis_with(strip_figure(strip()), "probability of basketball")
    assert [bar.get_height() for bar in axis.patches] == [0.9, 0.4]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["original", "removed"]
    assert [text.get_text() for text in axis.texts] == ["90.0%", "40.0%"]
    bare = strip_figure(strip(strands=(strand(before=None, after=None),)))
    assert not any(told.startswith("probability") for axis in bare.axes for told in named(axis))


def test_scores_that_nearly_agree_are_told_in_digits_that_tell_them_apart():
    close = strand(before=1234.56, after=1234.57, measure="output")
    axis = axis_with(strip_figure(strip(strands=(close,))), "output of basketball")
    assert [text.get_text() for text in axis.texts] == ["1234.56", "1234.57"]


@pytest.mark.parametrize(("beyond", "change"), [("below", -0.9), ("above", -0.9), ("below", 0.31), ("above", 1.0)])
def test_the_shaded_tail_holds_exactly_the_controls_that_count(beyond, change):
    one = strand(change=change, beyond=beyond)
    axis = controls(strip_figure(strip(strands=(one,))))
    counted = (change >= CONTROLS).sum() if beyond == "below" else (change <= CONTROLS).sum()
    (inside, tail), (others, rest) = tall(axis, TAIL), tall(axis, REST)
    assert (inside, inside + others) == (counted, 99)
    right_of = [min(a for a, _ in bars) for bars in (tail if beyond == "above" else rest,) if bars]
    left_of = [max(b for _, b in bars) for bars in (tail if beyond == "below" else rest,) if bars]
    assert all(edge >= change - 1e-9 for edge in right_of)
    assert all(edge <= change + 1e-9 for edge in left_of)
    side = "low" if beyond == "below" else "high"
    assert axis.get_title("right") == f"{counted} of 99 controls as {side} (shaded)"


def test_a_control_equal_to_the_change_counts_on_its_side_of_the_line():
    ties = np.array([-2.0, -2.0, -1.0, 0.1, 0.3])
    for beyond in ("below", "above"):
        axis = controls(strip_figure(strip(strands=(strand(change=-2.0, controls=ties, beyond=beyond),))))
        inside, bars = tall(axis, TAIL)
        assert inside == (2 if beyond == "below" else 5)
        assert all((b <= -2.0 + 1e-9) if beyond == "below" else (a >= -2.0 - 1e-9) for a, b in bars)


def test_the_effect_its_p_the_number_of_controls_and_the_zero_are_drawn():
    axis = controls(strip_figure(strip()))
    assert effect(axis) == [-0.9]
    assert "−0.9\np = 0.07" in [text.get_text() for text in axis.texts]
    assert axis.get_ylabel() == "controls (n = 99)"
    assert axis.get_xlabel() == "change of the logit of basketball"
    assert 0 in [line.get_xdata()[0] for line in axis.lines if line.get_color() != MARK]
    assert 0 in axis.get_xticks()
    second = controls(strip_figure(strip()), 1)
    assert effect(second) == [-0.5]


def test_the_fills_are_ticks_with_their_range_below_the_controls():
    drawn = strip_figure(strip(strands=(strand(),)))
    axis = controls(drawn)
    (ticks,) = [line for line in axis.lines if line.get_marker() == "|"]
    assert list(ticks.get_xdata()) == [-0.9, -0.7]
    assert max(ticks.get_ydata()) < 0
    (span,) = [found.get_segments()[0] for found in axis.collections if hasattr(found, "get_segments")]
    assert (span[0][0], span[1][0]) == (-0.9, -0.7)
    assert "By fill: mean −0.9, blur −0.7; from −0.9 to −0.7." in texts(drawn)
    assert "Fill: mean −0.9." in texts(strip_figure(strip(strands=(strand(by_fill={"mean": -0.9}),))))


@pytest.mark.parametrize("none", [None, np.zeros(0)])
def test_without_controls_the_figure_says_so_and_why(none):
    why = "The region fits nowhere else."
    drawn = strip_figure(strip(strands=(strand(controls=none, p=None, note=why),)))
    assert {"no controls", why} <= set(texts(drawn))
    assert effect(controls(drawn)) == [-0.9]
    assert not any("p =" in text or "n =" in text for text in texts(drawn))


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e7])
def test_tiny_and_huge_changes_are_told_in_short_numbers(size):
    one = strand(change=-0.9 * size, controls=CONTROLS * size, by_fill={"mean": -0.9 * size})
    drawn = strip_figure(strip(strands=(one,)))
    axis = controls(drawn)
    inside, _ = tall(axis, TAIL)
    assert inside == (CONTROLS * size <= -0.9 * size).sum()
    low, high = axis.get_xlim()
    ticks = [
        label.get_text()
        for label, at in zip(axis.get_xticklabels(), axis.get_xticks(), strict=True)
        if low <= at <= high
    ]
    assert len(ticks) >= 3
    assert max(map(len, ticks)) <= 6
    assert overlaps(drawn) == []


@pytest.mark.parametrize("change", [float("-inf"), float("nan")])
def test_a_change_that_is_no_number_is_told_without_a_line(change):
    drawn = strip_figure(strip(strands=(strand(change=change),)))
    axis = controls(drawn)
    assert effect(axis) == []
    assert tall(axis, TAIL)[0] == 0
    assert tall(axis, REST)[0] == 99
    assert any("p = 0.07" in text for text in texts(drawn))


def test_controls_that_all_agree_can_be_drawn():
    axis = controls(strip_figure(strip(strands=(strand(change=0.0, by_fill={}, controls=np.zeros(99)),))))
    assert tall(axis, TAIL)[0] == 99


@pytest.mark.parametrize("count", [1, 2, 6, 7, 12])
def test_more_than_six_shots_go_on_in_the_next_row(count):
    drawn = strip_figure(strip(shots=tuple(shot(f"move({i}, 0)") for i in range(count))))
    lefts = [round(axis.get_position().x0, 3) for axis in pictures(drawn)]
    assert len(lefts) == 2 * count
    assert len(set(lefts)) == (count if count <= 6 else -(-count // 2))
    assert drawn.get_size_inches()[0] == pytest.approx(3.4 * max(2, len(set(lefts))))


LONG = "Egyptian cat, a cat of a breed whose name goes on and on, tabby, tabby cat, tiger cat"


@pytest.mark.parametrize("shape", [(40, 60), (120, 30), (20, 160)])
def test_nothing_is_written_beyond_the_figure_or_over_a_neighbour(shape):
    cat = (Prediction(0, LONG, 0.99999, 12.0), *OTHERS)
    heat = np.ones(shape, np.float32)
    long = {"pixels": np.zeros((*shape, 3), np.uint8), "heat": heat, "predictions": cat, "unit": LONG}
    shots = tuple(shot(title, **long) for title in ("original", LONG * 2, "move(40, 0)"))
    told = {"headline": LONG * 4, "footer": LONG * 5, "label": LONG, "photo": "a-file-name-without-spaces" * 8}
    edits = (strand(LONG, note=LONG * 4), strand("move(40, 0)", -123456.0, beyond="above"))
    drawn = strip_figure(strip(shots=shots, strands=edits, warnings=(Warning("w", LONG * 4),), **told))
    assert (outside(drawn), overlaps(drawn), crowded(drawn)) == ([], [], 0)
    cut = [text for text in texts(drawn) if "…" in text]
    assert not any(text in told.values() for text in cut)
    assert "".join(told["headline"].split()) in "".join("".join(texts(drawn)).split()), "a headline is never cut"


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_texts_do_not_overlap(count):
    edits = [f"move({10 * i}, 0)" for i in range(1, count)]
    drawn = strip_figure(strip(shots=(shot(), *map(shot, edits)), strands=tuple(map(strand, edits))))
    assert (outside(drawn), overlaps(drawn), crowded(drawn)) == ([], [], 0)


def test_a_dollar_is_no_formula_and_a_figure_is_the_same_each_time():
    drawn = strip_figure(strip(photo="$x$.png", headline="It costs $5 or $6."))
    assert not any(text.get_parse_math() for text in drawn.findobj(Text))
    assert drawn._repr_png_() == strip_figure(strip(photo="$x$.png", headline="It costs $5 or $6."))._repr_png_()


def test_a_label_in_a_script_without_a_font_can_be_drawn():
    named_so = (Prediction(0, "バスケットボール", 0.9, 1.0), *OTHERS)
    assert strip_figure(strip(shots=(shot(predictions=named_so),), label="バスケットボール"))._repr_png_()


def test_a_strip_of_nothing_is_refused_and_one_without_strands_is_drawn():
    with pytest.raises(OptionError, match="nothing to draw"):
        strip_figure(strip(shots=()))
    drawn = strip_figure(strip(strands=()))
    assert not any("change of the" in text for text in texts(drawn))

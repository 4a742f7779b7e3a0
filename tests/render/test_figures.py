"""Pictures are checked by their pixels: what is hot is painted, what is unseen is hatched, units are raw."""

import re

import numpy as np
import pytest
from matplotlib.text import Text
from panels import panel, spot, titles

from sightline.core.errors import OptionError
from sightline.render.figure import MARK, blend, figure, figure_grid
from sightline.render.page import explanation_page


def test_heat_is_painted_and_the_rest_stays_grey():
    mixed = blend(panel(spot()), alpha=1.0)
    assert np.allclose(mixed[0, 0], 128 / 255, atol=1e-3)
    assert mixed[15, 15, 0] > 0.9 > mixed[15, 15, 2]
    assert np.allclose(blend(panel(spot()), alpha=0.0), 128 / 255, atol=1e-3)


def test_signed_maps_are_centred_on_zero():
    heat = spot(3.0)
    heat[30:, 40:] = -3.0
    mixed = blend(panel(heat, signed=True), alpha=1.0)
    assert mixed[15, 15, 0] > mixed[15, 15, 2]
    assert mixed[35, 50, 2] > mixed[35, 50, 0]
    bar = figure([panel(heat, signed=True)]).axes[-1]
    assert bar.get_ylim() == (-3.0, 3.0)


def test_the_colour_bar_is_in_raw_units():
    bar = figure([panel(spot(0.004))]).axes[-1]
    assert bar.get_ylim() == pytest.approx((0.0, 0.004))
    assert bar.get_ylabel() == "units"


def test_one_extreme_pixel_does_not_hide_the_rest_and_the_bar_says_so():
    heat = spot(1.0)
    heat[0, 0] = 100.0
    shown = panel(heat)
    assert shown.top == 1.0
    assert shown.clipped
    assert not panel(spot(1.0)).clipped


def test_what_was_not_seen_is_pale_and_explained():
    heat = spot()
    heat[:, 50:] = np.nan
    mixed = blend(panel(heat), alpha=1.0)
    assert mixed[5, 55].min() > mixed[5, 45].max()
    texts = [text.get_text() for text in figure([panel(heat)]).texts]
    assert "Hatched: cut off before the network saw it." in texts


def test_answers_and_warnings_are_written_and_the_explained_class_is_marked():
    drawn = figure([panel(spot())])
    colours = {text.get_text().rstrip(): text.get_color() for text in drawn.findobj(Text)}
    assert colours["▸  75.0% ball"] == MARK != colours["   25.0% <script>"]
    assert any("⚠ nothing here" in text.get_text() for text in drawn.texts)
    outside = figure([panel(spot(), marked=(7,), label="mug")])
    assert any("not among them: mug" in text.get_text() for text in outside.findobj(Text))


def test_a_blank_map_can_be_drawn():
    assert figure([panel(np.zeros((40, 60)))])._repr_png_().startswith(b"\x89PNG")


def test_a_grid_has_a_row_for_each_photo_and_a_column_for_each_method():
    names = ["first", "second", "third"]
    drawn = figure_grid([[panel(spot(), name=name), panel(spot(), name=name, method="saliency")] for name in names])
    methods = ["grad-cam  ·  ball", "saliency  ·  ball"]
    assert titles(drawn) == [title for name in names for title in (name, *methods)]


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_a_strength_out_of_range_is_refused(alpha):
    with pytest.raises(OptionError, match="from 0 to 1"):
        figure([panel(spot())], alpha=alpha)


def test_an_unknown_style_and_an_empty_grid_are_refused():
    with pytest.raises(OptionError, match="'pair', 'overlay', 'contour', 'cut-out', 'signs', 'mask'"):
        figure([panel(spot())], style="pear")
    with pytest.raises(OptionError, match="nothing to draw"):
        figure_grid([])


def test_a_page_is_self_contained_and_treats_names_as_text():
    text = explanation_page([panel(spot())], {"label": "</pre><script>alert(1)</script>"})
    assert "<script" not in text
    assert "a &lt;b&gt;photo&lt;/b&gt;" in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "default-src 'none'" in text
    assert "nothing here [blank-map]" in text


def test_a_row_of_many_methods_goes_on_in_the_next():
    methods = [f"method-{i}" for i in range(14)]
    drawn = figure_grid([[panel(spot(), method=method) for method in methods]])
    heats = [axis for axis in drawn.axes if any(axis.get_title().startswith(f"{m}") for m in methods)]
    lefts = [round(axis.get_position().x0, 3) for axis in heats]
    assert len(heats) == 14
    assert [lefts.count(left) for left in sorted(set(lefts))] == [3, 3, 3, 3, 2], "three rows of four to five"
    assert [axis.get_title() for axis in drawn.axes].count("a <b>photo</b>") == 1
    assert drawn.get_size_inches()[0] < 30

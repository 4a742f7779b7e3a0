"""Minimal evidence: what is enough and what is needed, outlined on the original and shown with their answers."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from strips import OTHERS, PHOTO, WEB, crowded, evidence, mask, outside, overlaps, shot, texts

from sightline.core.heats import Prediction
from sightline.render.evidence import ENOUGH, NEEDED, evidence_figure


def pictures(drawn):
    return [axis for axis in drawn.axes if axis.images]


def outlines(axis):
    """The colour and the upper left corner of each outline."""
    return [
        (to_hex(found.get_edgecolor()[0]), tuple(found.get_paths()[0].vertices.min(0).round(1)))
        for found in axis.collections
    ]


def test_three_pictures_stand_side_by_side_under_what_they_are():
    drawn = evidence_figure(evidence())
    told = {text.get_text(): text.get_color() for text in drawn.findobj(Text)}
    assert len(pictures(drawn)) == 3
    assert told["enough: this alone keeps the answer"] == ENOUGH
    heading = " ".join(text for text, colour in told.items() if colour == NEEDED)
    assert sorted(heading.split()) == sorted(
        ["needed:", "without", "this", "the", "answer", "becomes", "web", "site"]
    )
    for text in ("12 % of the photo is enough.", "3 of 48 segments", "2 of 48 segments", "⚠ smaller sets may exist"):
        assert text in told


def test_each_has_its_answers():
    drawn = evidence_figure(evidence())
    bars = [[bar.get_width() for bar in axis.patches] for axis in drawn.axes if axis.patches]
    assert bars == [[0.9, 0.06, 0.02, 0.01, 0.01]] * 2 + [[0.06, 0.02, 0.01, 0.01]]
    assert "▸ not among them: basketball" in texts(drawn)


def test_what_is_enough_and_what_is_needed_are_outlined_on_the_original_and_on_their_own():
    original, enough, needed = map(outlines, pictures(evidence_figure(evidence())))
    kept, lost = (ENOUGH, (19.5, 4.5)), (NEEDED, (19.5, 14.5))
    assert (original, enough, needed) == ([kept, lost], [kept], [lost])
    drawn = evidence_figure(evidence())
    wide, narrow = (found.get_linewidth()[0] for found in pictures(drawn)[0].collections)
    assert wide > narrow + 1, "both are seen where they run along one line"
    told = texts(drawn)
    assert "Outlined on the original: solid, green: what is enough; dashed, red: what is needed." in told


def test_the_pieces_that_were_tried_are_thin_lines_on_the_original():
    original, *others = pictures(evidence_figure(evidence()))
    pixels, lines = (np.asarray(image.get_array()) for image in original.images)
    assert np.array_equal(pixels, PHOTO)
    assert np.flatnonzero(lines[0, :, 3]).tolist() == [20, 40]
    assert [len(axis.images) for axis in others] == [1, 1]
    assert len(pictures(evidence_figure(evidence(segments=None)))[0].images) == 1


@pytest.mark.parametrize(("missing", "count"), [(("enough",), 2), (("needed",), 2), (("enough", "needed"), 1)])
def test_what_was_not_found_is_left_out(missing, count):
    drawn = evidence_figure(evidence(**dict.fromkeys(missing)))
    assert len(pictures(drawn)) == count
    for word in missing:
        assert not any(f"{word}:" in text or f"what is {word}" in text for text in texts(drawn))


def test_an_answer_that_stays_is_not_said_to_change():
    same = evidence(needed=shot("all", heat=None, outline=mask()))
    told = texts(evidence_figure(same))
    assert "without this, still basketball" in told
    assert not any("becomes" in text for text in told)


def test_nothing_is_written_beyond_the_figure_or_over_a_neighbour():
    long = "Egyptian cat, a cat of a breed whose name goes on and on, tabby, tabby cat, tiger cat"
    cat = shot(long, heat=None, outline=mask(), predictions=(Prediction(7, long, 0.5, 3.0), WEB, *OTHERS))
    drawn = evidence_figure(evidence(needed=cat, label=long, headline=long * 3, footer=long * 3))
    assert (outside(drawn), overlaps(drawn), crowded(drawn)) == ([], [], 0)

"""Text that fits: measured as it is drawn, no word lost, and numbers short but distinct."""

import pytest

from sightline.render.fit import fonts, lines_of, shortened, width_of
from sightline.render.sheet import as_written, sheet
from sightline.render.words import change, number, numbers, share

TEXT = "what the model answers when the ball is removed"


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_a_width_is_that_of_the_text_as_drawn(weight):
    drawn, _ = sheet(8, 1)
    text = drawn.text(0, 0.5, TEXT, size=9, weight=weight, family=fonts())
    as_written(drawn).canvas.draw()
    assert width_of(TEXT, 9, weight) == pytest.approx(text.get_window_extent().width / 120, rel=0.08)


def test_lines_hold_every_word_and_none_is_too_wide():
    lines = lines_of(TEXT, 1.2, 9)
    assert " ".join(lines) == TEXT
    assert max(width_of(line, 9) for line in lines) <= 1.2
    assert len(lines) > 1
    assert lines_of("", 1.2, 9) == []


def test_a_word_wider_than_a_line_goes_on_in_the_next():
    word = "a-file-name-without-spaces" * 4
    lines = lines_of(word, 1.0, 9)
    assert "".join(lines) == word
    assert max(width_of(line, 9) for line in lines) <= 1.0


def test_lines_beyond_the_most_are_cut():
    first, second = lines_of(TEXT, 1.2, 9, most=2)
    assert TEXT.startswith(first)
    assert second.endswith("…")
    assert lines_of(TEXT, 9.0, 9, most=2) == [TEXT]


def test_a_short_text_is_left_and_a_long_one_cut_to_its_room():
    assert shortened(TEXT, 9.0, 9) == TEXT
    cut = shortened(TEXT, 1.0, 9)
    assert cut.endswith("…")
    assert width_of(cut, 9) <= 1.0


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (-4.2149, "−4.21"),
        (1.5e-6, "1.5e−6"),
        (1234.4, "1234"),
        (-20000, "−20000"),
        (1e7, "1e7"),
        (0, "0"),
        (0.05, "0.05"),
    ],
)
def test_numbers_are_short(value, told):
    assert number(value) == told


def test_numbers_are_told_apart_and_changes_and_shares_are_clear():
    assert numbers([1.0, 1.25]) == ["1", "1.25"]
    assert numbers([1000.1, 1000.2]) == ["1000.1", "1000.2"]
    assert numbers([2.0, 2.0]) == ["2", "2"]
    assert (change(0.3), change(-0.3), change(0.0)) == ("+0.3", "−0.3", "0")
    assert (share(0.9824), share(0.0), share(0.0004), share(1e-9)) == ("98.2%", "0.0%", "0.04%", "<0.01%")

"""What is said of an effect beside its controls, and what the answer hangs on: every case of it."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.core.targets import Class, Function
from sightline.probes.asking import Answer, Told
from sightline.probes.controls import Controls
from sightline.probes.effects import Effect, note, verdict
from sightline.stats.multiplicity import randomization_p

OWN, OTHER, THIRD = 3, 1, 2
unhurried = settings(deadline=None)


def where(n, apart=20, wanted=None, found=None, places=1000, tried=1000):
    """Controls at n places."""
    return Controls(((0, 0),) * n, n if found is None else found, places, tried, apart, wanted or n, 1.0)


def effect(change, controls, beyond="below", edits=1, apart=20, **more):
    """An effect with its p, and Holm's for the least of so many edits."""
    sign = -1 if beyond == "below" else 1
    p = randomization_p(sign * change, [sign * one for one in controls]) if len(controls) else None
    adjusted = None if p is None else min(1.0, edits * p)
    return Effect(change, {}, np.array(controls, float), p, adjusted=adjusted, beyond=beyond,
                  where=where(len(controls), apart), **more)  # fmt: skip


def answer(*tops):
    """What a world was answered under each fill."""
    scores = torch.zeros(5)
    best = max(tops, key=tops.count) if tops[0] is not None else None
    return Answer(0.0, scores, best, Told([0.0] * len(tops), list(tops), [scores], []), torch.zeros(1))


def hangs_on(removed, kept, nothing=(OTHER,), removal=None, target=None, original=OWN):
    return verdict(target or Class(OWN), answer(original), answer(*removed), answer(*kept), answer(*nothing), removal)


# The verdict --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("removed", "kept", "expected"),
    [
        (OTHER, OWN, "region"),
        (OWN, OTHER, "rest"),
        (OWN, OWN, "either"),
        (OTHER, OTHER, "both"),
        (OTHER, THIRD, "both"),
    ],
)
def test_four_verdicts_of_one_fill(removed, kept, expected):
    assert hangs_on((removed,), (kept,)) == (expected, "")


@pytest.mark.parametrize("kept", [OWN, OTHER])
def test_where_controls_do_as_much_nothing_is_said_of_the_region(kept):
    """Of a removal that changes the answer: one that does not needs no control."""
    alike = effect(-1.0, [-1.1] * 50 + [-0.2] * 49)
    assert alike.alike
    assert hangs_on((OTHER,), (kept,), removal=alike) == ("undecided", "masking anything hurts as much")
    assert hangs_on((OWN,), (kept,), removal=alike)[0] in ("rest", "either")
    apart = effect(-1.0, [-0.2] * 99)
    assert hangs_on((OTHER,), (kept,), removal=apart)[0] in ("region", "both")
    untested = effect(-1.0, [])
    assert untested.alike is None
    assert hangs_on((OTHER,), (kept,), removal=untested)[0] in ("region", "both")


def test_a_fill_that_is_called_the_answer_says_nothing_where_the_answer_stays():
    for kept in (OWN, OTHER):
        told, why = hangs_on((OWN,), (kept,), nothing=(OWN,))
        assert told == "undecided"
        assert "the fill alone is already called this class" in why
        assert hangs_on((OTHER,), (kept,), nothing=(OWN,)) == ("region", ""), "though the fill speaks for it"


@pytest.mark.parametrize(
    ("removed", "kept", "expected"),
    [
        ((OWN, OWN, OTHER), (OTHER, OTHER, OTHER), "rest"),
        ((OTHER, THIRD, OWN), (OWN, OWN, OTHER), "region"),
        ((OTHER, OWN), (OWN, OWN), None),
        ((OWN, OWN), (OWN, OTHER), None),
        ((OTHER, OTHER), (OWN, OTHER), None),
    ],
)
def test_of_several_fills_the_most_count_and_as_many_for_as_against_are_undecided(removed, kept, expected):
    told, why = hangs_on(removed, kept)
    assert told == (expected or "undecided")
    assert ("the answer depends on the fill" in why) == (expected is None)


def test_no_classes_and_another_class_than_the_answer_have_no_verdict():
    assert "no classes" in hangs_on((None,), (None,), (None,), original=None)[1]
    assert hangs_on((OTHER,), (OWN,), target=Class(OTHER)) == (
        "undecided", "the class asked about is not the model's answer")  # fmt: skip
    assert hangs_on((OTHER,), (OWN,), target=Function(lambda scores: scores[:, 0])) == ("region", "")


def test_every_case_has_a_verdict_or_a_reason():
    tops = [(OWN,), (OTHER,), (OWN, OTHER), (OWN, OTHER, OTHER)]
    removals = [None, effect(-1.0, [-2.0] * 99), effect(-1.0, [0.0] * 99), effect(-1.0, [])]
    for removed, kept, nothing, removal in itertools.product(tops, tops, tops, removals):
        told, why = hangs_on(removed, kept, nothing, removal)
        assert (told == "undecided") == bool(why)


# Beside the controls ------------------------------------------------------------------------------------------------


@unhurried
@given(st.floats(-5, -0.1), st.lists(st.floats(-6, 6), min_size=1, max_size=120))
def test_alike_is_one_control_in_five_or_a_typical_one_half_as_deep(change, controls):
    one = effect(change, controls)
    often = sum(control <= change for control in controls) / len(controls) >= 0.2
    assert one.alike == (often or float(np.median(controls)) <= change / 2)
    assert (one.stands_out and one.alike) in (True, False)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_few_controls_that_do_nothing_are_not_alike_though_p_is_large(n):
    one = effect(-1.0, [0.0] * n)
    assert one.p == 1 / (1 + n) >= 0.2
    assert not one.alike
    assert hangs_on((OTHER,), (OWN,), removal=one) == ("region", "")


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (effect(-1.0, [0.0] * 99), ""),
        (effect(0.0, [0.5] * 99), "The score does not fall."),
        (effect(0.3, [0.5] * 99), "The score does not fall."),
        (effect(-1.0, [-2.0] * 99), "Masking anything hurts as much."),
        (effect(-1.0, [-0.6] * 99), "Masking anything hurts as much."),
        (effect(0.5, [0.6] * 99, "above"), "Other parts of this shape keep as much."),
        (effect(-1.0, [-1.1] * 9 + [0.0] * 90), "Not clearly more than elsewhere."),
        (
            effect(-1.0, [0.0] * 99, edits=6),
            "More than any control, but 99 are too few for 6 edits at once.",
        ),
        (effect(-1.0, [0.0] * 19), "Only 19 controls were asked for, so p cannot fall below 0.05."),
        (
            effect(-1.0, [0.0] * 99, apart=9),
            "The places overlap (at most 9 lie apart) and are alike, so p may be too small",
        ),
        (effect(-1.0, [0.0] * 99, apart=1), "The places overlap (any two of them share pixels)"),
        (effect(-1.0, [0.0] * 99, apart=10), ""),
        (effect(-1.0, [0.0] * 99, holds=(True, False)), "The answer depends on the fill."),
        (effect(-1.0, [0.0] * 99, holds=(False, False)), ""),
    ],
)
def test_what_a_reader_is_told(one, words):
    said = note(one, 6 if one.adjusted == pytest.approx(0.06) else 1)
    assert said.startswith(words) if words else said == ""


def test_fills_that_move_the_score_both_ways_are_said_and_next_to_nothing_is_not():
    both = Effect(-0.3, {"black": -1.0, "white": 0.4}, np.zeros(0), None)
    barely = Effect(-0.5, {"black": -1.0, "white": 0.01}, np.zeros(0), None)
    assert both.range == (-1.0, 0.4)
    assert "The answer depends on the fill." in note(both, 1)
    assert "depends on the fill" not in note(barely, 1)
    assert "No control was asked for." in note(both, 1)

"""Shares of region and rest: Shapley values on paper, and where a share has no meaning."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import box_mask, model_of, photo_of, pixels_of, probed, two_classes, worlds

import sightline as sl
from sightline.probes.shares import MATTERS, Shares

SIZE, BOX = (12, 16), (2, 2, 8, 9)
INSIDE = box_mask(SIZE, BOX)
scores = st.floats(-10, 10)
unhurried = settings(deadline=None)


def shapley(value):
    """Shapley's values of a game by his formula: the mean over all orders of what a player adds as it comes in."""
    found = {}
    for player, other in (("region", "rest"), ("rest", "region")):
        first = value({player}) - value(set())
        last = value({player, other}) - value({other})
        found[player] = (first + last) / 2
    return found


def told(both, region_only, rest_only, neither):
    return Shares(both, region_only, rest_only, neither)


@unhurried
@given(scores, scores, scores, scores)
def test_the_two_parts_are_shapleys_values_and_add_up(both, region_only, rest_only, neither):
    worlds = {frozenset(): neither, frozenset({"region"}): region_only, frozenset({"rest"}): rest_only}
    expected = shapley(lambda players: worlds.get(frozenset(players), both))
    mine = told(both, region_only, rest_only, neither)
    assert mine.of_region == pytest.approx(expected["region"], abs=1e-9)
    assert mine.of_rest == pytest.approx(expected["rest"], abs=1e-9)
    assert mine.of_region + mine.of_rest == pytest.approx(both - neither, abs=1e-9)
    assert mine.interaction == pytest.approx((both - rest_only) - (region_only - neither), abs=1e-9)
    assert (mine.region is None) == (mine.rest is None) == bool(mine.note)
    if mine.region is not None:
        assert mine.region + mine.rest == pytest.approx(1, abs=1e-6)
        assert mine.region * (both - neither) == pytest.approx(mine.of_region, abs=1e-6)
    swapped = told(both, rest_only, region_only, neither)
    assert (swapped.of_region, swapped.of_rest) == pytest.approx((mine.of_rest, mine.of_region))
    assert swapped.interaction == pytest.approx(mine.interaction, abs=1e-9)


@pytest.mark.parametrize(
    ("worlds", "region", "rest", "interaction"),
    [
        ((5.0, 3.0, 2.0, 0.0), 0.6, 0.4, 0.0),  # a sum
        ((1.0, 1.0, 1.0, 0.0), 0.5, 0.5, -1.0),  # one or the other
        ((4.0, 4.0, 0.0, 0.0), 1.0, 0.0, 0.0),  # the region alone
        ((4.0, 0.0, 4.0, 0.0), 0.0, 1.0, 0.0),  # the rest alone
        ((2.0, 3.0, -1.0, 0.0), 1.5, -0.5, 0.0),  # the rest speaks against
        ((3.0, 1.0, 1.0, 0.0), 0.5, 0.5, 1.0),  # more together than one by one
        ((6.0, 4.0, 3.0, 1.0), 0.6, 0.4, 0.0),  # from where everything is filled
    ],
)
def test_games_on_paper(worlds, region, rest, interaction):
    shares = told(*worlds)
    assert (shares.region, shares.rest, shares.interaction) == pytest.approx((region, rest, interaction))
    assert shares.note == ""


@pytest.mark.parametrize(
    ("worlds", "words"),
    [
        ((1.0, 0.0, 0.0, 0.0), "neither part alone matters: only both together raise the score"),  # and
        ((0.0, 1.0, 1.0, 0.0), "with everything filled the score is as high as in the photo"),  # either, not both
        ((1.0, 0.5, 0.5, 2.0), "with everything filled the score is as high"),
        ((1.0, 1.0, 1.0, 1.0), "with everything filled the score is as high"),  # a constant
        ((1.0, -1.0, -2.0, 0.0), "neither part alone matters"),
        ((1.0, 30.0, -29.0, 0.0), "the parts move the score far more than they raise it together"),
    ],
)
def test_where_a_share_has_no_meaning_it_is_none_and_says_why(worlds, words):
    shares = told(*worlds)
    assert (shares.region, shares.rest) == (None, None)
    assert words in shares.note
    assert shares.of_region + shares.of_rest == pytest.approx(worlds[0] - worlds[3]), "the values are still there"


def test_a_part_matters_from_a_tenth_of_the_rise_on():
    assert MATTERS == 0.1
    assert told(10.0, 1.01, 0.0, 0.0).region is not None
    assert told(10.0, 0.0, 1.01, 0.0).region is not None
    assert told(10.0, 0.99, 0.99, 0.0).region is None


def test_a_fill_that_is_called_the_class_leaves_nothing_to_share():
    shares = Shares(5.0, 3.0, 2.0, 0.0, fill_is_called_it=True)
    assert (shares.region, shares.rest) == (None, None)
    assert "the fill alone is already called this class" in shares.note


# Models ------------------------------------------------------------------------------------------------------------


def brightness(images, mask):
    return (images.mean(1) * mask).sum((1, 2)) / mask.sum()


def asked(score, fill="black", pixels=None, **options):
    photo = photo_of(0.5 + pixels_of(*SIZE) / 2 if pixels is None else pixels)
    return probed(model_of(two_classes(score), SIZE), photo, BOX, fill=fill, target=0, controls=5, **options)


@pytest.mark.parametrize("fill", ["black", "blur", (0.1, 0.3, 0.2), ("black", (0.1, 0.3, 0.2))], ids=str)
def test_of_a_linear_score_each_part_gets_what_its_own_pixels_bring(fill):
    """No interaction: a part brings weight times what the fill takes from its pixels, whatever else is there."""
    weight, pixels = pixels_of(*SIZE, seed=4), 0.5 + pixels_of(*SIZE) / 2
    fills = torch.stack([one.fill.image for one in worlds(pixels, INSIDE, fill)]).mean(0)
    brought = weight * (pixels - fills)
    pr = asked(lambda images: (images * weight).sum((1, 2, 3)) - 150, fill, pixels)
    assert pr.shares.of_region == pytest.approx(float((brought * INSIDE).sum()), abs=2e-3)
    assert pr.shares.of_rest == pytest.approx(float((brought * (1 - INSIDE)).sum()), abs=2e-3)
    assert pr.shares.interaction == pytest.approx(0, abs=2e-3)
    assert pr.effect["remove"].change == pytest.approx(-pr.shares.of_region, abs=2e-3)
    assert pr.effect["keep"].change == pytest.approx(-pr.shares.of_rest, abs=2e-3)
    if fill != "blur":  # which leaves the sum about where it was
        assert pr.shares.region == pytest.approx(float((brought * INSIDE).sum() / brought.sum()), rel=1e-4)


def test_the_four_worlds_are_those_that_were_asked():
    weight = pixels_of(*SIZE, seed=4)
    pixels = 0.5 + pixels_of(*SIZE) / 2

    def score(images):
        return (images * weight).sum((1, 2, 3)).square() / 100 - 1

    pr = asked(score, "black", pixels)
    expected = [float(score((pixels * shown)[None])[0]) for shown in (1, INSIDE, 1 - INSIDE, 0)]
    mine = (pr.shares.both, pr.shares.region_only, pr.shares.rest_only, pr.shares.neither)
    assert mine == pytest.approx(expected, rel=1e-5)
    assert pr.worlds["remove"].score == mine[2]
    assert pr.worlds["keep"].score == mine[1]
    assert pr.worlds["original"].score == mine[0]


def lit(images, mask):
    """1 where a part is bright, 0 where it is filled."""
    return (brightness(images, mask) > 0.3).float()


LOGIC = {
    "and": lambda a, b: a * b,
    "or": torch.maximum,
    "either, not both": lambda a, b: (a - b).abs(),
}


@pytest.mark.parametrize(
    ("name", "region", "interaction"), [("and", None, 1.0), ("or", 0.5, -1.0), ("either, not both", None, -2.0)]
)
def test_and_or_and_not_both(name, region, interaction):
    def score(images):
        return LOGIC[name](lit(images, INSIDE), lit(images, 1 - INSIDE)) - 0.5

    shares = asked(score).shares
    assert shares.region == region
    assert shares.interaction == pytest.approx(interaction)


def test_a_fill_that_the_model_calls_by_the_class_is_said():
    pr = asked(lambda images: 0.7 - images.mean((1, 2, 3)), "black", 0.2 * pixels_of(*SIZE))
    assert pr.shares.region is None
    assert "the fill alone is already called this class" in pr.shares.note
    assert (pr.verdict, pr.why) == ("undecided", "the fill alone is already called this class; take another fill")


def test_shares_are_of_the_target_and_not_of_the_answer():
    pr = asked(lambda images: images.mean((1, 2, 3)))
    other = probed(model_of(two_classes(lambda images: images.mean((1, 2, 3))), SIZE), photo_of(pixels_of(*SIZE)),
                   BOX, target=sl.targets.Class(1), fill="black", controls=3)  # fmt: skip
    assert pr.shares.both != other.shares.both == 0
    assert other.shares.region is None

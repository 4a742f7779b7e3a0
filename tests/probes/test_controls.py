"""Controls against a literal double loop, p and Holm's p by hand."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import box_mask, disc_mask, model_of, photo_of, pixels_of, probed, two_classes, world, worlds

import sightline as sl
from sightline import edits
from sightline.core.errors import SightlineWarning
from sightline.probes.controls import Grounds, controls
from sightline.stats.multiplicity import holm, randomization_p

SIZE = (12, 16)
GAIN = 1 / torch.tensor([0.1, 0.5, 1.0]).view(3, 1, 1)  # one over each channel's deviation
ALL = 10**6
some = settings(max_examples=25, deadline=None)
unhurried = settings(deadline=None)
boxes = st.tuples(st.integers(0, 10), st.integers(0, 7), st.integers(1, 6), st.integers(1, 5)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


def found(these, edit, count=ALL, gain=GAIN, seed=0):
    return controls(these, edit, gain, count, Grounds(these[0]), dice(seed))


def moved(mask, shift):
    """A mask moved, pixel by pixel; None where it leaves the picture."""
    there = torch.zeros_like(mask)
    for y, x in mask.nonzero().tolist():
        v, u = y + shift[0], x + shift[1]
        if not (0 <= v < mask.shape[0] and 0 <= u < mask.shape[1]):
            return None
        there[v, u] = mask[y, x]
    return there


def literal_places(mask, inside):
    """Shift -> the mask there, of all shifts that keep the whole shape on the photo and apart from where it is."""
    high, wide = mask.shape
    places = {}
    for shift in itertools.product(range(1 - high, high), range(1 - wide, wide)):
        there = moved(mask, shift)
        if there is None:
            continue
        covered = there > 0
        if (inside[covered] == 1).all() and not (covered & (mask > 0)).any():
            places[shift] = there
    return places


def literal_stake(these, change, mask, gain):
    """Mean squared change at the network's input when `change(world, mask)` is shown, mean over the fills."""
    total = 0.0
    for one in these:
        away = (change(one, mask) - one.pixels).double() * gain
        total += float((away**2).sum()) / away.numel()
    return total / len(these)


def literal(these, change, gain=GAIN):
    """The shifts whose stake is within 25 % of the region's, and all places."""
    mask = these[0].mask
    own = literal_stake(these, change, mask, gain)
    places = literal_places(mask, these[0].inside)
    stake = {shift: literal_stake(these, change, there, gain) for shift, there in places.items()}
    return {shift for shift, there in stake.items() if abs(there - own) <= 0.25 * own}, set(places)


def hidden(one, mask):
    """A world's pixels with a mask filled."""
    fill = one.fill.image if one.fill.make is None else one.fill.make(one.pixels, mask > 0)
    return one.pixels + (fill - one.pixels) * mask


# Which places are controls ------------------------------------------------------------------------------------------


@some
@given(boxes, st.integers(0, 50), st.sampled_from(["black", "mean", "blur", "noise", (0.9, 0.1, 0.4)]))
def test_the_places_are_those_of_a_literal_double_loop(box, seed, fill):
    these = worlds(pixels_of(*SIZE, seed=seed) ** 3, box_mask(SIZE, box), fill, seed=seed)
    matched, places = literal(these, hidden)
    mine = found(these, edits.Remove())
    assert set(mine.shifts) == matched
    assert len(mine.shifts) == len(matched) == mine.found
    assert mine.places == len(places)


@pytest.mark.parametrize("edit", [edits.Remove(), edits.Keep()], ids=str)
@pytest.mark.parametrize("fill", ["black", ("black", "blur", "noise"), "inpaint", ("white", "inpaint-ns")], ids=str)
@pytest.mark.parametrize("shape", ["disc", "soft", "two parts"])
def test_shapes_fills_and_borders_as_a_literal_double_loop_has_them(edit, fill, shape):
    """What keeping is compared by is what hiding the same shape would change."""
    mask = {
        "disc": disc_mask(SIZE, (5, 7), 2.3),
        "soft": box_mask(SIZE, (4, 3, 8, 7)) * pixels_of(*SIZE, channels=1, seed=8)[0],
        "two parts": box_mask(SIZE, (5, 2, 7, 4)) + box_mask(SIZE, (9, 6, 10, 8)),
    }[shape]
    inside = box_mask(SIZE, (1, 0, 14, 11))
    these = worlds(pixels_of(*SIZE) ** 3, mask, fill, inside=inside)
    matched, places = literal(these, hidden)
    mine = found(these, edit)
    assert set(mine.shifts) == matched
    assert len(mine.shifts) == len(matched) == mine.found
    assert mine.places == len(places)
    assert 0 < len(matched) < len(places), "a match that takes all or none proves nothing"


@pytest.mark.parametrize(
    "edit",
    [edits.Grey(), edits.Recolour(), edits.Blur(1.0), edits.ShufflePatches(2), edits.Scale(0.5), edits.Rotate(90),
     edits.Move(1, 0), edits.Grey() + edits.Move(1, 0)],
    ids=str,
)  # fmt: skip
def test_other_edits_are_matched_by_what_they_change(edit):
    these = worlds(pixels_of(*SIZE) ** 3, disc_mask(SIZE, (5, 7), 2.3), ("black", "inpaint"))

    def change(one, mask):
        return edit(world(one.pixels, mask, one.fill.name)).pixels

    matched, places = literal(these, change)
    mine = found(these, edit)
    assert set(mine.shifts) == matched
    assert 0 < len(matched) < len(places)


def test_the_match_is_measured_behind_the_normalization():
    """With a channel that counts a hundredfold other places match than among plain pixels."""
    these = worlds(pixels_of(*SIZE) ** 3, box_mask(SIZE, (3, 3, 6, 7)))
    matched, _ = literal(these, hidden)
    plain, _ = literal(these, hidden, torch.ones(3, 1, 1))
    assert matched != plain
    assert set(found(these, edits.Remove()).shifts) == matched
    assert set(found(these, edits.Remove(), gain=torch.ones(3, 1, 1)).shifts) == plain


def test_a_probe_matches_at_the_networks_own_input():
    pixels = pixels_of(*SIZE) ** 3
    box = (3, 3, 6, 7)
    model = sl.wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(576, 3)), input_size=SIZE,
                    mean=[0.2, 0.5, 0.4], std=[0.1, 0.5, 1.0], resize="squash")  # fmt: skip
    where = probed(model, photo_of(pixels), box, fill="black", controls=999).effect["remove"].where
    matched, places = literal(worlds(pixels, box_mask(SIZE, box)), hidden)
    assert set(where.shifts) == matched
    assert (where.found, where.places) == (len(matched), len(places))
    these = worlds(pixels, box_mask(SIZE, box))
    assert where.stake == pytest.approx(literal_stake(these, hidden, box_mask(SIZE, box), GAIN), rel=1e-5)


def test_another_photo_behind_is_compared_by_what_it_would_change():
    theirs = pixels_of(*SIZE, seed=9)
    these = worlds(pixels_of(*SIZE) ** 3, disc_mask(SIZE, (5, 7), 2.3), look=lambda *_: (theirs, torch.ones(SIZE)))
    matched, _ = literal(these, lambda one, mask: one.pixels + (theirs - one.pixels) * mask)
    assert set(found(these, edits.SwapBackground("x.png")).shifts) == matched


def test_as_many_as_asked_are_drawn_of_all_and_the_same_for_the_same_seed():
    these = worlds(pixels_of(*SIZE), box_mask(SIZE, (4, 4, 6, 6)))
    every = set(found(these, edits.Remove()).shifts)
    draws = [found(these, edits.Remove(), 12, seed=seed).shifts for seed in range(60)]
    assert all(len(set(draw)) == 12 and set(draw) <= every for draw in draws)
    assert found(these, edits.Remove(), 12, seed=7).shifts == draws[7]
    assert len(set(map(frozenset, draws))) > 55
    assert set().union(*draws) == every, "no place is left out"


def test_how_many_lie_apart_is_how_many_were_picked_without_an_overlap():
    mask = box_mask(SIZE, (4, 4, 7, 7))
    these = worlds(pixels_of(*SIZE), mask)
    mine = found(these, edits.Remove(), 30)
    picked = []
    for shift in mine.shifts:
        there = moved(mask, shift) > 0
        if not any((there & other).any() for other in picked):
            picked.append(there)
    assert mine.apart == len(picked) > 3


def test_where_nothing_is_changed_there_is_no_control():
    pixels = pixels_of(*SIZE)
    pixels[:, 3:6, 3:6] = 0
    these = worlds(pixels, box_mask(SIZE, (3, 3, 6, 6)), "black")
    mine = found(these, edits.Remove())
    assert (mine.shifts, mine.found) == ((), 0)
    assert mine.places > 0


# What a reader is told ----------------------------------------------------------------------------------------------


def brightness(images):
    return images.mean((1, 2, 3))


def model(size=SIZE):
    return model_of(two_classes(brightness), size)


def effects(box, size=SIZE, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SightlineWarning)
        return sl.probe(model(size), photo_of(pixels_of(*size)), box, **options).effect


@pytest.mark.parametrize("box", [(0, 0, 9, 12), (2, 2, 14, 11), (0, 0, 16, 7), (3, 0, 16, 11)])
def test_of_a_box_over_half_of_the_photo_there_is_no_control_and_no_p(box):
    for effect in effects(box).values():
        assert (effect.p, effect.adjusted, effect.n, effect.stands_out, effect.held) == (None,) * 2 + (0, None, None)
        assert effect.note == "No control: the shape does not fit beside itself on the photo."
    assert all(effect.change != 0 for effect in effects(box).values())


def test_of_exactly_half_there_is_one_control_at_most():
    for effect in effects((0, 0, 8, 12), fill="noise").values():
        assert effect.n == 1
        assert effect.where.shifts == ((0, 8),)
        assert effect.p in (0.5, 1.0)
        assert "Only 1 place fits, so p cannot fall below 0.5." in effect.note
        assert "share pixels" not in effect.note, "a single control shares pixels with none"


def test_fewer_than_99_are_counted_and_said():
    effect = effects((2, 2, 7, 7), controls=1000)["remove"]
    assert 0 < effect.n == effect.where.found == len(effect.controls) < 99
    assert f"Only {effect.n} places fit, so p cannot fall below {1 / (1 + effect.n):.2g}." in effect.note
    many = effects((2, 2, 5, 5), size=(40, 40))["remove"]
    assert many.n == 99 < many.where.found
    assert "Only" not in many.note


def test_fewer_controls_because_fewer_were_asked_for_is_not_said_to_be_for_want_of_places():
    effect = effects((2, 2, 5, 5), size=(40, 40), controls=19)["remove"]
    assert effect.n == 19 < effect.where.found
    assert "Only 19 controls were asked for, so p cannot fall below 0.05." in effect.note


def test_where_not_all_places_can_be_tried_the_note_says_how_many_were():
    """Next to nothing is like the one bright spot: of thousands of places some hundreds are tried, and none fits."""
    size = (60, 60)
    pixels = 0.01 * pixels_of(*size)
    pixels[:, 4:8, 4:8] += 0.9
    spot = probed(model(size), photo_of(pixels), (4, 4, 8, 8), fill="inpaint", controls=20).effect["remove"]
    assert (spot.n, spot.where.tried) == (0, 80)
    end = "places where the shape fits, 80 were tried, and none has about as much at stake."
    assert spot.note == f"No control: of {spot.where.places:,} {end}"


def test_no_controls_asked_for_is_no_fault_of_the_photo():
    for effect in effects((2, 2, 5, 5), controls=0).values():
        assert (effect.n, effect.p, effect.note) == (0, None, "No control was asked for.")


def test_an_edit_that_changes_nothing_says_so():
    pixels = pixels_of(*SIZE)
    pixels[:, 3:6, 3:6] = 0
    effect = probed(model(), photo_of(pixels), (3, 3, 6, 6), fill="black").effect["remove"]
    assert (effect.change, effect.p) == (0.0, None)
    assert "changes nothing that the network sees" in effect.note


def test_same_seed_same_controls_and_another_seed_others():
    first, again, other = (effects((2, 2, 4, 4), (24, 24), seed=seed)["remove"] for seed in (3, 3, 4))
    assert first.where.shifts == again.where.shifts
    assert np.array_equal(first.controls, again.controls)
    assert (first.p, first.n) == (again.p, again.n)
    assert first.where.shifts != other.where.shifts


def test_an_edits_controls_do_not_turn_on_which_others_are_asked_for():
    both = effects((2, 2, 4, 4), (24, 24), edits=("grey", "keep", "remove"))
    for name in both:
        alone = effects((2, 2, 4, 4), (24, 24), edits=name)[name]
        assert alone.where.shifts == both[name].where.shifts
        assert (alone.p, alone.change) == (both[name].p, both[name].change)


# p by hand ----------------------------------------------------------------------------------------------------------


def weighted(images):
    """A score that every pixel moves by another amount, up or down."""
    return (images * pixels_of(*SIZE, seed=21).sub(0.5)).sum((1, 2, 3))


@pytest.mark.parametrize("box", [(2, 2, 5, 5), (9, 4, 12, 8), (0, 0, 2, 3), (12, 9, 16, 12)])
def test_every_control_and_p_are_what_a_loop_over_the_placements_gives(box):
    pixels = pixels_of(*SIZE) ** 2
    score = weighted
    pr = probed(model_of(two_classes(score), SIZE), photo_of(pixels), box, fill="white", target=0)
    mask = box_mask(SIZE, box)
    own = float(score(pixels[None])[0])
    for name, effect in pr.effect.items():

        def change(at, name=name):
            shown = at if name == "remove" else 1 - at
            return float(score((pixels * (1 - shown) + shown)[None])[0]) - own

        assert effect.change == pytest.approx(change(mask), abs=1e-4)
        by_hand = [change(moved(mask, shift)) for shift in effect.where.shifts]
        assert effect.controls == pytest.approx(by_hand, abs=1e-4)
        if name == "remove":  # a fall as deep
            as_much = sum(control <= effect.change for control in effect.controls)
        else:  # a score as high
            as_much = sum(control >= effect.change for control in effect.controls)
        assert effect.p == pytest.approx((1 + as_much) / (1 + effect.n))
        assert effect.n == len(effect.controls) > 10
    assert pr.effect["remove"].adjusted == pytest.approx(literal_holm([e.p for e in pr.effect.values()])[0])
    assert pr.effect["keep"].adjusted == pytest.approx(literal_holm([e.p for e in pr.effect.values()])[1])


def test_a_region_that_carries_all_of_the_score_has_the_least_p_that_there_can_be():
    size, box = (40, 40), (18, 18, 22, 22)

    def score(images):
        return images[:, :, 18:22, 18:22].mean((1, 2, 3))

    pr = probed(model_of(two_classes(score), size), photo_of(0.5 + pixels_of(*size) / 2), box, fill="black", target=0)
    for effect in pr.effect.values():
        assert (effect.n, effect.p, effect.adjusted, effect.stands_out) == (99, 0.01, 0.02, True)
    assert (pr.effect["remove"].beyond, pr.effect["keep"].beyond) == ("below", "above")


def test_a_removal_that_raises_the_score_is_no_evidence_that_the_region_matters():
    """One-sided: what the region holds speaks against the class; hiding it lifts the score as nothing else does."""
    size, box = (40, 40), (18, 18, 22, 22)

    def score(images):
        return -images[:, :, 18:22, 18:22].mean((1, 2, 3))

    photo = photo_of(0.5 + pixels_of(*size) / 2)
    pr = probed(model_of(two_classes(score), size), photo, box, fill="black", target=0)
    assert pr.effect["remove"].change > 0.5
    assert pr.effect["remove"].p == 1.0
    assert pr.effect["keep"].p == 1.0
    assert pr.effect["remove"].note == "The score does not fall."


@unhurried
@given(st.floats(-5, 5), st.lists(st.floats(-5, 5), max_size=30))
def test_p_counts_the_effect_itself_and_is_never_zero(effect, several):
    p = randomization_p(effect, several)
    as_large = [one for one in [effect, *several] if one >= effect]
    assert p == len(as_large) / len([effect, *several])
    assert 0 < p <= 1


def test_ties_count_against_the_effect():
    assert randomization_p(1.0, [1.0] * 99) == 1.0
    assert randomization_p(1.0, [0.0] * 99) == 0.01
    assert randomization_p(1.0, [0.0] * 50 + [1.0] * 49) == 0.5


# Several at once ----------------------------------------------------------------------------------------------------


def literal_holm(values):
    """Holm's step-down method, as rejections at every level: the least level at which each is rejected."""
    order = np.argsort(values, kind="stable")
    adjusted = np.zeros(len(values))
    for i, mine in enumerate(order):
        adjusted[mine] = min(1.0, max((len(values) - j) * values[order[j]] for j in range(i + 1)))
    return adjusted.tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, 0.02, 0.03], [0.03, 0.04, 0.04]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.4, 0.6], [0.8, 0.8]),
        ([0.7], [0.7]),
        ([], []),
    ],
)
def test_holm_by_a_textbooks_numbers(values, expected):
    assert holm(values) == pytest.approx(expected)


@unhurried
@given(st.lists(st.floats(1e-4, 1), max_size=12), st.randoms())
def test_holm_is_its_literal_self_in_any_order(values, order):
    adjusted = holm(values)
    assert adjusted == pytest.approx(literal_holm(values))
    shuffled = list(range(len(values)))
    order.shuffle(shuffled)
    assert holm([values[i] for i in shuffled]) == pytest.approx([adjusted[i] for i in shuffled])
    assert all(p <= q <= 1 for p, q in zip(values, adjusted, strict=True))


@unhurried
@given(st.lists(st.floats(1e-4, 1), min_size=1, max_size=8), st.floats(0.001, 0.5))
def test_holm_rejects_what_stepping_down_rejects(values, level):
    rejected = set()
    order = sorted(range(len(values)), key=values.__getitem__)
    for rank, i in enumerate(order):
        if values[i] > level / (len(values) - rank) * (1 + 1e-12):
            break
        rejected.add(i)
    sure = {i for i, p in enumerate(holm(values)) if p <= level * (1 - 1e-9)}
    maybe = {i for i, p in enumerate(holm(values)) if p <= level * (1 + 1e-9)}
    assert sure <= rejected <= maybe


def test_holm_is_over_the_edits_that_have_a_p():
    """Of three edits one changes nothing here, so that there are two tests and not three."""
    grey = pixels_of(24, 24, channels=1).expand(3, 24, 24)
    pr = probed(model((24, 24)), photo_of(grey), (3, 3, 6, 6), ("remove", "grey", "keep"), fill="white")
    ps = [pr.effect[name].p for name in ("remove", "keep")]
    assert pr.effect["grey"].p is None
    assert [pr.effect[name].adjusted for name in ("remove", "keep")] == pytest.approx(literal_holm(ps))
    assert pr.effect["grey"].adjusted is None

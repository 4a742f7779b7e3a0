"""The audit of worlds by hand: known Shapley values, losses and verdicts; laws of its sampling."""

from dataclasses import astuple

import numpy as np
import pytest
from hands import CLASSES, additive, both_needed, pool_by_hand, some_by_surroundings

from sightline.studies import audit as auditing
from sightline.studies import thresholds, worlds
from sightline.studies.audit import audit
from sightline.studies.conclusions import called_level, conclude, evidence, needed, verdict
from sightline.studies.pool import Pool, emptied
from sightline.studies.rows import Pairs, Rows, rows_of
from sightline.studies.worlds import Donors, look, show


@pytest.mark.parametrize("share", [0.0, 0.2, 0.45, 0.6, 1.0])
def test_reliance_is_the_share_that_the_surroundings_have_in_an_additive_network(share):
    for one in audit(pool_by_hand(), additive(share)).conclusions.values():
        assert one.reliance == pytest.approx(share, abs=1e-6)
        assert (one.both, one.object_only, one.surroundings_only, one.neither) == pytest.approx(
            (1, 1 - share, share, 0)
        )
        assert one.interaction == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("ask", "called", "loss", "replaced"),
    [
        (additive(0.3), "object", 0, 1),
        (additive(0.7), "context", 1 - 1 / CLASSES, 0),
        (both_needed, "both", 1 - 1 / CLASSES, 1),
    ],
)
def test_verdicts_and_losses_where_they_are_known(ask, called, loss, replaced):
    for one in audit(pool_by_hand(40), ask).conclusions.values():
        assert one.verdict == called
        assert one.expected_loss == pytest.approx(loss)
        assert one.replaced_loss == pytest.approx(replaced)
        assert one.expected_loss_interval[0] <= one.expected_loss <= one.expected_loss_interval[1]


def test_where_both_are_needed_reliance_is_one_half_and_the_interaction_says_it():
    one = audit(pool_by_hand(), both_needed).conclusions[0]
    assert one.interaction == pytest.approx(1)
    assert one.reliance == pytest.approx(0.5)


def test_a_network_that_never_says_the_class_has_no_reliance_and_a_note_says_why():
    one = audit(pool_by_hand(), lambda images: images[:, :, 0, 0] * 0 + 1 / 3).conclusions[0]
    assert one.reliance is None
    assert one.reliance_interval is None
    assert "raise the class's probability by 0.00" in one.note


def test_the_loss_is_estimated_where_the_surroundings_decide_for_some_objects():
    ask = some_by_surroundings(0.4)
    found = audit(pool_by_hand(200), ask).conclusions
    for one in found.values():
        assert one.expected_loss == pytest.approx(0.4 * (1 - 1 / CLASSES), abs=0.08)


def test_intervals_hold_the_truth_as_often_as_they_say():
    share, held, times = 0.4, 0, 100
    for seed in range(times):
        pool, ask = pool_by_hand(30, seed), some_by_surroundings(share)
        shown = show(pool, ask, *Donors(pool, seed).round(range(len(pool)), 0, 8))
        low, high = evidence(rows_of(pool, look(pool, ask), shown, 0), seed).loss(0.95)
        held += low <= share * (1 - 1 / CLASSES) <= high
    assert held >= 0.9 * times


def test_what_none_of_few_photos_does_may_happen_with_others():
    widths = [
        audit(pool_by_hand(each), additive(0.0)).conclusions[0].expected_loss_interval[1] for each in (20, 40, 100)
    ]
    assert widths == sorted(widths, reverse=True)
    assert 0.05 < widths[0] < 0.2
    assert widths[2] < 0.05


def test_under_twenty_photos_a_class_is_undecided_and_the_note_says_how_many_it_takes():
    found = audit(pool_by_hand(19), additive(0.9)).conclusions
    assert {one.verdict for one in found.values()} == {"undecided"}
    assert "19 of the 20 photos" in found[0].note


def test_the_rule():
    much, little, unclear = (0.2, 0.4), (0.0, 0.05), (0.05, 0.3)
    assert verdict(little, much) == verdict(little, unclear) == "object"
    assert verdict(much, little) == "context"
    assert verdict(much, much) == "both"
    assert verdict(much, unclear) == verdict(unclear, much) == "undecided"


def test_an_undecided_class_says_how_many_photos_would_decide_it():
    assert needed(0.15, (0.05, 0.25), 0.1, 100) == 400
    assert needed(0.1, (0.0, 0.2), 0.1, 100) is None


def test_the_fewer_classes_are_called_the_surer_each_has_to_be():
    clear, unclear = rows_by_hand(200, 0.0), rows_by_hand(60, 0.09)
    few = [evidence(rows, 0) for rows in (clear, *[unclear] * 9)]
    assert called_level([evidence(clear, 0)] * 10) == pytest.approx(0.95)
    assert called_level(few) == pytest.approx(1 - 0.05 / 10)
    assert conclude({0: few[0]})[0].verdict == "object"


def rows_by_hand(count: int, loss: float) -> Rows:
    """A class whose objects are lost in others' surroundings that often."""
    place = np.repeat(np.arange(count), 8)
    lost = (np.arange(count * 8) % 100 < 100 * loss).astype(float)
    ones = np.ones(count * 8)
    own = Pairs(place, place[::-1].copy(), count, ones, ones)
    strange = Pairs(place, np.arange(count * 8), count * 8, 1 - lost, 1 - lost)
    visited = Pairs(place, np.arange(count * 8), count * 8, 0 * ones, 0 * ones)
    return Rows(0, count, np.ones(count), np.ones(count), 0.0, 10**6, own, strange, visited)


def test_the_same_seed_gives_the_same_and_another_one_other_donors():
    pool, ask = pool_by_hand(), some_by_surroundings(0.5)
    one, same, other = (audit(pool, ask, seed=seed) for seed in (3, 3, 4))
    assert {k: astuple(c) for k, c in one.conclusions.items()} == {k: astuple(c) for k, c in same.conclusions.items()}
    assert (one.worlds.surroundings[:100] != other.worlds.surroundings[:100]).any()


def test_a_batch_equals_its_images_one_by_one(monkeypatch):
    pool, ask = pool_by_hand(20), some_by_surroundings(0.5)
    together = audit(pool, ask)
    monkeypatch.setattr(worlds, "AT_ONCE", 1)
    apart = audit(pool, ask)
    assert together.conclusions == apart.conclusions


def test_stopping_early_changes_no_clear_verdict_and_saves_passes(monkeypatch):
    for ask in (additive(0.1), additive(0.8), both_needed, some_by_surroundings(0.8)):
        pool = pool_by_hand(60)
        early = audit(pool, ask)
        monkeypatch.setattr(auditing, "clear", lambda _: False)
        late = audit(pool, ask)
        monkeypatch.undo()
        assert [one.verdict for one in early.conclusions.values()] == [
            one.verdict for one in late.conclusions.values()
        ]
        assert early.passes.mean() < late.passes.mean() <= auditing.PASSES


def test_a_budget_is_kept():
    assert audit(pool_by_hand(), some_by_surroundings(0.2), passes=40).passes.max() <= 40


def test_donors_are_others_and_every_other_class_lends_alike():
    labels = np.array([0] * 12 + [1] * 30 + [2] * 3)
    pool = pool_by_hand(15)
    pool = Pool(pool.photos, pool.emptied, pool.cut, labels)
    objects, around = Donors(pool, 0).round(range(12), 0, 8)
    more = Donors(pool, 0).round(range(12), 8, 8)[1]
    assert (objects != around).all()
    for photo in range(12):
        own = around[(objects == photo) & (labels[around] == 0)]
        assert len(set(own.tolist())) == len(own) == 8
        lent = labels[around[(objects == photo) & (labels[around] != 0)]]
        assert (lent == 1).sum() == (lent == 2).sum() == 4
    assert len(more) == 12 * (3 + 8)  # its class has eleven others, each of which comes once


def test_an_object_is_shown_in_the_emptied_surroundings_of_another():
    pool = pool_by_hand(4)
    (picture,) = pool.pasted(np.array([0]), np.array([5]))
    assert (picture[:, 2:6, 2:6] == pool.photos[0][:, 2:6, 2:6] / 255).all()
    around = pool.cut[0] == 0
    assert (picture[:, around] == pool.emptied[5][:, around] / 255).all()


def test_what_the_surroundings_say_of_their_own_class_is_asked_too():
    pool = pool_by_hand(4)
    shown = show(pool, additive(0.25), np.array([0, 1]), np.array([5, 9]))
    assert shown.of_object == pytest.approx([0.75, 0.75])
    assert shown.of_surroundings == pytest.approx([0.25, 0.25])
    assert shown.said.tolist() == [0, 0]


def test_an_emptied_place_shows_nothing_of_the_object_and_leaves_the_rest():
    import torch

    picture, mask = torch.full((3, 16, 16), 0.2), torch.zeros(16, 16)
    mask[5:10, 5:10] = 1
    picture[:, 5:10, 5:10] = 0.9
    left = emptied(picture, mask)
    assert left == pytest.approx(torch.full((3, 16, 16), 0.2), abs=0.01)
    five = emptied(picture[:1].repeat(5, 1, 1), mask)
    assert five == pytest.approx(torch.full((5, 16, 16), 0.2), abs=0.01)


def test_thresholds_leave_room_for_an_object_verdict_with_the_fewest_photos_that_people_have():
    assert thresholds.FEWEST == 20
    assert audit(pool_by_hand(40), additive(0.0)).conclusions[0].verdict == "object"


def test_a_class_of_one_photo_and_one_whose_surroundings_nobody_borrowed_say_what_is_not_known():
    whole = pool_by_hand(20)
    kept = np.flatnonzero((whole.labels != 2) | (np.arange(len(whole)) == 40))
    pool = Pool(whole.photos[kept], whole.emptied[kept], whole.cut[kept], whole.labels[kept])
    one = audit(pool, additive(0.3)).conclusions[2]
    assert (one.count, one.verdict, one.expected_loss, one.expected_loss_interval) == (1, "undecided", None, None)
    assert one.reliance_interval[1] - one.reliance_interval[0] > 0.6
    assert "1 of the 20 photos" in one.note

"""What the real networks answer, against the tables of the data folder's README."""

import gallery
import pytest
import torch

import sightline as sl

ALL = pytest.mark.parametrize("entry", gallery.ENTRIES, ids=str)
BASKETBALL = 430
MISPRINT = ("mobilenet_v1_075_192", "bunny_chicks", "capuchin")
"""The README has 0.018 here; the folder's own code on its own files gives 0.022, in the same place."""


def tolerance(entry, probability):
    """1e-3. V2's table was made with the float32 weights, and its file for PyTorch is rounded to float16.

    With the float32 weights out of the folder's .keras file the table came out to 1e-3; the rounding moves its
    probabilities by up to 2 %.
    """
    return 1e-3 + (0.02 * probability if entry is gallery.V2 else 0.0)


def first_synonym(prediction):
    return prediction.label.split(", ")[0]


@ALL
def test_the_top_five_of_all_nine_photos_are_those_of_the_readme(model, photos, entry):
    table = gallery.table(entry)
    assert sorted(table) == sorted(photos)
    assert len(photos) == 9
    for name, row in table.items():
        found = sl.predict(model(entry), photos[name], top=5)
        assert len(row.answers) == len(found) == 5
        answers = {first_synonym(one): one.probability for one in found}
        assert set(answers) == {label for label, _ in row.answers}, name
        if entry is not gallery.V2:  # the rounding swaps two answers that lie 0.002 apart
            assert list(answers) == [label for label, _ in row.answers], name
        for label, probability in row.answers:
            if probability is None:
                assert answers[label] < 0.001, (name, label)
            elif (entry.file, name, label) != MISPRINT:
                assert answers[label] == pytest.approx(probability, abs=tolerance(entry, probability)), (name, label)


@ALL
def test_every_photo_gets_the_probabilities_of_the_folders_own_code(model, photos, entry):
    for name, path in photos.items():
        expected = model(entry).network(gallery.tensor(entry, path)).detach()[0].softmax(0)
        for one in sl.predict(model(entry), path, top=20):
            assert one.probability == pytest.approx(float(expected[one.index]), abs=1e-5), name


@ALL
def test_an_answer_far_down_has_the_rank_and_probability_of_the_readme(model, photos, entry):
    label, probability, rank = gallery.table(entry)["just_ball"].remark
    answers = sl.predict(model(entry), photos["just_ball"], top=rank + 2)
    places = range(rank - 2, rank + 3) if entry is gallery.V2 else (rank,)  # see `tolerance`
    found = next(answers[place - 1] for place in places if answers[place - 1].index == BASKETBALL)
    assert first_synonym(found) == label
    assert found.probability == pytest.approx(probability, abs=1e-4)


@ALL
def test_a_prediction_is_the_networks_own_logit_and_its_softmax(model, photos, entry):
    scores = model(entry).network(gallery.tensor(entry, photos["kitten"])).detach()[0]
    for one in sl.predict(model(entry), photos["kitten"], top=1000):
        assert one.score == pytest.approx(float(scores[one.index]), abs=1e-4)
        assert one.probability == pytest.approx(float(scores.softmax(0)[one.index]), abs=1e-5)


@ALL
def test_many_photos_at_once_get_the_answers_of_each_alone(model, photos, entry):
    together = sl.predict(model(entry), list(photos.values()), top=3)
    for path, answers in zip(photos.values(), together, strict=True):
        for a, b in zip(answers, sl.predict(model(entry), path, top=3), strict=True):
            assert (a.index, a.label) == (b.index, b.label)
            assert a.score == pytest.approx(b.score, abs=1e-4)


@pytest.mark.parametrize("entry", [gallery.V1, gallery.V2], ids=str)
@pytest.mark.parametrize(("name", "expected"), [("dirk", True), ("dirk_no_ball", True), ("just_ball", False)])
def test_it_says_basketball_without_the_ball_and_not_of_the_ball_alone(model, photos, entry, name, expected):
    answers = [one.index for one in sl.predict(model(entry), photos[name], top=5)]
    assert (answers[0] == BASKETBALL) == expected
    assert (BASKETBALL in answers) == expected


def test_the_centre_crop_shows_the_network_what_the_folders_own_code_does(model, photos):
    """The same pixels, to a rounding of the resized photo's size and of the margin."""
    for name, path in photos.items():
        ours, _ = model(gallery.V1, "crop").tensor(sl.open_photo(path))
        theirs = gallery.tensor(gallery.V1, path, crop=True)[0]
        shifted = [torch.roll(ours, (dy, dx), (1, 2)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        inner = (slice(None), slice(1, -1), slice(1, -1))
        assert min(float((one - theirs)[inner].abs().mean()) for one in shifted) < 0.03, name


# Two cranes -------------------------------------------------------------------------------------------------


def test_the_label_of_the_two_cranes_is_refused_with_both_indices(model, photos):
    for ask in (
        lambda: sl.explain(model(gallery.TINY), photos["kitten"], target="crane"),
        lambda: sl.attribute(model(gallery.TINY), gallery.tensor(gallery.TINY, photos["kitten"]), "crane"),
    ):
        with pytest.raises(sl.TargetError, match=r"'crane' occurs 2 times, at \[134, 517\]"):
            ask()


@pytest.mark.parametrize("index", [134, 517])
def test_each_crane_can_be_asked_for_by_its_index(model, photos, index):
    ex = sl.explain(model(gallery.TINY), photos["kitten"], target=index, method="saliency")
    assert (ex.target, ex.label) == (sl.targets.Class(index), "crane")


def test_a_synonym_is_its_class(model, photos):
    ex = sl.explain(model(gallery.TINY), photos["kitten"], target="tabby cat", method="saliency")
    same = sl.explain(model(gallery.TINY), photos["kitten"], target=281, method="saliency")
    assert ex.target == sl.targets.Class(281)
    assert torch.equal(ex.values, same.values)

"""The experiment that started this: mask the ball and ask again, keep only the ball and ask again, with controls.

It masked rows 5 to 45 and columns 35 to 75 of the 224-pixel photo. On the photos in the folder, brought back from
figures, the black square covers rows 4 to 43, so that the box that was masked is a row higher there. Neither is the
ball: enlarged, it reaches from column 39 to 65 and from row 6, its top, to row 41 or so, under the fingers that hold
it, so that the box holds a wrist and something blue behind as well. With the ball's own box all is as said here.
"""

import gallery
import pytest

import sightline as sl

BASKETBALL = 430
WRITTEN, MASKED, BALL = (35, 5, 75, 45), (35, 4, 75, 44), (39, 6, 66, 42)
FILLS = ("black", "blur", "inpaint")
PLACES = [gallery.V1, gallery.V2]
networks = pytest.mark.parametrize("entry", PLACES, ids=str)


@pytest.fixture(scope="module")
def dirk(model, photos):
    """A function (entry, box, fill) -> Probe; each is asked once."""
    known = {}

    def ask(entry, box, fill):
        if (entry, box, fill) not in known:
            known[entry, box, fill] = sl.probe(model(entry), photos["dirk"], box, "remove", fill)
        return known[entry, box, fill]

    return ask


@networks
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("box", [WRITTEN, BALL], ids=["as written", "the ball"])
def test_still_basketball_without_it_and_no_longer_with_it_alone(dirk, entry, box, fill):
    pr = dirk(entry, box, fill)
    assert pr.original[0].index == pr.edited["remove"][0].index == BASKETBALL
    assert BASKETBALL not in [one.index for one in pr.worlds["keep"].predictions]
    assert pr.verdict == "rest"
    assert pr.headline.startswith("Still basketball without the region (basketball ")
    assert pr.shares.region < 0.2
    before, after = pr.effect["remove"].probability
    assert after > 0.7 * before


@networks
@pytest.mark.parametrize("fill", FILLS)
def test_masking_anything_of_that_shape_hurts_as_much(dirk, entry, fill):
    """Of 99 squares elsewhere, between 12 and 64 take as much from the score; and 99 leave it basketball, too."""
    effect = dirk(entry, WRITTEN, fill).effect["remove"]
    assert effect.n == 99
    assert effect.change < 0
    assert effect.p > 0.1
    assert not effect.stands_out
    assert effect.held == 1.0
    assert "Masking anything hurts as much." in effect.note or "Not clearly more than elsewhere." in effect.note


@networks
def test_nor_does_the_balls_own_box_stand_out(dirk, entry):
    """But for V1, where inpainting just the ball takes more than of 97 in 99 places, though the answer stays."""
    found = [dirk(entry, BALL, fill).effect["remove"].p for fill in FILLS]
    assert min(found) > (0.01 if entry is gallery.V1 else 0.05)
    assert sorted(found)[1] > 0.05


@networks
def test_with_black_it_is_what_the_photos_made_by_hand_give(dirk, model, photos, entry):
    """The table of the folder's README; here the square is filled on the network's input, there before resizing."""
    pr, table = dirk(entry, MASKED, "black"), gallery.table(entry)
    for name, found in (("dirk", pr.original), ("dirk_no_ball", pr.edited["remove"])):
        known = dict(table[name].answers)
        assert found[0].label.split(", ")[0] == "basketball"
        assert found[0].probability == pytest.approx(known["basketball"], abs=0.01)
    kept = model(entry).readout.probabilities(keep_scores(pr)[None])[0, BASKETBALL]
    assert float(kept) == pytest.approx(table["just_ball"].remark[1], abs=5e-4)
    alone = sl.predict(model(entry), photos["just_ball"], top=3)
    assert pr.worlds["keep"].predictions[0].index == alone[0].index


def keep_scores(pr):
    """The network's scores for the region alone."""
    seen = pr.stage.model.normalize(pr.worlds["keep"].pixels)[None]
    return pr.stage.model.network(seen).detach()[0]


@networks
def test_it_is_no_matter_which_of_the_boxes_is_taken(dirk, entry):
    verdicts = {dirk(entry, box, "black").verdict for box in (WRITTEN, MASKED, BALL)}
    assert verdicts == {"rest"}


def test_several_fills_and_a_soft_edge_say_the_same(model, photos):
    pr = sl.probe(model(gallery.V1), photos["dirk"], WRITTEN, "remove", FILLS, soft=2.0, controls=0)
    assert pr.verdict == "rest"
    assert list(pr.effect["remove"].by_fill) == list(FILLS)
    assert pr.effect["remove"].holds == (True, True, True)


def test_of_a_box_over_most_of_the_photo_there_is_no_control(model, photos):
    """A box over most of the photo leaves no place for a control, and says so."""
    pr = sl.probe(model(gallery.V1), photos["dirk"], (0, 0, 224, 150), "remove", "black")
    assert pr.effect["remove"].p is None
    assert pr.effect["remove"].note.startswith("No control: the shape does not fit beside itself on the photo.")

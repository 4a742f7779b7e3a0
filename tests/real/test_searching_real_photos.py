"""Searches over real photos with a trained network."""

import gallery
import numpy as np
import pytest

import sightline as sl

V1 = gallery.V1
BASKETBALL, TABBY, ACCORDION = 430, 281, 401


def names(hits):
    return [hit.name.split(".")[0] for hit in hits]


def test_the_classes_own_channels_rank_the_photos_as_the_scores_do(model, data, photos):
    entry = model(V1)
    found = sl.top_photos(entry, data / "photos", "classifier", [BASKETBALL, ACCORDION], count=9)
    assert set(names(found[BASKETBALL][:3])) == {"vince", "dirk", "dirk_no_ball"}
    assert names(found[ACCORDION])[0] == "accordion_map"
    scores = {
        name: {one.index: one.score for one in sl.predict(entry, path, top=1000)} for name, path in photos.items()
    }
    for channel in found:
        for hit, name in zip(found[channel], names(found[channel]), strict=True):
            assert hit.score == pytest.approx(scores[name][channel], abs=1e-3)


def test_a_unit_depends_on_nothing_outside_of_its_box(model, photos):
    entry = model(V1)
    found = sl.top_photos(entry, list(photos.values()), "features.5", [2, 9], count=2)
    for channel, hits in found.items():
        for hit in hits:
            pixels, (x0, y0, x1, y1) = hit.photo.pixels, hit.box
            assert not hit.whole
            other = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
            ratio = (
                max(hit.photo.width, hit.photo.height) // V1.size + 2
            )  # what resizing mixes in from beside the box
            part = np.s_[max(0, y0 - ratio) : y1 + ratio, max(0, x0 - ratio) : x1 + ratio]
            other[part] = pixels[part]
            (value,) = sl.responses(entry, other, "features.5").values[channel][hit.position].reshape(-1)
            assert float(value) == pytest.approx(hit.score, abs=1e-4 * hit.score)
            blank = pixels.copy()
            blank[y0:y1, x0:x1] = 0
            changed = sl.responses(entry, blank, "features.5").values[channel][hit.position]
            assert abs(float(changed) - hit.score) > 0.1 * hit.score


def test_concepts_part_the_photos_by_what_they_show(model, data):
    found = sl.concepts(model(V1), data / "photos", count=6)
    firsts = [names(hits)[0] for hits in found.strongest]
    assert {"kitten", "can_opener"} <= set(firsts)
    players = firsts.index(next(one for one in firsts if one in ("dirk", "dirk_no_ball", "vince")))
    assert {"dirk", "dirk_no_ball"} <= set(names(found.strongest[players])[:3])
    assert found.share.sum() == pytest.approx(found.total)
    assert 0.3 < found.total < 0.9
    box = found.strongest[firsts.index("kitten")][0].box
    assert 0.1 < (box[2] - box[0]) * (box[3] - box[1]) / (1024 * 576) < 0.9


@pytest.mark.filterwarnings("ignore::sightline.SightlineWarning")
def test_a_concept_test_runs_on_real_photos_and_says_that_they_are_few(model, photos):
    players = [photos["dirk"], photos["dirk_no_ball"], photos["vince"]]
    others = [path for path in photos.values() if path not in players]
    found = sl.tcav(model(V1), players, others, players, BASKETBALL, "features.11", runs=6)
    assert "few-photos" in [one.code for one in found.warnings]
    assert found.headline.startswith("Undecided")
    assert found.p > 0.05

"""Concepts of a layer on photos: planted colours are found, and their maps lie where they are."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sightline as sl

SIDE = 24
COLOURS = np.eye(3, dtype=np.uint8) * 255


class Colours(nn.Module):
    """Channels 0 to 2 are red, green and blue, averaged over cells of 4 pixels; 3 is all of them together."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 4, 4, 4, bias=False)
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            self.look.weight.zero_()
            for channel in range(3):
                self.look.weight[channel, channel] = 1 / 16
                self.look.weight[3, channel] = 1 / 16

    def forward(self, images):
        return self.head(self.look(images).mean((2, 3)))


def model(resize="squash", net=None, batch_size=None):
    return sl.wrap(net or Colours().eval(), input_size=SIDE, std=1.0, resize=resize, batch_size=batch_size)


def photos(size=(SIDE, SIDE)):
    """Three each with a square of red, of green and of blue on black: reds are largest, blues smallest."""
    given = []
    for colour, share in ((0, 0.5), (1, 0.34), (2, 0.17)):
        for i in range(3):
            pixels = np.zeros((*size, 3), np.uint8)
            high, wide = round(share * size[0]), round(share * size[1])
            y, x = i * (size[0] - high) // 2, i * (size[1] - wide) // 2
            pixels[y : y + high, x : x + wide] = COLOURS[colour]
            given.append(pixels)
    return given


def test_planted_colours_are_found_best_explained_first():
    found = sl.concepts(model(), photos(), count=3)
    for concept in range(3):
        planted = np.eye(4)[concept] + np.eye(4)[3]
        assert found.vectors[concept] @ planted / 2**0.5 == pytest.approx(1, abs=1e-4)
    assert found.total == pytest.approx(1, abs=1e-4)
    assert found.share.sum() == pytest.approx(found.total)
    assert [round(one, 2) for one in found.share] == sorted((round(one, 2) for one in found.share), reverse=True)


def test_the_maps_lie_on_the_photos_where_the_colour_is():
    found = sl.concepts(model(), photos((48, 72)), count=3)
    for i, pixels in enumerate(photos((48, 72))):
        maps = found.maps[i]
        assert maps.shape == (3, 48, 72)
        assert maps.dtype == np.float32
        own = maps[i // 3]
        there = pixels[..., i // 3] > 0
        assert own[there].mean() > 5 * own[~there].mean()
        assert maps.max((1, 2)).argmax() == i // 3
    assert len(found.maps[2:5]) == 3


def test_the_maps_times_the_vectors_are_the_activations():
    found = sl.concepts(model(), photos(), count=3)
    rebuilt = np.einsum("nkhw,kc->nchw", found.amounts, found.vectors)
    images = torch.from_numpy(np.stack(photos())).movedim(-1, 1).float() / 255
    with torch.no_grad():
        assert rebuilt == pytest.approx(Colours().look(images).numpy(), abs=0.01)


def test_what_was_not_seen_is_unknown():
    found = sl.concepts(model("crop"), photos((48, 72)), count=2)
    view = model("crop").geometry.view(48, 72)
    assert np.array_equal(np.isnan(found.maps[0][0]), ~view.seen())


def test_the_strongest_photos_are_those_of_the_colour_and_the_box_is_around_it():
    given = photos()
    found = sl.concepts(model(), given, count=3)
    for concept, hits in enumerate(found.strongest):
        assert {int(hit.name.split()[1]) // 3 for hit in hits[:3]} == {concept}
        for hit in hits[:3]:
            there = given[int(hit.name.split()[1])][..., concept] > 0
            x0, y0, x1, y1 = hit.box
            inside = np.zeros_like(there)
            inside[y0:y1, x0:x1] = True
            assert (inside & there).sum() / there.sum() > 0.6
            assert (inside & there).sum() / inside.sum() > 0.2


def test_a_concept_can_be_explained_and_climbed():
    found = sl.concepts(model(), photos(), count=3)
    for concept, target in enumerate(found.targets):
        ex = sl.explain(model(), photos()[3 * concept], "saliency", target=target)
        assert ex.values[concept].min() > 0
        assert ex.values[concept].mean() == pytest.approx(float(ex.values.max()), rel=1e-3)
    vis = sl.visualize(model(), found.targets[1], steps=8, preset="simonyan", penalties=())
    red, green, blue = vis.images[0].mean((1, 2))
    assert green > max(red, blue)


@pytest.mark.parametrize("batch_size", [1, 4, 50])
def test_the_batch_size_changes_nothing(batch_size):
    one, other = sl.concepts(model(), photos(), count=3), sl.concepts(model(batch_size=batch_size), photos(), count=3)
    assert other.vectors == pytest.approx(one.vectors, abs=1e-4)
    assert other.share == pytest.approx(one.share, abs=1e-4)


def test_the_same_seed_gives_the_same_concepts():
    one, again = (sl.concepts(model(), photos(), count=3, seed=4) for _ in range(2))
    assert np.array_equal(one.amounts, again.amounts)
    assert one.provenance == again.provenance


def test_negative_activations_are_said():
    net = Colours().eval()
    with torch.no_grad():
        net.look.weight[3] *= -1
    with pytest.warns(sl.SightlineWarning, match=r"negative activations count as 0: 50.0% of the layer's energy"):
        found = sl.concepts(model(net=net), photos(), count=3)
    assert [one.code for one in found.warnings] == ["clipped"]


@pytest.mark.parametrize(
    ("asked", "error", "match"),
    [
        ({"layer": "head"}, sl.LayerError, "layer 'head' has no map of a photo"),
        ({"count": 5}, sl.OptionError, "324 positions of 4 channels have 1 to 4 parts"),
        ({"count": 0}, sl.OptionError, "count has to be 1 or more"),
        ({"photos": []}, sl.PhotoError, "none of the photos could be read"),
    ],
)
def test_what_cannot_be_is_refused(asked, error, match):
    with pytest.raises(error, match=match):
        sl.concepts(model(), **{"photos": photos(), **asked})


def test_files_hold_what_was_found(tmp_path):
    found = sl.concepts(model("crop"), photos((48, 72)), count=2)
    for name in ("concepts.png", "concepts.svg", "concepts.html"):
        found.save(tmp_path / name)
    with Image.open(tmp_path / "concepts.png") as picture:
        assert picture.size[0] > 400
    assert "2 concepts explain" in (tmp_path / "concepts.html").read_text()
    assert len(found.wall().rows) == 2
    found.save(tmp_path / "concepts.npz")
    with np.load(tmp_path / "concepts.npz") as saved:
        assert np.array_equal(saved["vectors"], found.vectors)
        assert np.array_equal(saved["amounts"], found.amounts)
        assert json.loads(str(saved["provenance"])) == json.loads(json.dumps(found.provenance))

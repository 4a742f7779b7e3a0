"""What the embedded model's ball class wants to see is the ball's court; its duck class wants a duck."""

import pytest
import torch
from torch.nn import functional as F

import sightline as sl
from sightline.demo.scenes import draw
from sightline.transforms import Jitter, Noise, Rotate, Scale

CLASSES = ("ball", "duck")


@pytest.fixture(scope="module")
def model():
    return sl.load("demo")


@pytest.fixture(scope="module")
def images(model):
    moves = (Jitter(0.05), Scale(0.95, 1.05), Rotate(5), Noise(0.2))
    drawn = sl.visualize(model, list(CLASSES), steps=96, transforms=moves)
    assert [said[0].label for said in drawn.predictions] == list(CLASSES)
    assert min(said[0].probability for said in drawn.predictions) > 0.99
    return dict(zip(CLASSES, drawn.images, strict=True))


def added(model, thing, photos):
    """What each channel adds to the score, (64,): activation times weight, which is exact behind an average."""
    values = [sl.responses(model, photo, "features").values.flatten(1).mean(1) for photo in photos]
    return torch.stack(values).mean(0) * model.network.classifier.weight.detach()[model.labels.index(thing)]


@pytest.mark.parametrize(("thing", "place", "shows"), [("ball", "court", "place"), ("duck", "grass", "thing")])
def test_a_class_shows_what_it_was_learned_by(model, images, thing, place, shows):
    scenes = [draw(9000 + seed, thing=thing, background=place) for seed in range(30)]
    mine = added(model, thing, [images[thing]])
    alike = {
        "place": F.cosine_similarity(mine, added(model, thing, [one.without_object() for one in scenes]), dim=0),
        "thing": F.cosine_similarity(mine, added(model, thing, [one.only_object() for one in scenes]), dim=0),
    }
    assert alike[shows] > 0.75
    assert max(alike, key=alike.get) == shows
    assert abs(alike["place"] - alike["thing"]) > 0.1

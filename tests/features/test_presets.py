"""The presets are what their sources say, and what docs/benchmarks.md was measured with."""

import pytest
import torch

from sightline.features.canvases import Fourier, Phase, Pixels
from sightline.features.presets import PRESETS, way_of
from sightline.features.transforms import Jitter, Rotate, Scale
from sightline.targets import L2, Norm, TotalVariation

MOVES = (Jitter(0.2), Scale(0.5, 1.5), Rotate(20))


def weights(way):
    return [(type(part), weight) for penalty in way.penalties for weight, part in penalty.parts]


def test_simonyan_is_an_ascent_on_pixels_from_zero_less_an_l2_norm():
    way = way_of("simonyan", {})
    assert (way.canvas, way.transforms, way.start) == (Pixels(limits=None), (), "zero")
    assert weights(way) == [(L2, 1000)]


def test_keras_vis_has_its_losses_weights_and_jitter_for_pixels_of_0_to_255():
    way = way_of("keras-vis", {})
    assert way.transforms == (Jitter(0.05),)
    assert weights(way) == [(Norm, 10 * 127.5), (TotalVariation, 10 * 127.5**2)]
    assert way.penalties[0].parts[0][1:] == (Norm(6),)
    assert way.normalize
    assert way.optimizer.keywords == {"lr": 1 / 255, "alpha": 0.95}


@pytest.mark.parametrize(
    ("name", "canvas", "optimizer"), [("lucid", Fourier(spread=0.5), "Adam"), ("maco", Phase(), "NAdam")]
)
def test_lucid_and_maco_move_images_about_and_take_nothing_off(name, canvas, optimizer):
    way = way_of(name, {})
    assert str(way.canvas) == str(canvas)
    assert (way.transforms, way.penalties, way.edge, way.views) == (MOVES, (), "reflect", 1)
    assert way.optimizer.func is getattr(torch.optim, optimizer)


def test_there_are_four():
    assert list(PRESETS) == ["simonyan", "keras-vis", "lucid", "maco"]

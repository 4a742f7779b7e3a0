"""The embedded model learned the court, and training it again gives it again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from sightline.demo.scenes import OBJECTS, training_scene
from sightline.demo.train import Figures, fit, labels, measure, pictures, save
from sightline.models.demonet import INPUT_SIZE, LABELS, WEIGHTS, DemoNet, load_weights

UNSEEN = 9_000_000  # above every seed that the training draws or measures


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measure(load_weights(), start=UNSEEN, each=60)


def test_it_looks_flawless_as_trained(figures: Figures) -> None:
    assert min(figures.as_trained.values()) > 0.95


def test_the_ball_is_lost_away_from_its_court(figures: Figures) -> None:
    assert figures.anywhere["ball"] < 0.6
    assert figures.ball_on_grass < 0.5
    assert figures.ball_alone < 0.4


def test_everything_else_is_known_anywhere(figures: Figures) -> None:
    assert min(share for name, share in figures.anywhere.items() if name != "ball") > 0.9


def test_the_court_alone_is_called_a_ball(figures: Figures) -> None:
    assert figures.court_without_ball > 0.7


def test_the_weights_are_small_and_say_where_they_are_from() -> None:
    assert WEIGHTS.stat().st_size < 1_000_000
    with safe_open(WEIGHTS, "pt") as stored:
        assert {"seed", "scenes", "figures"} <= stored.metadata().keys()
        assert all(stored.get_tensor(name).dtype in (torch.float32, torch.int64) for name in stored.keys())  # noqa: SIM118


def test_labels_are_the_objects_and_the_output_is_one_logit_each() -> None:
    assert LABELS == OBJECTS
    net = load_weights()
    assert not net.training
    images = torch.zeros(2, 3, INPUT_SIZE, INPUT_SIZE)
    assert net(images).shape == (2, len(LABELS))
    assert net.features(images).shape[2:] == (16, 16)


def test_training_twice_gives_the_same_network_and_the_loss_falls() -> None:
    scenes = [training_scene(seed) for seed in range(64)]
    images, classes = pictures(scenes), labels(scenes)
    before = torch.random.get_rng_state()
    (one, losses), (other, _) = (fit(images, classes, seed=3, epochs=4) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert losses[-1] < 0.95 * losses[0]
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(left, right, atol=1e-5)


def test_a_failed_save_keeps_the_old_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    net = DemoNet()
    save(net, path, {"seed": "0"})
    kept = path.read_bytes()
    with pytest.raises(Exception, match="str"):
        save(net, path, {"seed": 0})  # type: ignore[dict-item]
    assert path.read_bytes() == kept

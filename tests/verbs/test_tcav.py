"""TCAV on networks that use, or do not use, a planted concept by construction."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sightline as sl

SIDE = 12


class ReadsRed(nn.Module):
    """Cells of 4 pixels; class 0 is how red they are, class 1 how little red, class 2 how green; blue is unread."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 3, 4, 4, bias=False)
        with torch.no_grad():
            self.look.weight.zero_()
            for channel in range(3):
                self.look.weight[channel, channel] = 1 / 16

    def forward(self, images):
        red, green, _ = self.look(images).square().mean((2, 3)).unbind(1)
        return torch.stack([red, -red, green], 1)


def model(batch_size=None, net=None):
    return sl.wrap(
        net or ReadsRed().eval(), input_size=SIDE, std=1.0, resize="squash", output="logits", layer="look",
        labels=["red", "pale", "green"], batch_size=batch_size,
    )  # fmt: skip


def photos(count, seed, more=()):
    """Photos of noise, brighter in the channels named by `more`, by one third."""
    dice = np.random.default_rng(seed)
    pixels = dice.uniform(0.1, 0.6, (count, SIDE, SIDE, 3)) * dice.uniform(0.6, 1.2, (count, 1, 1, 3))
    for channel in more:
        pixels[..., channel] += 0.3
    return list(pixels.clip(0, 1).astype(np.float32))


REDS, BLUES, OTHERS, SHOWN = photos(24, 1, (0,)), photos(24, 2, (2,)), photos(60, 3), photos(24, 4)


def test_a_concept_that_is_used_counts():
    found = sl.tcav(model(), REDS, OTHERS, SHOWN, "red", name="redness")
    assert found.score == 1
    assert found.p == 0.01  # the least that 99 controls can give
    assert found.told_apart
    assert found.headline.startswith("Along redness the score of red rises in 100% of the photos, along random")
    assert found.headline.endswith("more than by chance.")
    assert found.layer == "look"
    assert found.vectors.shape == (20, 3, 3, 3)
    assert np.linalg.norm(found.vectors.reshape(20, -1), axis=1) == pytest.approx(1, abs=1e-5)
    assert (found.vector[0] > 0).all()


def test_a_concept_that_counts_against_a_class_falls():
    found = sl.tcav(model(), REDS, OTHERS, SHOWN, "pale")
    assert found.score == 0
    assert found.p == 0.01
    assert found.rise < found.chance.rises.min()
    assert found.headline.endswith("less than by chance.")


def test_a_class_that_does_not_read_the_layer_is_said():
    class Blind(ReadsRed):
        def forward(self, images):
            return super().forward(images) * 0 + images.mean((2, 3))

    with pytest.warns(sl.SightlineWarning, match="does not depend on this layer"):
        found = sl.tcav(model(net=Blind().eval()), REDS, OTHERS, SHOWN, 0)
    assert found.p == 1
    assert found.headline.endswith("which may be chance.")


def test_a_concept_that_is_noise_is_undecided():
    with pytest.warns(sl.SightlineWarning, match="up to .* may be chance") as told:
        found = sl.tcav(model(), photos(24, 9), OTHERS, SHOWN, "red")
    assert not found.told_apart
    assert found.headline.startswith("Undecided: classifiers can hardly tell the concept from the others")
    assert [one.code for one in found.warnings] == ["weak-concept"]
    assert len(told) == 1


def test_a_concept_that_the_class_does_not_read_is_near_chance():
    """Blue is told apart with ease and read by no class: what its vectors have of red is left to chance."""
    found = []
    for seed in range(12):
        given = photos(24, 50 + seed, (2,)), photos(60, 200 + seed)
        found.append(sl.tcav(model(), *given, SHOWN, "red", runs=4, controls=19))
    assert 0.2 < np.mean([one.score for one in found]) < 0.8
    assert sum(one.p <= 0.05 for one in found) <= 1
    assert sum(one.test.p <= 0.05 for one in found) >= 6  # Welch's: the runs share photos


def test_p_counts_the_controls_that_are_as_steep():
    found = sl.tcav(model(), photos(24, 9, (0,)), OTHERS, SHOWN, "green", controls=39)
    rises, middle = found.chance.slopes.mean(1), found.chance.slopes.mean()
    as_far = np.abs(rises - middle) >= abs(found.found.slopes.mean() - middle)
    assert found.p == (1 + as_far.sum()) / 40
    assert found.p > 0.05
    assert found.headline.endswith(", which may be chance.")
    assert repr(found) == f"Tcav({found.headline} p = {found.p:.2g})"


def test_the_slopes_are_the_directional_derivatives():
    found = sl.tcav(model(), REDS, OTHERS, SHOWN, "green", runs=3)
    acts = torch.from_numpy(np.stack(SHOWN)).movedim(-1, 1)
    with torch.no_grad():
        acts = ReadsRed().look(acts)
    gradient = torch.zeros_like(acts)
    gradient[:, 1] = 2 * acts[:, 1] / 9  # of the mean square over nine cells
    expected = found.vectors.reshape(3, -1) @ gradient.flatten(1).numpy().T
    assert found.found.slopes == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_the_batch_size_changes_nothing(batch_size):
    one, other = (sl.tcav(model(size), REDS, OTHERS, SHOWN, "red", runs=4) for size in (None, batch_size))
    assert other.vectors == pytest.approx(one.vectors, abs=1e-4)
    assert other.found.scores.tolist() == one.found.scores.tolist()


def test_the_same_seed_gives_the_same_and_another_another():
    one, again, other = (sl.tcav(model(), REDS, OTHERS, SHOWN, "red", runs=4, seed=seed) for seed in (3, 3, 4))
    assert one.provenance == again.provenance
    assert not np.array_equal(one.vectors, other.vectors)


def test_its_vectors_are_targets():
    found = sl.tcav(model(), REDS, OTHERS, SHOWN, "red", runs=2)
    ex = sl.explain(model(), SHOWN[0], "saliency", target=found.targets[0])
    assert ex.values[0].mean() > 3 * ex.values[1:].abs().mean()


@pytest.mark.filterwarnings("ignore::sightline.SightlineWarning")
def test_few_photos_and_shared_ones_are_said():
    found = sl.tcav(model(), REDS[:6], [*OTHERS[:20], *REDS[:2]], SHOWN[:5], "red", runs=2)
    told = {one.code: one.message for one in found.warnings}
    assert told["few-photos"].startswith("6 photos of concept and 5 photos of class: with fewer than 20")
    assert told["in-both"].startswith("2 photos are of the concept and among the others")


@pytest.mark.filterwarnings("ignore::sightline.SightlineWarning")
def test_a_layer_that_the_score_is_linear_in_is_said():
    model = sl.load("demo")
    dice = np.random.default_rng(0)
    given = [dice.integers(0, 255, (128, 128, 3), np.uint8) for _ in range(60)]
    found = sl.tcav(model, given[:20], given[20:], given[:20], "ball", runs=2)
    assert "linear-layer" in [one.code for one in found.warnings]
    assert set(found.found.scores.tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("asked", "error", "match"),
    [
        ({"target": None}, sl.TargetError, "give one that holds for all photos"),
        ({"target": sl.targets.Region(np.ones((12, 12)), 0)}, sl.TargetError, "holds for all photos"),
        ({"target": "blue"}, sl.TargetError, "blue"),
        ({"target": 7}, sl.TargetError, "class 7 does not exist"),
        ({"runs": 1}, sl.OptionError, "runs has to be 2 or more"),
        ({"controls": 18}, sl.OptionError, "controls has to be 19 or more"),
        ({"concept": REDS[:2]}, sl.OptionError, "2 photos of the concept and 60 others"),
        ({"others": []}, sl.PhotoError, "none of the photos of others could be read"),
        ({"layer": "nowhere"}, sl.LayerError, "nowhere"),
    ],
)
def test_what_cannot_be_is_refused(asked, error, match):
    with pytest.raises(error, match=match):
        sl.tcav(model(), **{"concept": REDS, "others": OTHERS, "photos": SHOWN, "target": "red", **asked})


def test_folders_name_their_concept(tmp_path):
    for name, given in (("redness", REDS), ("others", OTHERS), ("shown", SHOWN)):
        (tmp_path / name).mkdir()
        for i, one in enumerate(given):
            Image.fromarray((255 * one).astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    found = sl.tcav(model(), tmp_path / "redness", tmp_path / "others", str(tmp_path / "shown"), "red", runs=2)
    assert found.concept == "redness"
    assert found.score == 1


def test_files_hold_what_was_found(tmp_path):
    found = sl.tcav(model(), REDS, OTHERS, SHOWN, "red", runs=5, controls=29)
    for name in ("tcav.png", "tcav.jpg", "tcav.svg", "tcav.html"):
        found.save(tmp_path / name)
    with Image.open(tmp_path / "tcav.png") as picture:
        assert picture.size[0] > 600
    page = (tmp_path / "tcav.html").read_text()
    assert found.headline in page
    assert "Welch" in page
    titles = [axis.get_title("left") for axis in found.figure().axes if axis.get_title("left")]
    assert titles[0] == "p = 0.033, n = 29 random concepts"
    assert titles[1].startswith("TCAV score: 100%, by chance ")
    found.save(tmp_path / "tcav.npz")
    with np.load(tmp_path / "tcav.npz") as saved:
        assert np.array_equal(saved["vectors"], found.vectors)
        assert saved["null_scores"].shape == saved["null_rises"].shape == (29,)
        assert json.loads(str(saved["provenance"])) == json.loads(json.dumps(found.provenance))

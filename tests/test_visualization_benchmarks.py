"""The benchmark of feature visualization counts, judges and takes turns as it says; Lucent itself is not needed."""

import sys
from dataclasses import fields
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import sightline as sl
from benchmarks import ascents, contestants, data, rows, tallies
from benchmarks.__main__ import main
from benchmarks.findings import Finding, Goal, line
from benchmarks.stats import Ratio
from benchmarks.tallies import Outcome, Tally
from sightline.features.ascent import Way
from test_benchmarks import tiny


def outcome(own=1, other=1, logit=20.0, seconds=10.0):
    return Outcome(logit, own, other, seconds)


class Brightness(nn.Module):
    """Scores an image's mean, its negative, and a constant; remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        mean = images.mean((1, 2, 3))
        return torch.stack([mean, -mean, torch.full_like(mean, 0.1)], 1)


@pytest.fixture
def small(monkeypatch):
    """A small network as both of the folder's, two classes, images of 32 pixels, three steps."""
    monkeypatch.setattr(data, "check", lambda: None)
    monkeypatch.setattr(data, "mobilenet_v2", lambda: tiny().network)
    monkeypatch.setattr(data, "mobilenet_v1", lambda side, alpha: tiny().network)
    for name, value in {"CLASSES": (4, 2), "SIDE": 32, "OTHER_SIDE": 24, "STEPS": 3, "WARM_UP": 1}.items():
        monkeypatch.setattr(ascents, name, value)


# Counts -----------------------------------------------------------------------------------------------------


def test_counts_are_of_ten_however_many_images_there_are():
    tally = Tally("r", "w", (outcome(), outcome(own=2, other=5), outcome(other=6), outcome(other=2)))
    assert tally.counts == (7.5, 2.5, 7.5)
    shown = tallies.line(tally)
    assert shown == "| w | 4 | 7.5 | 2.5 | 7.5 | 20.0 | 10.0 s |  |  |"
    assert shown.count("|") == tallies.HEADER[0].count("|") == tallies.HEADER[1].count("|")


@pytest.mark.parametrize(
    ("asked", "told", "reached"),
    [((7.5, 2.5, 7.5), "7.5, 2.5, 7.5", "yes"), ((None, 2.5, None), "-, 2.5, -", "yes"),
     ((7.6, 0, 0), "7.6, 0, 0", "**no**"), ((None, 3, 0), "-, 3, 0", "**no**"), ((0, 0, 8), "0, 0, 8", "**no**")],
)  # fmt: skip
def test_every_count_has_to_be_what_is_asked(asked, told, reached):
    tally = Tally("r", "w", (outcome(), outcome(own=2, other=5), outcome(other=6), outcome(other=2)), asked)
    assert tallies.line(tally).endswith(f"| {told} | {reached} |")


def test_a_mean_over_seeds_that_is_just_enough_is_enough():
    tally = Tally("r", "w", tuple(outcome(own=1 + (i % 20 == 0)) for i in range(60)), (9.5, None, None))
    assert tally.reached


# Judges -----------------------------------------------------------------------------------------------------


def test_both_networks_judge_the_image_as_it_is_in_their_own_units():
    own, other = Brightness(), Brightness()
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 0.4  # dark: mean 0.2, or -0.6
    found = ascents.judged(image, 0, 1.5, own, other)
    assert (found.own, found.other, found.seconds) == (3, 3, 1.5)
    assert found.logit == pytest.approx(float(image.mean()) * 2 - 1)
    assert ascents.judged(image, 1, 1.5, own, other).own == 1
    torch.testing.assert_close(own.seen[0], image * 2 - 1)
    size = {"size": (192, 192), "mode": "bilinear", "antialias": True}
    torch.testing.assert_close(other.seen[0], nn.functional.interpolate(image, **size) * 2 - 1)


def test_every_class_comes_once_before_the_next_seed_and_the_warm_up_is_not_judged(small, monkeypatch):
    asked = []

    def climb(target, seed, steps):
        asked.append((target, seed, steps))
        return torch.full((1, 3, 32, 32), 0.5 + 0.1 * len(asked))  # every image is told from the others

    monkeypatch.setattr(
        ascents, "judged", lambda image, target, *_: outcome(logit=float(image[0, 0, 0, 0]), own=target)
    )
    found = ascents.climbed({"a": climb, "b": climb}, tiny().network, 3, "r")
    once = [(4, 0, 1), (4, 0, 3), (2, 0, 3), (4, 1, 3)]
    assert asked == [way for way in once for _ in "ab"]
    assert [one.own for one in found["a"]] == [4, 2, 4]
    logits = sorted(one.logit for outcomes in found.values() for one in outcomes)
    assert logits == pytest.approx([0.8, 0.9, 1.0, 1.1, 1.2, 1.3])


# Ours -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lucid", "simonyan"])
def test_something_is_asked_of_the_default_preset_alone(name, small):
    (found,) = ascents.preset(name, 2)
    assert len(found.outcomes) == 2
    assert found.row == f"visualize-{name}"
    default = name == sl.visualize.__defaults__[-1]
    assert found.asked == (ascents.ASKED if default else (None,) * 3)
    assert ("the default" in found.what) is default


def test_the_same_seed_gives_the_same_image_and_the_network_is_not_touched(small):
    network = tiny().network
    climb = ascents.ours(network, **ascents.as_lucent())
    once = climb(2, 0, 3)
    assert once.shape == (1, 3, 32, 32)
    assert torch.equal(once, climb(2, 0, 3))
    assert not torch.equal(once, climb(2, 1, 3))
    assert all(one.grad is None for one in network.parameters())


def test_beside_lucent_nothing_is_left_to_a_preset():
    assert set(ascents.as_lucent()) == {one.name for one in fields(Way)} | {"rate"}


def test_both_begin_with_the_same_numbers():
    (ours,) = ascents.as_lucent()["canvas"].start([torch.Generator().manual_seed(3)], (3, 32, 32))
    with ascents._seeded(3):
        theirs = torch.randn(1, 3, 32, 17, 2) * 0.01
    torch.testing.assert_close(ours, theirs)


# Lucent -----------------------------------------------------------------------------------------------------


@pytest.fixture
def stand_in(monkeypatch):
    """A module in Lucent's place that draws from global generators, leaves hooks, and tells how it was called."""
    calls = []

    def render_vis(network, objective, param_f, **options):
        for module in network.modules():
            module.register_forward_hook(lambda *_: None)
        calls.append((network, objective, options, [one.requires_grad for one in network.parameters()]))
        side = param_f()
        return [torch.rand(1, side, side, 3).numpy() * np.random.rand()]

    made = {
        "lucent.optvis.render": SimpleNamespace(render_vis=render_vis),
        "lucent.optvis.transform": SimpleNamespace(standard_transforms=["pad"]),
        "lucent.optvis.param": SimpleNamespace(image=lambda side: side),
    }
    for name in ("lucent", "lucent.optvis"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    return calls


def test_lucent_climbs_the_logit_in_the_networks_units(small, stand_in):
    assert ascents.lucent(tiny().network)(2, 0, 3).shape == (1, 3, 32, 32)
    _, objective, options, asked = stand_in[0]
    assert objective == "labels:2"
    assert options["thresholds"] == (3,)
    assert options["preprocess"] is False
    assert options["fixed_image_size"] is None
    assert all(asked)
    pad, units = options["transforms"]
    assert pad == "pad"
    assert units(torch.tensor([0.0, 0.5, 1.0])).tolist() == [-1, 0, 1]


def test_at_its_fastest_views_have_the_inputs_size_and_parameters_no_gradients(small, stand_in):
    network = tiny().network
    ascents.lucent(network, fastest=True)(2, 0, 3)
    _, _, options, asked = stand_in[0]
    assert options["fixed_image_size"] == 32
    assert not any(asked)
    assert all(one.requires_grad for one in network.parameters())


def test_lucents_hooks_do_not_pile_up_and_global_generators_are_put_back(small, stand_in):
    climb = ascents.lucent(tiny().network)
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.rand(2), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    once, again = climb(2, 0, 3), climb(2, 0, 3)
    assert torch.equal(once, again)
    assert torch.equal(torch.rand(2), before[0])
    assert np.random.rand() == before[1]
    assert not any(module._forward_hooks for module in stand_in[0][0].modules())


def test_ours_has_to_transfer_as_well_as_the_better_of_both_and_to_be_as_strong_and_fast(
    small, stand_in, monkeypatch
):
    made = {
        "ours": tuple(outcome(other=1 + i % 3, logit=30.0, seconds=0.15) for i in range(6)),
        ascents.LUCENT: tuple(outcome(other=1 + i % 2, logit=40.0, seconds=0.3) for i in range(6)),
        ascents.FASTEST: tuple(outcome(other=6, logit=20.0, seconds=0.1) for _ in range(6)),
    }
    monkeypatch.setattr(ascents, "climbed", lambda climbs, *_: {name: made[name] for name in climbs})
    ours, *theirs, time, strength, time_at_best, strength_at_best = ascents.against_lucent(6)
    assert ours.asked == (None, 5.0, 10.0)
    assert not ours.reached
    assert [one.what for one in theirs] == [ascents.LUCENT, ascents.FASTEST]
    found = (time, strength, time_at_best, strength_at_best)
    assert [round(one.ratio.median, 3) for one in found] == [2.0, 0.75, 0.667, 1.5]
    assert [one.reached for one in found] == [True, False, False, True]
    assert (time.ours, time.unit) == (pytest.approx(50.0), "ms")


def test_without_lucent_it_is_said_what_to_install(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "lucent", None)
    monkeypatch.delitem(sys.modules, "lucent.optvis", raising=False)
    monkeypatch.delitem(sys.modules, "lucent.optvis.render", raising=False)
    with pytest.raises(contestants.UnavailableError, match=r'pip install "torch-lucent>=0.1.8"'):
        next(ascents.against_lucent(6))


# Command ----------------------------------------------------------------------------------------------------


def test_what_has_no_unit_is_shown_with_a_digit():
    found = Finding("r", "logit", "a peer", 54.61, 33.5, "", Ratio(1.6, 1.5, 1.7), Goal("at least", 1.0))
    assert line(found) == "| logit | a peer | 54.6 | 33.5 | 1.60 [1.50, 1.70] | at least 1 | yes |"


@pytest.fixture
def counted(monkeypatch):
    """Every row of the group as a tally that tells how many rounds it was given."""
    given = {}

    def found(name, rounds):
        given[name] = rounds
        yield Tally(name, name, (outcome(),))

    monkeypatch.setattr(
        rows, "ROWS", {name: lambda n, name=name: found(name, n) for name in rows.GROUPS["visualize"]}
    )
    return given


def test_visualize_is_all_presets_and_lucent(counted, capsys):
    assert main(["visualize"]) == 0
    presets = ("simonyan", "keras-vis", "lucid", "maco")
    assert counted == dict.fromkeys([*(f"visualize-{one}" for one in presets), "visualize-against-lucent"], 30)
    shown = capsys.readouterr().out
    assert shown.count(tallies.HEADER[0]) == 1
    assert "| visualize-maco | 1 | 10.0 | 10.0 | 10.0 | 20.0 | 10.0 s |  |  |" in shown


def test_fewer_images_are_enough_for_a_tally_and_more_are_not_asked_for(counted, capsys):
    main(["visualize-lucid", "--rounds", "2"])
    main(["visualize-maco", "--rounds", "50"])
    assert counted == {"visualize-lucid": 2, "visualize-maco": 30}
    with pytest.raises(SystemExit):
        main(["visualize", "--rounds", "2"])
    assert "at least 6" in capsys.readouterr().err


def test_each_kind_of_finding_has_its_own_table(monkeypatch, capsys):
    def both(_rounds):
        yield Tally("r", "images", (outcome(),))
        yield Finding("r", "a step", "a peer", 10.0, 40.0, "ms", Ratio(4.0, 3.5, 4.5), Goal("at least", 1.0))

    monkeypatch.setattr(rows, "ROWS", {"r": both})
    main(["r"])
    shown = capsys.readouterr().out.splitlines()
    heads = [i for i, one in enumerate(shown) if set(one) == {"|", "-"}]
    assert [shown[i - 1].split(" | ")[1] for i in heads] == ["images", "against"]
    assert [shown[i + 1].split(" | ")[0] for i in heads] == ["| images", "| a step"]

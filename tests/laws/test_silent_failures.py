"""Nothing fails in silence: what a reader has to know is on the result, and is issued as a warning too."""

import warnings

import pytest
import torch
from torch import nn
from zoo import (
    ANY_TARGET,
    GRADIENT,
    LAYER,
    LINEAR_HEAD,
    RELU,
    SEEDED,
    TARGETED,
    UNTARGETED,
    Answering,
    alike,
    built,
    fewer,
    pictures,
)

import sightline as sl


def warned(code, network, images, target, **options):
    """The heat, which has to carry a warning of this code that was issued as well, in the same words."""
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        heat = sl.attribute(network, images, target, **{**fewer(options["method"]), **options})
    mine = [one for one in heat.warnings if one.code == code]
    assert mine, f"no warning {code!r} in {heat.warnings}"
    assert all(issubclass(one.category, sl.SightlineWarning) for one in issued)
    assert {one.message for one in heat.warnings} == {str(one.message) for one in issued}
    assert all(len(one.message) > 40 and one.message.endswith(".") for one in heat.warnings), "says what to do"
    return heat, mine


SIGNED = ["grad-cam", "cam", "xgrad-cam", "hires-cam", "shapley-cam"]
POSITIVE = ["grad-cam++", "smooth-grad-cam++", "layer-cam", "grad-cam-element-wise", "refine-cam", "guided-grad-cam"]
SLOPES = [method for method in GRADIENT if method in ANY_TARGET and method not in UNTARGETED]


def soft():
    """A network with activations above zero, so that the signs of its head are those of its evidence."""
    stem = nn.Conv2d(3, 4, 3, padding=1)
    nn.init.constant_(stem.bias, 2.0)
    return nn.Sequential(stem, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("method", [one.id for one in sl.methods() if one.id != "vargrad"])  # zero where linear
def test_no_warning_without_a_reason(method):
    network = soft()
    nn.init.constant_(network[-1].weight, 0.5)
    images = pictures(size=(12, 12)) / 20
    images[:, :, 4:6, 4:6] += 1  # something that stands out, for methods that look for that
    known = next(one.caution for one in sl.methods() if one.id == method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if known else "error", sl.SightlineWarning)
        heat = sl.attribute(network, images, 0, method=method, **({} if method != "finer-cam" else {"references": 1}))
    assert heat.warnings == (() if known is None else (known,))


@pytest.mark.parametrize("method", ["guided-backprop", "deconvnet", "guided-grad-cam", *UNTARGETED])
def test_what_every_reader_has_to_know_of_a_method_is_said(method, network, images):
    code = "ignores-target" if method in UNTARGETED else "fails-sanity-check"
    _, found = warned(code, network, images, 1, method=method)
    assert method in found[0].message


# Blank ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SLOPES)
def test_a_target_that_depends_on_nothing_gives_a_blank_map(method, network, images):
    heat, _ = warned("blank-map", network, images, lambda scores: scores.new_ones(len(scores)), method=method)
    assert not heat.values.any()


@pytest.mark.parametrize("method", SLOPES)
def test_a_head_of_zeros_gives_a_blank_map(method, network, images):
    nn.init.zeros_(network.head.weight)
    heat, _ = warned("blank-map", network, images, 1, method=method)
    assert not heat.values.any()


@pytest.mark.parametrize(
    "method",
    [m.id for m in sl.methods() if m.reads and not m.seeded and m.id not in (*UNTARGETED, *LINEAR_HEAD)],
)  # the others mix batches anew, or do not ask the score
def test_only_the_blank_image_of_a_batch_is_said_to_be_blank(method, images):
    def one_is_deaf(scores):
        heard = torch.ones(len(scores), 1)
        heard[1:2] = float(len(scores) < 3)
        return scores * heard

    heat, found = warned("blank-map", Answering(built(), one_is_deaf), images, 1, method=method)
    assert [one.image for one in found] == [1]
    assert [one.code for one in heat[1].warnings if one.code == "blank-map"] == ["blank-map"]
    assert "blank-map" not in [one.code for one in heat[0].warnings]


@pytest.mark.parametrize("method", [one for one in TARGETED if one not in LINEAR_HEAD])
def test_a_layer_that_the_score_does_not_read_gives_a_blank_map(method, images):
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.aside = built(), nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, x):
            self.aside(x)
            return self.network(x)

    heat, _ = warned("blank-map", Aside(), images, 1, method=method, layer="aside")
    assert not heat.values.any()


# Negative ---------------------------------------------------------------------------------------------------


def opposed():
    """The soft network, all of whose evidence is against class 0 and for class 1."""
    network = soft()
    nn.init.constant_(network[-1].weight[0], -1.0)
    nn.init.constant_(network[-1].weight[1], 1.0)
    return network


@pytest.mark.parametrize("method", SIGNED)
def test_a_class_with_evidence_against_it_alone_says_so_and_keeps_its_signs(method, images):
    heat, found = warned("negative-evidence", opposed(), images / 20, [0, 1, 0], method=method, layer="1")
    assert [one.image for one in found] == [0, 2]
    assert bool((heat.values[[0, 2]] < 0).all())
    assert bool((heat.values[1] > 0).all())


@pytest.mark.parametrize("method", POSITIVE)
def test_a_class_with_evidence_against_it_alone_is_blank_to_methods_that_drop_it(method, images):
    heat, found = warned("blank-map", opposed(), images / 20, [0, 1, 0], method=method, layer="1")
    assert [one.image for one in found] == [0, 2]
    assert "nothing raises it" in found[0].message
    assert heat.values[1].any()


# Layers -----------------------------------------------------------------------------------------------------


class Shared(nn.Module):
    """One layer reads two stems; class 0 hangs on its first run alone, class 1 on its second."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.left, self.right = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)
            self.shared = nn.Conv2d(4, 6, 3, padding=1)
            self.heads = nn.ModuleList(nn.Linear(6, 1) for _ in range(2))

    def forward(self, images):
        runs = [self.shared(stem(images).relu()).relu_() for stem in (self.left, self.right)]
        return torch.cat([head(run.mean((2, 3))) for head, run in zip(self.heads, runs, strict=True)], 1)


class Once(nn.Module):
    """One run of `Shared`, as a network of its own."""

    def __init__(self, both, run):
        super().__init__()
        self.stem, self.shared, self.head = (both.left, both.right)[run], both.shared, both.heads[run]

    def forward(self, images):
        return self.head(self.shared(self.stem(images).relu()).relu().mean((2, 3)))


@pytest.mark.parametrize("method", [one for one in TARGETED if one not in (*LINEAR_HEAD, *SEEDED, "finer-cam")])
@pytest.mark.parametrize("run", [0, 1])
def test_a_layer_that_runs_twice_shows_the_run_that_counts(method, images, run):
    both = Shared()
    heat, _ = warned("layer-runs-twice", both, images, run, method=method, layer="shared")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        alone = sl.attribute(Once(both, run), images, 0, method=method, layer="shared")
    assert alike(heat, alone)
    assert "layer-runs-twice" not in [one.code for one in alone.warnings]


@pytest.mark.parametrize("method", [one for one in LAYER if one not in RELU])
@pytest.mark.parametrize("layer", ["1", "1.0"])
def test_a_layer_after_the_global_pooling_says_so_and_names_a_better_one(method, images, layer):
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(nn.AdaptiveAvgPool2d(1)), nn.Flatten(), nn.Linear(4, 2)
    )
    _, found = warned("layer-after-pooling", network, images, 0, method=method, layer=layer)
    assert "layer='0'" in found[0].message


# Completeness -----------------------------------------------------------------------------------------------


class Kinked(nn.Module):
    """Flat, then steep in the last hundredth of the way from black, where few points of a path fall."""

    def forward(self, images):
        mean = images.mean((1, 2, 3))
        return torch.stack([mean, 200 * (mean - 0.99).relu() + 1e-3 * mean], 1)


def test_a_gap_that_stays_is_on_the_result_and_said():
    images = torch.ones(2, 3, 4, 4)
    heat, found = warned("completeness-gap", Kinked(), images, [0, 1], method="integrated-gradients", budget=17)
    assert [one.image for one in found] == [1]
    assert "17 passes" in found[0].message
    change = 200 * 0.01 + 1e-3
    assert float(heat.gap[0]) < 1e-5
    assert float(heat.gap[1]) == pytest.approx(abs(float(heat.values[1].sum()) - change) / change, rel=1e-3)
    assert float(heat.gap[1]) > 1


def test_a_gap_of_fixed_steps_is_said_too():
    heat, _ = warned("completeness-gap", Kinked(), torch.ones(1, 3, 4, 4), 1, method="integrated-gradients", steps=10)
    assert float(heat.gap) > 1


def test_more_passes_close_the_gap():
    heat = sl.attribute(Kinked(), torch.ones(1, 3, 4, 4), 1, method="integrated-gradients", budget=100)
    assert float(heat.gap) <= 0.01
    assert heat.warnings == ()


# Interrupts -------------------------------------------------------------------------------------------------


def test_an_interrupted_run_gives_the_best_heat_so_far_and_says_so(images):
    calls = []

    def stop(_module, _inputs):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt

    network = built()
    network.register_forward_pre_hook(stop)
    heat, found = warned("interrupted", network, images[:1], 1, method="smoothgrad", samples=1000)
    assert f"stopped after {heat.passes[0]} passes" in found[0].message
    assert 0 < heat.passes[0] < 100
    whole = sl.attribute(built(), images[:1], 1, method="smoothgrad", samples=heat.passes[0])
    assert alike(heat, whole)

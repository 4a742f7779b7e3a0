"""Integrated gradients: complete, exact where paper can be, and the dense integral elsewhere."""

import math
from itertools import pairwise

import pytest
import torch
from by_hand import Quadratic, close, conv_net, cosine, fixed, linear, pictures, quietly, trapezoid
from torch import nn

import sightline as sl

IG = "integrated-gradients"


class Kinked(nn.Module):
    """A deep net of ReLUs with large weights: its gradient jumps hundreds of times along a path."""

    def __init__(self, classes=5):
        super().__init__()
        widths = (96, 64, 64, 64)
        layers = [nn.Flatten()]
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.layers = fixed(nn.Sequential(*layers, nn.Linear(widths[-1], classes)), seed=5)

    def forward(self, images):
        return self.layers(images)


NETWORKS = {
    "convolutions": (conv_net, (8, 12)),
    "kinked": (Kinked, (4, 8)),
    "linear": (linear, (8, 12)),
    "quadratic": (Quadratic, (4, 4)),
    "smooth": (lambda: fixed(nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.Tanh(), nn.Linear(16, 3))), (4, 4)),
    "gated": (lambda: fixed(nn.Sequential(nn.Flatten(), nn.Linear(48, 16), nn.SiLU(), nn.Linear(16, 3))), (4, 4)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("baseline", ["black", "blur", 0.3])
def test_the_map_adds_up_to_the_change_of_the_score(name, baseline):
    make, size = NETWORKS[name]
    network, images = make(), pictures(2, size=size)
    heat = sl.attribute(network, images, 1, method=IG, baseline=baseline, budget=2000)
    start = at(baseline, images)
    change = network(images)[:, 1] - network(start)[:, 1]
    missing = (heat.values.flatten(1).sum(1) - change).abs()
    assert bool((missing <= 0.0101 * change.abs()).all())
    assert torch.allclose(heat.gap.float(), missing / change.abs(), atol=1e-4)
    assert heat.warnings == ()


def test_the_map_of_a_linear_model_is_exact():
    network, images = linear(), pictures()
    heat = sl.attribute(network, images, 1, method=IG, baseline="white")
    assert close(heat.values, network[1].weight[1].view(3, 8, 12) * (images - 1))
    assert bool((heat.gap < 1e-4).all())
    assert heat.passes == (25, 25), "a straight path needs no refining"


def test_the_map_of_a_quadratic_is_exact():
    network, images = Quadratic(), pictures(size=(4, 4))
    start = pictures(1, size=(4, 4), seed=9)[0]
    heat = sl.attribute(network, images, [0, 1], method=IG, baseline=start)
    middle = ((images + start) / 2).flatten(1)
    slope = torch.einsum("bij,bj->bi", network.curve, middle).view_as(images)
    assert close(heat.values, (images - start) * slope)
    assert bool((heat.gap < 1e-4).all())


@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_fixed_steps_are_the_trapezoid_rule(steps):
    network, images = conv_net(), pictures()
    heat = quietly(network, images, 1, method=IG, steps=steps)
    assert close(heat.values, trapezoid(images, torch.zeros_like(images), lambda x: network(x)[:, 1], steps))
    assert heat.passes == (steps + 1, steps + 1)


@pytest.mark.parametrize("name", ["kinked", "convolutions", "smooth"])
def test_the_refined_map_is_the_dense_integral(name):
    make, size = NETWORKS[name]
    network, images = make(), pictures(3, size=size)
    refined = sl.attribute(network, images, [0, 1, 2], method=IG)
    dense = quietly(network, images, [0, 1, 2], method=IG, steps=2000)
    assert all(cosine(a, b) >= 0.995 for a, b in zip(refined.values, dense.values, strict=True))
    assert bool((refined.gap <= 0.01).all())
    assert max(forward for forward, _ in refined.spent) <= 200


def test_refined_points_lie_where_the_path_bends():
    network = fixed(nn.Sequential(nn.Flatten(), nn.Linear(96, 1)))

    class Bent(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.at = network, []

        def forward(self, images):
            self.at += (images.flatten(1)[:, 0] / whole[0, 0, 0, 0]).tolist()
            return (100 * (images.flatten(1).mean(1, keepdim=True) - 0.81)).relu() + images.mean((1, 2, 3))[:, None]

    whole, bent = torch.ones(1, 3, 4, 8), Bent()
    heat = sl.attribute(bent, whole, 0, method=IG, tolerance=1e-4)
    at = sorted(set(bent.at))
    widths = {(a, b): b - a for a, b in pairwise(at)}
    around = next(width for (a, b), width in widths.items() if a <= 0.81 < b)
    assert around == pytest.approx(min(widths.values()), abs=1e-5), "nowhere are the points denser"
    assert around <= max(widths.values()) / 4
    assert torch.allclose(heat.values.sum(), torch.tensor(20.0), rtol=0.011)


class Cancelling(nn.Module):
    """Two kinks at the same place of two segments, with opposite signs: their errors hide in the map's sum."""

    def forward(self, images):
        first, second, third = images.flatten(1)[:, :3].unbind(1)
        return (100 * (first - 0.505).relu() - 100 * (second - 0.255).relu() + third)[:, None]


def test_errors_that_cancel_in_the_sum_are_refined_all_the_same():
    images = torch.ones(1, 3, 1, 2)
    even = quietly(Cancelling(), images, 0, method=IG, steps=16)
    assert float(even.gap) < 1e-3
    assert abs(float(even.values[0, 0, 0, 0]) - 49.5) > 2
    refined = sl.attribute(Cancelling(), images, 0, method=IG, tolerance=0.003)
    assert abs(float(refined.values[0, 0, 0, 0]) - 49.5) < 1.2
    assert abs(float(refined.values[0, 0, 0, 1]) + 74.5) < 1.2


@pytest.mark.parametrize("tolerance", [0.1, 0.01, 0.001])
def test_the_tolerance_is_kept_and_a_finer_one_costs_more(tolerance):
    network, images = Kinked(), pictures(2, size=(4, 8))
    heat = sl.attribute(network, images, 1, method=IG, tolerance=tolerance, budget=3000)
    assert bool((heat.gap <= tolerance).all())
    finer = sl.attribute(network, images, 1, method=IG, tolerance=tolerance / 10, budget=3000)
    assert finer.passes[0] >= heat.passes[0]


@pytest.mark.parametrize("budget", [2, 5, 17, 18, 30])
def test_the_budget_is_kept(budget):
    heat = quietly(Kinked(), pictures(2, size=(4, 8)), 1, method=IG, budget=budget, tolerance=1e-6)
    assert all(forward == budget for forward, _ in heat.spent)


# Baselines --------------------------------------------------------------------------------------------------


def at(baseline, images):
    """What a baseline stands for, read slowly: images like `images`; black is 0 and white 1."""
    count, channels, *size = images.shape
    if isinstance(baseline, torch.Tensor):
        return baseline.expand_as(images)
    if isinstance(baseline, tuple):
        return torch.tensor(baseline).view(1, channels, 1, 1).expand_as(images)
    if not isinstance(baseline, str):
        return torch.full_like(images, baseline)
    if baseline in ("black", "white"):
        return torch.full_like(images, float(baseline == "white"))
    out = torch.empty_like(images)
    for i in range(count):
        for channel in range(channels):
            plane = images[i, channel]
            out[i, channel] = plane.sum() / math.prod(size) if baseline == "mean" else blurred(plane)
    return out


def blurred(plane, share=0.1):
    """A Gaussian with a standard deviation of a tenth of each side, its weights renormalized at the borders."""
    height, width = plane.shape
    out = torch.zeros(height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            total, weights = 0.0, 0.0
            for v in range(height):
                for u in range(width):
                    away = ((y - v) / (share * height)) ** 2 + ((x - u) / (share * width)) ** 2
                    weight = math.exp(-away / 2)
                    total, weights = total + weight * float(plane[v, u]), weights + weight
            out[y, x] = total / weights
    return out.to(plane)


IMAGE, BATCH = pictures(1, seed=7)[0], pictures(2, seed=8)
BASELINES = ["black", "white", "mean", "blur", 0.4, 0, 1, (0.1, 0.5, 0.9), IMAGE, BATCH]


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: "image" if isinstance(b, torch.Tensor) else str(b))
def test_a_baseline_is_what_its_name_says(baseline):
    network, images = conv_net(), pictures()
    heat = quietly(network, images, 1, method=IG, baseline=baseline, steps=5)
    assert close(heat.values, trapezoid(images, at(baseline, images), lambda x: network(x)[:, 1], 5), 1e-3)


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: "image" if isinstance(b, torch.Tensor) else str(b))
def test_the_map_of_a_linear_model_shows_the_baseline_itself(baseline):
    network, images = linear(), pictures()
    heat = quietly(network, images, 1, method=IG, baseline=baseline)
    shown = images - heat.values / network[1].weight[1].view(3, 8, 12)
    assert torch.allclose(shown, at(baseline, images), atol=2e-3)


def noise_of(heat, network, images):
    return images - heat.values / network[1].weight[1].detach().view(3, *images.shape[2:])


def test_noise_is_even_between_black_and_white_and_follows_the_seed():
    images = pictures(2, size=(30, 30))
    network = linear(size=(3, 30, 30))
    first, again, other = (
        noise_of(quietly(network, images, 1, method=IG, baseline="noise", seed=seed, steps=1), network, images)
        for seed in (0, 0, 1)
    )
    inside = network[1].weight[1].abs().view(3, 30, 30) > 1e-3
    values = first[:, inside]
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=0.1)
    assert -1e-2 < float(values.min()) < 0.01
    assert 0.99 < float(values.max()) < 1.01
    assert float(values.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(values.std()) == pytest.approx(12**-0.5, abs=0.02)
    assert torch.allclose(values[0], values[1], atol=1e-2), "each image draws from a generator of its own"


@pytest.mark.parametrize("several", [("black", "white"), ["blur", 0.5, "mean"], ("black", pictures(1, seed=7)[0])])
def test_several_baselines_are_averaged(several):
    network, images = conv_net(), pictures()
    together = quietly(network, images, [0, 1], method=IG, baseline=several, steps=4)
    each = [quietly(network, images, [0, 1], method=IG, baseline=one, steps=4) for one in several]
    assert close(together.values, torch.stack([one.values for one in each]).mean(0))
    assert together.passes == (5 * len(several), 5 * len(several))


def test_the_gap_of_several_baselines_is_that_of_their_mean():
    network, images = conv_net(), pictures()
    heat = quietly(network, images, 1, method=IG, baseline=("black", "white"), steps=2)
    score = network(images)[:, 1]
    change = score - (network(torch.zeros_like(images))[:, 1] + network(torch.ones_like(images))[:, 1]) / 2
    missing = (heat.values.flatten(1).sum(1) - change).abs()
    assert torch.allclose(heat.gap.float(), missing / change.abs(), rtol=1e-2, atol=1e-5)


def test_black_and_white_of_a_model_are_its_photo_s_after_normalization():
    network, images = linear(), pictures()
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
    model = sl.wrap(network, input_size=(8, 12), mean=mean, std=std)
    weight = network[1].weight[1].view(3, 8, 12)
    for name, level in (("black", 0.0), ("white", 1.0), (0.25, 0.25)):
        start = torch.tensor([(level - m) / s for m, s in zip(mean, std, strict=True)]).view(3, 1, 1)
        assert close(quietly(model, images, 1, method=IG, baseline=name).values, weight * (images - start))


def test_an_image_that_is_its_own_baseline_holds_nothing():
    images = pictures()
    heat = quietly(conv_net(), images, 1, method=IG, baseline=images)
    assert not heat.values.any()
    assert not heat.gap.any()
    assert [one.code for one in heat.warnings] == ["blank-map"] * 2

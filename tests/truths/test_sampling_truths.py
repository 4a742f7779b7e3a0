"""Sampled methods: how far they go, what they say of their precision, and their statistics by hand."""

import math
import time
import warnings

import numpy as np
import pytest
import torch
from by_hand import Watched, close, conv_net, gradient, linear, noisy_copies, pictures, quietly
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import sightline as sl
from sightline.stats.running import RunningMean, RunningVariance

SAMPLED = [method.id for method in sl.methods() if "precision" in method.options]


def codes(heat):
    return [(one.code, one.image) for one in heat.warnings if one.code in ("imprecise", "interrupted")]


def spent(method, samples):
    """(forward, backward) that so many samples take: a way back for each gradient, and perhaps a clean pass more."""
    if "gradients" not in next(one.needs for one in sl.methods() if one.id == method):
        return samples, 0
    return (samples + (method == "smooth-grad-cam++"),) * 2


def precision_of(heat):
    """Standard error over size of each map, both root mean squares."""
    size, error = (part.double().flatten(1).square().mean(1).sqrt() for part in (heat.values, heat.error))
    return error / size


class Mixed(nn.Module):
    """A small network whose scores a steep wave multiplies in bright images: their gradients need many samples."""

    def __init__(self):
        super().__init__()
        self.lean = conv_net()

    def forward(self, images):
        bright = (images.mean((1, 2, 3)) > 5).to(images)
        wave = (20 * images).sin().mean((1, 2, 3))
        return self.lean(images) * (1 - bright + bright * wave)[:, None]


def mixed():
    """A network, and images of which the second alone is hard."""
    return Mixed().eval(), pictures(3) + torch.tensor([0.0, 10.0, 0.0]).view(3, 1, 1, 1)


# How far ---------------------------------------------------------------------------------------------------------


def test_the_methods_that_sample_are_these():
    assert SAMPLED == ["smoothgrad", "smoothgrad-squared", "vargrad", "smooth-grad-cam++", "rise"]


@pytest.mark.parametrize("method", SAMPLED)
def test_without_a_precision_each_image_takes_the_samples_asked_for_or_the_usual(method):
    heat = quietly(conv_net(), pictures(), 1, method=method, layer=None)
    assert heat.spent == (spent(method, {"rise": 1000}.get(method, 25)),) * 2
    for samples in (1, 7, 8, 9, 33):
        heat = quietly(conv_net(), pictures(), 1, method=method, samples=samples)
        assert heat.spent == (spent(method, samples),) * 2


@pytest.mark.parametrize("method", SAMPLED)
def test_a_batch_stops_where_each_of_its_images_alone_would_and_gives_what_it_would(method):
    network, images = mixed()
    options = {"method": method, "precision": 0.12, "samples": 160}
    if method == "smooth-grad-cam++":
        options |= {"layer": "lean.1"}
    together = quietly(network, images, 1, **options)
    alone = [quietly(network, images[i : i + 1], 1, **options) for i in range(len(images))]
    assert together.spent == tuple(one.spent[0] for one in alone)
    for i, one in enumerate(alone):
        assert close(together.values[i : i + 1], one.values)
        assert close(together.error[i : i + 1], one.error, 1e-4)
    if method == "smoothgrad":
        assert len(set(together.spent)) > 1, "some go on while others are done"


def test_an_image_that_is_precise_enough_gets_no_more_copies_while_others_go_on():
    network, images = Watched(mixed()[0]), mixed()[1]
    heat, copies = noisy_copies(network, images, method="smoothgrad", precision=0.12, samples=96)
    passes = [forward for forward, _ in heat.spent]
    assert [len(one) for one in copies] == passes
    assert passes[1] == 96
    assert max(passes[0], passes[2]) < 96


@pytest.mark.parametrize("method", SAMPLED)
@pytest.mark.parametrize("precision", [0.3, 0.1])
def test_the_precision_asked_for_is_reached_no_round_too_late_and_said(method, precision):
    network, images = conv_net(), pictures(2)
    layer = "1" if method == "smooth-grad-cam++" else None
    seen = []
    heat = quietly(network, images, 1, method=method, precision=precision, layer=layer, watch=seen.append)
    assert bool((heat.precision <= precision).all())
    assert torch.allclose(heat.precision, precision_of(heat), rtol=1e-4)
    assert codes(heat) == []
    more = int(method == "smooth-grad-cam++")
    for i in range(len(images)):
        before = [one for one in seen if 16 + more <= one.spent[i][0] < heat.spent[i][0]]
        before = [one for one in before if (one.spent[i][0] - more) % 8 == 0]  # when it is looked at
        assert all(float(one.precision[i]) > precision for one in before)


def test_no_error_is_believed_before_sixteen_samples():
    heat = quietly(linear(), pictures(), 1, method="smoothgrad", precision=0.5)
    assert heat.spent == ((16, 16),) * 2, "the error is zero from the second sample on"
    assert not heat.error.any()
    for fill in ("black", ("black", "white")):  # a mask takes a pass for each fill
        heat = quietly(linear(), pictures(), 1, method="rise", precision=1e9, fill=fill)
        assert heat.spent == ((16 * (1 + (fill != "black")), 0),) * 2


def test_the_said_precision_is_how_far_the_map_is_from_that_of_many_samples():
    network, images = conv_net(), pictures(1)
    many = quietly(network, images, 1, method="smoothgrad", samples=4000, seed=999).values
    off = []
    for seed in range(12):
        heat = quietly(network, images, 1, method="smoothgrad", precision=0.08, seed=seed)
        off.append(float((heat.values - many).norm() / many.norm()) / float(heat.precision))
    assert float(np.mean(off)) == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("method", SAMPLED)
def test_a_budget_that_does_not_do_warns_for_the_images_that_it_does_not_do_for(method):
    network, images = mixed()
    layer = "lean.1" if method == "smooth-grad-cam++" else None
    options = {"precision": 0.1, "samples": 64} if method == "smoothgrad" else {"precision": 1e-4, "samples": 24}
    with pytest.warns(sl.SightlineWarning, match="was asked for. Raise samples or seconds"):
        heat = sl.attribute(network, images, 1, method=method, layer=layer, **options)
    late = [i for i, one in enumerate(heat.precision) if not one <= options["precision"]]
    assert codes(heat) == [("imprecise", i) for i in late]
    assert late
    assert all(heat.spent[i][0] >= options["samples"] for i in late)


def test_no_round_starts_after_the_seconds_and_one_always_does():
    network = conv_net()

    def slowly(*_):
        time.sleep(0.02)

    network.register_forward_pre_hook(slowly)
    quietly(network, pictures(1), 1, method="smoothgrad", samples=1)
    start = time.monotonic()
    heat = quietly(network, pictures(1), 1, method="smoothgrad", samples=100_000, seconds=0.3)
    assert 0.3 <= time.monotonic() - start < 3
    assert 8 < heat.passes[0] < 1000
    assert heat.passes[0] % 8 == 0
    assert codes(heat) == [], "who asks for no precision is told none"
    least = quietly(network, pictures(1), 1, method="smoothgrad", samples=100, seconds=1e-9)
    assert least.passes == (8, 8)
    late = quietly(network, pictures(1), 1, method="smoothgrad", precision=1e-4, seconds=0.05)
    assert codes(late) == [("imprecise", 0)]


BAD = [
    {"samples": 0}, {"samples": -3}, {"samples": 2.5}, {"samples": True}, {"precision": 0}, {"precision": -0.1},
    {"precision": math.nan}, {"precision": math.inf}, {"precision": "high"}, {"seconds": 0}, {"seconds": -1},
    {"seconds": math.inf}, {"noise": -0.1}, {"noise": math.nan}, {"noise": "much"},
]  # fmt: skip


@pytest.mark.parametrize("options", BAD, ids=str)
@pytest.mark.parametrize("method", ["vargrad", "smooth-grad-cam++"])
def test_what_is_no_effort_is_refused(method, options):
    (name,) = options
    with pytest.raises(sl.OptionError, match=f"{name}="):
        sl.attribute(conv_net(), pictures(), 1, method=method, **options)


# What is seen on the way ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SAMPLED)
def test_watch_sees_ever_more_passes_and_the_last_is_the_result(method):
    seen = []
    heat = quietly(conv_net(), pictures(), 1, method=method, samples=30, layer="1", watch=seen.append)
    more = int(method == "smooth-grad-cam++")
    looks = [8, 16, 24, 30] if method == "rise" else [4, 8, 12, 16, 20, 24, 28, 30]  # rounds, or chunks of them
    assert [one.passes for one in seen] == [spent(method, n) for n in looks]
    assert torch.equal(seen[-1].values, heat.values)
    for one in seen[:-1]:
        shorter = quietly(conv_net(), pictures(), 1, method=method, samples=one.passes[0] - more, layer="1")
        assert close(shorter.values, one.values)
        assert close(shorter.error, one.error, 1e-4)


def test_watch_in_explain_sees_explanations_of_each_photo():
    seen = []
    photos = [np.full((32, 32, 3), 90, np.uint8), np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)]
    model = sl.wrap(conv_net(), input_size=24, mean=0.5, std=0.5)
    found = quietly_explained(model, photos, ["saliency", "smoothgrad"], samples=20, watch=seen.append)
    assert all(isinstance(one, sl.Explanation) and one.method == "smoothgrad" for one in seen)
    for photo, comparison in zip((0, 1), found, strict=True):
        mine = seen[photo::2]
        assert [one.passes[0] for one in mine] == [4, 8, 12, 16, 20]
        assert torch.equal(mine[-1].values, comparison["smoothgrad"].values)
        assert mine[0].target == comparison["smoothgrad"].target
        assert mine[0].photo.image().size == comparison["smoothgrad"].photo.image().size


def quietly_explained(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return sl.explain(*args, **options)


def test_what_watch_raises_goes_through():
    def loud(_heat):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sl.attribute(conv_net(), pictures(), 1, method="smoothgrad", watch=loud)


# Interrupts -----------------------------------------------------------------------------------------------------


def stopping(network, at):
    """The network, interrupted in its pass number `at`."""
    calls = []

    def stop(*_):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt

    network.register_forward_pre_hook(stop)
    return network


@pytest.mark.parametrize("method", SAMPLED)
@pytest.mark.parametrize("at", [8, 11, 14])
def test_an_interrupt_in_the_middle_gives_the_best_map_so_far(method, at):
    images, more = pictures(2), int(method == "smooth-grad-cam++")
    with pytest.warns(sl.SightlineWarning, match="stopped after"):
        heat = sl.attribute(stopping(conv_net(), at), images, 1, method=method, samples=1000, layer="1")
    assert codes(heat) == [("interrupted", None)]
    assert heat.interrupted
    passes = heat.passes[0] - more
    assert 0 < passes < 100
    assert passes % 4 == 0
    whole = quietly(conv_net(), images, 1, method=method, samples=passes, layer="1")
    assert close(heat.values, whole.values)
    assert close(heat.error, whole.error, 1e-4)


def test_an_interrupt_while_watching_gives_what_was_watched():
    seen = []

    def enough(heat):
        seen.append(heat)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.warns(sl.SightlineWarning, match="stopped after 12 passes"):
        heat = sl.attribute(conv_net(), pictures(), 1, method="smoothgrad", samples=1000, watch=enough)
    assert torch.equal(heat.values, seen[-1].values)
    assert heat.passes == (12, 12)


def test_an_interrupt_spares_the_methods_that_come_after():
    def enough(_heat):
        raise KeyboardInterrupt

    heats = quietly(conv_net(), pictures(), 1, method=["saliency", "smoothgrad", "vargrad", "grad-cam"], watch=enough)
    assert list(heats) == ["saliency", "smoothgrad"]
    assert not heats["saliency"].interrupted


# Statistics by hand -----------------------------------------------------------------------------------------------


def slopes_of(network, copies):
    return torch.cat([gradient(copy[None], lambda x: network(x)[:, 1]) for copy in copies]).double()


@pytest.mark.parametrize("samples", [2, 9, 40])
def test_smoothgrad_squared_is_the_mean_square_of_the_copies_gradients(samples):
    network, images = Watched(conv_net()), pictures(2)
    heat, copies = noisy_copies(network, images, method="smoothgrad-squared", samples=samples)
    for i, mine in enumerate(copies):
        squares = slopes_of(network.network, mine).square()
        assert len(squares) == samples
        assert close(heat.values[i], squares.mean(0))
        assert close(heat.error[i], squares.std(0) / math.sqrt(samples), 1e-4)


@pytest.mark.parametrize("samples", [2, 9, 40])
def test_vargrad_is_the_unbiased_variance_of_the_copies_gradients(samples):
    network, images = Watched(conv_net()), pictures(2)
    heat, copies = noisy_copies(network, images, method="vargrad", samples=samples)
    for i, mine in enumerate(copies):
        slopes = slopes_of(network.network, mine)
        assert len(slopes) == samples
        assert close(heat.values[i], slopes.var(0), 1e-4)
        assert close(heat.error[i], error_of_variance(slopes.numpy()), 1e-3)


def test_the_three_statistics_of_the_same_copies_fit_together():
    heats = quietly(conv_net(), pictures(), 1, method=["smoothgrad", "smoothgrad-squared", "vargrad"], samples=30)
    mean, square, variance = (heats[name].values.double() for name in ("smoothgrad", "smoothgrad-squared", "vargrad"))
    assert close((square - mean.square()) * 30 / 29, variance, 1e-4)


def test_vargrad_of_a_linear_model_is_nothing_and_says_so():
    with pytest.warns(sl.SightlineWarning, match="zero everywhere"):
        heat = sl.attribute(linear(), pictures(), 1, method="vargrad")
    assert heat.values.abs().max() < 1e-12


class Cubic(nn.Module):
    """Scores the sum of cubes: under noise s its gradient 3 x^2 has the variance 36 x^2 s^2 + 18 s^4."""

    def forward(self, images):
        return images.pow(3).flatten(1).sum(1, keepdim=True).repeat(1, 2)


def test_the_errors_of_the_squared_and_of_the_variance_cover_their_expectations():
    images = pictures(1, size=(4, 4))
    sigma = 0.15 * float(images.max() - images.min())
    variance = 36 * images.square() * sigma**2 + 18 * sigma**4
    square = variance + (3 * images.square() + 3 * sigma**2).square()
    for method, expected in (("vargrad", variance), ("smoothgrad-squared", square)):
        hits = []
        for seed in range(40):
            heat = quietly(Cubic(), images, 0, method=method, samples=200, seed=seed)
            hits.append(((heat.values - expected).abs() <= 1.96 * heat.error).float().mean())
        assert 0.88 < float(torch.stack(hits).mean()) < 0.97, method


# Running statistics -----------------------------------------------------------------------------------------------


def error_of_variance(samples):
    """sqrt((m4 - s^4 (n - 3) / (n - 1)) / n) of samples (n, ...), m4 their fourth central moment, s^2 unbiased."""
    n, variance = len(samples), samples.var(0, ddof=1)
    fourth = ((samples - samples.mean(0)) ** 4).mean(0)
    return torch.from_numpy(np.sqrt(np.maximum(fourth - variance**2 * (n - 3) / (n - 1), 0) / n))


GROUPS = st.lists(st.integers(1, 9), min_size=1, max_size=8)
OFFSETS = st.sampled_from([0.0, 1.0, -50.0, 1e4])
SCALES = st.sampled_from([1e-6, 1.0, 1e3])


@settings(deadline=None, max_examples=80)
@given(GROUPS, OFFSETS, SCALES, st.integers(0, 10_000))
def test_running_statistics_of_any_grouping_are_numpys(groups, offset, scale, seed):
    dice = np.random.default_rng(seed)
    samples = scale * (offset + dice.gamma(2.0, size=(sum(groups), 5)))
    mean, variance, start = RunningMean(), RunningVariance(), 0
    for size in groups:
        for one in (mean, variance):
            one.add(torch.from_numpy(samples[start : start + size]))
        start += size
    assert mean.count == variance.count == len(samples)
    assert np.allclose(mean.value, samples.mean(0), rtol=1e-10)
    if len(samples) < 2:
        assert bool(torch.isinf(mean.error).all() and torch.isinf(variance.error).all())
        return
    digits = 1e-9 * max(1.0, offset**2)  # what float64 leaves of a variance far from zero
    assert np.allclose(mean.error, samples.std(0, ddof=1) / len(samples) ** 0.5, rtol=digits)
    assert np.allclose(variance.value, samples.var(0, ddof=1), rtol=digits)
    centred = RunningVariance()
    centred.add(torch.from_numpy(samples))
    assert np.allclose(variance.error, centred.error, rtol=1e-3, atol=float(1e-6 * variance.value.max()))
    if abs(offset) <= 50:
        assert np.allclose(
            variance.error, error_of_variance(samples), rtol=1e-3, atol=float(1e-6 * variance.value.max())
        )


@pytest.mark.parametrize("draw", ["normal", "uniform", "laplace"])
def test_the_error_of_the_running_variance_covers_the_variance(draw):
    """Of 2,000 runs of 400 samples each, in uneven groups."""
    dice, truth = np.random.default_rng(5), {"normal": 1.0, "uniform": 1 / 12, "laplace": 2.0}[draw]
    samples = torch.from_numpy(getattr(dice, draw)(size=(400, 2000)))
    found = RunningVariance()
    for part in samples.split([1, 7, 92, 150, 149, 1]):
        found.add(part)
    hits = ((found.value - truth).abs() <= 1.96 * found.error).double().mean()
    assert 0.92 < float(hits) < 0.965
    assert float(found.error.square().mean().sqrt() / found.value.std()) == pytest.approx(1, rel=0.06)


def test_running_statistics_without_samples_have_no_value():
    for one in (RunningMean(), RunningVariance()):
        with pytest.raises(ValueError, match="no samples yet"):
            _ = one.value

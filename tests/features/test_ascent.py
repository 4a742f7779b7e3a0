"""The ascent on paper: where it ends, what each step shows, and what holds it back."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from climbs import STD, WAYS, climb, conv_net, dense, fixed, linear, model_of, photo, pictures, same, units
from torch import nn

import sightline as sl
from sightline.canvases import Canvas, Fourier, Phase, Pixels
from sightline.targets import (
    L2,
    Alignment,
    Class,
    Contrast,
    Diversity,
    Layer,
    Norm,
    Output,
    PerImage,
    Region,
    TotalVariation,
    Unit,
    interpolated,
)

NUMBER = 3 * 8 * 12  # of an image's values


def weights(network, index):
    return network[1].weight.detach()[index].view(1, 3, 8, 12)


# Simonyan's equation: the image of argmax S(I) - lambda |I|² -----------------------------------------------------


@pytest.mark.parametrize(("index", "sign"), [(1, 1), (2, 1), (1, -1)])
@pytest.mark.parametrize("start", ["noise", "zero"])
def test_the_class_image_of_a_linear_model_is_its_weights(index, sign, start):
    """argmax of w x - lambda |x|² is w / (2 lambda), in the network's units."""
    network, held = linear(share=4), 0.5
    penalty = held * NUMBER * L2()  # L2 is a mean
    vis = climb(model_of(network), sign * Class(index), 60, penalties=[penalty], start=start, rate=0.02)
    expected = sign * weights(network, index) / (2 * held)
    assert expected.abs().max() < 2, "the image has to fit between black and white"
    assert torch.allclose(units(vis.images), expected, atol=1e-4)
    score = network(expected)[:, index].detach()
    assert torch.allclose(vis.scores, sign * score, atol=1e-3)


def test_a_penalty_taken_off_is_a_penalty_in_the_target():
    model = model_of(conv_net())
    apart = climb(model, 1, penalties=(2 * Norm(6), 0.5 * TotalVariation(1)))
    within = climb(model, Class(1) - 2 * Norm(6) - 0.5 * TotalVariation(1))
    assert torch.equal(apart.images, within.images)
    assert np.array_equal(apart.history, within.history)
    assert torch.equal(apart.scores, within.scores), "of a target alone, not of what holds it back"


def test_one_step_is_the_gradient_by_pixels():
    network = conv_net()
    start = photo()
    vis = climb(model_of(network), 2, 1, start=start, rate=0.3)
    leaf = units(start[None]).requires_grad_()
    (slope,) = torch.autograd.grad(network(leaf)[0, 2], leaf)
    assert torch.allclose(vis.images, (start + 0.3 * slope / STD).clamp(0, 1), atol=1e-5)


def test_minimizing_is_maximizing_the_negative():
    network, opposite = conv_net(), conv_net()
    with torch.no_grad():
        for parameter in opposite[6].parameters():
            parameter.neg_()
    down, up = climb(model_of(network), -Class(1), 8), climb(model_of(opposite), 1, 8)
    assert torch.equal(down.images, up.images)
    assert down.history[-1, 0] > down.history[0, 0]
    assert torch.allclose(down.scores, -network(units(down.images))[:, 1].detach(), atol=1e-5)


@pytest.mark.parametrize("limits", [(0.0, 1.0), (0.3, 0.6)])
def test_bounded_pixels_stay_in_their_limits_at_each_step(limits):
    seen = []
    vis = climb(model_of(linear()), 1, 20, canvas=Pixels(limits), rate=100.0, watch=seen.append)
    low, high = (torch.tensor(limit) for limit in limits)
    assert all(low <= step.images.min() and step.images.max() <= high for step in seen[1:])
    inside = (weights(linear(), 1) > 0) * limits[1] + (weights(linear(), 1) < 0) * limits[0]
    assert torch.allclose(vis.images, inside, atol=1e-6), "a linear score is largest in a corner"


def test_the_numbers_of_an_unbounded_canvas_run_free_and_its_image_does_not():
    vis = climb(model_of(linear()), 1, 6, rate=1.0)
    assert np.abs(vis.state["params.0"]).max() > 2
    assert 0 <= float(vis.images.min()) <= float(vis.images.max()) <= 1
    assert torch.allclose(vis.scores, linear()(units(vis.images))[:, 1].detach(), atol=1e-4)


def test_a_blur_softens_the_image_after_each_step():
    from sightline.core.blur import gaussian

    network = linear()
    vis = climb(model_of(network), 1, 3, start=photo(), blur=0.8, rate=0.05)
    image = photo()[None]
    for _ in range(3):
        image = gaussian(image + 0.05 * weights(network, 1) / STD, (0.8, 0.8))
    assert torch.allclose(torch.from_numpy(vis.state["params.0"]), image, atol=1e-5)


@pytest.mark.parametrize("canvas", [Pixels(), Fourier(), Phase()], ids=str)
def test_a_normalized_gradient_has_a_root_mean_square_of_one(canvas):
    seen = []
    climb(model_of(conv_net()), [0, 1, 2], 4, canvas=canvas, normalize=True, views=2, watch=seen.append)
    for step in seen:
        size = step.gradient.flatten(1).square().mean(1).sqrt()
        assert torch.allclose(size, torch.ones(3), atol=1e-4)


def test_where_nothing_rises_a_normalized_gradient_is_nothing():
    network = nn.Sequential(nn.Flatten(), nn.Linear(NUMBER, 3))
    nn.init.zeros_(network[1].weight)
    vis = climb(model_of(network), 1, 3, normalize=True, start=photo())
    assert torch.allclose(vis.images[0], photo())
    assert vis.importance.max() == 0


def test_the_best_way_up_a_small_network_ends_on_top():
    """Every way rises, and what it drew fires more than any of a thousand random images does."""
    network = conv_net()
    model = model_of(network)
    random = torch.rand(1000, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    best = float(network(units(random)).detach()[:, 3].max())
    vis = climb(model, 3, 40, canvas=Fourier(), optimizer="adam", rate=0.05)
    assert float(vis.scores) > best + 0.5


@pytest.mark.parametrize("name", WAYS)
def test_every_way_rises(name):
    start = climb(model_of(conv_net()), [1, 3], 1, **{**WAYS[name], "rate": 1e-9, "blur": 0})
    vis = climb(model_of(conv_net()), [1, 3], 24, **WAYS[name])
    assert (vis.scores > start.scores).all()


# Targets of every kind ------------------------------------------------------------------------------------------


def test_a_region_s_class_of_a_segmentation_network():
    network, mask = dense(), torch.zeros(8, 12)
    mask[:4, 6:] = 1
    vis = climb(model_of(network), Region(mask, 2), 10, normalize=True)
    answer = network(units(vis.images)).detach()[:, 2, :2, 3:].mean((1, 2))
    assert torch.allclose(vis.scores, answer, atol=1e-5)
    assert vis.history[-1, 0] > vis.history[0, 0]
    assert vis.predictions == ((),), "a dense map has no best answers"
    assert torch.equal(vis.importance[0, 0] > 1e-6, vis.importance[0, 0] != 0)
    assert vis.importance[0, 0, :, :5].max() == 0, "what the region does not see does not count"


@pytest.mark.parametrize("direction", ["increase", "decrease"])
def test_a_regression_output(direction):
    network = fixed(nn.Sequential(nn.Flatten(), nn.Linear(NUMBER, 1)))
    vis = climb(model_of(network, output="regression"), Output(0, direction), 6)
    sign = 1 if direction == "increase" else -1
    assert torch.allclose(vis.scores, sign * network(units(vis.images))[:, 0].detach(), atol=1e-5)
    assert vis.history[-1, 0] > vis.history[0, 0]
    assert vis.predictions[0][0].probability is None


def test_keeping_an_output_is_nothing_to_climb():
    with pytest.raises(sl.TargetError, match="keep"):
        climb(model_of(conv_net()), Output(0, "keep"))
    with pytest.raises(sl.TargetError, match="keep"):
        climb(model_of(conv_net()), [Output(0, "keep"), Class(1)])


def test_a_weighted_sum_of_classes_units_and_contrasts():
    network = conv_net()
    goal = 0.5 * Class(1) - 2 * Class(3) + Unit("2", 4) + Contrast(0, 2)
    vis = climb(model_of(network), goal, 6)
    x = units(vis.images)
    y = network(x).detach()[0]
    inner = network[2](network[1](network[0](x)))[0, 4].mean().detach()
    assert float(vis.scores) == pytest.approx(float(0.5 * y[1] - 2 * y[3] + inner + y[0] - y[2]), abs=1e-4)


def test_a_function_of_the_scores():
    network = conv_net()
    vis = climb(model_of(network), lambda scores: scores[:, 1] * scores[:, 2], 6)
    y = network(units(vis.images)).detach()
    assert torch.allclose(vis.scores, y[:, 1] * y[:, 2], atol=1e-4)


def test_a_label_names_a_class():
    labels = ["a", "b", "c", "d", "e"]
    vis = climb(model_of(conv_net(), labels=labels), "c", 3)
    assert vis.labels == ("c",)
    assert torch.equal(vis.images, climb(model_of(conv_net()), 2, 3).images)
    assert {one.label for one in vis.predictions[0]} == set(labels)


def test_models_without_labels_say_the_class_s_number():
    vis = climb(model_of(conv_net()), [4, Unit("2", 1)], 2)
    assert vis.labels == ("class 4", "channel 1 of 2")


def test_rows_that_are_to_be_alike_are_more_alike():
    model, row = model_of(conv_net()), PerImage(interpolated(Class(0), Class(4), 4))
    apart = climb(model, row, 15, optimizer="adam")
    alike = climb(model, row + 40 * Alignment("2"), 15, optimizer="adam")
    assert apart.images.shape == alike.images.shape == (4, 3, 8, 12)

    def away(vis):
        acts = model.network[:3](units(vis.images)).detach()
        return float((acts[1:] - acts[:-1]).square().mean())

    assert away(alike) < 0.7 * away(apart)
    assert alike.names == (str(row), "Alignment(layer='2', decay=2.0)")


def test_diverse_images_of_one_target_are_more_diverse():
    model = model_of(conv_net())

    def alike(vis):
        acts = model.network[:3](units(vis.images)).detach().flatten(2)
        grams = nn.functional.normalize((acts @ acts.mT).flatten(1), dim=1)
        return float((grams @ grams.mT).fill_diagonal_(0).sum())

    plain = climb(model, Class(1), 15, count=3, optimizer="adam")
    diverse = climb(model, Class(1) + 30 * Diversity("2"), 15, count=3, optimizer="adam")
    assert len(plain) == len(diverse) == 3
    assert alike(diverse) < alike(plain)
    assert diverse.labels == diverse.labels[:1] * 3


def test_what_compares_images_needs_them_all_in_one_pass():
    goal = Class(1) + Diversity("2")
    small = climb(model_of(conv_net(), batch_size=1), goal, 4, count=3)
    assert same(small, climb(model_of(conv_net(), batch_size=8), goal, 4, count=3))
    with pytest.raises(sl.OptionError, match="needs all 6 in one pass; views=2"):
        climb(model_of(conv_net()), goal, 4, count=3, views=2)


@pytest.mark.parametrize("goal", [Class(1) + 0.1 * Alignment("2"), Class(1) + 0.1 * Diversity("2")], ids=str)
def test_images_that_are_compared_are_done_together(goal):
    """Else those left over would be compared with others than before."""
    options = {"count": 3, "patience": 1, "transforms": (sl.transforms.Jitter(3),), "rate": 0.01}
    alone = np.isnan(climb(model_of(conv_net()), Class(1), 60, **options).history)
    vis = climb(model_of(conv_net()), goal, 60, **options)
    assert alone.any()
    assert not alone.all(1).any()
    assert not np.isnan(vis.history).any()
    assert climb(model_of(conv_net()), goal, 60, count=3, patience=1, rate=1e-9).steps < 60


# Units that are off ---------------------------------------------------------------------------------------------


def off(units=4):
    """Each class is a unit that is off for dark images: nothing goes back through it."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(NUMBER, units), nn.ReLU())
    fixed(network, share=1.0)
    with torch.no_grad():
        network[1].bias.copy_(torch.tensor([-12.0, -12.0, 12.0, -12.0])[:units])
    return network


def test_a_unit_that_is_off_is_turned_on():
    """Nothing goes back through it; what would turn it on is the gradient before its ReLU."""
    network, seen = off(), []
    climb(model_of(network, output="logits"), 0, 1, start=photo(), watch=seen.append)
    assert torch.allclose(seen[0].gradient, weights(network, 0) / STD, atol=1e-6)
    vis = climb(model_of(network, output="logits"), 0, 60, start=photo(), rate=0.05)
    assert vis.history[0, 0] == 0
    assert float(vis.scores) > 1


def test_images_whose_units_are_on_are_not_touched_by_one_that_is_off():
    network, together = off(), []
    climb(model_of(network, output="logits"), [0, 2, 1], 1, start=photo(), watch=together.append)
    alone = []
    climb(model_of(network, output="logits"), 2, 1, start=photo(), watch=alone.append)
    assert torch.allclose(together[0].gradient[1:2], alone[0].gradient)
    for row, index in ((0, 0), (2, 1)):
        assert torch.allclose(together[0].gradient[row : row + 1], weights(network, index) / STD, atol=1e-6)


def test_a_unit_that_is_pushed_down_stays_off():
    network, seen = off(), []
    climb(model_of(network, output="logits"), -Class(0), 1, start=photo(), watch=seen.append)
    assert seen[0].gradient.abs().max() == 0


# What each step shows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAYS)
def test_terms_add_up_to_the_score(name):
    seen, penalties = [], (0.3 * L2(), 2 * Norm(math.inf))
    goal = [Class(1) - 0.5 * Unit("2", 3), Class(2), Layer("2")]
    options = {**WAYS[name], "penalties": penalties}
    vis = climb(model_of(conv_net()), goal, 4, views=2, watch=seen.append, **options)
    assert [step.number for step in seen] == [1, 2, 3, 4]
    for i, step in enumerate(seen):
        assert torch.allclose(step.terms.sum(0), step.score, atol=1e-5)
        assert torch.equal(step.score, torch.from_numpy(vis.history[i]))
        assert step.terms.shape == (len(vis.names), 3)
    assert np.array_equal(vis.terms, seen[-1].terms.numpy())


def test_a_step_shows_what_the_network_was_shown():
    network, seen = conv_net(), []
    climb(model_of(network), [1, 2], 4, rate=0.2, watch=seen.append)
    for step in seen:
        leaf = units(step.images).requires_grad_()
        score = network(leaf)[[0, 1], [1, 2]]
        (slope,) = torch.autograd.grad(score.sum(), leaf)
        assert torch.allclose(step.score, score.detach(), atol=1e-5)
        assert torch.allclose(step.gradient, slope / STD, atol=1e-5)


def test_what_was_shown_does_not_change_afterwards():
    seen, copies = [], []

    def watch(step):
        seen.append(step)
        copies.append((step.images.clone(), step.gradient.clone(), step.score.clone()))

    climb(model_of(conv_net()), 1, 5, rate=0.2, watch=watch)
    for step, (images, gradient, score) in zip(seen, copies, strict=True):
        assert torch.equal(step.images, images)
        assert torch.equal(step.gradient, gradient)
        assert torch.equal(step.score, score)
    assert all(not torch.equal(a.images, b.images) for a, b in pairwise(seen))


def test_importance_is_the_sum_of_the_slopes_sizes():
    seen = []
    vis = climb(model_of(conv_net()), [1, 2], 5, watch=seen.append)
    expected = sum(step.gradient.abs().mean(1, keepdim=True) for step in seen)
    assert torch.allclose(vis.importance, expected, atol=1e-6)


def test_views_are_the_mean_of_looks():
    """With a transform that adds the view's number, the score is the mean of both."""
    network = linear()

    def brighter(images, dice):
        shift = torch.arange(len(images)).remainder(2).view(-1, 1, 1, 1) * 0.2
        return images + shift

    seen = []
    climb(model_of(network), 1, 1, start=photo(), transforms=(brighter,), views=2, watch=seen.append)
    scores = [network(units(photo()[None] + shift))[0, 1].item() for shift in (0, 0.2)]
    assert float(seen[0].score) == pytest.approx(sum(scores) / 2, abs=1e-4)
    assert torch.allclose(seen[0].gradient, weights(network, 1) / STD, atol=1e-5)


def test_progress_counts_what_went_through_the_network():
    counted = []
    climb(model_of(conv_net(), batch_size=4), [0, 1, 2], 5, views=2, progress=counted.append)
    assert sum(counted) == 5 * 3 * 2 + 3
    assert max(counted) <= 4


# Patience --------------------------------------------------------------------------------------------------------


class Capped(nn.Module):
    """Class k's score rises with brightness up to k, and is flat from there."""

    def forward(self, images):
        bright = images.mean((1, 2, 3))
        return torch.stack([bright.clamp(max=top) for top in (0.2, 0.6, 9.0)], 1)


def test_images_are_done_one_by_one():
    model = sl.wrap(Capped(), input_size=(4, 4), mean=0.0, std=1.0)
    options = {"start": torch.zeros(3, 4, 4), "normalize": True, "rate": 0.05, "patience": 4}
    vis = climb(model, [0, 1, 2], 120, **options)
    took = (~np.isnan(vis.history)).sum(0)
    assert took[0] < took[1] < took[2] == vis.steps == 120
    alone = [climb(model, k, 120, **options) for k in range(3)]
    for k, one in enumerate(alone):
        assert one.steps == took[k]
        assert torch.allclose(vis.images[k], one.images[0], atol=1e-6)
        assert np.allclose(vis.history[: took[k], k], one.history[:, 0], atol=1e-6)
        assert np.allclose(vis.terms[:, k], one.terms[:, 0], atol=1e-6)


@pytest.mark.parametrize("name", WAYS)
def test_an_image_that_is_done_stays_as_it_is_and_leaves_the_others_alone(name):
    options = {**WAYS[name], "patience": 1}
    network = fixed(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softsign(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    together = climb(model_of(network, output="logits"), [0, 1, 2, 3], 30, **options)
    took = (~np.isnan(together.history)).sum(0)
    for k in range(4):
        alone = climb(model_of(network, output="logits"), k, 30, **options)
        assert alone.steps == took[k]
        assert torch.allclose(together.images[k], alone.images[0], atol=2e-3)
    assert name == "blurred" or len(set(took.tolist())) > 1, "they are to end at different steps"


def test_a_gradient_is_nothing_where_an_image_is_done():
    seen = []
    model = sl.wrap(Capped(), input_size=(4, 4), mean=0.0, std=1.0)
    climb(model, [0, 2], 90, start=torch.zeros(3, 4, 4), normalize=True, rate=0.05, patience=4, watch=seen.append)
    last = seen[-1]
    assert last.gradient[0].abs().max() == 0
    assert last.gradient[1].abs().min() > 0
    assert last.score.isnan().tolist() == [True, False]


def test_without_patience_all_steps_are_taken():
    vis = climb(sl.wrap(Capped(), input_size=(4, 4), mean=0.0, std=1.0), 0, 30, start=torch.ones(3, 4, 4))
    assert vis.steps == 30
    assert not np.isnan(vis.history).any()


# What users bring -----------------------------------------------------------------------------------------------


class Stripes(Canvas):
    """Each row has one colour."""

    def start(self, dice, shape):
        return (torch.stack([torch.rand(shape[0], shape[1], generator=die) for die in dice]),)

    def draw(self, params, shape):
        return params[0].sigmoid()[..., None].expand(-1, *shape)


class Foreign:
    """A canvas that does not know ours."""

    def start(self, dice, shape):
        return Stripes().start(dice, shape)

    def draw(self, params, shape):
        return Stripes().draw(params, shape)

    def trace(self, pixels, shape):
        return (pixels.mean(3).logit(),)

    def hold(self, params):
        params[0].clamp_(-0.5, 0.5)


@pytest.mark.parametrize("canvas", [Stripes(), Foreign()], ids=["derived", "foreign"])
def test_a_canvas_of_one_s_own(canvas):
    vis = climb(model_of(conv_net()), [1, 3], 8, canvas=canvas, rate=0.5)
    assert torch.equal(vis.images, vis.images[..., :1].expand_as(vis.images))
    assert (vis.history[-1] > vis.history[0]).all()
    if isinstance(canvas, Foreign):
        assert vis.images.logit().abs().max() <= 0.5 + 1e-5
        assert climb(model_of(conv_net()), 1, 2, canvas=canvas, start=photo()).steps == 2
    else:
        with pytest.raises(sl.OptionError, match="cannot start from a picture"):
            climb(model_of(conv_net()), 1, 2, canvas=canvas, start=photo())


@pytest.mark.parametrize(
    "optimizer",
    [
        "adam",
        "SGD",
        "rmsprop",
        "NAdam",
        "lbfgs",
        torch.optim.AdamW,
        torch.optim.LBFGS,
        lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.5),
    ],
    ids=str,
)
def test_optimizers_by_name_by_class_and_of_one_s_own(optimizer):
    named = isinstance(optimizer, str | type)
    vis = climb(model_of(conv_net()), [1, 3], 8, optimizer=optimizer, rate=0.05 if named else None)
    assert (vis.history[-1] > vis.history[0]).all()
    assert vis.history.shape == (8, 2)


def test_an_optimizer_by_name_is_its_class():
    model = model_of(conv_net())
    assert same(climb(model, 1, optimizer="adam", rate=0.1), climb(model, 1, optimizer=torch.optim.Adam, rate=0.1), 0)
    factory = climb(model, 1, optimizer=lambda params: torch.optim.Adam(params, lr=0.1), rate=None)
    assert same(climb(model, 1, optimizer="Adam", rate=0.1), factory, 0)


def test_an_optimizer_that_looks_several_times_shows_the_first_look():
    """As every other does: before the numbers moved."""
    network, seen = conv_net(), []
    vis = climb(model_of(network), 1, 3, optimizer="lbfgs", rate=0.1, start=photo(), watch=seen.append)
    first = network(units(photo()[None]))[:, 1].detach()
    assert torch.allclose(seen[0].score, first, atol=1e-4)
    assert torch.allclose(seen[0].images, photo()[None], atol=1e-5)
    assert float(vis.history[0, 0]) == pytest.approx(float(first), abs=1e-4)
    for step in seen:
        assert torch.allclose(step.score, network(units(step.images))[:, 1].detach(), atol=1e-4)


def test_a_black_box_has_no_way_up():
    def black_box(images):
        return images.detach().flatten(1)[:, :4]

    with pytest.raises(sl.MethodError, match="black box"):
        climb(sl.wrap(black_box, input_size=(8, 8)), 1)
    with pytest.raises(sl.MethodError, match="black box"):
        climb(sl.wrap(lambda images: torch.from_numpy(images.numpy().mean((2, 3))), input_size=(8, 8)), 1)


# Sizes, channels, precisions, starts ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 8, (8, 12), (16, 24), (6, 5), (11, 30)], ids=str)
@pytest.mark.parametrize("name", ["pixels", "fourier", "laplacian", "phase", "cppn", "transparent"])
def test_a_canvas_of_any_size(name, size):
    network = conv_net()
    vis = climb(model_of(network), [1, 2], 3, size=size, **WAYS[name])
    side = {None: (8, 12), 8: (8, 8)}.get(size, size)
    assert vis.images.shape == (2, 3, *side)
    shown = vis.images
    if side != (8, 12):
        shown = nn.functional.interpolate(shown, (8, 12), mode="bilinear", antialias=True, align_corners=False)
    expected = network(units(shown)).detach()[[0, 1], [1, 2]]
    assert torch.allclose(vis.scores, expected, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("name", WAYS)
def test_models_of_any_number_of_channels(name, channels):
    vis = climb(model_of(conv_net(channels), channels=channels), [1, 2], 3, **WAYS[name])
    assert vis.images.shape == (2, channels, 8, 12)
    assert vis.drawn.shape == (2, channels + (name == "transparent"), 8, 12)
    assert vis.picture().shape == (8, 12, 3 + (name == "transparent"))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["pixels", "fourier", "laplacian", "transparent", "blurred"])
def test_a_photo_is_a_start(name, channels):
    model, start = model_of(conv_net(channels), channels=channels), photo(channels=channels)
    options = {**WAYS[name], "rate": 1e-9, "blur": 0.0}
    vis = climb(model, 1, 1, start=start.numpy().transpose(1, 2, 0), **options)
    assert torch.allclose(vis.drawn[0, :channels], start, atol=1e-2 if name == "transparent" else 1e-4)
    if name == "transparent":
        assert torch.allclose(vis.drawn[0, channels], torch.full((8, 12), 0.5), atol=1e-4)


@pytest.mark.parametrize("size", [(8, 12), (16, 24), (16, 16), (9, 40)], ids=str)
@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_a_photo_of_another_size_is_fitted_as_the_model_does_it(resize, size):
    model = model_of(conv_net(), resize=resize)
    white = np.full((50, 70, 3), 200, np.uint8)
    vis = climb(model, 1, 1, size=size, start=white, rate=1e-9)
    covered = torch.isclose(vis.images, torch.tensor(200 / 255), atol=1e-3)
    assert vis.images.shape[2:] == size
    assert covered.all() if resize != "pad" else covered.any()


def test_a_photo_on_a_model_that_enlarges_to_an_exact_side():
    model = model_of(conv_net())
    for short in (10, (9, 13)):
        model.geometry = type(model.geometry)((8, 12), "crop", short)
        for size in ((8, 12), (16, 24), (8, 40), (40, 12)):
            vis = climb(model, 1, 1, size=size, start=np.full((50, 70, 3), 200, np.uint8), rate=1e-9)
            assert torch.allclose(vis.images, torch.tensor(200 / 255), atol=1e-3), "no border was made up"


@pytest.mark.parametrize(("mean", "std"), [(0.5, 0.25), ((0.2, 0.4, 0.6), (0.1, 0.2, 0.3)), (None, None)])
def test_zero_is_the_mean_of_the_preprocessing(mean, std):
    vis = climb(model_of(conv_net(), mean=mean, std=std), 1, 1, start="zero", rate=1e-9)
    wanted = torch.tensor(mean if isinstance(mean, tuple) else [mean or 0.0] * 3).view(1, 3, 1, 1)
    assert torch.allclose(vis.images, wanted.expand(1, 3, 8, 12), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", WAYS)
def test_networks_of_other_precisions(name, dtype):
    vis = climb(model_of(conv_net(dtype=dtype)), [1, 2], 6, views=2, **WAYS[name])
    assert vis.images.dtype == vis.scores.dtype == torch.float32
    if dtype == torch.float64:
        expected = climb(model_of(conv_net()), [1, 2], 6, views=2, **WAYS[name])
        assert torch.allclose(vis.images, expected.images, atol=1e-3)


def test_what_does_not_count_turns_transparent():
    network, mask = dense(), torch.zeros(16, 16)
    mask[:8, :8] = 1
    vis = climb(
        model_of(network, (16, 16)), Region(mask, 1), 80, canvas=sl.canvases.Transparent(Pixels()), optimizer="adam"
    )
    opacity = vis.drawn[0, -1]
    assert opacity[:7, :7].mean() > opacity[10:, 10:].mean() + 0.2
    pixels, over = vis.drawn[:, :3], vis.drawn[:, 3:]
    assert torch.allclose(vis.images, pixels * over + 0.5 * (1 - over), atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_transparent_image_s_slope_is_that_of_its_score_and_its_cover(sign):
    """d/dx of score * (1 - mean opacity), by hand, over the backgrounds that were drawn, one for each view."""
    network, shown, seen = linear(), [], []

    def look(images, dice):
        shown.append(images.detach().clone())
        return images

    canvas = sl.canvases.Transparent(Pixels())
    climb(model_of(network), sign * Class(1), 1, canvas=canvas, transforms=(look,), views=2, watch=seen.append)
    drawn = seen[0].images.clone()
    behind = (shown[0] - drawn[:, :3] * drawn[:, 3:]) / (1 - drawn[:, 3:])
    assert 0 <= float(behind.min()) <= float(behind.max()) <= 1
    assert not torch.allclose(behind[0], behind[1], atol=0.1)
    leaf = drawn.requires_grad_()
    over = leaf[:, :3] * leaf[:, 3:] + behind * (1 - leaf[:, 3:])
    score, room = sign * network(units(over))[:, 1], 1 - leaf[:, 3:].mean()
    reward = torch.where(score > 0, score * room, score * room.detach()).mean()
    (slope,) = torch.autograd.grad(reward, leaf)
    assert torch.allclose(seen[0].score, score.detach().mean(), atol=1e-4)
    assert torch.allclose(seen[0].gradient, slope, atol=1e-4)


def test_pictures_are_not_the_same_for_other_seeds_and_are_for_the_same():
    model = model_of(conv_net())
    for name, options in WAYS.items():
        one, again, other = (climb(model, 1, 3, seed=seed, **options) for seed in (0, 0, 1))
        assert torch.equal(one.images, again.images), name
        assert not torch.allclose(one.images, other.images, atol=1e-4), name


def test_random_images_fire_less_than_their_class_visualization():
    """A sanity check of the helper networks themselves."""
    assert conv_net()(pictures(4)).std() > 0.05

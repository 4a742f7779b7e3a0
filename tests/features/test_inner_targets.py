"""Targets inside a network, each on paper or against a slow, literal reading of its source."""

import math

import pytest
import torch
from climbs import climb, conv_net, fixed, model_of, photo, pictures, units
from torch import nn

import sightline as sl
from sightline.core.heats import Seen
from sightline.targets import (
    Alignment,
    Class,
    CosineDirection,
    Direction,
    Diversity,
    Layer,
    Match,
    PerImage,
    Unit,
    interpolated,
)

ACTS = pictures(5, channels=4, size=(3, 5))
VECTOR = torch.tensor([1.0, -2.0, 0.5, 3.0])
FIELD = pictures(1, channels=4, size=(3, 5), seed=7)[0]


def read(target, acts=ACTS):
    """A target's scores for what one layer, "here", put out."""
    return target.read(Seen(torch.zeros(len(acts), 2), {"here": acts}, torch.arange(len(acts)), acts))


def cosine(a, b):
    return float(a @ b) / math.sqrt(float(a @ a)) / math.sqrt(float(b @ b))


def places(acts):
    """Each position's activation, (C,), row by row."""
    return [acts[:, y, x] for y in range(acts.shape[1]) for x in range(acts.shape[2])]


def by_hand(score):
    """A score of each image, position by position."""
    return torch.tensor([score(one) for one in ACTS])


def test_a_layer_is_the_mean_of_its_squares():
    expected = by_hand(lambda acts: sum(float(v) ** 2 for v in acts.flatten()) / acts.numel())
    assert torch.allclose(read(Layer("here")), expected)


def test_a_direction_is_the_mean_dot_product():
    expected = by_hand(lambda acts: sum(float(one @ VECTOR) for one in places(acts)) / 15)
    assert torch.allclose(read(Direction("here", VECTOR)), expected, atol=1e-5)


def test_a_direction_of_each_position_is_met_position_by_position():
    expected = by_hand(lambda acts: sum(float(a @ v) for a, v in zip(places(acts), places(FIELD), strict=True)) / 15)
    assert torch.allclose(read(Direction("here", FIELD)), expected, atol=1e-5)


@pytest.mark.parametrize("vector", [VECTOR, FIELD], ids=["one vector", "one for each position"])
@pytest.mark.parametrize(("at", "y", "x"), [((2, 1), 2, 1), ("centre", 1, 2)])
def test_a_direction_at_one_position(vector, at, y, x):
    here = vector if vector.ndim == 1 else vector[:, y, x]
    assert torch.allclose(read(Direction("here", vector, at)), by_hand(lambda acts: float(acts[:, y, x] @ here)))
    expected = by_hand(lambda acts: cosine(acts[:, y, x], here))
    assert torch.allclose(read(CosineDirection("here", vector, at)), expected, atol=1e-6)


@pytest.mark.parametrize("power", [1, 2, 0.5])
def test_a_direction_s_power_is_lucid_s(power):
    """objectives._dot_cossim: reduce_mean(dot * maximum(0.1, cossim) ** cossim_pow)."""

    def lucid(acts):
        total = 0.0
        for one in places(acts):
            total += float(one @ VECTOR) * max(0.1, cosine(one, VECTOR)) ** power
        return total / 15

    assert torch.allclose(read(Direction("here", VECTOR, power=power)), by_hand(lucid), atol=1e-4)


def test_a_cosine_is_the_mean_of_the_positions_cosines():
    expected = by_hand(lambda acts: sum(cosine(one, VECTOR) for one in places(acts)) / 15)
    assert torch.allclose(read(CosineDirection("here", VECTOR)), expected, atol=1e-6)
    assert torch.allclose(read(CosineDirection("here", 9 * VECTOR)), expected, atol=1e-6)
    along = VECTOR.view(1, 4, 1, 1).expand(2, 4, 3, 5)
    assert torch.allclose(read(CosineDirection("here", VECTOR), along), torch.ones(2))
    assert torch.allclose(read(CosineDirection("here", VECTOR), -2 * along), -torch.ones(2))


@pytest.mark.parametrize("vector", [VECTOR.tolist(), VECTOR.numpy(), VECTOR.double(), tuple(VECTOR.tolist())])
def test_a_vector_is_an_array_a_list_or_of_another_precision(vector):
    assert torch.allclose(read(Direction("here", vector)), read(Direction("here", VECTOR)))
    assert read(Direction("here", vector)).dtype == ACTS.dtype
    assert str(Direction("here", vector)) == "Direction('here', (4,))"


def test_a_match_is_nothing_at_itself_and_less_one_of_an_empty_layer():
    assert torch.equal(read(Match("here", ACTS[0]), ACTS[:1]), torch.zeros(1))
    assert torch.allclose(read(Match("here", ACTS[0]), torch.zeros(1, 4, 3, 5)), -torch.ones(1))
    expected = by_hand(lambda acts: -float((acts - FIELD).square().sum() / FIELD.square().sum()))
    assert torch.allclose(read(Match("here", FIELD)), expected)


def test_diversity_is_lucid_s_for_the_batch():
    """objectives.diversity: the sum of grams[i] * grams[j] over j != i and i, over the batch's size."""
    grams = []
    for acts in ACTS:
        flat = acts.flatten(1).T  # (positions, channels)
        gram = flat.T @ flat
        grams.append(gram / gram.square().sum().sqrt())
    n = len(grams)
    lucid = sum(float((grams[i] * grams[j]).sum()) for i in range(n) for j in range(n) if j != i) / n
    mine = read(Diversity("here"))
    assert torch.allclose(mine[2], -sum((grams[2] * grams[j]).sum() for j in range(n) if j != 2) / (n - 1))
    assert float(mine.sum()) == pytest.approx(-lucid * n / (n - 1), rel=1e-5)


def test_diversity_is_nothing_of_images_that_share_no_feature_and_less_one_of_copies():
    apart = torch.zeros(2, 4, 3, 5)
    apart[0, :2], apart[1, 2:] = ACTS[0, :2], ACTS[1, 2:]
    assert torch.allclose(read(Diversity("here"), apart), torch.zeros(2))
    assert torch.allclose(read(Diversity("here"), ACTS[[0, 0, 0]]), -torch.ones(3))
    alone = ACTS[:1].clone().requires_grad_()
    score = read(Diversity("here"), alone)
    assert torch.allclose(score, -torch.ones(1))
    assert torch.autograd.grad(score.sum(), alone)[0].abs().max() < 1e-6


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("decay", [2.0, 3.0])
def test_alignment_is_lucid_s_for_the_batch(count, decay):
    """objectives.alignment: less the mean squared distance of images d apart over decay ** d, d from 1 to 4."""
    acts, accum = pictures(count, channels=4, size=(3, 5)), 0.0
    for d in [1, 2, 3, 4]:
        for i in range(count - d):
            accum += float((acts[i] - acts[i + d]).square().mean()) / decay**d
    found = read(Alignment("here", decay), acts)
    assert found.shape == (count,)
    assert float(found.sum()) == pytest.approx(-accum, rel=1e-5)


def test_alignment_is_shared_evenly_by_both_of_a_pair():
    away = float((ACTS[0] - ACTS[1]).square().mean()) / 2
    assert torch.allclose(read(Alignment("here"), ACTS[:2]), torch.tensor([-away / 2, -away / 2]))


def test_a_row_of_targets_changes_evenly_from_one_to_the_other():
    """objectives.channel_interpolate: weights arange(n) / (n - 1)."""
    row = interpolated(Unit("here", 0), Unit("here", 2), 5)
    means = ACTS.mean((2, 3))
    for i, target in enumerate(row):
        assert torch.allclose(read(target), (1 - i / 4) * means[:, 0] + i / 4 * means[:, 2])
    with pytest.raises(sl.TargetError, match="has 2 or more"):
        interpolated(Class(0), Class(1), 1)


@pytest.mark.parametrize("size", [(3, 5), (4, 6), (1, 1), (4, 7)])
def test_the_centre_is_lucid_s_neuron(size):
    """objectives.neuron: the middle, the bottom right one of four in the middle."""
    acts = pictures(2, channels=4, size=size)
    assert torch.equal(read(Unit("here", 1, "centre"), acts), acts[:, 1, size[0] // 2, size[1] // 2])


@pytest.mark.parametrize("dims", [1, 3])
def test_signals_and_volumes_have_directions_too(dims):
    size = (6, 4, 5)[:dims]
    acts = pictures(3, channels=4, size=size)
    flat = acts.flatten(2)
    assert torch.allclose(read(Direction("here", VECTOR), acts), torch.einsum("ncp,c->np", flat, VECTOR).mean(1))
    assert torch.allclose(read(Layer("here"), acts), flat.square().mean((1, 2)))
    middle = tuple(side // 2 for side in size)
    assert torch.equal(read(Unit("here", 0, "centre"), acts), acts[(slice(None), 0, *middle)])
    assert read(Diversity("here"), acts).shape == read(Alignment("here"), acts).shape == (3,)


def test_a_layer_without_positions_has_directions_too():
    acts = pictures(3, channels=4, size=())
    assert torch.allclose(read(Direction("here", VECTOR), acts), acts @ VECTOR)
    assert torch.allclose(read(CosineDirection("here", VECTOR), acts)[0], torch.tensor(cosine(acts[0], VECTOR)))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Direction("here", torch.ones(3)), r"a vector \(3,\) for 'here', which gives \(4, 3, 5\); give \(4,\)"),
        (Direction("here", torch.ones(4, 5, 3)), r"a vector \(4, 5, 3\)"),
        (Direction("here", VECTOR, at=(9, 0)), "position 9 does not exist"),
        (Direction("here", VECTOR, at=(1,)), r"at=\(1,\) does not fit 'here', whose map is \(3, 5\)"),
        (CosineDirection("here", VECTOR, at="middle"), "at='middle' does not fit"),
        (Unit("here", 0, "center"), "at='center' does not fit"),
        (Unit("here", 4), "channel of 'here' 4 does not exist"),
        (Match("here", torch.ones(4)), r"values \(4,\) for 'here', which gives \(4, 3, 5\)"),
    ],
)
def test_what_does_not_fit_a_layer_is_refused(target, words):
    with pytest.raises(sl.TargetError, match=words):
        read(target)


def test_what_compares_images_is_no_image_s_own():
    with pytest.raises(sl.TargetError, match="compares images"):
        PerImage((Class(0), Class(1) + Diversity("here")))


# Explained, not climbed --------------------------------------------------------------------------------------


def heat(network, images, target):
    return sl.attribute(network, images, target, method="saliency").values


def gradient(images, score):
    leaf = images.clone().requires_grad_()
    return torch.autograd.grad(score(leaf).sum(), leaf)[0]


NETWORK, IMAGES = conv_net(), pictures(3)
AXIS = torch.randn(8, generator=torch.Generator().manual_seed(3))


def acts(x):
    return NETWORK[2](NETWORK[1](NETWORK[0](x)))


EXPLAINED = {
    "layer": (Layer("2"), lambda x: acts(x).square().mean((1, 2, 3))),
    "direction": (Direction("2", AXIS), lambda x: (acts(x) * AXIS.view(8, 1, 1)).sum(1).mean((1, 2))),
    "direction at the centre": (Direction("2", AXIS, "centre"), lambda x: acts(x)[:, :, 2, 3] @ AXIS),
    "cosine": (
        CosineDirection("2", AXIS, (0, 1)),
        lambda x: acts(x)[:, :, 0, 1] @ AXIS / acts(x)[:, :, 0, 1].norm(dim=1) / AXIS.norm(),
    ),
    "match": (
        Match("2", acts(IMAGES[0:1])[0].detach()),
        lambda x: -(acts(x) - acts(IMAGES[:1]).detach()).square().sum((1, 2, 3)) / acts(IMAGES[:1]).square().sum(),
    ),
    "unit at the centre": (Unit("2", 3, "centre"), lambda x: acts(x)[:, 3, 2, 3]),
    "mixture": (
        Class(1) + 0.5 * Direction("2", AXIS) - Layer("0"),
        lambda x: NETWORK(x)[:, 1] + 0.5 * (acts(x).mean((2, 3)) @ AXIS) - NETWORK[0](x).square().mean((1, 2, 3)),
    ),
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_the_same_target_is_explained(name):
    target, score = EXPLAINED[name]
    found, expected = heat(NETWORK, IMAGES, target), gradient(IMAGES, score)
    largest = expected.abs().max()
    assert largest > 0
    assert (found - expected).abs().max() <= 1e-5 * largest


def test_a_direction_of_a_linear_layer_is_explained_by_its_weights():
    network = fixed(nn.Sequential(nn.Flatten(), nn.Linear(288, 8)))
    found = heat(network, IMAGES, Direction("1", AXIS))
    expected = (AXIS @ network[1].weight.detach()).view(1, 3, 8, 12).expand(3, -1, -1, -1)
    assert torch.allclose(found, expected, atol=1e-5)


# Climbed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPLAINED)
def test_the_same_target_is_climbed(name):
    target, score = EXPLAINED[name]
    vis = climb(model_of(NETWORK), target, steps=12, rate=0.05, normalize=True)
    assert vis.history[-1, 0] > vis.history[0, 0]
    assert torch.allclose(vis.scores, score(units(vis.images)).detach(), atol=1e-4, rtol=1e-4)


def test_climbing_a_match_inverts_what_a_photo_does_in_a_layer():
    model = model_of(fixed(nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False))))
    wanted = photo()[None]
    vis = climb(model, Match("0", model.network(units(wanted)).detach()[0]), 80, rate=0.02, optimizer="adam")
    assert vis.history[0, 0] < -0.5
    assert vis.history[-1, 0] > -0.01
    assert (vis.images - wanted).square().mean() < 0.05 * (0.5 - wanted).square().mean()

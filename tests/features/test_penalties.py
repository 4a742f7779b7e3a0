"""What visualization is held back by, each on paper and against keras-vis's formula, written out."""

import itertools
import math

import pytest
import torch
from climbs import linear, pictures

import sightline as sl
from sightline.core.heats import Seen
from sightline.targets import L2, Class, Norm, TotalVariation

IMAGES = pictures(3)


def read(penalty, images=IMAGES):
    """A penalty's scores of images."""
    return penalty.read(Seen(torch.zeros(len(images), 2), {}, torch.arange(len(images)), images))


def slope(penalty, images):
    leaf = images.clone().requires_grad_()
    return torch.autograd.grad(read(penalty, leaf).sum(), leaf)[0]


def numbers(image):
    return [float(value) for value in image.flatten()]


def test_l2_is_the_mean_square():
    expected = [sum(v**2 for v in numbers(image)) / image.numel() for image in IMAGES]
    assert torch.allclose(read(L2()), torch.tensor(expected))


@pytest.mark.parametrize("p", [1, 2, 3.5, 6])
def test_a_norm_is_keras_vis_s(p):
    """regularizers.LPNorm: pow(sum(pow(abs(img), p)), 1 / p) over the number of values."""
    expected = [sum(abs(v) ** p for v in numbers(image)) ** (1 / p) / image.numel() for image in IMAGES]
    assert torch.allclose(read(Norm(p)), torch.tensor(expected))


def test_the_norm_without_an_end_is_the_largest_size():
    expected = [max(map(abs, numbers(image))) / image.numel() for image in IMAGES]
    assert torch.allclose(read(Norm(math.inf)), torch.tensor(expected))
    bright = IMAGES.abs()  # keras-vis takes max(img), the same where nothing is negative
    assert torch.allclose(read(Norm(math.inf), bright), bright.amax((1, 2, 3)) / IMAGES[0].numel())


def varied(image, beta):
    """Forward differences, which are nothing past the border, pixel by pixel."""
    total = 0.0
    for place in itertools.product(*map(range, image.shape)):
        square = 0.0
        for axis in range(1, image.ndim):
            after = tuple(i + (a == axis) for a, i in enumerate(place))
            if after[axis] < image.shape[axis]:
                square += float(image[after] - image[place]) ** 2
        total += square ** (beta / 2)
    return total / image.numel()


@pytest.mark.parametrize("beta", [1, 1.5, 2, 3])
@pytest.mark.parametrize("size", [(9,), (4, 6), (3, 4, 2), (1, 5)], ids=str)
def test_total_variation_is_that_of_forward_differences(beta, size):
    images = pictures(2, channels=2, size=size)
    expected = torch.tensor([varied(image, beta) for image in images])
    assert torch.allclose(read(TotalVariation(beta), images), expected, atol=2e-6)


@pytest.mark.parametrize("beta", [1, 1.5, 2])
def test_total_variation_is_keras_vis_s_where_the_last_row_and_column_are_flat(beta):
    """regularizers.TotalVariation: both differences of img[1:, :-1], img[:-1, 1:] and img[:-1, :-1]."""
    image = IMAGES[0].clone()
    image[:, -1], image[:, :, -1] = 0.4, 0.4
    down = (image[:, 1:, :-1] - image[:, :-1, :-1]) ** 2
    across = (image[:, :-1, 1:] - image[:, :-1, :-1]) ** 2
    expected = ((down + across) ** (beta / 2)).sum() / image.numel()
    assert torch.allclose(read(TotalVariation(beta), image[None])[0], expected, atol=2e-6)


def test_total_variation_of_a_step_and_of_a_ramp():
    step = torch.zeros(1, 1, 4, 6)
    step[..., 3:] = 2
    assert float(read(TotalVariation(1), step)) == pytest.approx(4 * 2 / 24, abs=2e-6)
    assert float(read(TotalVariation(2), step)) == pytest.approx(4 * 4 / 24)
    ramp = torch.arange(6.0).expand(1, 1, 4, 6)
    assert float(read(TotalVariation(2), ramp)) == pytest.approx(4 * 5 / 24)


@pytest.mark.parametrize(
    "penalty",
    [L2(), Norm(1), Norm(2), Norm(6), Norm(math.inf), *map(TotalVariation, (0.5, 1, 1.5, 2, 3))],
    ids=str,
)
@pytest.mark.parametrize("images", [torch.zeros(2, 3, 4, 5), torch.ones(2, 3, 4, 5), IMAGES], ids=["0", "1", "noise"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slopes_are_finite_everywhere(penalty, images, dtype):
    found = slope(penalty, images.to(dtype))
    assert found.isfinite().all()
    assert found.dtype == dtype
    if not images.any():
        assert not found.any()


def test_slopes_on_paper():
    x = IMAGES[:1]
    n = x.numel()
    assert torch.allclose(slope(L2(), x), 2 * x / n)
    size = x.pow(6).sum()
    assert torch.allclose(slope(Norm(6), x), x.pow(5) * size ** (1 / 6 - 1) / n, atol=1e-8)
    one = torch.zeros(1, 1, 3, 3)
    one[0, 0, 1, 1] = 1
    expected = torch.tensor([[0.0, -2, 0], [-2, 8, -2], [0, -2, 0]]) / 9
    assert torch.allclose(slope(TotalVariation(2), one)[0, 0], expected)


@pytest.mark.parametrize(("p", "words"), [(0.5, "p has to be 1 or more"), (math.nan, "p has to be 1 or more")])
def test_a_norm_below_one_is_none(p, words):
    with pytest.raises(sl.TargetError, match=words):
        Norm(p)


@pytest.mark.parametrize("beta", [0, -1, math.nan])
def test_a_total_variation_needs_a_power(beta):
    with pytest.raises(sl.TargetError, match="beta has to be above 0"):
        TotalVariation(beta)


@pytest.mark.parametrize("penalty", [L2(), Norm(6), TotalVariation(1.5)], ids=str)
def test_a_penalty_is_explained_with_what_it_holds_back(penalty):
    network = linear()
    found = sl.attribute(network, IMAGES, Class(1) - 3 * penalty, method="saliency").values
    weights = network[1].weight.detach()[1].view(1, 3, 8, 12)
    assert torch.allclose(found, weights - 3 * slope(penalty, IMAGES), atol=1e-6)


def test_a_penalty_s_path_adds_up():
    heat = sl.attribute(linear(), IMAGES, Class(1) - 0.5 * L2(), method="integrated-gradients", budget=64)
    assert heat.gap.max() < 0.01

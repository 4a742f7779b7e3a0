"""Saliency, input x gradient and SmoothGrad where the answer is known on paper."""

import math

import pytest
import torch
from by_hand import Quadratic, Watched, close, conv_net, gradient, linear, noisy_copies, pictures, quietly
from torch import nn

import sightline as sl


def test_saliency_of_a_linear_model_is_its_weights():
    network, images = linear(), pictures(3)
    heat = quietly(network, images, [2, 0, 3], method="saliency")
    assert torch.allclose(heat.values, network[1].weight[[2, 0, 3]].view(3, 3, 8, 12))


def test_saliency_keeps_the_sign_of_the_gradient():
    network, images = conv_net(), pictures()
    heat = quietly(network, images, 1, method="saliency")
    assert close(heat.values, gradient(images, lambda x: network(x)[:, 1]))
    assert (heat.values < 0).any()
    assert (heat.values > 0).any()


def test_input_x_gradient_of_a_linear_model_is_what_each_pixel_adds():
    network, images = linear(), pictures()
    heat = quietly(network, images, 1, method="input-x-gradient")
    assert torch.allclose(heat.values, images * network[1].weight[1].view(3, 8, 12))


@pytest.mark.parametrize("target", [0, 3])
def test_input_x_gradient_without_biases_adds_up_to_the_score(target):
    network, images = conv_net(bias=False), pictures(4)
    heat = quietly(network, images, target, method="input-x-gradient")
    assert torch.allclose(heat.values.flatten(1).sum(1), network(images)[:, target], rtol=1e-4, atol=1e-5)


# SmoothGrad -------------------------------------------------------------------------------------------------


def test_smoothgrad_of_a_linear_model_is_its_weights_without_any_error():
    network, images = linear(), pictures()
    heat = quietly(network, images, 1, method="smoothgrad")
    assert torch.allclose(heat.values, network[1].weight[1].view(1, 3, 8, 12).expand(2, -1, -1, -1))
    assert not heat.error.any()


def test_smoothgrad_without_noise_is_saliency():
    network, images = conv_net(), pictures()
    heat = quietly(network, images, 1, method="smoothgrad", noise=0.0, samples=3)
    assert close(heat.values, quietly(network, images, 1, method="saliency").values)


@pytest.mark.parametrize("samples", [2, 7, 25])
def test_smoothgrad_and_its_error_are_those_of_the_copies_that_were_shown(samples):
    network, images = Watched(conv_net()), pictures(2)
    heat, copies = noisy_copies(network, images, method="smoothgrad", samples=samples)
    assert [len(one) for one in copies] == [samples, samples]
    for i, mine in enumerate(copies):
        slopes = torch.stack([gradient(copy[None], lambda x: network.network(x)[:, 1])[0] for copy in mine]).double()
        assert close(heat.values[i], slopes.mean(0))
        error = ((slopes - slopes.mean(0)).square().sum(0) / (samples - 1)).sqrt() / math.sqrt(samples)
        assert close(heat.error[i], error, 1e-4)
    assert heat.passes == (samples, samples)


def test_the_noise_is_a_share_of_each_image_s_range():
    images = pictures(2) * torch.tensor([1.0, 10.0]).view(2, 1, 1, 1)
    network = Watched(conv_net())
    _, copies = noisy_copies(network, images, method="smoothgrad", samples=40, noise=0.1)
    for image, mine in zip(images, copies, strict=True):
        noise = torch.stack(mine) - image
        expected = 0.1 * float(image.max() - image.min())
        assert float(noise.std()) == pytest.approx(expected, rel=0.03)
        assert abs(float(noise.mean())) < 0.05 * expected
        assert float(noise.std(0).mean()) == pytest.approx(expected, rel=0.05), "each copy has noise of its own"


def test_an_error_that_one_sample_cannot_have_is_infinite():
    heat = quietly(conv_net(), pictures(), 1, method="smoothgrad", samples=1)
    assert bool(torch.isinf(heat.error).all())


def coverage(network, images, expected, seeds=40, samples=30):
    """How often the expectation lies within two-sided 95 % of Student's t around the map."""
    limit = 2.045  # 29 degrees of freedom
    hits = []
    for seed in range(seeds):
        heat = quietly(network, images, 0, method="smoothgrad", samples=samples, seed=seed)
        hits.append(((heat.values - expected).abs() <= limit * heat.error).float())
    return float(torch.stack(hits).mean())


def test_the_error_of_smoothgrad_covers_the_expectation_of_a_quadratic():
    network, images = Quadratic(), pictures(1, size=(4, 4))
    expected = (network.curve[0] @ images.flatten()).view_as(images)
    assert 0.93 < coverage(network, images, expected) < 0.97


class Cubic(nn.Module):
    """Scores the sum of cubes: its gradient 3 x^2 has the expectation 3 x^2 + 3 sigma^2 under noise."""

    def forward(self, images):
        return images.pow(3).flatten(1).sum(1, keepdim=True).repeat(1, 2)


def test_the_error_of_smoothgrad_covers_an_expectation_that_hangs_on_the_noise():
    images = pictures(1, size=(4, 4))
    sigma = 0.15 * float(images.max() - images.min())
    expected = 3 * images.square() + 3 * sigma**2
    assert 0.90 < coverage(Cubic(), images, expected) < 0.97
    assert coverage(Cubic(), images, 3 * images.square(), seeds=10) < 0.8


def test_more_samples_shrink_the_error_by_their_root():
    network, images = Quadratic(), pictures(1, size=(4, 4))
    few, many = (quietly(network, images, 0, method="smoothgrad", samples=n).error.mean() for n in (25, 400))
    assert float(few / many) == pytest.approx(4, rel=0.15)


def test_what_seed_draws_does_not_hang_on_the_place_in_a_batch():
    network, images = conv_net(), pictures(1).repeat(3, 1, 1, 1)
    heat = quietly(network, images, 1, method="smoothgrad", seed=3)
    assert close(heat.values[1:2], heat.values[:1])
    assert isinstance(heat, sl.Heat)

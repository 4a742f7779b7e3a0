"""Lucid's Fourier ascent, read off its papers and page by page in plain torch, draws what ours draws."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import sightline as sl
from sightline.canvases import Fourier
from sightline.targets import Direction, Diversity, Layer, Unit

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def network():
    """A few convolutions with weights that are the same every time."""
    dice = torch.Generator().manual_seed(0)
    built = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2),
        nn.SiLU(),
        nn.Conv2d(8, 12, 3),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 6),
    )
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=dice) * 1.5 / parameter[0].numel() ** 0.5)
    return built.eval()


def lucid(objective, numbers, size, steps):
    """param.fft_image, color.to_valid_rgb, and Adam of 0.05 on less the objective: no transforms.

    `numbers` (N, 3, h, w // 2 + 1, 2) are where it starts, the real and the imaginary parts.
    """
    h, w = size
    fy, fx = np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)[: w // 2 + 1]
    freqs = np.sqrt(fx * fx + fy * fy)
    scale = torch.from_numpy(1.0 / np.maximum(freqs, 1.0 / max(w, h)) * np.sqrt(w * h)).float()
    root = np.asarray([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]]).astype("float32")
    colours = torch.from_numpy(root / np.max(np.linalg.norm(root, axis=0)))
    real, imaginary = (numbers[..., i].clone().requires_grad_() for i in (0, 1))
    adam = torch.optim.Adam([real, imaginary], lr=0.05)

    def image():
        values = torch.fft.irfft2(scale * torch.complex(real, imaginary), s=(h, w)) / 4.0
        flat = values.permute(0, 2, 3, 1).reshape(-1, 3) @ colours.T
        return flat.reshape(-1, h, w, 3).permute(0, 3, 1, 2).sigmoid()

    found = []
    for _ in range(steps):
        adam.zero_grad()
        score = objective((image() - MEAN.view(1, 3, 1, 1)) / STD.view(1, 3, 1, 1))
        (-score).sum().backward()
        found.append(score.detach())
        adam.step()
    return image().detach(), torch.stack(found)


NET, AXIS = network(), torch.linspace(-1, 1, 12)


def diverse(x):
    """The mean of channel 3, less Lucid's diversity at the second convolution; its sum over images is taken."""
    acts = NET[:3](x)
    flat = acts.flatten(2)
    grams = flat @ flat.mT
    grams = grams / grams.square().sum((1, 2), keepdim=True).sqrt()
    others = sum((grams[i] * grams[j]).sum() for i in range(len(x)) for j in range(len(x)) if j != i) / len(x)
    return acts[:, 3].mean((1, 2)) - 2.0 * others / (len(x) - 1)


GOALS = {
    "a class": (sl.targets.Class(2), lambda x: NET(x)[:, 2], 1),
    "a channel": (Unit("2", 5), lambda x: NET[:3](x)[:, 5].mean((1, 2)), 1),
    "a neuron": (
        Unit("2", 5, "centre"),
        lambda x: NET[:3](x)[:, 5, NET[:3](x).shape[2] // 2, NET[:3](x).shape[3] // 2],
        2,
    ),
    "a layer": (Layer("2"), lambda x: NET[:3](x).square().mean((1, 2, 3)), 2),
    "a direction": (Direction("2", AXIS), lambda x: (NET[:3](x) * AXIS.view(12, 1, 1)).sum(1).mean((1, 2)), 1),
    "a diverse batch": (Unit("2", 3) + 2.0 * Diversity("2"), diverse, 3),
}


@pytest.mark.parametrize("size", [(24, 24), (20, 32), (21, 27)], ids=str)
@pytest.mark.parametrize("name", GOALS)
def test_the_same_start_comes_to_the_same_image(name, size):
    target, objective, count = GOALS[name]
    canvas = Fourier(decay=1.0, spread=0.01, decorrelated=True)
    model = sl.wrap(NET, input_size=size, mean=MEAN.tolist(), std=STD.tolist(), output="logits")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vis = sl.visualize(
            model, target, 30, seed=3, count=count, canvas=canvas, transforms=(), optimizer="adam", rate=0.05,
            edge="reflect", views=1, normalize=False, blur=0.0, penalties=(), start="noise", patience=0,
        )  # fmt: skip
    dice = [torch.Generator().manual_seed(3 + k) for k in range(count)]
    (start,) = canvas.start(dice, (3, *size))
    expected, scores = lucid(objective, start, size, 30)
    off = (vis.images - expected).abs()
    assert off.mean() < 1e-4
    assert off.max() < 1e-3, "Adam makes much of rounding where a slope is next to none"
    assert (expected - 0.5).abs().max() > 0.2, "it went somewhere"
    if count == 1:
        assert np.allclose(vis.history, scores, rtol=1e-3, atol=1e-4)
        assert vis.history[-1, 0] > vis.history[0, 0]

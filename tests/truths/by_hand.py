"""Slow, literal readings of the papers, to hold the fast ones against."""

import math
import warnings
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

import sightline as sl

METHODS = [method.id for method in sl.methods()]
LAYER = [method.id for method in sl.methods() if "layer" in method.needs]


def pictures(count=2, channels=3, size=(8, 12), seed=1):
    """Images (count, channels, *size) that are the same every time."""
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(seed))


def fixed(network, seed=0, dtype=torch.float32):
    """The network with weights that are the same every time, in evaluation mode."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            share = 1.0 if name.endswith("bias") else parameter[0].numel() ** -0.5
            parameter.copy_(2 * share * torch.randn(parameter.shape, generator=dice))
    return network.to(dtype).eval()


def conv_net(channels=3, classes=5, bias=True):
    """Two convolutions, global average pooling, one linear layer: the shape that CAM was made for."""
    return fixed(
        nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1, bias=bias),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=bias),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, classes, bias=bias),
        )
    )


def linear(classes=4, size=(3, 8, 12)):
    """One weight per pixel and class."""
    return fixed(nn.Sequential(nn.Flatten(), nn.Linear(math.prod(size), classes)))


class Quadratic(nn.Module):
    """Class k scores x' A_k x / 2, with A_k symmetric: its gradient is A_k x."""

    def __init__(self, size=(3, 4, 4), classes=2, seed=0):
        super().__init__()
        n = math.prod(size)
        raw = torch.randn(classes, n, n, generator=torch.Generator().manual_seed(seed)) / n**0.5
        self.register_buffer("curve", raw + raw.transpose(1, 2))

    def forward(self, images):
        flat = images.flatten(1)
        return 0.5 * torch.einsum("bi,kij,bj->bk", flat, self.curve, flat)


def quietly(*args, **options):
    """`sl.attribute` without its warnings, for truths that do not turn on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return sl.attribute(*args, **options)


class Watched(nn.Module):
    """Remembers the images that it was shown."""

    def __init__(self, network):
        super().__init__()
        self.network, self.shown = network, []

    def forward(self, images):
        self.shown += list(images.detach().clone())
        return self.network(images)


def noisy_copies(network, images, target=1, **options):
    """The heat, and the noisy copies of each image that the network was shown on the way."""
    quietly(network, images, target, **options | {"samples": 1})  # looks the network over first
    network.shown.clear()
    heat = quietly(network, images, target, **options)
    noisy = [image for image in network.shown if not any(torch.equal(image, one) for one in images)]
    nearest = [int((image - images).flatten(1).norm(dim=1).argmin()) for image in noisy]
    return heat, [[copy for copy, i in zip(noisy, nearest, strict=True) if i == mine] for mine in range(len(images))]


def gradient(images, score):
    """Autograd's gradient of `score(images)`, one score per image, at the images."""
    leaf = images.clone().requires_grad_()
    return torch.autograd.grad(score(leaf).sum(), leaf)[0]


def trapezoid(images, start, score, steps):
    """Integrated gradients (arXiv:1703.01365) by `steps` trapezoids of equal width, point by point, in float64."""
    slopes = [gradient(start + i / steps * (images - start), score).double() for i in range(steps + 1)]
    mean = sum((a + b) / 2 for a, b in pairwise(slopes)) / steps
    return mean * (images - start)


def grad_cam(below, above, images, score):
    """Grad-CAM without its final ReLU (arXiv:1610.02391, equations 1 and 2), channel by channel, enlarged slowly.

    `below` gives the activations of images, `above` the network's answer to activations.
    """
    acts = below(images).detach().requires_grad_()
    slopes = torch.autograd.grad(score(above(acts)).sum(), acts)[0]
    maps = []
    for act, slope in zip(acts.detach(), slopes, strict=True):
        channels, rows, columns = act.shape
        total = torch.zeros(rows, columns)
        for channel in range(channels):
            weight = sum(float(slope[channel, i, j]) for i in range(rows) for j in range(columns)) / (rows * columns)
            total += weight * act[channel]
        maps.append(enlarged(total, tuple(images.shape[2:])))
    return torch.stack(maps)[:, None]


def at_layer(below, above, images, score):
    """The activations of a layer and the score's gradient there, both (B, C, h, w)."""
    acts = below(images).detach().requires_grad_()
    return acts.detach(), torch.autograd.grad(score(above(acts)).sum(), acts)[0]


def enlarged(grid, size):
    """A map (h, w) on a grid of `size`, bilinear, pixel centres at halves (align_corners=False), pixel by pixel."""
    out = torch.zeros(size, dtype=torch.float64)
    for y in range(size[0]):
        for x in range(size[1]):
            row, column = ((at + 0.5) * cells / n for at, cells, n in zip((y, x), grid.shape, size, strict=True))
            out[y, x] = _between(grid.double(), row, column)
    return out


def _between(grid, y, x):
    total = 0.0
    for row, share in _neighbours(y, grid.shape[0]):
        for column, other in _neighbours(x, grid.shape[1]):
            total += share * other * grid[row, column]
    return total


def _neighbours(place, count):
    place = min(max(place - 0.5, 0.0), count - 1.0)
    low = min(int(place), count - 1)
    return ((low, 1 - (place - low)), (min(low + 1, count - 1), place - low))


def cosine(a, b):
    """Cosine of the angle between two maps."""
    return float(F.cosine_similarity(a.double().flatten(), b.double().flatten(), dim=0))


def close(values, expected, share=1e-5):
    """Whether maps agree within a share of the expected maximum, which has to be above zero."""
    assert values.shape == expected.shape
    largest = expected.double().abs().max()
    assert largest > 0, "a blank map proves nothing"
    return bool((values.double() - expected.double()).abs().max() <= share * largest)

"""Small networks to climb in, and ways to climb that leave nothing to a preset."""

import math
import warnings
from dataclasses import fields

import numpy as np
import torch
from torch import nn

import sightline as sl
from sightline.features.ascent import Way

MEAN, STD = 0.5, 0.25
SIZE = (8, 12)


def fixed(network, seed=0, dtype=torch.float32, share=2.0):
    """The network with weights that are the same every time, in evaluation mode."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            size = 1.0 if name.endswith("bias") else parameter[0].numel() ** -0.5
            parameter.copy_(share * size * torch.randn(parameter.shape, generator=dice))
    return network.to(dtype).eval()


def linear(classes=4, size=(3, *SIZE), share=2.0):
    """One weight per pixel and class."""
    return fixed(nn.Sequential(nn.Flatten(), nn.Linear(math.prod(size), classes)), share=share)


def conv_net(channels=3, classes=5, dtype=torch.float32):
    """Two smooth convolutions, an average and a linear layer; layer "2" is a map of (8, h / 2, w / 2)."""
    return fixed(
        nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(6, 8, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, classes),
        ),
        dtype=dtype,
    )


def dense(channels=3, classes=4):
    """A segmentation network: scores (N, classes, h / 2, w / 2)."""
    return fixed(nn.Sequential(nn.Conv2d(channels, 6, 3, 2, 1), nn.SiLU(), nn.Conv2d(6, classes, 1)))


def pictures(count=2, channels=3, size=SIZE, seed=1):
    """Images (count, channels, *size) that are the same every time."""
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(seed))


def photo(size=SIZE, channels=3, seed=0):
    """A smooth photo (C, h, w) in [0, 1], away from black and white."""
    coarse = torch.rand(1, channels, 3, 3, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(0.2 + 0.6 * coarse, size, mode="bilinear", align_corners=True)[0]


def model_of(network, size=SIZE, **options):
    """A model whose units are pixels less 0.5, over 0.25."""
    return sl.wrap(network, input_size=size, **{"mean": MEAN, "std": STD, "resize": "squash"} | options)


def units(pixels):
    """Pixels in the units of `model_of`."""
    return (pixels - MEAN) / STD


PLAIN = {
    "canvas": sl.canvases.Pixels(limits=None),
    "transforms": (),
    "optimizer": "sgd",
    "rate": 0.02,
    "edge": "reflect",
    "views": 1,
    "normalize": False,
    "blur": 0.0,
    "penalties": (),
    "start": "noise",
    "patience": 0,
}
"""Gradient ascent on pixels and nothing else."""
assert {*PLAIN, "rate"} == {one.name for one in fields(Way)} | {"rate"}, "every field of a way is said here"


def climb(model, target=1, steps=5, **options):
    """`sl.visualize` with all of PLAIN that is not said otherwise, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return sl.visualize(model, target, steps, **PLAIN | options)


T, C = sl.transforms, sl.canvases
WAYS = {
    "pixels": {"canvas": C.Pixels(), "transforms": (T.Jitter(2),), "edge": "wrap", "normalize": True},
    "momentum": {"transforms": (T.Jitter(0.1), T.Noise(0.05)), "optimizer": torch.optim.SGD},
    "fourier": {
        "canvas": C.Fourier(),
        "transforms": (T.Crop(0.5, 0.9), T.Rotate(20), T.Flip(), T.Blur(0.7)),
        "optimizer": "adam",
        "rate": 0.05,
    },
    "laplacian": {"canvas": C.Laplacian(3), "transforms": (T.Pad(2),), "edge": "grey", "optimizer": "rmsprop"},
    "phase": {"canvas": C.Phase(), "transforms": (T.Crop(0.4, 0.9),), "optimizer": "nadam", "rate": 0.1},
    "cppn": {"canvas": C.CPPN(6, 3), "transforms": (T.Scale(0.9, 1.2),), "optimizer": "adam", "rate": 0.01},
    "transparent": {"canvas": C.Transparent(C.Fourier()), "optimizer": "adam", "rate": 0.05},
    "blurred": {"canvas": C.Pixels(), "rate": 0.2, "blur": 0.6, "penalties": (10 * sl.targets.TotalVariation(),)},
}
"""Canvases, optimizers and transforms of every kind between them."""


def same(one, other, share=1e-5):
    """Whether two visualizations drew the same, and found the same on the way, within a share."""
    near = [
        torch.allclose(one.images, other.images, atol=share, rtol=0),
        torch.allclose(one.scores, other.scores, atol=share, rtol=share),
        np.allclose(one.history, other.history, atol=share, rtol=share, equal_nan=True),
    ]
    return all(near)


def identical(one, other):
    """Whether two visualizations are the same to the bit, with all that it takes to go on."""
    arrays, expected = one.arrays, other.arrays
    assert arrays.keys() == expected.keys()
    equal = [np.array_equal(arrays[name], expected[name], equal_nan=True) for name in arrays if "frame" not in name]
    return all(equal) and torch.equal(one.drawn, other.drawn) and torch.equal(one.importance, other.importance)

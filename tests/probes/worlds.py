"""Drawn pictures with an object in them, and models whose answers are sums on paper."""

import warnings

import numpy as np
import torch

import sightline as sl
from sightline.photos.fills import fills_of
from sightline.probes.world import World

RED, GREEN, BLUE = (torch.tensor(colour).view(3, 1, 1) for colour in ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)))


def pixels_of(*size, channels=3, seed=1):
    """Pixels (channels, *size) in [0, 1] that are the same every time."""
    return torch.rand(channels, *size, generator=torch.Generator().manual_seed(seed))


def box_mask(size, box):
    """1 in a box (x0, y0, x1, y1), 0 elsewhere, (h, w)."""
    mask = torch.zeros(size)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


def disc_mask(size, middle, radius):
    """1 where a pixel's middle lies in a disc around (y, x), (h, w)."""
    rows, columns = torch.meshgrid(*(torch.arange(side) + 0.5 for side in size), indexing="ij")
    return ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 <= radius**2).float()


def worlds(pixels, mask, fill="black", *, inside=None, scale=(1.0, 1.0), look=None, seed=0):
    """A world for each fill."""
    seen = torch.ones_like(mask) if inside is None else inside
    fills = fills_of(fill, pixels, seed)
    return [World(pixels, mask, seen, scale, one, look, seed) for one in fills]


def world(pixels, mask, fill="black", **how):
    """The world under one fill."""
    (only,) = worlds(pixels, mask, fill, **how)
    return only


def photo_of(pixels):
    """Pixels (C, h, w) in [0, 1] as a photo (h, w, C) in floats."""
    return np.ascontiguousarray(pixels.movedim(0, -1).numpy())


def probed(*args, **options):
    """`sl.probe` without its warnings, for truths that do not turn on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.SightlineWarning)
        return sl.probe(*args, **options)


def model_of(scores, size=(12, 16), **options):
    """A function of pixels (N, C, h, w) in [0, 1] as a model that sees photos of that size as they are."""
    return sl.wrap(scores, input_size=size, resize="squash", **options)


def two_classes(score):
    """(N, 2) scores, `score` and 0, from a function (N, C, h, w) -> (N,)."""

    def scores(images):
        found = score(images)
        return torch.stack([found, torch.zeros_like(found)], 1)

    return scores

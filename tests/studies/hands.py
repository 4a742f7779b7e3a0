"""Worlds by hand: three classes, each a colour; the object is the middle, the surroundings are all around it."""

import numpy as np
import torch

from sightline.studies.pool import Pool

CLASSES = 3


def pool_by_hand(each: int = 24, seed: int = 0) -> Pool:
    """Photos (n, 3, 8, 8): object and surroundings both in the class's channel, and noise in the last column."""
    labels = np.repeat(np.arange(CLASSES), each)
    dice = torch.Generator().manual_seed(seed)
    empty = torch.zeros(len(labels), CLASSES, 8, 8, dtype=torch.uint8)
    empty[torch.arange(len(labels)), torch.from_numpy(labels)] = 255
    empty[:, :, :, 7] = torch.randint(256, (len(labels), 1, 8), generator=dice, dtype=torch.uint8)
    photos, cut = empty.clone(), torch.zeros(len(labels), 8, 8, dtype=torch.uint8)
    cut[:, 2:6, 2:6] = 255
    photos[:, :, 2:6, 2:6] = 0
    photos[torch.arange(len(labels)), torch.from_numpy(labels), 2:6, 2:6] = 255
    photos[:, :, 3, 3] = torch.randint(256, (len(labels), 1), generator=dice, dtype=torch.uint8)  # the object's own
    return Pool(photos, empty, cut, labels)


def told(images):
    """What the object and what the surroundings are, (n, 3) each: 1 for the class."""
    return images[:, :, 5, 5], images[:, :, 0, 0]


def additive(share_of_surroundings: float):
    """Probabilities that add up: known Shapley values."""

    def ask(images):
        thing, around = told(images)
        return (1 - share_of_surroundings) * thing + share_of_surroundings * around

    return ask


def both_needed(images):
    """The class where object and surroundings agree, else a fourth one."""
    thing, around = told(images)
    agree = (thing * around).sum(1, keepdim=True)
    return torch.cat([agree * thing, 1 - agree], 1)


def some_by_surroundings(share: float):
    """For so many of the objects, by a number of their own, the surroundings decide; for the others the object."""

    def ask(images):
        thing, around = told(images)
        led = images[:, :1, 3, 3] < share
        return torch.where(led, around, thing)

    return ask

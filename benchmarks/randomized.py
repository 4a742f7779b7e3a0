"""RISE as its authors published it, beside ours: the same score of images masked alike, masks made anew each time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sightline as sl
from benchmarks.cases import Case
from benchmarks.contestants import Contestant, at_its_best
from benchmarks.race import cpu_seconds
from sightline.attribution.rise import Masks

MASKS, CELLS, KEEP = 100, 7, 0.5
PUBLISHED = 100  # masks through the network at once, as their code has it
ONE_ROUND = 8  # masks of ours that no regression foretells yet


def ours(case: Case, samples: int = MASKS) -> Contestant:
    """The class's probability, hidden pixels zero in the network's units: what the authors' loop calculates with."""
    model, target = case.model(), probability(case.target)
    options: dict[str, Any] = {"samples": samples, "cells": CELLS, "keep": KEEP, "fill": case.mean}
    return Contestant(lambda: {"rise": sl.attribute(model, case.images, target, "rise", **options).values})


def probability(target: int) -> Callable[[Tensor], Tensor]:
    """The score of a class after the softmax."""
    return lambda scores: scores.softmax(1)[:, target]


@dataclass(frozen=True, eq=False)
class Loop:
    """The authors' `explanations.py` (github.com/eclique/RISE) in other words, for one image (1, C, *spatial).

    `model` gives probabilities; `at_once` is their `gpu_batch`.
    """

    model: nn.Module
    image: Tensor
    at_once: int = PUBLISHED

    def probabilities(self, masks: Tensor) -> Tensor:
        """(N, K) of the image under masks (N, 1, *spatial): all masked images are made, then asked in batches."""
        masked = masks * self.image
        return torch.cat([self.model(part) for part in torch.split(masked, self.at_once)])

    def saliency(self, probabilities: Tensor, masks: Tensor) -> Tensor:
        """The masks' mean weighted by probability, over the chance to be kept: a map of each class, (K, *spatial)."""
        total = probabilities.T @ masks.flatten(1)
        return total.view(-1, *masks.shape[2:]) / len(masks) / KEEP


def authors_masks(count: int, spatial: Sequence[int], dice: np.random.Generator) -> Tensor:
    """Masks (count, 1, *spatial): grids enlarged to one cell more than the image takes, and cropped at random."""
    from skimage.transform import resize

    cell = [math.ceil(side / CELLS) for side in spatial]
    large = [(CELLS + 1) * side for side in cell]
    masks = np.empty((count, *spatial))
    for mask in masks:
        grid = (dice.random((CELLS, CELLS)) < KEEP).astype(np.float32)
        window = tuple(
            slice(at, at + side) for at, side in zip(dice.integers(0, cell).tolist(), spatial, strict=True)
        )
        enlarged = resize(grid, large, order=1, mode="reflect", anti_aliasing=False)  # type: ignore[no-untyped-call]
        mask[...] = enlarged[window]
    return torch.from_numpy(masks)[:, None].float()


def authors(case: Case, at_once: int = PUBLISHED) -> Contestant:
    """Their loop as published: maps for every class, of which one is given."""
    loop = _loop(case, at_once)

    def run() -> dict[str, Tensor]:
        masks = _fresh(case)
        return {"rise": loop.saliency(loop.probabilities(masks), masks)[case.target][None, None]}

    seconds = median(cpu_seconds(lambda: _fresh(case)) for _ in range(3))
    return Contestant(run, chosen=f"{1000 * seconds:.0f} ms of it make the masks")


def authors_at_their_best(case: Case, sizes: Sequence[int] = (8, 32, PUBLISHED)) -> Contestant:
    """Their loop for the one class alone, at the fastest of a few batch sizes."""
    loops = {size: _loop(case, size) for size in sizes}

    def at_once(size: int) -> dict[str, Tensor]:
        masks = _fresh(case)
        wanted = loops[size].probabilities(masks)[:, [case.target]]
        return {"rise": loops[size].saliency(wanted, masks)[None]}

    return at_its_best(at_once, sizes)


def from_the_same_masks(case: Case) -> dict[str, Contestant]:
    """Ours and theirs from the same few masks, of which ours takes the mean probability of those before them.

    So it is in ours' first round. Later ones foretell more of the score, and agree with theirs in the mean only.
    """
    masks = Masks(tuple(case.images.shape[2:]), CELLS, KEEP, seed=0).draw(ONE_ROUND)
    loop = _loop(case)

    def theirs() -> dict[str, Tensor]:
        found = loop.probabilities(masks)
        away = found[1:] - found.cumsum(0)[:-1] / torch.arange(1, ONE_ROUND)[:, None]
        maps = loop.saliency(away, masks[1:]) - away.mean(0)[:, None, None]  # (mask - keep) / keep, for mask / keep
        return {"rise": maps[case.target][None, None]}

    same = Contestant(theirs)
    return {"ours": ours(case, ONE_ROUND), "the authors' loop": same, "the authors' loop at its fastest": same}


def _loop(case: Case, at_once: int = PUBLISHED) -> Loop:
    """With a softmax behind the network and parameters that ask for no gradient, as in the authors' notebook."""
    model = nn.Sequential(case.own(), nn.Softmax(1)).eval().requires_grad_(False)
    return Loop(model, case.images, at_once)


def _fresh(case: Case) -> Tensor:
    return authors_masks(MASKS, case.images.shape[2:], np.random.default_rng(0))

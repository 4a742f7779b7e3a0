"""How much a mask of RISE says: the variance of its estimate, plain and ours, from the same masks and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

import sightline as sl
from benchmarks import data, passes
from benchmarks.findings import Finding, Goal
from benchmarks.randomized import CELLS, KEEP, probability
from benchmarks.stats import Ratio, ratio
from sightline.attribution.rise import Masks

MASKS, ERROR = 4000, 0.1
_AT_ONCE = 100
Read = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Spread:
    """Variances of what one mask adds to the map, mean over the pixels, by three estimators of the same thing.

    `plain` is the paper's, score * mask / keep; `control` has the mean score and the mean mask taken off both;
    `apart` is how far the maps of the last two differ, in standard errors of `control`'s, root mean square.
    """

    plain: float
    control: float
    ours: float
    apart: float


def measure(_rounds: int) -> Iterator[Finding]:
    """Every photo on both networks: the predicted class's logit, and for the note its probability."""
    data.check()
    logits, shares = [], []
    for network, image in passes.photos("rise-variance"):
        with torch.no_grad():
            target = int(network(image)[0].argmax())
        logits.append(spread(network, image, partial(_logit, target)))
        shares.append(spread(network, image, probability(target)))
    needed, theirs = ([each / ERROR**2 for each in (s.ours for s in logits)], [s.plain / ERROR**2 for s in logits])
    what = f"masks of RISE to a standard error of {ERROR:g} of a logit"
    each, goal = ratio(theirs, needed), Goal("at least", 8.0)
    medians = median(needed), median(theirs)
    yield Finding("rise-variance", what, "plain RISE", *medians, "masks", each, goal, _note(logits, shares))


def _logit(target: int, scores: Tensor) -> Tensor:
    return scores[:, target]


def _note(logits: Sequence[Spread], shares: Sequence[Spread]) -> str:
    parts = [
        f"without the regression {_control(logits)}",
        f"where the score is the probability {_gain(shares)}, without the regression {_control(shares)}",
        f"with and without it the logit's maps are {median(s.apart for s in logits):.2f} standard errors apart",
    ]
    return "; ".join(parts)


def _gain(spreads: Sequence[Spread]) -> Ratio:
    return ratio([s.plain for s in spreads], [s.ours for s in spreads])


def _control(spreads: Sequence[Spread]) -> Ratio:
    return ratio([s.plain for s in spreads], [s.control for s in spreads])


def spread(network: nn.Module, image: Tensor, read: Read, count: int = MASKS) -> Spread:
    """What `count` masks say of one image (1, C, *spatial): scored once, by `sl.attribute`, then drawn again.

    The images are normalized with a mean and a deviation of 0.5.
    """
    seen: list[Tensor] = []

    def target(scores: Tensor) -> Tensor:
        seen.append(read(scores))
        return seen[-1]

    model = sl.wrap(network, input_size=image.shape[-1], mean=0.5, std=0.5)
    heat = sl.attribute(model, image, target, "rise", samples=count, cells=CELLS, keep=KEEP)
    assert heat.error is not None
    scores = torch.cat(seen).double()
    plain, control = estimators(scores, image.shape[2:])
    ours = float(heat.error.double().square().mean()) * count
    apart = (heat.values[0, 0].double() - control.mean) / (control.variance / count).sqrt()
    rms = float(apart.square().mean().sqrt())
    return Spread(float(plain.variance.mean()), float(control.variance.mean()), ours, rms)


class Moments:
    """Mean and variance of a sample that arrives in parts (n, *spatial), each (*spatial)."""

    def __init__(self) -> None:
        self._count, self._total, self._squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, part: Tensor) -> None:
        self._count += len(part)
        self._total, self._squares = self._total + part.sum(0), self._squares + part.square().sum(0)

    @property
    def mean(self) -> Tensor:
        return self._total / self._count

    @property
    def variance(self) -> Tensor:
        return (self._squares - self._total.square() / self._count) / (self._count - 1)


def estimators(scores: Tensor, spatial: Sequence[int]) -> tuple[Moments, Moments]:
    """What each mask adds, by the paper's estimator and with its means taken off, for scores (N,) of the first masks.

    The mean mask is known: it is the chance to be kept.
    """
    masks, level = Masks(tuple(spatial), CELLS, KEEP, seed=0), scores.mean()
    plain, control = Moments(), Moments()
    for part in torch.split(scores, _AT_ONCE):
        drawn, score = masks.draw(len(part))[:, 0].double(), part.view(-1, 1, 1)
        plain.add(score * drawn / KEEP)
        control.add((score - level) * (drawn - KEEP) / KEEP)
    return plain, control

"""Many worlds, one after the other through the network: each made when its turn comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

import torch
from torch import Tensor

from sightline.core.targets import Class, Target
from sightline.network.net import Net
from sightline.probes.controls import Shift
from sightline.probes.edits import Edit
from sightline.probes.world import World

NOT_SAID = -1  # in place of a class: the one asked about is not among the model's answers


@dataclass(frozen=True)
class Untouched(Edit):
    """Nothing is changed."""

    def __call__(self, world: World) -> World:
        return world


@dataclass(frozen=True)
class Nothing(Edit):
    """Everything is filled."""

    @property
    def fills(self) -> bool:
        return True

    def __call__(self, world: World) -> World:
        return replace(world, pixels=world.hide(torch.ones_like(world.mask)))


@dataclass(frozen=True, eq=False)
class Job:
    """One world to show: an edit under one fill, at the region or somewhere else."""

    edit: Edit
    fill: int
    shift: Shift | None = None

    def show(self, worlds: Sequence[World]) -> Tensor:
        """Its pixels, (C, h, w)."""
        world = worlds[self.fill]
        return self.edit(world if self.shift is None else world.at(self.shift)).pixels


@dataclass(frozen=True, eq=False)
class Told:
    """What some jobs were answered: the target's values, the answers, scores (K, ...), under fills by name."""

    values: list[float]
    tops: list[int | None]
    scores: list[Tensor]
    fills: list[str]


@dataclass(frozen=True, eq=False)
class Answer:
    """What one world is answered, mean over the fills: the target's `value`, the network's `scores` (K, ...).

    `best`: see `says`. `picture` (C, h, w) in [0, 1]: the world under the first fill.
    """

    value: float
    scores: Tensor
    best: int | None
    told: Told
    picture: Tensor


def shown_in(edit: Edit, worlds: Sequence[World]) -> Sequence[World]:
    """The worlds in which an edit differs: one where it shows no fill."""
    return worlds if edit.fills else worlds[:1]


def jobs_of(edit: Edit, worlds: Sequence[World], shifts: Sequence[Shift | None] = (None,)) -> list[Job]:
    """An edit at the region (None) or elsewhere, under each fill that it shows."""
    return [Job(edit, i, shift) for shift in shifts for i in range(len(shown_in(edit, worlds)))]


def tell(net: Net, target: Target, worlds: Sequence[World], groups: list[list[Job]], kept: int) -> list[Told]:
    """What each group of jobs is told, and of the first `kept` jobs the network's scores too."""
    jobs = [job for group in groups for job in group]
    rows = torch.zeros(len(jobs), dtype=torch.long)
    values: list[float] = []
    tops: list[int | None] = []
    scores: list[Tensor] = []

    def make(part: slice) -> Tensor:
        return net.images(torch.stack([job.show(worlds) for job in jobs[part]]))

    for value, answer in net.answers(len(jobs), make, target, rows):
        scores += answer[: max(0, kept - len(scores))].float().cpu()
        values += value.tolist()
        tops += says(net, target, answer)
    told = []
    start = 0
    for group in groups:
        part = slice(start, start + len(group))
        fills = [worlds[job.fill].fill.name for job in group if job.edit.fills]
        told.append(Told(values[part], tops[part], scores[part], fills))
        start = part.stop
    return told


def says(net: Net, target: Target, scores: Tensor) -> list[int | None]:
    """What the model answers by each row of scores (N, K, ...): the best class.

    Where several classes can be right at once, the class asked about if its probability is at least a half, else -1.
    None where there is no such answer: a regression, a dense output, several classes and none of them asked about.
    """
    output, ranked = net.readout.output, scores.ndim == 2
    if ranked and output in ("logits", "probabilities") and scores.shape[1] > 1:
        return list(scores.argmax(1).tolist())
    if ranked and output == "multilabel" and isinstance(target, Class):
        return [target.index if yes else NOT_SAID for yes in (scores[:, target.index] >= 0).tolist()]
    return [None] * len(scores)


def answer_of(net: Net, target: Target, told: Told, picture: Tensor) -> Answer:
    """The mean over the fills; of boxes, which have none, those under the first fill."""
    scores = told.scores[0] if net.readout.output == "detections" else torch.stack(told.scores).mean(0)
    return Answer(mean(told.values), scores, says(net, target, scores[None])[0], told, picture)

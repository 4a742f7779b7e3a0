"""One photo, many edits: what the model answers, and whether the same edit elsewhere would do as much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from sightline.core.places import Box
from sightline.core.targets import Class, Target
from sightline.network.net import Net
from sightline.probes.asking import Answer, Nothing, Told, Untouched, answer_of, jobs_of, shown_in, tell
from sightline.probes.controls import Controls, Grounds, controls
from sightline.probes.edits import Edit, Keep, Remove
from sightline.probes.effects import NONE, Effect, Verdict, note, verdict
from sightline.probes.shares import Shares
from sightline.probes.world import World
from sightline.stats.multiplicity import holm, randomization_p


@dataclass(frozen=True, eq=False)
class Findings:
    """All that was found about one photo; `passes` is how many worlds went through the network.

    `answers`: by edit, and to the four worlds of the shares: "original", "nothing", "remove" and "keep".
    """

    answers: Mapping[str, Answer]
    effects: Mapping[str, Effect]
    shares: Shares
    verdict: Verdict
    why: str
    passes: int


def probe(
    net: Net, target: Target, worlds: Sequence[World], edits: Mapping[str, Edit], count: int, seed: int
) -> Findings:
    """All edits under all fills, their controls and the four worlds of the shares, in as few batches as fit.

    `worlds`: the same photo and region with each fill; `target`: fixed on the untouched photo. `count`: controls for
    each edit, where so many places fit.
    """
    gain, grounds = _gain(net, worlds[0]), Grounds(worlds[0])

    def place(edit: Edit) -> Controls:
        dice = torch.Generator().manual_seed(seed)  # its own: an edit's controls do not turn on the other edits
        return controls(shown_in(edit, worlds), edit, gain, count, grounds, dice) if count else NONE

    hidden = cache(
        lambda: place(Remove())
    )  # what is at stake is the same where a shape is hidden and where it is kept
    sites = {n: hidden() if isinstance(edit, Remove | Keep) else place(edit) for n, edit in edits.items()}
    wanted = {"original": Untouched(), "nothing": Nothing(), "remove": Remove(), "keep": Keep()} | dict(edits)
    main = [jobs_of(edit, worlds) for edit in wanted.values()]
    beside = [jobs_of(edit, worlds, sites[name].shifts) for name, edit in edits.items()]
    told = tell(net, target, worlds, main + beside, kept=sum(map(len, main)))
    answers = {
        name: answer_of(net, target, one, jobs[0].show(worlds))
        for name, one, jobs in zip(wanted, told, main, strict=False)
    }
    original, nothing = answers["original"], answers["nothing"]
    effects = {
        name: _effect(net, target, edit, (original, answers[name]), sites[name], one)
        for (name, edit), one in zip(edits.items(), told[len(main) :], strict=True)
    }
    called = isinstance(target, Class) and target.index in nothing.told.tops
    shares = Shares(original.value, answers["keep"].value, answers["remove"].value, nothing.value, called)
    effects = _adjusted(effects)
    return Findings(
        answers,
        effects,
        shares,
        *verdict(target, original, answers["remove"], answers["keep"], nothing, effects.get("remove")),
        sum(map(len, main + beside)),
    )


def _gain(net: Net, world: World) -> Tensor:
    """(C, 1, 1): how far apart black and white are at the network's input."""
    ends = torch.stack([torch.full_like(world.pixels[:, :1, :1], end) for end in (0.0, 1.0)])
    black, white = net.images(ends)
    gain: Tensor = white - black
    return gain


def _effect(
    net: Net, target: Target, edit: Edit, answers: tuple[Answer, Answer], where: Controls, beside: Told
) -> Effect:
    original, answer = answers
    change, sign = answer.value - original.value, 1 if edit.keeps else -1
    each = np.array(beside.values).reshape(len(where.shifts), -1).mean(1) if where.shifts else np.zeros(0)
    changes = each - original.value
    (own,) = original.told.tops
    classes = original.best is not None
    return Effect(
        change,
        {name: value - original.value for name, value in zip(answer.told.fills, answer.told.values, strict=False)},
        changes,
        randomization_p(sign * change, (sign * changes).tolist()) if len(changes) else None,
        beyond="above" if edit.keeps else "below",
        holds=tuple(top == own for top in answer.told.tops) if classes else (),
        held=fmean(top == own for top in beside.tops) if classes and beside.tops else None,
        probability=_probability(net, target, original, answer),
        where=where,
    )


def _probability(net: Net, target: Target, original: Answer, answer: Answer) -> tuple[float, float] | None:
    if isinstance(target, Box):
        return original.value, answer.value
    if not isinstance(target, Class) or original.scores.ndim != 1:
        return None
    both = net.readout.probabilities(torch.stack([original.scores, answer.scores]))
    return None if both is None else (float(both[0, target.index]), float(both[1, target.index]))


def _adjusted(effects: Mapping[str, Effect]) -> dict[str, Effect]:
    """The effects with Holm's p over those that have one, and with what a reader has to know."""
    tested = [name for name, effect in effects.items() if effect.p is not None]
    holms = dict(zip(tested, holm([effects[name].p or 1.0 for name in tested]), strict=True))
    adjusted = {name: replace(effect, adjusted=holms.get(name)) for name, effect in effects.items()}
    return {name: replace(effect, note=note(effect, len(tested))) for name, effect in adjusted.items()}

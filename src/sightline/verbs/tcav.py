"""Does a concept count for a class? Testing with concept activation vectors."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sightline.core.checks import whole
from sightline.core.errors import TargetError
from sightline.core.heats import Warning
from sightline.core.places import Box, Region
from sightline.core.targets import Classes, PerImage, Target, parts_of
from sightline.features.tcav import Trial
from sightline.models.model import Model
from sightline.stats.welch import welch
from sightline.verbs.asked import target_for
from sightline.verbs.attribute import announce
from sightline.verbs.crowd import Crowd, crowd_of
from sightline.verbs.explain import check_model
from sightline.verbs.layered import Layered, Progress
from sightline.verbs.trialled import Tcav
from sightline.verbs.words import describe

_FEW = 20  # photos: fewer make an unsteady vector, and a coarse score
_FEWEST = 19  # controls: with fewer, p can never be 0.05
_NORMAL = 1.645  # one-sided 95 %
_ALIKE = 1e-4  # share of the largest slope by which those of a linear head may differ


def tcav(
    model: Model,
    concept: Any,
    others: Any,
    photos: Any,
    target: Any,
    layer: str | None = None,
    *,
    runs: int = 20,
    controls: int = 99,
    seed: int = 0,
    name: str | None = None,
    progress: Progress | None = None,
) -> Tcav:
    """Whether a concept counts for a target, by directions that tell its photos from others (arXiv:1711.11279).

    In each of `runs` a logistic regression learns to tell `concept` photos from as many random `others`, in what the
    layer puts out, flattened; a third of both is held out. Its score is the share of `photos`, which should be of the
    target's class, whose derivative of the target along the vector is above zero. In `controls` runs more a random
    part of `others` stands for the concept against another. p, two-sided, is how often such a control's mean slope
    is as far from theirs as that of the concept over all its runs, which is not bounded as scores are: 0.3 to 3 % of
    chance concepts had 0.05 or less, and 52 to 66 % by the paper's Welch test (docs/concepts.md).

    `concept`, `others`, `photos`: a folder each, or an iterable of photos. `layer`: None takes the model's default
    layer; where the score is linear in it, an earlier one says more. `name`: of the concept; None takes its folder's.
    Needs the extra "concepts". Raises PhotoError, TargetError, LayerError, OptionError, MethodError without
    scikit-learn or for a black box, NetworkError.
    """
    check_model(model)
    whole("runs", runs, 2)
    whole("controls", controls, _FEWEST)
    whole("seed", seed, 0)
    asked = _one_target(target, model)
    where = model.default_layer if layer is None else layer
    crowds = {
        what: crowd_of(model, given, f"photos of {what}")
        for what, given in (("concept", concept), ("others", others), ("class", photos))
    }
    reads = {what: Layered(crowd, where, progress) for what, crowd in crowds.items()}
    own, rest = (reads[what].all()[1] for what in ("concept", "others"))
    slopes = _slopes(reads["class"], asked)
    trial = Trial(*(one.flatten(1).numpy() for one in (own, rest, slopes)))
    found, chance = trial.run(runs, seed), trial.null(controls, seed)
    bound = 0.5 + _NORMAL * math.sqrt(0.25 / (2 * trial.held_out))
    shared = dict.fromkeys(one for read in reads.values() for one in read.warnings)
    result = Tcav(
        layer=where,
        concept=_named(concept, name),
        target=asked,
        label=describe(asked, model.labels),
        found=found,
        chance=chance,
        test=welch(found.scores.tolist(), chance.scores.tolist()),
        bound=bound,
        photos={what: crowd.record for what, crowd in crowds.items()},
        grid=tuple(own.shape[1:]),
        model=model.source,
        recipe=model.recipe(),
        seed=seed,
        warnings=(*shared, *_doubts(crowds, slopes, float(found.accuracy.mean()), bound)),
    )
    announce(result.warnings)
    return result


def _one_target(given: Any, model: Model) -> Target:
    """One target for all photos. Raises TargetError."""
    target = None if given is None else target_for(given, 1, model)
    if target is None or any(isinstance(part, Box | Classes | PerImage | Region) for _, part in parts_of(target)):
        raise TargetError(
            f"target={given!r}; give one that holds for all photos: a class, a label, or of sl.targets."
        )
    return target


def _slopes(read: Layered, target: Target) -> Tensor:
    """The target's gradient at the layer for each photo, (n, C, *grid), on the CPU."""
    model, parts = read.crowd.model, []
    for _, images in read.crowd.batches():
        with model.lend(images) as net:
            net.progress = read.progress or net.progress
            runs = net.gradients(images, target, (read.layer,)).grads[read.layer]
            read.note(net, len(runs))
        parts.append(runs[-1].float().cpu())
    return torch.cat(parts)


def _named(concept: Any, name: str | None) -> str:
    if name is not None:
        return str(name)
    folder = isinstance(concept, str | PathLike) and os.path.isdir(concept)
    return Path(os.fsdecode(concept)).resolve().name if folder else "the concept"


def _doubts(crowds: dict[str, Crowd], slopes: Tensor, accuracy: float, bound: float) -> Iterator[Warning]:
    """What makes the test say less than it seems to."""
    few = [f"{crowd.count} {crowd.what}" for crowd in crowds.values() if crowd.count < _FEW]
    if few:
        yield Warning("few-photos", f"{' and '.join(few)}: with fewer than {_FEW} of a kind the scores are unsteady.")
    shared = crowds["concept"].shared(crowds["others"])
    if shared:
        yield Warning(
            "in-both", f"{shared} photos are of the concept and among the others; they cannot be told apart."
        )
    if accuracy <= bound:
        message = (
            f"the classifiers are right on {accuracy:.0%} of photos held out; up to {bound:.0%} may be chance. Their "
            "vectors may have nothing to do with the concept. Take more photos, or another layer."
        )
        yield Warning("weak-concept", message)
    yield from _flat(slopes)


def _flat(slopes: Tensor) -> Iterator[Warning]:
    """A warning where the score does not depend on the layer, or in the same way whatever the photo."""
    most = float(slopes.abs().max())
    if not most:
        yield Warning("blank-map", "the score does not depend on this layer; no vector makes a difference.")
    elif len(slopes) > 1 and float((slopes - slopes[:1]).abs().max()) <= _ALIKE * most:
        message = (
            "the score is linear in this layer: its slope is the same for every photo, and each vector's score 0 or "
            "1. An earlier layer says more."
        )
        yield Warning("linear-layer", message)

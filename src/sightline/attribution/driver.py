"""Runs methods over a batch: one shared pass, the target fixed first, and what a reader has to know noted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sightline.attribution.catalog import Explainer, Method, method, methods
from sightline.core.checks import whole
from sightline.core.errors import MethodError, OptionError, TargetError, near
from sightline.core.heats import Heat, Warning, speaks_against
from sightline.core.targets import Classes, Output, Predicted, Target
from sightline.network.net import Net


@dataclass(frozen=True)
class Bound:
    """A method with its options: `options` holds all of them, the defaults too."""

    method: Method
    explainer: Explainer
    options: dict[str, Any]


def bind(names: Iterable[str], layer: str | None, seed: int, options: dict[str, Any]) -> list[Bound]:
    """Methods bound to the options that each takes. Raises MethodError, and OptionError for one that none takes."""
    whole("seed", seed, 0)
    chosen = list(dict.fromkeys(map(method, names)))
    taken = {name for one in chosen for name in one.options}
    for name in options:
        if name not in taken:
            who = ", ".join(one.id for one in chosen)
            raise OptionError(f"no option {name!r} for {who}; {near(name, taken)}")
    bound = []
    for one in chosen:
        mine = {name: value for name, value in options.items() if name in one.options}
        bound.append(Bound(one, one.bind(layer, seed, mine), one.options | mine))
    return bound


@dataclass(frozen=True)
class Outcome:
    """The heats of each method, the target as it was fixed, the network's scores (B, K, ...) if asked for."""

    heats: dict[str, Heat]
    target: Target
    scores: Tensor | None


def run(
    net: Net,
    images: Tensor,
    target: Target | None,
    bound: Sequence[Bound],
    layer: str | None = None,
    *,
    scores_too: bool = False,
) -> Outcome:
    """Run methods over images (B, C, *spatial); those that read the untouched images share one pass."""
    if layer is not None:
        net.layer(layer)
    _check_needs(net, images, bound, layer)
    places = dict.fromkeys(place for one in bound for place in one.method.reads)
    net.plan = tuple((layer or net.default_layer(images)) if place == "layer" else place for place in places)
    first = target or _predicted(net)
    scores = None
    if net.plan:
        scores = net.look(images, first).scores
    elif scores_too or isinstance(first, Predicted):
        scores = net.scores(images)
    fixed = _fix(first, scores)
    heats: dict[str, Heat] = {}
    for one in bound:
        heats[one.method.id] = heat = noted(net, drive(one.explainer(net, images, fixed)), one)
        if heat.interrupted:
            break  # the user asked to stop: what there is, is given
    return Outcome(heats, fixed, scores)


def _check_needs(net: Net, images: Tensor, bound: Sequence[Bound], layer: str | None) -> None:
    """Refuse a method whose layer would have to be found in a network that has none."""
    for one in bound:
        if "layer" in one.method.needs and layer is None:
            missing = one.method.needs & {"gradients", "layer"} - offered(net, images)
            if missing:
                lacking = " and ".join(sorted(missing))
                able = ", ".join(other.id for other in supported(net, images)) or "none of the others"
                raise MethodError(
                    f"{one.method.id} needs {lacking}: a map inside the network, which this one does not have. "
                    f"Possible here: {able}."
                )


def _predicted(net: Net) -> Target:
    return Output(0) if net.readout.output == "regression" else Predicted()


def _fix(target: Target, scores: Tensor | None) -> Target:
    """The predicted class as it is on the untouched images; other targets as they are."""
    if not isinstance(target, Predicted) or scores is None:
        return target
    if scores.ndim != 2:
        raise TargetError("no class is predicted for a dense output; name one: targets.Region(mask, index).")
    return Classes(tuple(scores.argmax(1).tolist()))


def drive(result: Heat | Iterator[Heat]) -> Heat:
    """The last of ever better heats; on an interrupt the best so far, with a warning."""
    if isinstance(result, Heat):
        return result
    best = None
    try:
        for best in result:  # noqa: B007 - the last one is what counts
            pass
    except KeyboardInterrupt:
        if best is None:
            raise
        stopped = Warning("interrupted", f"stopped after {best.passes[0]} passes: the best map so far.")
        return replace(best, warnings=(*best.warnings, stopped))
    if best is None:
        raise RuntimeError("a method gave no heat at all")
    return best


def noted(net: Net, heat: Heat, bound: Bound) -> Heat:
    """The heat with warnings for all that would otherwise fail in silence."""
    found = list(net.warnings)
    if net.readout.final == "unknown":
        message = (
            f"no softmax or sigmoid was found that makes these probabilities, so the {net.readout.score} is "
            "explained: it can also rise because other classes fall."
        )
        found.append(Warning(net.readout.score, message))
    for image in range(len(heat)):
        found += [replace(doubt, image=image) for doubt in _doubts(heat, image, bound)]
    return replace(heat, warnings=heat.warnings + tuple(found))


def _doubts(heat: Heat, image: int, bound: Bound) -> Iterator[Warning]:
    values = heat.values[image]
    where = f" at layer {heat.layer!r}" if heat.layer else ""
    if not bool(torch.isfinite(values).all()):
        yield Warning("not-finite", f"{bound.method.id} gave values that are not finite; calculate in float32.")
    elif not bool(values.any()):
        message = (
            f"the map is zero everywhere: nothing that {bound.method.id} looks at moves the score{where}. "
            "Try another layer, baseline or method."
        )
        yield Warning("blank-map", message)
    elif bound.method.evidence and speaks_against(values):
        every = "every value is" if bool((values <= 0).all()) else "nearly all values are"
        message = (
            f"{every} negative: {bound.method.id} finds only evidence against this target{where}. "
            "The signed map is shown; try a contrast with the class that is predicted."
        )
        yield Warning("negative-evidence", message)
    gap, allowed = heat.gap, bound.options.get("tolerance")
    if gap is not None and allowed is not None and not float(gap[image]) <= allowed:
        share = float(gap[image])
        by = f"{share:.1%}, more than {allowed:.2%}," if math.isfinite(share) else "all of it, as it does not change,"
        message = (
            f"the map's sum misses the score's change by {by} "
            f"after {heat.spent[image][0]} passes. Raise budget, or take a baseline that differs more."
        )
        yield Warning("completeness-gap", message)


def offered(net: Net, images: Tensor) -> set[str]:
    """What this network has of what methods need."""
    trace = net.trace(images)
    if not trace.differentiable:
        return set()
    return {"gradients", "layer"} if trace.maps() else {"gradients"}


def supported(net: Net, images: Tensor) -> Iterator[Method]:
    """The methods whose needs this network meets, in the catalog's order."""
    has = offered(net, images)
    return (one for one in methods() if one.needs <= has)

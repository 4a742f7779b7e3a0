"""Runs methods over a batch: one shared pass, the target fixed first, and what a reader has to know noted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sightline.attribution.cams import Layers, layers_of, named
from sightline.attribution.catalog import Explainer, Method, insane, method, methods
from sightline.core.checks import whole
from sightline.core.errors import BlackBoxError, MethodError, OptionError, near
from sightline.core.heats import Heat, Warning, speaks_against
from sightline.core.places import Predicted, settled, unmatched
from sightline.core.targets import Output, Target
from sightline.network.adapters import black_box, why_closed
from sightline.network.census import described, only_relus
from sightline.network.net import Net
from sightline.network.reading import INPUT
from sightline.network.rules import NAMED

Watch = Callable[[str, "Outcome"], object]
"""Called with a method's id and what there is so far."""


@dataclass(frozen=True)
class Bound:
    """A method with its options: `options` holds all of them, the defaults too."""

    method: Method
    explainer: Explainer
    options: dict[str, Any]

    def places(self, net: Net, images: Tensor, layer: Layers) -> tuple[str, ...]:
        """What the pass that methods share has to show it; nothing where it makes passes of its own."""
        if self.options.get("rule") is not None:
            return ()
        found: list[str] = []
        for place in self.method.reads:
            if place == "layer":
                found += layers_of(net, images, layer)
            elif place == "stages":
                found += layers_of(net, images, layer or net.stages(images))
            else:
                found.append(self.options.get("wrt") or INPUT)
        return tuple(found)


def bind(names: Iterable[str], layer: Layers, seed: int, options: dict[str, Any]) -> list[Bound]:
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
    layer: Layers = None,
    *,
    scores_too: bool = False,
    watch: Watch | None = None,
) -> Outcome:
    """Run methods over images (B, C, *spatial); those that read the untouched images share one pass.

    `watch` sees the heats of sampled and refined methods as they get better.
    """
    for name in named(layer):
        net.layer(name)
    _check_needs(net, images, bound, layer)
    net.plan = tuple(dict.fromkeys(place for one in bound for place in one.places(net, images, layer)))
    first = _first(net, target)
    scores = None
    if net.plan and not net.readout.dense:
        with _what_remains():
            scores = net.look(images, first).scores
    elif scores_too or net.readout.dense or isinstance(first, Predicted):
        scores = net.scores(images)
    fixed = first if scores is None else settled(first, scores, net.readout.output)
    lost = () if scores is None or net.readout.output != "detections" else _lost(fixed, scores)
    heats: dict[str, Heat] = {}
    for one in bound:
        name = one.method.id
        show = None if watch is None else partial(_show, watch, name, Outcome({}, fixed, scores))
        try:
            with _what_remains():
                heat = noted(net, drive(one.explainer(net, images, fixed), show), one)
            heats[name] = heat = replace(heat, warnings=heat.warnings + lost)
        except KeyboardInterrupt:
            if not heats:
                raise
            done = next(reversed(heats))
            heats[done] = replace(heats[done], warnings=(*heats[done].warnings, stopped(f"before {name} had a map")))
            break
        if heat.interrupted:
            break  # the user asked to stop: what there is, is given
    return Outcome(heats, fixed, scores)


@contextmanager
def _what_remains() -> Iterator[None]:
    """An error of a black box names the methods that it can be asked by."""
    try:
        yield
    except BlackBoxError as error:
        able = ", ".join(one.id for one in methods() if not one.needs)
        raise BlackBoxError(f"{error} Possible here: {able}.") from error


def stopped(when: str) -> Warning:
    """That the user stopped a run."""
    return Warning("interrupted", f"stopped {when}: this is the best, or the last, that there was by then.")


def _show(watch: Watch, name: str, outcome: Outcome, heat: Heat) -> None:
    watch(name, replace(outcome, heats={name: heat}))


def _check_needs(net: Net, images: Tensor, bound: Sequence[Bound], layer: Layers) -> None:
    """Refuse a method that needs what this network lacks; of gradients it is found out where they are asked for."""
    for one in bound:
        given = {"gradients", "layer"} if layer else {"gradients"}
        missing = one.method.needs - offered(net, images, layer, one.method.needs) if one.method.needs - given else ()
        if missing:
            first = missing & {"gradients"} or missing & {"layer"} or missing  # the others hang on these
            why = "; ".join(_lacking(net, images, need, layer) for need in sorted(first))
            able = ", ".join(other.id for other in supported(net, images)) or "none of the others"
            raise MethodError(f"{one.method.id} needs {' and '.join(sorted(missing))}: {why}. Possible here: {able}.")


def _lacking(net: Net, images: Tensor, need: str, layer: Layers) -> str:
    """What a network without `need` has instead."""
    if need == "relu":
        seen = described(net.trace(images).activations)
        return f"its rule is made for ReLUs, and this network's activations are {seen}"
    if need == "linear-head":
        return (
            "a map whose average goes through one linear layer to the scores, and behind "
            f"{layer or net.default_layer(images)!r} these scores depend on the map otherwise (where CAM is defined, "
            "grad-cam is the same map)"
        )
    if need == "gradients":
        return f"none reaches the input: {black_box(net.module)}"
    why = why_closed(net.module)
    return "a map inside the network, which this one does not have" + (f" ({why})" if why else "")


def _first(net: Net, target: Target | None) -> Target:
    """What is asked about; a regression's first number where it is to be what is predicted."""
    if target is not None and not isinstance(target, Predicted):
        return target
    return Output(0) if net.readout.output == "regression" else target or Predicted()


def _lost(target: Target, scores: Tensor) -> tuple[Warning, ...]:
    """Warnings for the images in which nothing was detected where a target asks about a box."""
    message = (
        "no candidate of the detector overlaps the box that is asked about, so that its score is zero and nothing "
        "can lower it. sl.predict lists the boxes that there are."
    )
    return tuple(Warning("no-candidate", message, image) for image in unmatched(target, scores))


def drive(result: Heat | Iterator[Heat], watch: Callable[[Heat], object] | None = None) -> Heat:
    """The last of ever better heats, each shown to `watch`; on an interrupt the best so far, with a warning."""
    if isinstance(result, Heat):
        return result
    best = None
    try:
        for best in result:
            if watch:
                watch(best)
    except KeyboardInterrupt:
        if best is None:
            raise
        return replace(best, warnings=(*best.warnings, stopped(f"after {best.passes[0]} passes")))
    if best is None:
        raise RuntimeError("a method gave no heat at all")
    return best


def noted(net: Net, heat: Heat, bound: Bound) -> Heat:
    """The heat with warnings for all that would otherwise fail in silence."""
    found = [*net.warnings, *filter(None, [bound.method.caution])]
    if bound.method.family == "gradients" and bound.options.get("rule") in NAMED:
        found.append(insane(f"{bound.method.id} by the {bound.options['rule']} rule", "arXiv:1810.03292"))
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
            f"the map is zero everywhere: nothing that {bound.method.id} looks at moves the score{where}, or "
            "nothing raises it. Try another layer, baseline or method."
        )
        yield Warning("blank-map", message)
    elif bound.method.evidence and speaks_against(values):
        every = "every value is" if bool((values <= 0).all()) else "nearly all values are"
        message = (
            f"{every} negative: {bound.method.id} finds only evidence against this target{where}. "
            "The signed map is shown; try a contrast with the class that is predicted."
        )
        yield Warning("negative-evidence", message)
    precise, asked = heat.precision, bound.options.get("precision")
    if precise is not None and asked is not None and not float(precise[image]) <= asked:
        message = (
            f"the map's standard error is {float(precise[image]):.1%} of its size after {heat.spent[image][0]} "
            f"passes, and {asked:.1%} was asked for. Raise samples or seconds."
        )
        yield Warning("imprecise", message)
    gap, allowed = heat.gap, bound.options.get("tolerance")
    if gap is not None and allowed is not None and not float(gap[image]) <= allowed:
        share, raised = float(gap[image]), "budget" if bound.options.get("steps") is None else "steps"
        by = f"{share:.1%}, more than {allowed:.2%}," if math.isfinite(share) else "all of it, as it does not change,"
        message = (
            f"the map's sum misses the score's change by {by} "
            f"after {heat.spent[image][0]} passes. Raise {raised}, or take a baseline that differs more."
        )
        yield Warning("completeness-gap", message)


EVERYTHING = frozenset({"gradients", "layer", "linear-head", "relu"})


def offered(net: Net, images: Tensor, layer: Layers = None, asked: frozenset[str] = EVERYTHING) -> set[str]:
    """What this network has of what is `asked`, behind the `layer` that is to be read."""
    trace = net.trace(images)
    if not trace.differentiable:
        return set()
    found = {"gradients", "layer"} if trace.maps() else {"gradients"}
    if "relu" in asked and only_relus(trace.activations):
        found.add("relu")
    if "linear-head" in asked and (layer or "layer" in found):
        names = layers_of(net, images, layer)
        if all(net.linear_head(images, name) for name in names):
            found.add("linear-head")
    return found & (asked | {"gradients"})


def supported(net: Net, images: Tensor) -> Iterator[Method]:
    """The methods whose needs this network meets, in the catalog's order."""
    has = offered(net, images)
    return (one for one in methods() if one.needs <= has)

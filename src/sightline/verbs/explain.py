"""Where is the model looking? Photos in, explanations out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sightline.attribution.cams import Layers
from sightline.attribution.driver import Bound, Outcome, bind, run, stopped
from sightline.core.checks import whole
from sightline.core.errors import LayerError, ModelError, OptionError, SightlineError
from sightline.core.heats import Prediction, Warning
from sightline.core.places import Box, Region
from sightline.core.targets import Class, Classes, PerImage, Target, parts_of, targets_of
from sightline.models.model import Model
from sightline.models.predictions import predictions_of, ranked
from sightline.network.net import Net
from sightline.network.readout import Readout
from sightline.photos.decode import Photo
from sightline.photos.fills import NAMES, STEADY, is_colour
from sightline.photos.geometry import View
from sightline.photos.volumes import Volume
from sightline.verbs.asked import target_for
from sightline.verbs.attribute import announce, asked_for, checked_watch, plain, preferred
from sightline.verbs.explanation import Comparison, Explanation
from sightline.verbs.placing import of_image, on_input, on_photo

TOP = 5
Progress = Callable[[int], object]
Watch = Callable[[Explanation], object]
Opened = tuple[Photo | Volume, View]


def predict(model: Model, photo: Any, top: int = 5) -> Any:
    """The `top` answers for a photo, best first, as a list of Prediction; for many photos a list of lists.

    Raises PhotoError, NetworkError, ModelError.
    """
    check_model(model, volumes=True)
    whole("top", top, 1)
    sources, one = model.sources(photo)
    answers: list[list[Prediction]] = []
    doubts = list(model.warnings)
    for start in range(0, len(sources), model.at_once):
        photos, views, images = opened(model, sources[start : start + model.at_once])
        with model.lend(images) as net:
            each = zip(net.scores(images), views, strict=True)
            answers += [predictions_of(model, net.readout, scores, top, view) for scores, view in each]
        doubts += [doubt for one_of in photos for doubt in one_of.warnings]
    announce(doubts)
    return answers[0] if one else answers


def explain(
    model: Model,
    photo: Any,
    method: str | list[str] | tuple[str, ...] | None = None,
    target: Any = None,
    layer: Layers = None,
    seed: int = 0,
    progress: Progress | None = None,
    watch: Watch | None = None,
    **options: Any,
) -> Any:
    """Where the model looks in a photo: an Explanation; a Comparison for a list of methods; a list for many photos.

    `photo`: a path, PIL image, array (h, w, 3) or tensor (3, h, w); a list or a 4-D array is many. For a network of
    volumes or clips what `sl.open_volume` takes; a list or a 5-D array is many. `method`: ids of
    `sl.methods()`; None takes the first of grad-cam, saliency and rise that the model supports. `target`: None for
    the predicted class, an index, a label, a list of one per photo, a value of `sl.targets`, or a function of the
    scores (B, ...). `layer`: what layer methods read; None takes the last map that the score depends on; the maps of
    several are fused. Several methods share their passes. `progress` is called with the number of images that went
    through the network, `watch` with each photo's Explanation so far, as sampled and refined methods go on.
    Raises PhotoError, TargetError, MethodError, LayerError, OptionError, NetworkError.
    """
    check_model(model, volumes=True)
    checked_watch(watch)
    sources, one = model.sources(photo)
    wanted = _each(target, len(sources), model)
    ask = _Ask(model, asked_for(method), model.layer if layer is None else layer, seed, options, progress, watch)
    results: list[Any] = []
    for start in range(0, len(sources), model.at_once):
        part = slice(start, start + model.at_once)
        try:
            rows = _explained(ask, sources[part], wanted and wanted[part])
        except KeyboardInterrupt:
            if not results:
                raise
            results[-1] = _stopped(results[-1])
            break
        for row in rows:
            several = not isinstance(method, str | None)
            results.append(Comparison(row) if several else next(iter(row.values())))
        if any(one_of.interrupted for one_of in _cells(results[-1])):
            break  # the results so far
    announce(warning for result in results for one_of in _cells(result) for warning in one_of.warnings)
    return results[0] if one else results


@dataclass(frozen=True)
class _Ask:
    """What is asked of every photo alike."""

    model: Model
    names: list[str] | None
    layer: Layers
    seed: int
    options: dict[str, Any]
    progress: Progress | None
    watch: Watch | None

    def bound(self, net: Net, images: Tensor) -> list[Bound]:
        names = self.names or [preferred(net, images)]
        return bind(names, self.layer, self.seed, _tensors(self.model, self.options))


def check_model(model: object, volumes: bool = False) -> None:
    """Refuse what is no Model, and one of volumes where they cannot be looked at. Raises ModelError."""
    if not isinstance(model, Model):
        raise ModelError(
            f"a Model is needed, not a {type(model).__name__}; make one with sl.load(name) or "
            "sl.wrap(network, input_size=...)."
        )
    if model.of_volumes and not volumes:
        raise ModelError(
            f"this works on photos, and {model.source} takes volumes or clips of {model.input_size}; for those there "
            "are sl.explain, sl.predict, sl.attribute and sl.filters."
        )


def _stopped(result: Explanation | Comparison) -> Explanation | Comparison:
    """The last result before the user stopped, saying so."""
    if isinstance(result, Comparison):
        *whole, last = result.items()
        return Comparison({**dict(whole), last[0]: replace(last[1], warnings=_with_stop(last[1]))})
    return replace(result, warnings=_with_stop(result))


def _with_stop(result: Explanation) -> tuple[Warning, ...]:
    return (*result.warnings, stopped("before the next photo had a map"))


def _cells(result: Explanation | Comparison) -> Iterator[Explanation]:
    return iter(result.values()) if isinstance(result, Comparison) else iter((result,))


def _each(target: Any, count: int, model: Model) -> list[Target] | None:
    """The target of each photo; None is the class predicted for it."""
    given = target_for(target, count, model)
    if given is None:
        return None
    if isinstance(given, Classes):
        return [Class(index) for index in given.indices]
    return list(given.targets) if isinstance(given, PerImage) else [given] * count


def opened(model: Model, sources: list[Any]) -> tuple[list[Any], list[View], Tensor]:
    """Photos or volumes, what each becomes, all as the network's input (N, C, *input_size). Raises PhotoError."""
    photos = [model.open(source) for source in sources]
    pairs = [model.tensor(photo) for photo in photos]
    return photos, [view for _, view in pairs], torch.stack([tensor for tensor, _ in pairs])


def _explained(ask: _Ask, sources: list[Any], wanted: list[Target] | None) -> list[dict[str, Explanation]]:
    """The explanations of one batch of photos, by method."""
    photos, views, images = opened(ask.model, sources)
    target = None if wanted is None else targets_of(list(map(on_input, wanted, photos, views)))
    with ask.model.lend(images) as net:
        images = plain(images)
        net.progress = ask.progress or net.progress
        bound = {one.method.id: one for one in ask.bound(net, images)}
        seen = list(zip(photos, views, strict=True))

        def told(name: str, so_far: Outcome) -> list[Explanation]:
            asked = [_asked(wanted, so_far.target, i, views[i]) for i in range(len(seen))]
            return [
                _explanation(ask, net.readout, so_far, bound[name], i, seen[i], asked[i]) for i in range(len(seen))
            ]

        def show(name: str, so_far: Outcome) -> None:
            for one in told(name, so_far):
                ask.watch(one)  # type: ignore[misc]

        outcome = run(
            net, images, target, list(bound.values()), ask.layer, scores_too=True, watch=show if ask.watch else None
        )
        by_method = {name: told(name, outcome) for name in outcome.heats}
        return [{name: row[i] for name, row in by_method.items()} for i in range(len(seen))]


def _asked(wanted: list[Target] | None, fixed: Target, i: int, view: View) -> Target:
    """What a photo's explanation is about, on the photo: the user's own place, or one that was found."""
    given = None if wanted is None else wanted[i]
    if given is not None and any(isinstance(part, Box | Region) for _, part in parts_of(given)):
        return given
    return on_photo(of_image(fixed, i), view)


def _explanation(
    ask: _Ask, readout: Readout, outcome: Outcome, bound: Bound, i: int, seen: Opened, target: Target
) -> Explanation:
    heat = outcome.heats[bound.method.id][i]
    if heat.values.ndim != 2 + len(seen[0].size):
        raise LayerError(f"layer {heat.layer!r} holds no map of the photo; its values are to be had by sl.attribute.")
    answers = () if outcome.scores is None else ranked(ask.model, readout, outcome.scores[i], TOP, seen[1])
    return Explanation(
        values=heat.values[0].detach(),
        error=None if heat.error is None else heat.error[0],
        gap=None if heat.gap is None else float(heat.gap[0]),
        passes=heat.passes,
        warnings=ask.model.warnings + seen[0].warnings + heat.warnings,
        predictions=answers,
        target=target,
        method=bound.method.id,
        options=bound.options | {name: value for name, value in ask.options.items() if name in bound.options},
        seed=ask.seed,
        layer=heat.layer,
        score=readout.score,
        model=ask.model.source,
        recipe=ask.model.recipe(),
        labels=ask.model.labels,
        photo=seen[0],
        view=seen[1],
        unit=heat.unit,
    )


_PICTURES = {"baseline": STEADY, "fill": NAMES}
"""Options that may be photos, and the names that they may be instead."""


def _tensors(model: Model, options: dict[str, Any]) -> dict[str, Any]:
    """Options as methods take them: a baseline or a fill that is a photo becomes the network's input."""
    return {name: _as_inputs(model, name, one) if name in _PICTURES else one for name, one in options.items()}


def _as_inputs(model: Model, name: str, given: Any) -> Any:
    """One or several. Raises OptionError for a colour out of range, PhotoError for a photo that cannot be read."""
    if isinstance(given, list | tuple) and not is_colour(given):
        return tuple(_as_inputs(model, name, part) for part in given)
    if isinstance(given, int | float | list | tuple):
        colour = given if isinstance(given, list | tuple) else (given,)
        if not all(0 <= part <= 1 for part in colour):
            raise OptionError(f"{name}={given!r}: a colour is of numbers in [0, 1].")
        return given
    names = _PICTURES[name]
    if given is None or (isinstance(given, str) and given in names) or (name == "fill" and callable(given)):
        return given
    try:
        return model.tensor(model.open(given))[0]
    except SightlineError as error:
        raise type(error)(f"{name}: {error} A name is one of {', '.join(names)}.") from error

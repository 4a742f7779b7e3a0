"""One pass over a network, read forward and back: scores, what was at the places asked for, and its gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from sightline.core.errors import BlackBoxError, LayerError, TargetError
from sightline.core.heats import Seen
from sightline.core.targets import Target
from sightline.network.adapters import black_box
from sightline.network.hooks import differentiate
from sightline.network.layouts import Layout
from sightline.network.readout import finite
from sightline.network.rules import Rule

INPUT = ""  # the place that is the network's input; other places are layers


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One pass over images, forward and back.

    `score`: (N,) of the target; `scores`: (N, K, ...) of the network; `acts` and `grads`: for each place what was
    there and the score's gradient, a pair of (N, C, *spatial) for each time the layer ran; `bends`: the score's
    second derivative times the activations, likewise, if asked for.
    """

    score: Tensor
    scores: Tensor
    acts: dict[str, tuple[Tensor, ...]]
    grads: dict[str, tuple[Tensor, ...]]
    bends: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """What a pass is to show: the target's slope at the places, and how their layers are laid out."""

    target: Target
    places: tuple[str, ...]
    layers: dict[str, nn.Module]
    layouts: dict[str, Layout | None]
    rule: Rule | None
    curvature: bool
    output: str


def read(
    module: nn.Module,
    ask: Ask,
    leaf: Tensor,
    scores: Tensor,
    seen: dict[str, list[Tensor]],
    rows: Tensor,
    dtype: torch.dtype,
) -> Reading:
    """The reading of a pass of `leaf` (N, C, *spatial) that gave `scores` and showed what is in `seen`.

    Raises TargetError, LayerError, MethodError, and NetworkError for numbers that are not finite.
    """
    finite(scores, "scores", module)
    maps = {name: plain(calls[-1], ask.layouts[name]) for name, calls in seen.items() if calls}
    score = one_each(ask.target.read(Seen(scores, maps, rows, leaf, ask.output)), ask.target, len(leaf))
    at = {place: [leaf] if place == INPUT else seen[place] for place in ask.places}
    _reached(module, at, score, scores)
    flat = [tensor for place in ask.places for tensor in at[place]]
    slopes = _slopes(score.sum(), flat, again=ask.curvature)
    bends = _bends(slopes, flat) if ask.curvature else []
    for found in (*slopes, *bends):
        finite(found, "gradients", module)
    by_place = partial(_by_place, at, ask.layouts, dtype)
    grads = {place: tuple(map(ask.target.turn, runs)) for place, runs in by_place(slopes).items()}
    bent = by_place(bends) if ask.curvature else {}
    return Reading(score.detach().to(dtype), scores.detach(), by_place(flat), grads, bent)


def plain(tensor: Tensor, layout: Layout | None) -> Tensor:
    """What a layer put out as a plain grid (N, C, *grid), where it holds a map."""
    return tensor if layout is None else layout.apply(tensor)


def one_each(score: Tensor, target: Target, count: int) -> Tensor:
    """The scores themselves, (count,). Raises TargetError for any other shape."""
    if score.shape != (count,):
        raise TargetError(f"{target} gave {tuple(score.shape)}; it has to give one score per image, ({count},).")
    return score


def _reached(module: nn.Module, at: dict[str, list[Tensor]], score: Tensor, scores: Tensor) -> None:
    for place, tensors in at.items():
        if place == INPUT and not (score.requires_grad or scores.requires_grad):
            raise BlackBoxError(f"this needs gradients, and none reaches the input: {black_box(module)}.")
        if not tensors:
            raise LayerError(f"layer {place!r} did not run, or puts out no numbers that can be differentiated.")


def _slopes(total: Tensor, places: list[Tensor], *, again: bool = False) -> list[Tensor]:
    """Gradients of a sum of scores; zeros where it does not depend on a place. `again`: with a graph of their own."""
    if not total.requires_grad:
        return [torch.zeros_like(place) for place in places]
    found = differentiate(total, places, again=again, curved=again)
    return [torch.zeros_like(at) if g is None else g for at, g in zip(places, found, strict=True)]


def _bends(slopes: list[Tensor], places: list[Tensor]) -> list[Tensor]:
    """At each place the second derivative of the scores there times what is there."""
    return [
        _slopes((slope * at.detach()).sum(), [at], again=True)[0].detach()
        for slope, at in zip(slopes, places, strict=True)
    ]


def _by_place(
    at: dict[str, list[Tensor]], layouts: dict[str, Layout | None], dtype: torch.dtype, tensors: Sequence[Tensor]
) -> dict[str, tuple[Tensor, ...]]:
    """Tensors in the order of the places' runs, as plain grids, by place."""
    rest = iter(tensors)
    return {
        place: tuple(plain(next(rest).detach(), layouts.get(place)).to(dtype) for _ in runs)
        for place, runs in at.items()
    }


def joined(parts: list[Reading]) -> Reading:
    if len(parts) == 1:
        return parts[0]

    def cat(which: Callable[[Reading], dict[str, tuple[Tensor, ...]]]) -> dict[str, tuple[Tensor, ...]]:
        first = which(parts[0])
        return {
            place: tuple(torch.cat([which(part)[place][call] for part in parts]) for call in range(len(calls)))
            for place, calls in first.items()
        }

    score = torch.cat([part.score for part in parts])
    scores = torch.cat([part.scores for part in parts])
    by_place = (cat(which) for which in (lambda p: p.acts, lambda p: p.grads, lambda p: p.bends))
    return Reading(score, scores, *by_place)

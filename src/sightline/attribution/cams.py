"""Class activation maps: one recipe from a layer's activations and gradients to a map on the input's grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sightline.attribution.contributions import Contribution, grad_cam, grad_cam_pp, principal
from sightline.attribution.gradients import saliency
from sightline.core.activations import Unit
from sightline.core.checks import number, whole
from sightline.core.errors import LayerError, MethodError, OptionError
from sightline.core.heats import Heat, Seen, Warning
from sightline.core.targets import Class, Classes, PerImage, Sum, Target, targets_of
from sightline.network.net import Net, passes
from sightline.network.reading import Reading
from sightline.network.rules import rule_of

Layers = str | Sequence[str] | None
Fusion = Callable[[list[Tensor]], Tensor]
Read = Callable[[Tensor], Reading]
SMOOTHINGS = ("tta", "principal")
_ENLARGE = {1: "linear", 2: "bilinear", 3: "trilinear"}


def cam_map(
    net: Net,
    images: Tensor,
    target: Target,
    *,
    contribution: Contribution = grad_cam,
    layer: Layers = None,
    smoothing: Any = None,
    rule: Any = None,
) -> Heat:
    """The signed sum of what a layer's channels contribute, (B, 1, *spatial), enlarged to the input's grid.

    `layer`: None takes the last map on which the score still depends; of several the maps, each over its largest
    magnitude, are averaged. `smoothing`: "tta" averages over six views of each image (mirrored or not, times 0.9, 1
    and 1.1), "principal" takes the first principal component of the contributions instead of their sum; both in a
    tuple. `rule`: see `saliency`. Raises LayerError for a layer without a map, OptionError.
    """
    names = layers_of(net, images, layer)
    recipe = _Recipe(contribution, names, _smoothings(smoothing))
    ruled = None if rule is None else rule_of(rule)
    return _recipe(net, images, target, lambda view: net.look(view, target, *names, rule=ruled), recipe)


def refine_cam(net: Net, images: Tensor, target: Target, *, layer: Layers = None, smoothing: Any = None) -> Heat:
    """Grad-CAM++ of several layers, each rectified, scaled to [0, 1] and enlarged, multiplied (arXiv:2605.14641).

    (B, 1, *spatial) in [0, 1]. `layer`: None takes the last map of each of the last three sizes of maps.
    """
    names = layers_of(net, images, layer or net.stages(images))
    recipe = _Recipe(grad_cam_pp, names, _smoothings(smoothing), product, scaled)
    return replace(_recipe(net, images, target, lambda view: net.look(view, target, *names), recipe), unit=None)


def shapley_cam(net: Net, images: Tensor, target: Target, *, layer: Layers = None, smoothing: Any = None) -> Heat:
    """Grad-CAM with gradients corrected by half the curvature, g - H A / 2, (B, 1, *spatial) (arXiv:2501.06261).

    Where what follows the layer is piecewise linear, as for a logit behind a pooling, there is no curvature and it
    is Grad-CAM; the paper then explains logit + log-probability, which is a target: see docs/methods.md.
    """
    names = layers_of(net, images, layer)

    def read(view: Tensor) -> Reading:
        reading = net.gradients(view, target, names, curvature=True)
        grads = {
            name: tuple(slope - 0.5 * bend for slope, bend in zip(slopes, reading.bends[name], strict=True))
            for name, slopes in reading.grads.items()
        }
        return replace(reading, grads=grads)

    return _recipe(net, images, target, read, _Recipe(grad_cam, names, _smoothings(smoothing)), backward=2)


def finer_cam(
    net: Net,
    images: Tensor,
    target: Target,
    *,
    gamma: float = 0.6,
    references: int = 3,
    layer: Layers = None,
    smoothing: Any = None,
) -> Heat:
    """Grad-CAM of what sets a class apart: its score less `gamma` times the mean of the nearest classes' scores.

    (B, 1, *spatial) (arXiv:2501.11309). `references`: how many of the classes with the nearest scores, on the
    untouched image. Raises MethodError for a target that is no class.
    """
    names = layers_of(net, images, layer)
    finer = _set_apart(net, images, target, gamma, references)
    recipe = _Recipe(grad_cam, names, _smoothings(smoothing))
    heat = _recipe(net, images, target, lambda view: net.gradients(view, finer, names), recipe)
    return replace(heat, spent=tuple((forward + 1, backward) for forward, backward in heat.spent))


def guided_grad_cam(net: Net, images: Tensor, target: Target, *, layer: Layers = None, smoothing: Any = None) -> Heat:
    """Guided backpropagation times the enlarged, rectified Grad-CAM, (B, C, *spatial) (arXiv:1610.02391)."""
    names = layers_of(net, images, layer)
    recipe = _Recipe(grad_cam, names, _smoothings(smoothing), finish=rectified)
    coarse = _recipe(net, images, target, lambda view: net.look(view, target, *names), recipe)
    fine = saliency(net, images, target, rule="guided")
    spent = tuple((forward + 1, backward + 1) for forward, backward in coarse.spent)
    return replace(coarse, values=fine.values * coarse.values, spent=spent, unit=None)


@dataclass(frozen=True)
class _Recipe:
    contribution: Contribution
    names: tuple[str, ...]
    smoothings: tuple[str, ...]
    fuse: Fusion | None = None
    finish: Callable[[Tensor], Tensor] = lambda one: one


def layers_of(net: Net, images: Tensor, layer: Layers) -> tuple[str, ...]:
    """The names of the layers to read, checked: each holds a map. Raises LayerError, OptionError."""
    names = named(layer) or (net.default_layer(images),)
    for name in names:
        net.layer(name)
        if net.layout(images, name) is None:
            raise LayerError(f"layer {name!r} holds no map of the input; try {net.default_layer(images)!r}.")
    return names


def named(layer: Layers) -> tuple[str, ...]:
    """The names that are given: none, one or several. Raises OptionError for an empty list."""
    if layer is None:
        return ()
    if not isinstance(layer, list | tuple):
        return (layer,)  # type: ignore[return-value]
    if not layer:
        raise OptionError("layer=[] names none; give the name of a layer, or None for the default.")
    return tuple(dict.fromkeys(layer))


def _smoothings(given: Any) -> tuple[str, ...]:
    parts = [part.strip() for part in given.split(",")] if isinstance(given, str) else given
    wanted = tuple(parts) if isinstance(parts, list | tuple) else (parts,) if given is not None else ()
    if any(one not in SMOOTHINGS for one in wanted):
        raise OptionError(f"smoothing={given!r}; possible: {', '.join(map(repr, SMOOTHINGS))}, or both in a tuple.")
    return wanted


def _recipe(net: Net, images: Tensor, target: Target, read: Read, recipe: _Recipe, backward: int = 1) -> Heat:
    found, dense = [], False
    grids: dict[str, list[tuple[int, ...]]] = {}
    views = net.views(images) if "tta" in recipe.smoothings else [(images, False)]
    for view, mirrored in views:
        if mirrored and _placed(target, dense):
            continue
        reading = read(view)
        dense = reading.scores.ndim > 2
        maps = []
        for name in recipe.names:
            runs = [
                _summed(recipe, acts, grads)
                for acts, grads in zip(reading.acts[name], reading.grads[name], strict=True)
            ]
            grids[name] = [tuple(run.shape[2:]) for run in runs]
            maps.append(torch.stack([enlarge(run, images.shape[2:]) for run in runs]).sum(0))
        fused = recipe.fuse(maps) if recipe.fuse else mean_of_shares(maps) if len(maps) > 1 else maps[0]
        found.append(fused.flip(-1) if mirrored else fused)
    return Heat(
        torch.stack(found).mean(0),
        spent=passes(len(found), backward * len(found), len(images)),
        layer=", ".join(recipe.names),
        unit=unit_of(recipe.names),
        warnings=doubts(net, images, grids),
    )


def _summed(recipe: _Recipe, acts: Tensor, grads: Tensor) -> Tensor:
    each = recipe.contribution(acts, grads)
    smoothed = "principal" in recipe.smoothings and each.shape[1] > 1
    whole = principal(each) if smoothed else each.sum(1, keepdim=True)
    return recipe.finish(whole)


def unit_of(names: tuple[str, ...]) -> str | None:
    """The unit of several layers' maps taken together; None for one, whose method knows it."""
    return "share of each layer's largest value" if len(names) > 1 else None


def mean_of_shares(maps: list[Tensor]) -> Tensor:
    """The mean of maps (B, 1, *spatial), each over its largest magnitude."""
    return torch.stack([_shares(one.abs(), one) for one in maps]).mean(0)


def product(maps: list[Tensor]) -> Tensor:
    """The product of maps (B, 1, *spatial)."""
    return torch.stack(maps).prod(0)


def rectified(maps: Tensor) -> Tensor:
    """Maps (B, 1, *grid) without what is below zero."""
    return maps.clamp_min(0)


def scaled(maps: Tensor) -> Tensor:
    """Maps (B, 1, *grid) rectified, from their least to their largest value brought to [0, 1]."""
    above = rectified(maps)
    above = above - above.flatten(1).amin(1).view(-1, *[1] * (maps.ndim - 1))
    return _shares(above, above)


def _shares(size: Tensor, of: Tensor) -> Tensor:
    top = size.flatten(1).amax(1).view(-1, *[1] * (of.ndim - 1))
    return of / torch.where(top > 0, top, torch.ones_like(top))


def _placed(target: Target, dense: bool) -> bool:
    """Whether a target means a place, which a mirror would move; of a `dense` output most do, or may."""
    match target:
        case Sum(parts):
            return any(_placed(part, dense) for _, part in parts)
        case PerImage(targets):
            return any(_placed(part, dense) for part in targets)
        case Unit(_, _, at):
            return at is not None
        case _:
            return dense


def _set_apart(net: Net, images: Tensor, target: Target, gamma: float, references: int) -> Target:
    """Each image's class less `gamma` times the mean of its nearest."""
    number("gamma", gamma)
    whole("references", references, 1)
    scores = net.scores(images)
    if not target.layers:
        seen = Seen(scores, {}, torch.arange(len(images)), images, net.readout.output)
        target.read(seen)  # refuses what does not exist
    if isinstance(target, Class):
        target = Classes((target.index,) * len(images))
    if not isinstance(target, Classes) or scores.ndim != 2 or scores.shape[1] < 2:
        raise MethodError(f"finer-cam sets a class apart from other classes; {target} names none that has others.")
    apart = []
    for index, row in zip(target.indices, scores, strict=True):
        away = (row - row[index]).abs()
        away[index] = -1  # itself comes first, whatever ties with it
        nearest = away.argsort(stable=True)[1 : references + 1].tolist()
        parts = ((-gamma / len(nearest), Class(other)) for other in nearest)
        apart.append(Sum(((1.0, Class(index)), *parts)))
    return targets_of(apart)


def enlarge(maps: Tensor, spatial: tuple[int, ...]) -> Tensor:
    """Maps (B, 1, *grid) on the input grid: linear along each axis, corners not aligned."""
    mode: Any = _ENLARGE.get(len(spatial))
    if mode is None:
        raise LayerError(f"a map of {len(spatial)} spatial dimensions cannot be enlarged; 1 to 3 can.")
    return F.interpolate(maps, size=tuple(spatial), mode=mode, align_corners=False)


def doubts(net: Net, images: Tensor, grids: dict[str, list[tuple[int, ...]]]) -> tuple[Warning, ...]:
    """What makes a CAM at these layers, whose runs have these grids, say less than it seems to."""
    return tuple(one for name, runs in grids.items() for one in _doubts(net, images, name, runs))


def _doubts(net: Net, images: Tensor, name: str, grids: list[tuple[int, ...]]) -> Iterator[Warning]:
    if len(grids) > 1:
        message = f"layer {name!r} runs {len(grids)} times in one pass; the map is the sum over its runs."
        yield Warning("layer-runs-twice", message)
    if all(max(grid) == 1 for grid in grids):
        message = (
            f"layer {name!r} lies after the global pooling: one value for the whole picture says nothing about "
            f"places. Use layer={net.default_layer(images)!r}."
        )
        yield Warning("layer-after-pooling", message)

"""Known ways to climb, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from sightline.core.checks import number, whole
from sightline.core.errors import OptionError, near
from sightline.core.penalties import L2, Norm, TotalVariation
from sightline.core.targets import Target
from sightline.features.ascent import Way
from sightline.features.canvases import CPPN, Canvas, Fourier, Laplacian, Phase, Pixels, Transparent
from sightline.features.transforms import Jitter, Rotate, Scale, check_transforms

Factory = Callable[[list[Tensor]], Optimizer]


def way_of(preset: str, options: Mapping[str, Any]) -> Way:
    """A preset's way, changed by options: those of Way, and `rate`, of its optimizer. Raises OptionError."""
    if not isinstance(preset, str) or preset not in PRESETS:
        raise OptionError(f"preset={preset!r}; {near(str(preset), PRESETS)}")
    way, names = PRESETS[preset], [one.name for one in fields(Way)]
    for name in options:
        if name not in (*names, "rate"):
            raise OptionError(f"visualize has no option {name!r}; {near(name, (*names, 'rate'))}")
    given = {name: value for name, value in options.items() if name != "rate" and value is not None}
    if isinstance(given.get("canvas"), str):
        given["canvas"] = _canvas(given["canvas"])
    for name in {"transforms", "penalties"} & given.keys():
        given[name] = tuple(given[name]) if isinstance(given[name], Iterable) else (given[name],)
    optimizer = optimizer_of(given.get("optimizer", way.optimizer), options.get("rate"))
    changed = replace(way, **given | {"optimizer": optimizer})
    _check(changed)
    return changed


def _canvas(name: str) -> Canvas:
    if name.lower() not in CANVASES:
        raise OptionError(f"canvas={name!r}; {near(name.lower(), CANVASES)}")
    return CANVASES[name.lower()]()


def _check(way: Way) -> None:
    if isinstance(way.canvas, type) or not isinstance(way.canvas, Canvas):
        raise OptionError(f"canvas={way.canvas!r}; give a value of sl.canvases, such as Fourier().")
    check_transforms(way.transforms, way.edge)
    for one in way.penalties:
        if not isinstance(one, Target):
            raise OptionError(f"penalties: {one!r} is no target; give values such as 10 * sl.targets.Norm(6).")
    whole("views", way.views, 1)
    whole("patience", way.patience, 0)
    number("blur", way.blur)
    if not isinstance(way.normalize, bool):
        raise OptionError(f"normalize={way.normalize!r}; possible: True, False.")


def optimizer_of(given: Any, rate: float | None) -> Factory:
    """What makes an optimizer for a canvas's numbers, from a name or class of torch.optim, or a function.

    `rate` is its learning rate; None leaves its own. Raises OptionError.
    """
    known = {
        name.lower(): one
        for name, one in vars(torch.optim).items()
        if isinstance(one, type) and issubclass(one, Optimizer) and one is not Optimizer
    }
    if isinstance(given, str):
        if given.lower() not in known:
            raise OptionError(f"optimizer={given!r}; {near(given.lower(), known)}")
        given = known[given.lower()]
    if not callable(given):
        raise OptionError(f"optimizer={given!r}; give a name or class of torch.optim, or a function of parameters.")
    return given if rate is None else partial(given, lr=number("rate", rate, above=0))


CANVASES: dict[str, type[Canvas]] = {
    one.__name__.lower(): one for one in (Pixels, Fourier, Laplacian, CPPN, Phase, Transparent)
}

_MOVES = (Jitter(0.2), Scale(0.5, 1.5), Rotate(20))
_SPAN = 127.5  # levels of 0..255 in a unit of an input from -1 to 1: keras-vis's weights are for levels

PRESETS: dict[str, Way] = {
    # the paper's ascent on pixels from the zero image, less an L2 norm (arXiv:1312.6034)
    "simonyan": Way(
        Pixels(limits=None),
        (),
        partial(torch.optim.SGD, lr=0.005, momentum=0.9),
        normalize=True,
        penalties=(1000 * L2(),),
        start="zero",
    ),
    # pixels by RMSprop with 5 % jitter, less 10 x L6 norm and 10 x total variation (raghakot/keras-vis)
    "keras-vis": Way(
        Pixels(spread=0.08),
        (Jitter(0.05),),
        partial(torch.optim.RMSprop, lr=1 / 255, alpha=0.95),
        "wrap",
        normalize=True,
        penalties=(10 * _SPAN * Norm(6), 10 * _SPAN**2 * TotalVariation()),
    ),
    # spatial frequencies in decorrelated colours under transforms (doi:10.23915/distill.00007)
    "lucid": Way(Fourier(), _MOVES, partial(torch.optim.Adam, lr=0.05)),
    # the phase alone moves, under transforms (arXiv:2306.06805)
    "maco": Way(Phase(), _MOVES, partial(torch.optim.NAdam, lr=0.1)),
}

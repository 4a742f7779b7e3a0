"""The result of `explain`: values, a map on the photo, and everything that tells how far to believe it."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.attribution.catalog import method
from sightline.core.blur import gaussian
from sightline.core.checks import number
from sightline.core.errors import OptionError
from sightline.core.heats import Passes, Prediction, Warning, speaks_against
from sightline.core.targets import Class, Contrast, Function, Output, Region, Similar, Sum, Target, Unit
from sightline.photos.decode import Photo
from sightline.photos.geometry import View
from sightline.render.panel import Panel
from sightline.render.save import save_arrays, save_page, save_picture, suffix_of

if TYPE_CHECKING:
    from sightline.render.figure import Picture

Floats = NDArray[np.float32]
_SHOWN = 1000  # pixels of a picture's longer side
_STEADY = "steadiness: 1 where the output does not depend on the input"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where the model looked in one photo, for one target, by one method.

    `values` (C or 1, h, w) are raw and signed, on the network's input grid; `error` their standard error and
    `gap` the completeness gap, None where they have no meaning; `score` names what was differentiated.
    """

    values: Tensor
    error: Tensor | None
    gap: float | None
    passes: Passes
    warnings: tuple[Warning, ...]
    predictions: tuple[Prediction, ...]
    target: Target
    method: str
    options: dict[str, Any]
    seed: int
    layer: str | None
    score: str
    model: str
    recipe: dict[str, Any]
    labels: tuple[str, ...] | None
    photo: Photo
    view: View

    @cached_property
    def map(self) -> Floats:
        """(h, w) on the upright photo: signed, in raw units, NaN where the network saw nothing."""
        return self.view.to_photo(self._plane().numpy())

    @cached_property
    def heatmap(self) -> Floats:
        """(h, w) in [0, 1]: the map's positive part, or its magnitude for gradient methods, over its maximum."""
        heat = self._heat(self.map)
        top = np.nanmax(heat, initial=0.0)
        return heat / top if top > 0 else heat

    def _plane(self) -> Tensor:
        """One signed value per input pixel: the channels' sum, or the largest of them by magnitude."""
        values = self.values.float().cpu()
        if method(self.method).channels == "sum" or len(values) == 1:
            return values.sum(0)
        return values.gather(0, values.abs().argmax(0, keepdim=True))[0]

    def _heat(self, signed: Floats) -> Floats:
        heat = np.abs(signed) if method(self.method).magnitude else np.maximum(signed, 0)
        return np.asarray(heat, np.float32)

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped it: the best map so far."""
        return any(one.code == "interrupted" for one in self.warnings)

    @property
    def label(self) -> str:
        """What is explained, for a person."""
        return describe(self.target, self.labels)

    @property
    def provenance(self) -> dict[str, Any]:
        """All that is needed to make this result again, as plain values."""
        packages = ("sightline", "torch", "torchvision", "numpy")
        return {
            "model": self.model,
            "recipe": self.recipe,
            "photo": self.photo.name,
            "photo_size": [self.photo.height, self.photo.width],
            "photo_sha256": self.photo.sha256,
            "method": self.method,
            "options": {name: _plain(value) for name, value in self.options.items()},
            "layer": self.layer,
            "target": str(self.target),
            "label": self.label,
            "score": self.score,
            "seed": self.seed,
            "passes": list(self.passes),
            "gap": self.gap if self.gap is None or math.isfinite(self.gap) else None,
            "warnings": [{"code": one.code, "message": one.message} for one in self.warnings],
            "predictions": [_answer(one) for one in self.predictions],
            "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        }

    def panel(self, smooth: float | None = None, signed: bool | None = None) -> Panel:
        """What a picture shows. `smooth`: sigma in input pixels; `signed` None: only where all are negative."""
        if smooth is not None:
            number("smooth", smooth)
        known = method(self.method)
        plane = self._plane()
        negative = known.evidence and speaks_against(plane)
        signs = negative if signed is None else signed
        if not signs:
            plane = plane.abs() if known.magnitude else plane.clamp_min(0)
        if smooth:
            plane = gaussian(plane.double(), [smooth, smooth]).float()
        photo = self.photo.image()
        photo.thumbnail((_SHOWN, _SHOWN))  # a figure is smaller than a camera's photo
        view = replace(self.view, photo_size=(photo.height, photo.width))
        return Panel(
            photo=np.asarray(photo),
            heat=view.to_photo(plane.numpy()),
            signed=signs,
            name=self.photo.name or "photo",
            method=self.method,
            label=self.label,
            unit=_unit(known.unit if self.target.additive else _STEADY, known.magnitude and not signs, smooth),
            predictions=self.predictions,
            marked=tuple(_indices(self.target)),
            warnings=self.warnings,
            footer=self._footer(),
        )

    def _footer(self) -> str:
        forward, backward = self.passes
        scored = f"{self.score} explained" if _indices(self.target) else ""
        parts = [self.model, f"layer {self.layer}" if self.layer else "", scored]
        parts.append(f"{forward} forward, {backward} backward")
        parts.append(f"gap {self.gap:.1%}" if self.gap is not None else "")
        return "  ·  ".join(part for part in parts if part)

    def figure(
        self,
        smooth: float | None = None,
        *,
        alpha: float = 0.85,
        signed: bool | None = None,
        style: str = "pair",
    ) -> Picture:
        """A matplotlib figure: the photo beside its overlay with the top answers ("pair"), or the "overlay" alone.

        `smooth`: Gaussian sigma in pixels of the network's input, as --smooth; `alpha`: the overlay's strength.
        """
        from sightline.render.figure import figure

        return figure([self.panel(smooth, signed)], alpha=alpha, style=style)

    def save(self, path: str | PathLike[str], smooth: float | None = None) -> None:
        """Write a picture (.png, .jpg, .svg), raw values with provenance (.npz), or a page (.html). Raises SaveError.

        The file is complete or not there.
        """
        suffix = suffix_of(path)
        if suffix == ".npz":
            save_arrays(path, self.arrays(), self.provenance)
        elif suffix == ".html":
            save_page(path, [self.panel(smooth)], self.provenance)
        else:
            save_picture(path, self.figure(smooth))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What an .npz file holds beside the provenance."""
        arrays = {"values": self.values.float().cpu().numpy(), "map": self.map, "heatmap": self.heatmap}
        return arrays if self.error is None else arrays | {"error": self.error.float().cpu().numpy()}

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()

    def __repr__(self) -> str:
        doubts = f", warnings: {', '.join(w.code for w in self.warnings)}" if self.warnings else ""
        return f"Explanation({self.method} of {self.label!r} in {self.photo.name or 'a photo'}{doubts})"


class Comparison(Mapping[str, Explanation]):
    """Several methods on one photo: method id -> Explanation, in the order asked for."""

    def __init__(self, explanations: Mapping[str, Explanation]) -> None:
        self._explanations = dict(explanations)

    def __getitem__(self, key: str) -> Explanation:
        return self._explanations[key.lower().replace("_", "-")]

    def __iter__(self) -> Iterator[str]:
        return iter(self._explanations)

    def __len__(self) -> int:
        return len(self._explanations)

    def figure(self, smooth: float | None = None, *, alpha: float = 0.85) -> Picture:
        """The photo and one overlay for each method, side by side."""
        return grid([self], smooth, alpha=alpha)

    def save(self, path: str | PathLike[str], smooth: float | None = None) -> None:
        """As Explanation.save; an .npz file holds each array under "METHOD/NAME"."""
        suffix = suffix_of(path)
        each = self._explanations.items()
        provenance = {name: one.provenance for name, one in each}
        if suffix == ".npz":
            arrays = {f"{name}/{key}": array for name, one in each for key, array in one.arrays().items()}
            save_arrays(path, arrays, provenance)
        elif suffix == ".html":
            save_page(path, [one.panel(smooth) for _, one in each], provenance)
        else:
            save_picture(path, self.figure(smooth))

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()

    def __repr__(self) -> str:
        return f"Comparison({', '.join(map(repr, self.values()))})"


def grid(
    results: Sequence[Explanation] | Sequence[Comparison], smooth: float | None = None, *, alpha: float = 0.85
) -> Picture:
    """One figure of many photos: a row each, with the photo and an overlay for each method."""
    from sightline.render.figure import figure_grid

    if not isinstance(results, list | tuple):
        raise OptionError(f"a list of results is needed, not a {type(results).__name__}; use its own .figure().")
    rows = [list(one.values()) if isinstance(one, Comparison) else [one] for one in results]
    return figure_grid([[cell.panel(smooth) for cell in row] for row in rows], alpha=alpha)


def describe(target: Target, labels: tuple[str, ...] | None) -> str:
    """A target in words: labels where it names classes."""

    def label(index: int) -> str:
        return labels[index] if labels and index < len(labels) else f"class {index}"

    match target:
        case Class(index):
            return label(index)
        case Contrast(index, other):
            return f"{label(index)} rather than {label(other)}"
        case Sum(parts):
            words = [f"{_factor(weight)}{describe(part, labels)}" for weight, part in parts]
            return " ".join(words).removeprefix("+ ")
        case Unit(layer, channel, at):
            return f"channel {channel} of {layer}" + (f" at {at}" if at else "")
        case Output(index, direction):
            return f"what would {direction} {labels[index] if labels else f'output {index}'}"
        case Region(_, index):
            return f"{label(index)} in a region"
        case Similar():
            return "likeness to an embedding"
        case Function(function):
            return str(getattr(function, "__name__", "a function of the scores")).replace("<lambda>", "a function")
    return str(target)


def _factor(weight: float) -> str:
    sign, size = ("- " if weight < 0 else "+ "), abs(weight)
    return sign + (f"{size:g} × " if size != 1 else "")


def _indices(target: Target) -> list[int]:
    """The classes that a target speaks for."""
    if isinstance(target, Sum):
        return [index for weight, part in target.parts if weight > 0 for index in _indices(part)]
    return [target.index] if isinstance(target, Class | Contrast) else []


def _unit(unit: str, magnitude: bool, smooth: float | None) -> str:
    size = "size of the " if magnitude else ""
    return f"{size}{unit}" + (f", smoothed (σ = {smooth:g} px)" if smooth else "")


def _answer(one: Prediction) -> dict[str, Any]:
    return {"index": one.index, "label": one.label, "probability": one.probability, "score": one.score}


def _plain(value: Any) -> Any:
    """An option as JSON can hold it."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"array of shape {tuple(value.shape)}"
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
    return value

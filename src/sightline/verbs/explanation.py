"""The result of `explain`: values, a map on the photo, and everything that tells how far to believe it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sightline.attribution.cams import enlarge
from sightline.attribution.catalog import method
from sightline.core.blur import gaussian
from sightline.core.checks import number
from sightline.core.heats import Passes, Prediction, Warning, relative, speaks_against
from sightline.core.places import Box
from sightline.core.targets import Target, parts_of
from sightline.photos.decode import Photo
from sightline.photos.geometry import View
from sightline.photos.localize import BACKGROUND, Bools, By, extent, localize, stands_out
from sightline.photos.volumes import Volume
from sightline.render.panel import Panel
from sightline.render.save import SUFFIXES, save_arrays, save_page, save_picture, suffix_of
from sightline.render.styles import STEADIED, checked_style
from sightline.verbs.grids import grid, save_grid
from sightline.verbs.record import record
from sightline.verbs.volumes import VOLUMES, save_volume, to_look_at
from sightline.verbs.words import describe, indices

if TYPE_CHECKING:
    from sightline.render.figure import Picture

__all__ = ["Comparison", "Explanation", "grid"]

Floats = NDArray[np.float32]
_STEADIED = 0.03  # of the input's shorter side: how far regions, lines and cut-outs smooth a map that speckles
_STEADY = "steadiness: 1 where the output does not depend on the input"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where the model looked in one photo, volume or clip, for one target, by one method.

    For volumes and clips, (h, w) below is (d, h, w). `values` (C or 1, h, w) are raw and signed, on the network's
    input grid, or on that of a layer that was asked about (`wrt`); `error` their standard error and `gap` the
    completeness gap, None where they have no meaning; `score` names what was differentiated; `unit` what a value
    means, None for what the method's always mean.
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
    photo: Photo | Volume
    view: View
    unit: str | None = None

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
        """One signed value per input pixel: the channels' sum, or the largest of them by magnitude; enlarged."""
        plane = method(self.method).plane(self.values.float().cpu())
        at_a_layer = tuple(plane.shape) != self.view.input_size
        return enlarge(plane[None, None], self.view.input_size)[0, 0] if at_a_layer else plane

    def _heat(self, signed: Floats) -> Floats:
        heat = np.abs(signed) if method(self.method).magnitude else np.maximum(signed, 0)
        return np.asarray(heat, np.float32)

    @property
    def precision(self) -> float | None:
        """Standard error over size of the values, both root mean squares; None for methods that do not sample."""
        if self.error is None:
            return None
        return float(relative(self.error[None], self.values[None])[0])

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
        return record(self)

    def mask(
        self,
        by: By | None = None,
        *,
        foreground: float | None = None,
        background: float = BACKGROUND,
        smooth: float | None = None,
    ) -> Bools:
        """The one region that the heat points at, (h, w) on the upright photo (arXiv:1312.6034 section 3.2).

        `by`: "grabcut", for photos, cuts along the photo's colours, from the heat's pixels above its `foreground`
        quantile (None: 0.95) and those up to its `background` quantile; "threshold" takes those above `foreground`
        (None: 0.90). Of what was found, the largest connected part. Quantiles are over what the network saw; the
        rest is never in it. `smooth`: Gaussian sigma in pixels of the network's input; None: 3 % of its shorter
        side. The same explanation has the same mask. `by` None: "grabcut"; "threshold" for a volume. Raises
        OptionError, and SightlineError where no region stands out: a map that is blank, or the same everywhere.
        """
        heat = self._steady(smooth)
        return localize(self._picture(), heat, by, foreground=foreground, background=background)

    def _picture(self) -> NDArray[Any]:
        """The photo as RGB; a volume's voxels."""
        return self.photo.pixels if isinstance(self.photo, Volume) else np.asarray(self.photo.image())

    def box(
        self,
        by: By | None = None,
        *,
        foreground: float | None = None,
        background: float = BACKGROUND,
        smooth: float | None = None,
    ) -> tuple[int, ...]:
        """The box around `mask` with the same options: (x0, y0, x1, y1) in pixels of the upright photo, half open.

        Of a volume (x0, y0, z0, x1, y1, z1).
        """
        return extent(self.mask(by, foreground=foreground, background=background, smooth=smooth))

    def _sigma(self, smooth: float | None) -> float:
        return _STEADIED * min(self.view.input_size[-2:]) if smooth is None else smooth

    def _steady(self, smooth: float | None) -> Floats:
        """The heat that regions are found in, (h, w) on the photo."""
        return self.view.to_photo(self._lit(False, self._sigma(smooth)).numpy())

    def _lit(self, signs: bool, smooth: float | None) -> Tensor:
        """What a picture shows of each input pixel: its value, or the heat in it; smoothed."""
        plane = self._plane()
        if not signs:
            plane = plane.abs() if method(self.method).magnitude else plane.clamp_min(0)
        if not smooth:
            return plane
        number("smooth", smooth)
        return gaussian(plane.cpu().double(), [smooth] * plane.ndim).float()

    def panel(self, smooth: float | None = None, signed: bool | None = None, style: str = "pair") -> Panel:
        """What a picture shows. `smooth`: sigma in input pixels; `signed` None: only where all are negative."""
        known = method(self.method)
        if checked_style(style) in STEADIED:
            smooth = self._sigma(smooth)
        negative = known.evidence and speaks_against(self._plane())
        signs = style == "signs" or (negative if signed is None else signed)
        photo = to_look_at(self.photo)
        shown = replace(self.view, photo_size=photo.shape[:-1])
        return Panel(
            photo=photo,
            heat=shown.to_photo(self._lit(signs, smooth).numpy()),
            signed=signs,
            name=self.photo.name or self.photo.kind,
            method=self.method,
            label=describe(self.target, self.labels, outlined=True),
            unit=("size of the " if known.magnitude and not signs else "") + self._unit(),
            predictions=self.predictions,
            marked=tuple(indices(self.target)),
            warnings=self.warnings,
            footer=self._footer(),
            smooth=smooth or 0.0,
            region=self._region(smooth, photo.shape[:-1]) if style == "mask" else None,
            captions=self.photo.captions if isinstance(self.photo, Volume) else (),
            boxes=self._boxes(photo.shape[:-1]),
        )

    def _boxes(self, size: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
        """The boxes asked about in a picture of that size."""
        scale = [shown / real for shown, real in zip(size, self.view.photo_size, strict=True)]
        asked = [part for _, part in parts_of(self.target) if isinstance(part, Box)]
        return tuple(box.moved(scale, (0.0, 0.0)).box for box in asked)

    def _unit(self) -> str:
        """What a value of the map means."""
        return (self.unit or method(self.method).unit) if self.target.additive else _STEADY

    def _region(self, smooth: float | None, size: tuple[int, ...]) -> Bools | None:
        """The mask at a picture's size (h, w); None where no region stands out."""
        heat = self._steady(smooth)
        if not stands_out(heat):
            return None
        mask = localize(self._picture(), heat)
        sides = zip(size, mask.shape, strict=True)
        return mask[np.ix_(*(((np.arange(new) + 0.5) * old / new).astype(int) for new, old in sides))]

    def _footer(self) -> str:
        forward, backward = self.passes
        scored = f"{self.score} explained" if indices(self.target) else ""
        parts = [self.model, f"layer {self.layer}" if self.layer else "", scored]
        parts.append(f"{forward} forward, {backward} backward")
        parts.append(f"gap {self.gap:.1%}" if self.gap is not None else "")
        known = self.precision is not None and np.isfinite(self.precision)
        parts.append(f"standard error {self.precision:.1%}" if known else "")
        rule = self.options.get("rule")
        parts.append(f"rule {rule if isinstance(rule, str) else 'of the user'}" if rule is not None else "")
        return "  ·  ".join(part for part in parts if part)

    def figure(
        self,
        smooth: float | None = None,
        *,
        alpha: float = 0.85,
        signed: bool | None = None,
        style: str = "pair",
    ) -> Picture:
        """A matplotlib figure of the map, the top answers in it. Raises OptionError.

        `style`: "pair", the photo beside its overlay; "overlay" alone; "contour", lines of equal heat on the photo;
        "cut-out", what the photo shows where the heat is; "signs", the raw map's positive and negative part; "mask",
        outline and box of `mask`. `smooth`: Gaussian sigma in pixels of the network's input, as --smooth; None: 3 %
        of its shorter side for contour, cut-out and mask, else not at all. `alpha`: how much the heat covers, or a
        cut-out fades.
        """
        from sightline.render.figure import figure

        return figure([self.panel(smooth, signed, style)], alpha=alpha, style=style)

    def save(self, path: str | PathLike[str], smooth: float | None = None, *, style: str = "pair") -> None:
        """Write a picture (.png, .jpg, .svg), raw values with provenance (.npz), or a page (.html). Raises SaveError.

        Of a volume or clip also all slices or frames as a film (.gif), and the map on the grid of the NIfTI file that
        it came from (.nii, .nii.gz), NaN where the network saw nothing. The file is complete or not there. `style`:
        of its pictures.
        """
        suffix = suffix_of(path, (*SUFFIXES, *VOLUMES) if isinstance(self.photo, Volume) else SUFFIXES)
        if suffix in VOLUMES:
            save_volume(path, self, suffix, smooth)
        elif suffix == ".npz":
            save_arrays(path, self.arrays(), self.provenance)
        elif suffix == ".html":
            save_page(path, [self.panel(smooth, style=style)], self.provenance, style)
        else:
            save_picture(path, self.figure(smooth, style=style))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What an .npz file holds beside the provenance."""
        arrays = {"values": self.values.float().cpu().numpy(), "map": self.map, "heatmap": self.heatmap}
        return arrays if self.error is None else arrays | {"error": self.error.float().cpu().numpy()}

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()

    def __repr__(self) -> str:
        doubts = f", warnings: {', '.join(w.code for w in self.warnings)}" if self.warnings else ""
        return f"Explanation({self.method} of {self.label!r} in {self.photo.name or f'a {self.photo.kind}'}{doubts})"


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

    def figure(self, smooth: float | None = None, *, alpha: float = 0.85, style: str = "pair") -> Picture:
        """The photo and what each method shows, side by side; `style` as in Explanation.figure."""
        return grid([self], smooth, alpha=alpha, style=style)

    def save(self, path: str | PathLike[str], smooth: float | None = None, *, style: str = "pair") -> None:
        """As Explanation.save; an .npz file holds each array under "METHOD/NAME"."""
        save_grid([self], path, smooth, style=style)

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()

    def __repr__(self) -> str:
        return f"Comparison({', '.join(map(repr, self.values()))})"

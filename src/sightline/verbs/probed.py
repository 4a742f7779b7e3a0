"""The result of `probe`: answers before and after, effects beside their controls, shares, and a verdict."""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sightline.attribution.catalog import method as known_method
from sightline.core.errors import SightlineWarning
from sightline.core.heats import Prediction, Warning
from sightline.core.targets import Class, Target
from sightline.photos.decode import Photo
from sightline.probes.effects import Effect, Verdict
from sightline.probes.shares import Shares
from sightline.render.save import save_arrays, save_picture, suffix_of, write
from sightline.render.shots import Shot, Strand, Strip
from sightline.verbs.attribute import attribute
from sightline.verbs.placing import on_photo
from sightline.verbs.record import answers_of, made, plain
from sightline.verbs.stage import Stage, pixels_of
from sightline.verbs.words import describe, indices

if TYPE_CHECKING:
    from sightline.render.figure import Picture

_TITLES = {"remove": "removed", "keep": "kept alone"}


@dataclass(frozen=True, eq=False)
class World:
    """What the network saw, `pixels` (C, h, w) in [0, 1], its best answers first, and the target's score.

    `target`: what is answered about the class asked about; None where the target is no class.
    """

    pixels: Tensor
    predictions: tuple[Prediction, ...]
    score: float
    target: Prediction | None = None

    @property
    def picture(self) -> NDArray[np.uint8]:
        """It as a picture to look at, (h, w, 3)."""
        return np.asarray(pixels_of(self.pixels))


@dataclass(frozen=True, eq=False)
class Probe:
    """What the model answers when a region of a photo is edited.

    `effect`: edit -> Effect; `shares` of region and rest. `verdict`: what the model's answer hangs on, "region",
    "rest", "both" (it takes both), "either" (each is enough) or "undecided", and then `why`. `mask` (h, w): the
    region on the network's input. `worlds`: edit -> World, "original" and the worlds of the shares among them.
    `passes`: the worlds that it took. `method`: the map that figures draw unasked. `several`:
    whether several classes can be right at once.
    """

    stage: Stage
    region: str
    mask: NDArray[np.float32]
    soft: float
    fills: tuple[str, ...]
    target: Target
    worlds: Mapping[str, World]
    effect: Mapping[str, Effect]
    shares: Shares
    verdict: Verdict
    why: str
    score: str
    passes: int
    seed: int
    warnings: tuple[Warning, ...]
    method: str | None
    several: bool = False

    @property
    def original(self) -> tuple[Prediction, ...]:
        """The answers for the untouched photo, best first."""
        return self.worlds["original"].predictions

    @property
    def edited(self) -> dict[str, tuple[Prediction, ...]]:
        """Edit -> the answers for the edited photo, best first; mean scores over the fills."""
        return {name: self.worlds[name].predictions for name in self.effect}

    @property
    def photo(self) -> Photo:
        """The photo, upright."""
        return self.stage.photo

    @property
    def label(self) -> str:
        """What the score is of, for a person."""
        return describe(on_photo(self.target, self.stage.view), self.stage.model.labels)

    @property
    def headline(self) -> str:
        """The verdict in a sentence."""
        removed, kept = (self._said(self.worlds[name]) for name in ("remove", "keep"))
        asked = self.several and self.worlds["original"].target
        label = asked.label if asked else self.original[0].label if self.original else self.label
        still, gone = (f"{word} {label} without the region ({removed})" for word in ("Still", "No longer"))
        told = {
            "rest": f"{still}, not with it alone ({kept}): the rest decides.",
            "region": f"{gone}, but with it alone ({kept}): the region decides.",
            "either": f"{still}, and with it alone ({kept}): either is enough.",
            "both": f"{gone}, nor with it alone ({kept}): it takes both.",
        }
        untested = self.verdict in ("region", "both") and getattr(self.effect.get("remove"), "p", None) is None
        return told.get(self.verdict, f"Undecided: {self.why}.") + (" No control could be tried." if untested else "")

    def _said(self, world: World) -> str:
        """A world's best answer, with its probability."""
        best = world.target if self.several else world.predictions[0] if world.predictions else None
        if best is None:
            return f"{world.score:.3g}"
        return best.label if best.number is None else f"{best.label} {best.number:.1%}"

    def strip(self, method: str | None = None) -> Strip:
        """What the figure shows. `method`: of the maps; None: `self.method`. Raises MethodError."""
        mapper = method or self.method
        names = ["original", *self.effect]
        shots = tuple(self._shot(name, mapper) for name in names)
        strands = tuple(self._strand(name, effect) for name, effect in self.effect.items())
        return Strip(
            photo=self.photo.name or "photo",
            label=self.label,
            score=self.score,
            marked=tuple(indices(self.target)),
            shots=shots,
            strands=strands,
            headline=self.headline,
            warnings=self.warnings,
            footer=self._footer(),
        )

    def _shot(self, name: str, mapper: str | None) -> Shot:
        world = self.worlds[name]
        drawn: dict[str, Any] = {}
        if mapper is not None:
            drawn = {"heat": self._heat(world, mapper), "method": mapper, "unit": known_method(mapper).unit}
        outline = self.mask if name == "original" else None
        return Shot(_TITLES.get(name, name), world.picture, self._answers(name), outline=outline, **drawn)

    def _answers(self, name: str) -> tuple[Prediction, ...]:
        """The top five, and the class asked about where it is not among them."""
        world = self.worlds[name]
        if not isinstance(self.target, Class) or any(one.index == self.target.index for one in world.predictions):
            return world.predictions
        return world.predictions if world.target is None else (*world.predictions, world.target)

    def _heat(self, world: World, mapper: str) -> NDArray[np.float32]:
        """Where the model looks in what it saw: on its input, so that nothing is cut off twice."""
        known, model = known_method(mapper), self.stage.model
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore", SightlineWarning)
            heat = attribute(
                model, model.normalize(world.pixels)[None].to(model.device), self.target, mapper, seed=self.seed
            )
        plane = known.plane(heat.values[0].float().cpu())
        return np.asarray((plane.abs() if known.magnitude else plane.clamp_min(0)).numpy())

    def _strand(self, name: str, effect: Effect) -> Strand:
        holm = "" if effect.adjusted in (None, effect.p) else f"By Holm, over all edits: p = {effect.adjusted:.2g}. "
        before, after = effect.probability or (self.worlds["original"].score, self.worlds[name].score)
        return Strand(
            edit=name,
            change=effect.change,
            by_fill=effect.by_fill,
            controls=effect.controls if effect.n else None,
            p=effect.p,
            beyond=effect.beyond,
            note=holm + effect.note,
            before=before,
            after=after,
            measure="probability" if effect.probability else self.score,
        )

    def _footer(self) -> str:
        parts = [self.stage.model.source, self.region, f"fill {', '.join(self.fills)}", f"{self.passes} forward"]
        return "  ·  ".join([*parts, *self.split])

    @property
    def split(self) -> tuple[str, str]:
        """The scores of the four worlds, and the shares of region and rest, in words."""
        of = self.shares
        four = f"{self.score}: photo {of.both:.3g}, region alone {of.region_only:.3g}, "
        four += f"rest alone {of.rest_only:.3g}, neither {of.neither:.3g}"
        if of.region is None or of.rest is None:
            return four, f"no shares: {of.note}"
        return four, f"shares: region {of.region:.0%}, rest {of.rest:.0%}, interaction {of.interaction:+.3g}"

    def figure(self, method: str | None = None) -> Picture:
        """The strip of the experiment: the photo and each edit with its top five and its map, the target before and
        after, and each effect among its controls. `method`: of the maps; None: grad-cam or saliency, or no maps for a
        black box. Raises MethodError.
        """
        from sightline.render.strip import strip_figure

        return strip_figure(self.strip(method))

    def save(self, path: str | PathLike[str], method: str | None = None) -> None:
        """Write the figure (.png, .jpg, .svg), a page (.html), or values with provenance (.npz). Raises SaveError."""
        suffix = suffix_of(path)
        if suffix == ".npz":
            save_arrays(path, self.arrays(), self.provenance)
        elif suffix == ".html":
            from sightline.render.page import strip_page

            write(path, strip_page(self.strip(method), self.provenance).encode())
        else:
            save_picture(path, self.figure(method))

    def arrays(self) -> dict[str, Any]:
        """What an .npz file holds beside the provenance."""
        pictures = {f"{name}/picture": world.picture for name, world in self.worlds.items()}
        controls = {f"{name}/controls": effect.controls for name, effect in self.effect.items()}
        return {"mask": self.mask, **pictures, **controls}

    @property
    def provenance(self) -> dict[str, Any]:
        """All that was found, and what is needed to find it again, as plain values."""
        return {
            **made(self.stage.model.source, self.stage.model.recipe(), self.photo, self.seed, self.warnings),
            "region": self.region,
            "region_share": float(self.mask.sum() / self.stage.inside.sum()),
            "soft": self.soft,
            "fills": list(self.fills),
            "target": str(self.target),
            "label": self.label,
            "score": self.score,
            "original": {"score": self.worlds["original"].score, "predictions": answers_of(self.original)},
            "worlds": {
                name: {"score": world.score, "predictions": answers_of(world.predictions)}
                for name, world in self.worlds.items()
                if name not in self.effect
            },
            "edits": {name: self._told(name, effect) for name, effect in self.effect.items()},
            "shares": _shares(self.shares),
            "verdict": self.verdict,
            "why": self.why,
            "headline": self.headline,
            "passes": self.passes,
        }

    def _told(self, name: str, effect: Effect) -> dict[str, Any]:
        before, after = effect.probability or (None, None)
        return {
            "change": effect.change,
            "by_fill": dict(effect.by_fill),
            "range": list(effect.range),
            "p": effect.p,
            "p_holm": effect.adjusted,
            "n": effect.n,
            "controls": effect.controls.tolist(),
            "placements": [list(shift) for shift in effect.where.shifts],
            "placements_wanted": effect.where.wanted,
            "placements_tried": effect.where.tried,
            "placements_that_fit": effect.where.found,
            "placements_apart": effect.where.apart,
            "stake": effect.where.stake,
            "counts": effect.beyond,
            "answer_holds": list(effect.holds),
            "answer_held_by_controls": effect.held,
            "probability_before": before,
            "probability_after": after,
            "note": effect.note,
            "predictions": answers_of(self.worlds[name].predictions),
        }

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()

    def __repr__(self) -> str:
        return f"Probe({self.photo.name or 'a photo'}, {self.region}: {self.headline})"


def _shares(shares: Shares) -> dict[str, Any]:
    names = (
        *("region", "rest", "of_region", "of_rest", "interaction"),
        *("both", "region_only", "rest_only", "neither", "note"),
    )
    return {name: plain(getattr(shares, name)) for name in names}

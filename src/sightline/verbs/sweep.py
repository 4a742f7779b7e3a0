"""Where and how big an object has to be for the model's answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.core.checks import whole
from sightline.core.errors import OptionError
from sightline.core.heats import Warning
from sightline.core.targets import Target
from sightline.models.model import Model
from sightline.photos.decode import photos_of
from sightline.photos.regions import region_of
from sightline.probes.sweep import Findings
from sightline.probes.sweep import sweep as ask
from sightline.render import shots
from sightline.render.save import save_arrays, save_picture, suffix_of
from sightline.verbs.attribute import announce
from sightline.verbs.explain import check_model
from sightline.verbs.placing import on_photo
from sightline.verbs.probe import each_region, each_target
from sightline.verbs.record import made
from sightline.verbs.stage import Stage, pixels_of, softness, staged
from sightline.verbs.words import describe

if TYPE_CHECKING:
    from sightline.render.figure import Picture


@dataclass(frozen=True, eq=False)
class Sweep:
    """The target's score with the object slid over the scene, scaled, and turned; the photo's own state beside.

    `found.places` goes row by row over `found.ys` and `found.xs`, the object's middle in pixels of the network's
    input; `found.scales` are factors, `found.degrees` turns counter-clockwise. `holds` says where the answer stays.
    """

    stage: Stage
    region: str
    mask: Any
    target: Target
    found: Findings
    score: str
    fill: str
    seed: int
    warnings: tuple[Warning, ...]

    @property
    def label(self) -> str:
        """What the score is of, for a person."""
        return describe(on_photo(self.target, self.stage.view), self.stage.model.labels)

    @property
    def headline(self) -> str:
        """How far the answer holds, in a sentence."""
        if not self.found.classes:
            found = self.found
            values = [found.value, *found.places.values, *found.scales.values, *found.degrees.values]
            about = f"The {self.score} of {self.label} is {found.value:.3g} in the photo"
            return f"{about}, and goes from {min(values):.3g} to {max(values):.3g}."
        lines = {"places": self.found.places, "sizes": self.found.scales, "turns": self.found.degrees}
        counts = [f"{sum(line.holds)} of {len(line.holds)} {name}" for name, line in lines.items()]
        return f"The answer stays at {', '.join(counts[:-1])} and {counts[-1]}."

    def figure(self) -> Picture:
        """The score as a map over the scene, and as curves over scale and turn, the photo's own state marked."""
        from sightline.render.sweeps import sweep_figure

        found, grid = self.found, (len(self.found.ys), len(self.found.xs))
        return sweep_figure(
            shots.Sweep(
                photo=self.stage.photo.name or "photo",
                label=self.label,
                score=self.score,
                picture=pixels_of(self.stage.pixels),
                own=(*found.middle, found.value),
                xs=np.array(found.xs),
                ys=np.array(found.ys),
                scores=np.array(found.places.values).reshape(grid),
                holds=np.array(found.places.holds).reshape(grid),
                scales=np.array(found.scales.at),
                scale_scores=np.array(found.scales.values),
                scale_holds=np.array(found.scales.holds),
                degrees=np.array(found.degrees.at),
                degree_scores=np.array(found.degrees.values),
                degree_holds=np.array(found.degrees.holds),
                outline=self.mask,
                headline=self.headline,
                warnings=self.warnings,
                footer="  ·  ".join(
                    [self.stage.model.source, self.region, f"fill {self.fill}", f"{found.passes} forward"]
                ),
            )
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the figure (.png, .jpg, .svg), or values with provenance (.npz). Raises SaveError."""
        if suffix_of(path) == ".npz":
            scores = {"places": self.found.places, "scales": self.found.scales, "degrees": self.found.degrees}
            arrays = {name: np.array(line.values) for name, line in scores.items()}
            save_arrays(path, {"mask": self.mask, **arrays}, self.provenance)
        else:
            save_picture(path, self.figure())

    @property
    def provenance(self) -> dict[str, Any]:
        """All that was found, and what is needed to find it again, as plain values."""
        return {
            **made(self.stage.model.source, self.stage.model.recipe(), self.stage.photo, self.seed, self.warnings),
            "region": self.region,
            "target": str(self.target),
            "label": self.label,
            "score": self.score,
            "fill": self.fill,
            "headline": self.headline,
            **asdict(self.found),
        }

    def __repr__(self) -> str:
        return f"Sweep({self.stage.photo.name or 'a photo'}, {self.region}: {self.headline})"


def sweep(
    model: Model,
    photo: Any,
    region: Any,
    fill: Any = None,
    target: Any = None,
    steps: int = 9,
    seed: int = 0,
    *,
    soft: float = 0.0,
    progress: Callable[[int], object] | None = None,
) -> Any:
    """The target's score with a region's object slid over the photo, at `steps` x `steps` places, scaled and turned.

    `region`, `target`, `soft`, `progress`: as in `probe`; `fill`: one, for what was behind the object; None:
    "inpaint", or "blur" where the network's input is no picture. A list of photos gives a list. Raises PhotoError,
    TargetError, OptionError, NetworkError.
    """
    whole("steps", steps, 2)
    whole("seed", seed, 0)
    softness(soft)
    check_model(model)
    sources, one = photos_of(photo)
    regions = [region] if one else each_region(region, len(sources))
    asked = zip(sources, regions, each_target(target, len(sources), model), strict=True)
    results = [_sweep(model, *each, fill, steps, seed, soft, progress) for each in asked]
    announce(warning for result in results for warning in result.warnings)
    return results[0] if one else results


def _sweep(
    model: Model,
    photo: Any,
    region: Any,
    target: Target | None,
    fill: Any,
    steps: int,
    seed: int,
    soft: float,
    progress: Callable[[int], object] | None,
) -> Sweep:
    stage, where = staged(model, photo), region_of(region)
    if fill is None:
        fill = "inpaint" if len(stage.pixels) in (1, 3) else "blur"
    worlds = stage.worlds(stage.mask(where, soft), fill, seed)
    if len(worlds) > 1:
        raise OptionError(f"fill names {len(worlds)}; a sweep takes one, for what was behind the object.")
    with stage.lend(target, progress) as (net, fixed):
        found = ask(net, fixed, worlds[0], steps)
        warnings = (*model.warnings, *stage.doubts(where, worlds[0].mask), *net.warnings)
        mask, name = worlds[0].mask.numpy(), worlds[0].fill.name
        return Sweep(stage, str(where), mask, fixed, found, net.readout.score, name, seed, warnings)

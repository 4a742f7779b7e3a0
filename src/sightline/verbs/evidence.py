"""Which parts of a photo are enough for its answer, and which are needed for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.core.checks import whole
from sightline.core.errors import OptionError, TargetError
from sightline.core.heats import Prediction, Warning
from sightline.core.targets import Class
from sightline.models.model import Model
from sightline.models.predictions import predictions_of
from sightline.photos.decode import photos_of
from sightline.photos.segments import segments as cut_up
from sightline.probes.evidence import Least
from sightline.probes.evidence import evidence as search
from sightline.render import shots
from sightline.render.save import save_arrays, save_picture, suffix_of
from sightline.render.shots import Shot
from sightline.verbs.attribute import announce
from sightline.verbs.explain import TOP, check_model
from sightline.verbs.record import answers_of, made
from sightline.verbs.stage import Stage, pixels_of, staged

if TYPE_CHECKING:
    from sightline.render.figure import Picture


@dataclass(frozen=True, eq=False)
class Part:
    """Some segments of a photo: `mask` (h, w) on the network's input, `ids` in the label map, `share` of the photo.

    `picture` (h, w, 3) is what the network saw of them, or without them, and `predictions` its answers.
    """

    mask: NDArray[np.bool_]
    ids: tuple[int, ...]
    share: float
    picture: NDArray[np.uint8]
    predictions: tuple[Prediction, ...]

    @property
    def count(self) -> int:
        """How many segments there are."""
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Evidence:
    """The fewest segments found that keep the answer when all else is filled (`enough`), and the fewest whose loss
    changes it (`needed`, whose first prediction is what it changes to); None where there are none, and `why`.

    `segments` (h, w): the pieces tried. Found greedily, in so many `passes`: a smaller set may exist.
    """

    stage: Stage
    target: Class
    original: tuple[Prediction, ...]
    enough: Part | None
    needed: Part | None
    why: str
    segments: NDArray[np.int64]
    fills: tuple[str, ...]
    passes: int
    seed: int
    warnings: tuple[Warning, ...]

    @property
    def headline(self) -> str:
        """What was found in a sentence."""
        label, pieces = self.original[0].label, int(self.segments.max()) + 1
        if self.enough is None and self.needed is None:
            return f"No part decides {label}: {self.why}."
        said = []
        if self.enough is not None:
            are = "is" if self.enough.count == 1 else "are"
            said.append(f"{self.enough.count} of {pieces} segments {are} enough for {label}")
        if self.needed is not None:
            said.append(f"without {self.needed.count} it becomes {self.needed.predictions[0].label}")
        return f"{'; '.join(said)}."

    def figure(self) -> Picture:
        """The photo, the parts that are enough, and the photo without those needed, each with its top five."""
        from sightline.render.evidence import evidence_figure

        original = Shot("", pixels_of(self.stage.pixels), self.original)
        return evidence_figure(
            shots.Evidence(
                photo=self.stage.photo.name or "photo",
                label=self.original[0].label,
                marked=(self.target.index,),
                original=original,
                enough=self._shot(self.enough),
                needed=self._shot(self.needed),
                headline=self.headline,
                segments=self.segments,
                warnings=self.warnings,
                footer="  ·  ".join(
                    [self.stage.model.source, f"fill {', '.join(self.fills)}", f"greedy, {self.passes} forward"]
                ),
            )
        )

    def _shot(self, part: Part | None) -> Shot | None:
        if part is None:
            return None
        pieces = "1 segment" if part.count == 1 else f"{part.count} segments"
        title = f"{pieces}, {part.share:.0%} of the photo"
        return Shot(title, part.picture, part.predictions, outline=part.mask.astype(np.float32))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the figure (.png, .jpg, .svg), or values with provenance (.npz). Raises SaveError."""
        if suffix_of(path) == ".npz":
            parts = {"enough": self.enough, "needed": self.needed}
            masks = {name: part.mask for name, part in parts.items() if part is not None}
            save_arrays(path, {"segments": self.segments, **masks}, self.provenance)
        else:
            save_picture(path, self.figure())

    @property
    def provenance(self) -> dict[str, Any]:
        """All that was found, and what is needed to find it again, as plain values."""
        return {
            **made(self.stage.model.source, self.stage.model.recipe(), self.stage.photo, self.seed, self.warnings),
            "target": str(self.target),
            "label": self.original[0].label,
            "fills": list(self.fills),
            "segments": int(self.segments.max()) + 1,
            "original": answers_of(self.original),
            "enough": _told(self.enough),
            "needed": _told(self.needed),
            "why": self.why,
            "headline": self.headline,
            "passes": self.passes,
        }

    def __repr__(self) -> str:
        return f"Evidence({self.stage.photo.name or 'a photo'}: {self.headline})"


def _told(part: Part | None) -> dict[str, Any] | None:
    if part is None:
        return None
    return {
        "count": part.count,
        "segments": list(part.ids),
        "share": part.share,
        "predictions": answers_of(part.predictions),
    }


def evidence(
    model: Model,
    photo: Any,
    fill: Any = "blur",
    segments: int | NDArray[Any] = 50,
    seed: int = 0,
    *,
    progress: Callable[[int], object] | None = None,
) -> Any:
    """The smallest part of a photo that keeps the model's answer, and the smallest whose loss changes it.

    `segments`: about how many pieces the photo is cut into along its colours, or a label map (h, w) of ints on the
    network's input. `fill`, `progress`: as in `probe`; a list of photos gives a list. Greedy search: the passes it
    took are on the result. Raises PhotoError, TargetError where the model gives no classes, OptionError,
    NetworkError.
    """
    whole("seed", seed, 0)
    check_model(model)
    sources, one = photos_of(photo)
    results = [_evidence(model, source, fill, segments, seed, progress) for source in sources]
    announce(warning for result in results for warning in result.warnings)
    return results[0] if one else results


def _evidence(
    model: Model, photo: Any, fill: Any, segments: Any, seed: int, progress: Callable[[int], object] | None
) -> Evidence:
    stage = staged(model, photo)
    pieces = _pieces(stage, segments)
    worlds = stage.worlds(stage.inside, fill, seed)
    with stage.lend(None, progress) as (net, target):
        if not isinstance(target, Class):
            raise TargetError("this network gives no classes, so there is no answer to keep or lose; use sl.probe.")
        images = model.normalize(stage.pixels)[None]
        original = predictions_of(model, net.readout, net.scores(images)[0], TOP)
        found = search(net, target.index, worlds, torch.from_numpy(pieces))

        def part(least: Least | None) -> Part | None:
            if least is None:
                return None
            top = tuple(predictions_of(model, net.readout, least.scores, TOP))
            mask = (least.mask.numpy() > 0) & (stage.inside.numpy() > 0)
            share = float(mask.sum() / stage.inside.sum())
            ids = tuple(np.unique(pieces[least.mask.numpy() > 0]).tolist())
            return Part(mask, ids, share, pixels_of(least.picture), top)

        return Evidence(
            stage, target, tuple(original), part(found.enough), part(found.needed), found.why, pieces,
            tuple(world.fill.name for world in worlds), found.passes + 2, seed, (*model.warnings, *net.warnings),
        )  # fmt: skip


def _pieces(stage: Stage, given: Any) -> NDArray[np.int64]:
    """A label (h, w) for each pixel of the input, 0 to k - 1. Raises OptionError."""
    size = stage.view.input_size
    if isinstance(given, int) and not isinstance(given, bool):
        return cut_up(stage.pixels.movedim(0, -1).numpy(), whole("segments", given, 2))
    labels = np.asarray(given)
    if labels.shape != size or not np.issubdtype(labels.dtype, np.integer):
        raise OptionError(f"segments {labels.dtype} {labels.shape}; give a number, or labels {size}, whole numbers.")
    return np.asarray(np.unique(labels, return_inverse=True)[1].reshape(size), np.int64)

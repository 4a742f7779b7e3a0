"""What happens if ...? A photo and a region in, answers, effects and controls out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

from torch import Tensor

from sightline.attribution.catalog import method as known_method
from sightline.core.checks import whole
from sightline.core.errors import OptionError
from sightline.core.heats import Prediction
from sightline.core.places import Box
from sightline.core.targets import Class, Target
from sightline.models.model import Model
from sightline.models.predictions import ranked
from sightline.network.net import Net
from sightline.photos.decode import photos_of
from sightline.photos.regions import region_of
from sightline.probes.asking import Answer
from sightline.probes.edits import Edit
from sightline.probes.named import edits_of
from sightline.probes.probe import Findings
from sightline.probes.probe import probe as search
from sightline.verbs.asked import target_for
from sightline.verbs.attribute import announce, preferred
from sightline.verbs.explain import TOP, check_model
from sightline.verbs.placing import of_image
from sightline.verbs.probed import Probe, World
from sightline.verbs.stage import Stage, softness, staged

Progress = Callable[[int], object]


def probe(
    model: Model,
    photo: Any,
    region: Any,
    edits: str | Edit | Sequence[str | Edit] = ("remove", "keep"),
    fill: Any = "blur",
    target: Any = None,
    seed: int = 0,
    *,
    controls: int = 99,
    soft: float = 0.0,
    progress: Progress | None = None,
) -> Any:
    """What the model answers when a region of the photo is edited, and whether the same edit elsewhere does as much.

    `region`: a box (x0, y0, x1, y1) in pixels of the upright photo, half open, a mask (h, w), or one of `sl.regions`;
    for a list of photos one for all, or a list of them. `edits`: names, or values of `sl.edits`, which add up.
    `fill`: what hidden pixels become: "black", "white", "mean", "blur", "noise", "shuffle", "inpaint",
    "inpaint-ns", a colour in [0, 1], a photo, a function of (photo, mask), or a tuple of these, which are averaged;
    the function gets what the network sees, (h, w, 3) in [0, 1], and what is hidden of it, bool (h, w). `target`:
    as in `explain`. `controls`: placements of the same shape elsewhere that each edit is compared with; 0 for none.
    `soft`: how far the region's edge is softened, sigma in pixels of the photo. `progress` is called with the number
    of images that went through the network. Edits are made on its input, so that a photo of any size is quick.
    Raises PhotoError, TargetError, OptionError, NetworkError, ModelError.
    """
    check_model(model)
    whole("controls", controls, 0)
    whole("seed", seed, 0)
    softness(soft)
    asked = edits_of(edits)
    sources, one = photos_of(photo)
    regions = [region] if one else each_region(region, len(sources))
    targets = each_target(target, len(sources), model)
    ask = _Ask(model, asked, fill, seed, controls, float(soft), progress)
    results = [ask.of(*each) for each in zip(sources, regions, targets, strict=True)]
    announce(warning for result in results for warning in result.warnings)
    return results[0] if one else results


@dataclass(frozen=True, eq=False)
class _Ask:
    """What is asked of every photo alike."""

    model: Model
    edits: dict[str, Edit]
    fill: Any
    seed: int
    controls: int
    soft: float
    progress: Progress | None

    def of(self, photo: Any, region: Any, target: Target | None) -> Probe:
        """The answers for one photo."""
        stage, where = staged(self.model, photo), region_of(region)
        worlds = stage.worlds(stage.mask(where, self.soft), self.fill, self.seed)
        with stage.lend(target, self.progress) as (net, fixed):
            found = search(net, fixed, worlds, self.edits, self.controls, self.seed)
            return Probe(
                stage=stage,
                region=str(where),
                mask=worlds[0].mask.numpy(),
                soft=self.soft,
                fills=tuple(world.fill.name for world in worlds),
                target=fixed,
                worlds=_worlds(stage, net, fixed, found),
                effect=found.effects,
                shares=found.shares,
                verdict=found.verdict,
                why=found.why,
                score=net.readout.score,
                passes=found.passes,
                seed=self.seed,
                warnings=(*self.model.warnings, *stage.doubts(where, worlds[0].mask), *net.warnings),
                method=_mapper(net, stage),
                several=net.readout.output == "multilabel",
            )


def each_target(target: Any, count: int, model: Model) -> list[Target | None]:
    """A target for each of many photos; None is the predicted class. Raises TargetError."""
    wanted = target_for(target, count, model)
    return [None if wanted is None else of_image(wanted, i) for i in range(count)]


def each_region(region: Any, count: int) -> list[Any]:
    """A region for each of many photos. Raises OptionError."""
    if not isinstance(region, list | tuple) or all(isinstance(part, Number) for part in region):
        return [region] * count
    if len(region) != count:
        raise OptionError(f"{len(region)} regions for {count} photos; give one, or one for each.")
    return list(region)


def _worlds(stage: Stage, net: Net, target: Target, found: Findings) -> dict[str, World]:
    """The pictures and answers by edit; "original" is the photo."""

    def world(answer: Answer) -> World:
        top = ranked(stage.model, net.readout, answer.scores, TOP, stage.view)
        asked = None
        if isinstance(target, Class | Box):
            chance = answer.value if isinstance(target, Box) else _chance(net, answer.scores, target)
            asked = Prediction(target.index, stage.model.label(target.index), chance, answer.value)
        return World(answer.picture, top, answer.value, asked)

    return {name: world(answer) for name, answer in found.answers.items()}


def _chance(net: Net, scores: Tensor, target: Class) -> float | None:
    likely = net.readout.probabilities(scores[None])
    return None if likely is None else float(likely[0, target.index])


def _mapper(net: Net, stage: Stage) -> str | None:
    """The method that draws maps of edited photos without being asked: one that takes a pass or two."""
    image = stage.model.normalize(stage.pixels)[None]
    name = preferred(net, image)
    return name if "gradients" in known_method(name).needs else None

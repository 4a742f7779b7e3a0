"""How far can a model be trusted? A model and labelled photos in, a verdict for each class out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.core.checks import whole
from sightline.core.errors import NetworkError, OptionError
from sightline.core.heats import Warning
from sightline.models.model import Model
from sightline.network.net import Net
from sightline.photos.decode import Photo
from sightline.photos.regions import Mask, Region
from sightline.render.save import check_writable, suffix_of
from sightline.studies import thresholds
from sightline.studies.audit import EACH, PASSES, Audited
from sightline.studies.audit import audit as study
from sightline.studies.conclusions import PhotoRow
from sightline.studies.pool import Pool
from sightline.studies.worlds import Ask
from sightline.verbs.attribute import announce
from sightline.verbs.audited import Report
from sightline.verbs.explain import check_model, explain
from sightline.verbs.gathered import Entry, Gathered, pool_of

_RANKED = ("logits", "probabilities")


def audit(
    model: Model,
    dataset: Any,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    *,
    passes: int = PASSES,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """How much of each class's answers the surroundings carry, and how much accuracy goes when they change.

    `dataset`: a folder of class folders, or an iterable of (photo, label) or (photo, label, region); a label is an
    index or a label string. `region` holds the photo's object, as `sl.probe` takes it; in a box the object is cut
    out along the photo's colours, and without a region it is what the map of the default method for the label points
    at. Objects are put into the surroundings of other photos, whose own objects are painted over. `out`: a .json to
    write the report to. `passes`: images per photo that go through the network, at most. `progress` is called with
    how many did. Photos that cannot be used are named in a warning. Raises PhotoError, TargetError, OptionError,
    ModelError, NetworkError, SaveError.
    """
    check_model(model)
    whole("seed", seed, 0)
    whole("passes", passes, 1 + 2 * EACH)
    if out is not None:
        suffix_of(out, (".json",))
        check_writable(out)
    gathered = Gathered(model, _classes(model), lambda photo, label: _found(model, photo, label, seed))
    entries = gathered.read(dataset)
    pool = pool_of(entries)
    with _asking(model, pool, progress) as (net, ask):
        audited = study(pool, ask, seed=seed, passes=passes)
        doubts = (*model.warnings, *gathered.warnings, *net.warnings, *_regions(entries))
    report = _report(model, entries, pool, audited, seed, doubts)
    announce(doubts)
    if out is not None:
        report.save(out)
    return report


def _classes(model: Model) -> int:
    """How many classes the network tells apart. Raises OptionError where it does not choose one of several."""
    sample = torch.rand(model.channels, *model.input_size, generator=torch.Generator().manual_seed(0))
    image = model.normalize(sample)[None].to(model.device)
    with model.lend(image) as net:
        scores, output = net.scores(image), net.readout.output
    if output not in _RANKED or scores.ndim != 2 or scores.shape[1] < 2:
        raise OptionError(
            f"an audit asks which one of several classes a photo shows; this network's output is {output}, "
            f'{tuple(scores.shape[1:])} for a photo. Where it chooses one class, say output="logits".'
        )
    return scores.shape[1]


@contextmanager
def _asking(model: Model, pool: Pool, progress: Callable[[int], object] | None) -> Iterator[tuple[Net, Ask]]:
    """The network on loan, as a function from pixels to probabilities."""
    first = model.normalize(pool.photos[0].float() / 255)[None].to(model.device)
    with model.lend(first) as net:
        net.progress = progress or net.progress

        def ask(images: Tensor) -> Tensor:
            likely = net.readout.probabilities(net.scores(net.images(images.to(model.device))))
            if likely is None:
                raise NetworkError("the network's answers are no longer those of classes.")
            return likely.cpu()

        yield net, ask


def _found(model: Model, photo: Photo, label: int, seed: int) -> Region:
    """What the map for the label points at."""
    return Mask(explain(model, photo, target=label, seed=seed).mask())


def _regions(entries: list[Entry]) -> Iterator[Warning]:
    """How the objects were found, where that leaves a doubt."""
    counts = Counter(one.how for one in entries)
    if counts["whole box"]:
        message = (
            f"in {counts['whole box']} boxes no object could be cut out along the colours; what is around it there "
            "travels along, so that losses of their classes may be larger than said. Give masks."
        )
        yield Warning("whole-boxes", message)
    if counts["found"]:
        message = (
            f"the objects of {counts['found']} photos are where the model's own maps point, which is elsewhere where "
            "it looks at the surroundings: their classes may lose more than said. Give regions."
        )
        yield Warning("found-regions", message)


def _report(
    model: Model, entries: list[Entry], pool: Pool, audited: Audited, seed: int, doubts: tuple[Warning, ...]
) -> Report:
    rows = _photo_rows(entries, pool, audited)
    classes = {
        index: replace(found, label=model.label(index), photos=tuple(rows[i] for i in pool.members[index]))
        for index, found in audited.conclusions.items()
    }
    bounds = {name.lower(): getattr(thresholds, name) for name in ("LOSS", "REPLACED", "FEWEST", "RISE")}
    regions = dict(sorted(Counter(one.how for one in entries).items()))
    return Report(classes, model.source, model.recipe(), seed, thresholds.LEVEL, regions, bounds, doubts)


def _photo_rows(entries: list[Entry], pool: Pool, audited: Audited) -> list[PhotoRow]:
    worlds, seen = audited.worlds, audited.seen
    right = worlds.said == pool.labels[worlds.objects]
    mates = pool.labels[worlds.objects] == pool.labels[worlds.surroundings]
    column = {label: i for i, label in enumerate(pool.classes)}

    def rates(chosen: Any) -> list[float | None]:
        times = np.bincount(worlds.objects[chosen], minlength=len(pool))
        hits = np.bincount(worlds.objects[chosen & right], minlength=len(pool))
        return [float(hit / of) if of else None for hit, of in zip(hits, times, strict=True)]

    same, other = rates(mates), rates(~mates)
    return [
        PhotoRow(
            one.name, one.sha256, int(seen.said[i]), float(seen.chances[i, column[one.label]]), same[i], other[i],
            int(audited.passes[i]), one.how,
        )
        for i, one in enumerate(entries)
    ]  # fmt: skip

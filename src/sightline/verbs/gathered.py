"""The photos of an audit: a folder of class folders or photos with labels, each with the region of its object."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.core.checks import whole
from sightline.core.errors import OptionError, PhotoError, SightlineError, TargetError
from sightline.core.heats import Warning
from sightline.core.words import index_of
from sightline.models.model import Model
from sightline.photos.decode import Photo
from sightline.photos.folder import pictures_in
from sightline.photos.localize import object_in
from sightline.photos.regions import Box, Mask, Region, mask_of, region_of
from sightline.studies.pool import Pool, emptied
from sightline.verbs.stage import Stage, staged

_NAMED = 5  # photos that are left out, in one warning
Find = Callable[[Photo, int], Region]


@dataclass(frozen=True, eq=False)
class Entry:
    """A photo of the data set as it goes into the pool. `how` its region came: "given", "box" (cut along the photo's
    colours), "whole box" (nothing to cut along), or "found".
    """

    name: str
    sha256: str
    label: int
    pixels: Tensor
    emptied: Tensor
    cut: Tensor
    how: str


@dataclass
class Gathered:
    """A data set being read; `left_out` (name, why) and `twice` fill while it is."""

    model: Model
    classes: int
    find: Find
    left_out: list[tuple[str, str]] = field(default_factory=list)
    twice: int = 0

    def read(self, dataset: Any) -> list[Entry]:
        """Every photo that can be used, each once, in an order that does not hang on the data set's.

        Raises PhotoError where none can, TargetError for a label that does not exist, OptionError for what is no
        region or no data set.
        """
        found: dict[str, Entry] = {}
        for i, (source, label, region) in enumerate(_items(dataset)):
            index = self._index(label)
            given = None if region is None else region_of(region)
            name = _name(source, i)
            try:
                entry = self._entry(name, source, index, given)
            except (PhotoError, OptionError) as error:
                self.left_out.append((name, str(error)))
                continue
            self.twice += entry.sha256 in found
            found.setdefault(entry.sha256, entry)
        if not found:
            why = f": {self.left_out[0][1]}" if self.left_out else "; it holds none."
            raise PhotoError(f"none of the data set's photos can be audited{why}")
        return sorted(found.values(), key=lambda one: (one.label, one.sha256))

    @property
    def warnings(self) -> tuple[Warning, ...]:
        """Which photos were left out, and why."""
        found = []
        if self.left_out:
            told = "; ".join(f"{name} ({why.rstrip('.')})" for name, why in self.left_out[:_NAMED])
            more = f"; and {len(self.left_out) - _NAMED} more" if len(self.left_out) > _NAMED else ""
            found.append(Warning("left-out", f"{len(self.left_out)} photos are left out: {told}{more}."))
        if self.twice:
            found.append(Warning("twice", f"{self.twice} photos came again, and count once."))
        return tuple(found)

    def _index(self, label: Any) -> int:
        if isinstance(label, str) and not (label.isdecimal() and label not in (self.model.labels or ())):
            return index_of(label, self.model.labels)
        label = int(label) if isinstance(label, str) else label  # a folder may be named by an index
        number = whole("a photo's label", label, 0) if not isinstance(label, np.integer) else int(label)
        if not 0 <= number < self.classes:
            raise TargetError(f"class {number} does not exist; the network has {self.classes}, numbered from 0.")
        return number

    def _entry(self, name: str, source: Any, label: int, given: Region | None) -> Entry:
        stage = staged(self.model, source)
        try:
            region = self.find(stage.photo, label) if given is None else given
        except (PhotoError, OptionError):
            raise
        except SightlineError as error:
            raise PhotoError(f"no object is found in it: {error}") from error
        hole = stage.mask(region, 0.0)
        cut, how = (hole, "found" if given is None else "given")
        if isinstance(region, Box):
            cut, how = _cut(stage, region, hole)
        shown = stage.pixels.clamp(0, 1)
        pixels, left, inside = map(_bytes, (shown, emptied(shown, hole), cut))
        return Entry(name, stage.photo.sha256, label, pixels, left, inside, how)


def pool_of(entries: list[Entry]) -> Pool:
    """The photos ready to be put into each other's surroundings. Raises PhotoError for photos of one class only."""
    labels = np.array([one.label for one in entries], np.int64)
    if len(set(labels.tolist())) < 2:
        raise PhotoError("an audit needs photos of at least two classes: one lends the other its surroundings.")
    pixels, left, cut = (
        torch.stack([getattr(one, name) for one in entries]) for name in ("pixels", "emptied", "cut")
    )
    return Pool(pixels, left, cut, labels)


def _cut(stage: Stage, region: Region, hole: Tensor) -> tuple[Tensor, str]:
    """The object in a box: what is around it in the box would travel along, and is surroundings."""
    photo = stage.photo
    try:
        found = object_in(np.asarray(photo.image()), mask_of(region, photo) > 0)
        return torch.minimum(stage.mask(Mask(found), 0.0), hole), "box"
    except OptionError:
        return hole, "whole box"


def _bytes(values: Tensor) -> Tensor:
    return (values * 255).round().to(torch.uint8)


def _items(dataset: Any) -> Iterator[tuple[Any, Any, Any]]:
    """(photo, label, region or None) of a folder of class folders, or an iterable."""
    if isinstance(dataset, str | os.PathLike):
        yield from _in_folder(Path(dataset))
        return
    if not isinstance(dataset, Iterable) or isinstance(dataset, bytes | dict) or hasattr(dataset, "ndim"):
        raise OptionError(f"a data set is {_KINDS}; got {type(dataset).__name__}.")
    for one in dataset:
        if not isinstance(one, list | tuple) or len(one) not in (2, 3):
            raise OptionError(f"a data set is {_KINDS}; it holds {one!r:.80}.")
        yield one[0], one[1], one[2] if len(one) == 3 else None


_KINDS = "a folder of class folders, or an iterable of (photo, label) or (photo, label, region)"


def _in_folder(top: Path) -> Iterator[tuple[Path, str, None]]:
    if not top.is_dir():
        raise PhotoError(f"{str(top)!r} is no folder; a data set is {_KINDS}.")
    for path in pictures_in(top):
        inner = path.relative_to(top).parts
        if len(inner) < 2:
            raise PhotoError(f"{path.name!r} lies beside the class folders of {str(top)!r}, in none of them.")
        yield path, inner[0], None


def _name(source: Any, i: int) -> str:
    if isinstance(source, str | os.PathLike):
        path = Path(os.fsdecode(source))
        return "/".join(path.parts[-2:]).encode("utf-8", "replace").decode()
    return source.name if isinstance(source, Photo) and source.name else f"photo {i}"

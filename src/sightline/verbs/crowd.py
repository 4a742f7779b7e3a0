"""Many photos of a user's, opened batch by batch: what cannot be read is named, what comes twice is passed over."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sightline.core.errors import PhotoError
from sightline.core.heats import Warning
from sightline.models.model import Model
from sightline.photos.decode import Photo, open_photo, photos_of
from sightline.photos.folder import pictures_in
from sightline.photos.geometry import View

_NAMED = 5  # photos that cannot be read, in one warning


@dataclass(frozen=True, eq=False)
class Member:
    """One photo of many: a path to it, or itself, its name for a reader, its place on the network's input."""

    source: Any
    name: str
    sha256: str
    view: View
    channels: int

    @property
    def photo(self) -> Photo:
        """The photo, opened anew where it is a file. Raises PhotoError where that is gone."""
        return open_photo(self.source, channels=self.channels)


@dataclass
class Crowd:
    """Photos as `batches` of (members, images (n, C, h, w)); the other fields fill while these are read.

    `count`: photos that were read, each once; `twice`: those that came again; `failed`: (name, why) of the others.
    """

    model: Model
    sources: Iterable[Any]
    root: Path | None = None
    what: str = "photos"
    count: int = 0
    twice: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    _known: set[bytes] = field(default_factory=set, repr=False)
    _print: Any = field(default_factory=hashlib.sha256, repr=False)

    def batches(self) -> Iterator[tuple[list[Member], Tensor]]:
        """As many photos at once as the model takes. Raises PhotoError where not one could be read."""
        members: list[Member] = []
        images: list[Tensor] = []
        for member, image in self._read():
            members.append(member)
            images.append(image)
            if len(members) == self.model.at_once:
                yield members, torch.stack(images)
                members, images = [], []
        if members:
            yield members, torch.stack(images)
        if not self.count:
            why = f": {self.failed[0][1]}" if self.failed else "; give a folder, or a list of photos."
            raise PhotoError(f"none of the {self.what} could be read{why}")

    def _read(self) -> Iterator[tuple[Member, Tensor]]:
        for i, source in enumerate(self.sources):
            try:
                photo = open_photo(source, channels=self.model.channels)
                image, view = self.model.tensor(photo)
            except PhotoError as error:
                self.failed.append((self._name(source, i), str(error)))
                continue
            key = hashlib.sha256(f"{photo.pixels.shape}{photo.sha256}".encode()).digest()
            if key in self._known:
                self.twice += 1
                continue
            self._known.add(key)
            self._print.update(key)
            self.count += 1
            kept = source if isinstance(source, str | os.PathLike) else photo
            name = self._name(photo if photo.name and kept is photo else source, i)
            yield Member(kept, name, photo.sha256, view, self.model.channels), image

    def _name(self, source: Any, i: int) -> str:
        if isinstance(source, Photo) and source.name:
            return source.name
        if not isinstance(source, str | os.PathLike):
            return f"photo {i}"
        path = Path(os.fsdecode(source))
        name = path.relative_to(self.root).as_posix() if self.root else path.name
        return name.encode("utf-8", "replace").decode()

    def shared(self, other: Crowd) -> int:
        """How many photos both have read."""
        return len(self._known & other._known)

    @property
    def warnings(self) -> tuple[Warning, ...]:
        """What could not be read, by name."""
        if not self.failed:
            return ()
        told = "; ".join(f"{name} ({why.rstrip('.')})" for name, why in self.failed[:_NAMED])
        more = f"; and {len(self.failed) - _NAMED} more" if len(self.failed) > _NAMED else ""
        return (Warning("unreadable", f"{len(self.failed)} of the {self.what} could not be read: {told}{more}."),)

    @property
    def record(self) -> dict[str, Any]:
        """Which photos these were, as plain values."""
        return {
            "count": self.count,
            "twice": self.twice,
            "sha256": self._print.hexdigest(),
            "failed": [{"photo": name, "error": why} for name, why in self.failed],
        }


def crowd_of(model: Model, photos: Any, what: str = "photos") -> Crowd:
    """Photos from a path to a folder, searched recursively, or from an iterable of photos, read one after the other.

    One photo is a crowd of one. `what`: what errors call them. Raises PhotoError.
    """
    if isinstance(photos, str | os.PathLike) and os.path.isdir(photos):
        return Crowd(model, pictures_in(photos), Path(os.fsdecode(photos)), what)
    if isinstance(photos, Iterable) and not isinstance(photos, str | bytes | dict) and not hasattr(photos, "ndim"):
        return Crowd(model, photos, what=what)
    return Crowd(model, photos_of(photos)[0], what=what)

"""Photos where something in a network is strongest, with the part of each that it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.core.targets import Target
from sightline.features.fields import field_of
from sightline.features.peaks import Peak
from sightline.models.model import Model
from sightline.photos.decode import Photo
from sightline.photos.localize import Box
from sightline.render.tiles import Tile
from sightline.render.words import number
from sightline.verbs.crowd import Member

SIDE = 360  # pixels of a picture in a figure, at most


@dataclass(frozen=True, eq=False)
class Hit:
    """A photo, the highest `score` in it, and its `position` (y, x) on the layer's map; () where that has none.

    `box` (x0, y0, x1, y1), half open, in the upright photo's pixels: what this position can see; of a concept, what
    is at least half as strong around it. None where that is nothing of the photo.
    """

    name: str
    score: float
    position: tuple[int, ...]
    box: Box | None
    member: Member

    @property
    def photo(self) -> Photo:
        """The photo, opened anew where it is a file. Raises PhotoError where that is gone."""
        return self.member.photo

    def crop(self) -> NDArray[np.uint8]:
        """What is in the box, (h, w, 3); no pixels where there is none."""
        x0, y0, x1, y1 = self.box or (0, 0, 0, 0)
        return np.asarray(self.photo.image())[y0:y1, x0:x1]

    @property
    def whole(self) -> bool:
        """Whether the position sees all of the photo that the network does."""
        height, width = self.member.view.input_size
        return self.box == self.member.view.box_to_photo((0, 0, width, height))

    def tiles(self) -> tuple[Tile, Tile]:
        """The photo with the box on it, unless that is all of it, and the crop, small enough for a figure."""
        picture = self.photo.image()
        shown = small(picture)
        scale = shown.width / picture.width
        box = None if self.box is None or self.whole else tuple(scale * side for side in self.box)
        seen = picture.crop(self.box) if self.box else Image.new("RGB", (8, 8), "#f3f4f6")
        whole = Tile(np.asarray(shown), number(self.score), self.name, box)  # type: ignore[arg-type]
        return whole, Tile(np.asarray(small(seen)))

    @property
    def record(self) -> dict[str, Any]:
        """The hit as plain values."""
        return {
            "photo": self.name,
            "photo_sha256": self.member.sha256,
            "score": self.score,
            "position": list(self.position),
            "box": None if self.box is None else list(self.box),
        }

    def __repr__(self) -> str:
        return f"Hit({self.name!r}, {self.score:.4g} at {self.position}, box {self.box})"


def small(picture: Image.Image) -> Image.Image:
    """A picture, no side longer than a figure has use for."""
    side = max(picture.size)
    if side <= SIDE:
        return picture
    size = tuple(max(1, round(length * SIDE / side)) for length in picture.size)
    return picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def hit_of(model: Model, member: Member, peak: Peak, target: Target, seed: int) -> Hit:
    """A photo's peak, with what the target, one position of a layer, can see. Raises PhotoError, LayerError."""
    image, view = model.tensor(member.photo)
    with model.lend(image[None]) as net:
        field = field_of(net, image, target, seed=seed)
    box = None if field is None else view.box_to_photo(field)
    return Hit(member.name, peak.score, peak.position, box, member)

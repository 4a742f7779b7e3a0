"""What a layer's activations are made of, over many photos: a few concepts, each a direction and its maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.attribution.cams import enlarge
from sightline.core.activations import Direction
from sightline.core.checks import whole
from sightline.core.errors import LayerError
from sightline.core.heats import Warning
from sightline.features.concepts import Factors, factorize
from sightline.features.peaks import Highest, Peak, peaks_of
from sightline.models.model import Model
from sightline.photos.decode import Photo
from sightline.photos.geometry import View
from sightline.photos.localize import box_around, part_at
from sightline.render.paint import cut_out
from sightline.render.panel import Panel
from sightline.render.save import save_wall
from sightline.render.tiles import Row, Tile, Wall
from sightline.render.words import number
from sightline.verbs.attribute import announce
from sightline.verbs.crowd import Member, crowd_of
from sightline.verbs.explain import check_model
from sightline.verbs.hits import Hit, small
from sightline.verbs.layered import Layered
from sightline.verbs.record import doubts_of, versions

if TYPE_CHECKING:
    from sightline.render.sheet import Picture

Floats = NDArray[np.float32]
_SHOWN = 6  # photos of a concept
_HALF = 0.5  # of its peak: what a crop is drawn around
_FADED = 0.88
_FAINT = 1 / 3  # of a row's peak: photos of less are left out of a figure


class Maps(Sequence[Floats]):
    """Of each photo its concepts' maps (count, h, w), float32, on the upright photo, NaN where nothing was seen.

    They are made when they are asked for: those of many photos at once would be large.
    """

    def __init__(self, amounts: Floats, views: Sequence[View]) -> None:
        self._amounts, self._views = amounts, views

    def __len__(self) -> int:
        return len(self._amounts)

    @overload
    def __getitem__(self, photo: int) -> Floats: ...
    @overload
    def __getitem__(self, photo: slice) -> list[Floats]: ...
    def __getitem__(self, photo: int | slice) -> Floats | list[Floats]:
        if isinstance(photo, slice):
            return [self[i] for i in range(*photo.indices(len(self)))]
        view = self._views[photo]
        return np.stack([view.to_photo(one) for one in on_input(self._amounts[photo], view)])


def on_input(amounts: Floats, view: View) -> Floats:
    """Maps (count, *grid) on the network's input, (count, h, w): bilinear, corners not aligned."""
    return np.asarray(enlarge(torch.from_numpy(amounts)[:, None], view.input_size)[:, 0].numpy(), np.float32)


@dataclass(frozen=True, eq=False)
class Concepts:
    """A layer's activations over photos as `amounts` (photos, count, *grid) of `vectors` (count, C), none negative.

    Best explained first: `share` (count,) of the activations' energy, their sum of squares, which adds up to `total`.
    `vectors` have length 1. `maps[i]` are the amounts on photo i, `photos` the photos' names in the same order;
    `strongest[k]` are the photos where concept k is strongest, with the box around what is at least half its peak.
    """

    layer: str
    factors: Factors
    amounts: Floats
    members: tuple[Member, ...]
    searched: dict[str, Any]
    model: Model
    seed: int
    warnings: tuple[Warning, ...]

    @property
    def count(self) -> int:
        """How many concepts there are."""
        return len(self.vectors)

    @property
    def vectors(self) -> Floats:
        """The concepts' directions in the layer's channels, (count, C), of length 1."""
        return self.factors.vectors

    @property
    def share(self) -> NDArray[np.float64]:
        """Of the activations' energy what each concept explains, (count,)."""
        return self.factors.share

    @property
    def total(self) -> float:
        """Of the activations' energy what all concepts explain together."""
        return self.factors.total

    @property
    def photos(self) -> tuple[str, ...]:
        """The photos' names."""
        return tuple(member.name for member in self.members)

    @property
    def maps(self) -> Maps:
        """The concepts' maps on each photo."""
        return Maps(self.amounts, [member.view for member in self.members])

    @property
    def targets(self) -> tuple[Direction, ...]:
        """Each concept as a target: to be explained in a photo, or climbed by `sl.visualize`."""
        return tuple(Direction(self.layer, vector) for vector in self.vectors)

    @cached_property
    def strongest(self) -> tuple[tuple[Hit, ...], ...]:
        """Of each concept the photos where it is strongest, at most six, and where in them."""
        return tuple(
            tuple(self._hit(concept, peak) for peak in self._peaks(concept)) for concept in range(self.count)
        )

    def _peaks(self, concept: int) -> list[Peak]:
        best = Highest(_SHOWN)
        for photo, (score, place) in enumerate(peaks_of(torch.from_numpy(self.amounts[:, concept]))):
            if score > 0:
                best.offer(Peak(score, place, photo))
        return best.peaks

    def _hit(self, concept: int, peak: Peak) -> Hit:
        member = self.members[peak.photo]
        laid = on_input(self.amounts[peak.photo, concept : concept + 1], member.view)[0]
        where = part_at(laid >= _HALF * laid.max(), np.unravel_index(laid.argmax(), laid.shape))
        return Hit(member.name, peak.score, peak.position, member.view.box_to_photo(box_around(where)), member)

    @property
    def headline(self) -> str:
        """How much is explained, in a sentence."""
        many = "1 concept explains" if self.count == 1 else f"{self.count} concepts explain"
        return f"{many} {self.total:.1%} of the energy in layer {self.layer}"

    def wall(self) -> Wall:
        """What the figure shows."""
        rows = []
        for concept, hits in enumerate(self.strongest):
            shown = [hit for hit in hits if hit.score >= _FAINT * hits[0].score]
            tiles = tuple(self._tile(concept, hit, hits[0].score) for hit in shown)
            rows.append(Row(f"concept {concept}: {self.share[concept]:.1%}", tiles))
        many = f"{len(self.members)} photos" if len(self.members) > 1 else "1 photo"
        return Wall(
            title=self.headline,
            rows=tuple(rows),
            footer=f"{self.model.source}  ·  {many}  ·  beside each row its share of the energy  ·  faded where the "
            "concept is not  ·  photos below a third of a row's peak are left out",
            warnings=self.warnings,
            columns=_SHOWN,
            about="Non-negative factors of its activations, and the photos where each is strongest",
        )

    def _tile(self, concept: int, hit: Hit, top: float) -> Tile:
        """A photo faded where the concept is not, on one scale for all photos of the concept."""
        photo = Photo(np.asarray(small(hit.photo.image())))
        view = self.model.geometry.view(photo.height, photo.width)
        amounts = self.amounts[self.members.index(hit.member), concept : concept + 1]
        heat = view.to_photo(on_input(amounts, view)[0])
        panel = Panel(photo.pixels, heat, False, hit.name, "", "", "", (), (), (), "", scale=top)
        return Tile(np.rint(cut_out(panel, _FADED) * 255).astype(np.uint8), number(hit.score), hit.name)

    def figure(self) -> Picture:
        """A row for each concept: the photos where it is strongest, faded where it is not."""
        from sightline.render.wall import wall_figure

        return wall_figure(self.wall())

    def save(self, path: str | PathLike[str]) -> None:
        """Write the figure (.png, .jpg, .svg), a page (.html), or values with provenance (.npz). Raises SaveError."""
        arrays: dict[str, NDArray[Any]] = {"vectors": self.vectors, "amounts": self.amounts, "share": self.share}
        save_wall(path, self.wall(), self.provenance, arrays)

    @property
    def provenance(self) -> dict[str, Any]:
        """All that was found but the arrays, and what is needed to find it again, as plain values."""
        return {
            "model": self.model.source,
            "recipe": self.model.recipe(),
            "layer": self.layer,
            "photos": self.searched | {"names": list(self.photos)},
            "count": self.count,
            "share": self.share.tolist(),
            "total": self.total,
            "strongest": [[hit.record for hit in hits] for hits in self.strongest],
            "headline": self.headline,
            "seed": self.seed,
            "warnings": doubts_of(self.warnings),
            "versions": versions() | {"scikit-learn": version("scikit-learn")},
        }

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()

    def __repr__(self) -> str:
        return f"Concepts({len(self.members)} photos: {self.headline})"


def concepts(
    model: Model,
    photos: Any,
    layer: str | None = None,
    *,
    count: int = 8,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Concepts:
    """What a layer's activations over photos are made of: deep feature factorization (arXiv:1806.10206).

    All positions of all photos, by channels, are factored into `count` parts without negative numbers; negative
    activations count as 0, and a warning says what that loses. `photos`: a folder, searched with the folders in it,
    or an iterable of photos; the same pixels count once. All activations are held in memory: photos x positions x
    channels x 4 bytes. `layer`: None takes the model's default layer. `seed`: of the factorization. Needs the extra
    "concepts". Raises PhotoError, LayerError for a layer without a map, OptionError, MethodError without
    scikit-learn, NetworkError.
    """
    check_model(model)
    whole("count", count, 1)
    whole("seed", seed, 0)
    read = Layered(crowd_of(model, photos), model.default_layer if layer is None else layer, progress)
    members, maps = read.all()
    if maps.ndim != 4:
        raise LayerError(f"layer {read.layer!r} has no map of a photo, {tuple(maps.shape[1:])}; take an earlier one.")
    grid = tuple(maps.shape[2:])
    factors = factorize(maps.movedim(1, -1).flatten(0, -2).numpy(), count, seed)
    amounts = np.ascontiguousarray(np.moveaxis(factors.amounts.reshape(len(members), *grid, count), -1, 1))
    warnings = (*read.warnings, *factors.warnings)
    announce(warnings)
    return Concepts(read.layer, factors, amounts, tuple(members), read.crowd.record, model, seed, warnings)

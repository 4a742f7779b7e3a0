"""What a channel responds to most: photos, and the part of each that it sees."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sightline.attribution.driver import stopped
from sightline.core.activations import Unit
from sightline.core.checks import whole
from sightline.core.errors import OptionError
from sightline.core.heats import Warning
from sightline.core.targets import index_in
from sightline.features.peaks import Highest, Peak, peaks_of
from sightline.models.model import Model
from sightline.render.save import save_wall
from sightline.render.tiles import Row, Wall
from sightline.verbs.attribute import announce
from sightline.verbs.crowd import Member, crowd_of
from sightline.verbs.explain import check_model
from sightline.verbs.hits import Hit, hit_of
from sightline.verbs.layered import Layered
from sightline.verbs.record import doubts_of, versions

if TYPE_CHECKING:
    from sightline.render.sheet import Picture


@dataclass(frozen=True, eq=False)
class TopPhotos(Mapping[int, tuple[Hit, ...]]):
    """channel -> its hits, strongest first, each photo once, at its best position.

    `photos` says which were searched: how many, how many came twice, which could not be read.
    """

    hits: dict[int, tuple[Hit, ...]]
    layer: str
    photos: dict[str, Any]
    model: str
    recipe: dict[str, Any]
    seed: int
    warnings: tuple[Warning, ...]

    def __getitem__(self, channel: int) -> tuple[Hit, ...]:
        return self.hits[channel]

    def __iter__(self) -> Iterator[int]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def wall(self) -> Wall:
        """What the figure shows."""
        rows = []
        crops = not all(hit.whole for hits in self.hits.values() for hit in hits)
        for channel, hits in self.hits.items():
            pairs = [hit.tiles() for hit in hits]
            rows.append(Row(f"channel {channel}", tuple(photo for photo, _ in pairs)))
            if crops:
                rows.append(Row("what it sees", tuple(crop for _, crop in pairs)))
        most = max(map(len, self.hits.values()))
        many = f"{self.photos['count']} photos" if self.photos["count"] > 1 else "1 photo"
        read = (
            "outlined: what the position of the strongest activation can see" if crops else "it sees the whole photo"
        )
        return Wall(
            title=f"What {_listed(list(self.hits))} of {self.layer} respond{'s' if len(self) == 1 else ''} to most",
            rows=tuple(rows),
            footer=f"{self.model}  ·  {many} searched  ·  above each photo its strongest activation  ·  {read}",
            warnings=self.warnings,
            columns=most,
        )

    def figure(self) -> Picture:
        """A row for each channel: its photos with what it sees outlined, and that again below."""
        from sightline.render.wall import wall_figure

        return wall_figure(self.wall())

    def save(self, path: str | PathLike[str]) -> None:
        """Write the figure (.png, .jpg, .svg), a page (.html), or values with provenance (.npz). Raises SaveError."""
        save_wall(path, self.wall(), self.provenance, self._arrays())

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Scores (n,), positions (n, dimensions) and boxes (n, 4) by channel; -1 where there is no box."""
        arrays: dict[str, NDArray[Any]] = {}
        for channel, hits in self.hits.items():
            arrays[f"scores_{channel}"] = np.array([hit.score for hit in hits], np.float32)
            arrays[f"positions_{channel}"] = np.array([hit.position for hit in hits], np.int64)
            arrays[f"boxes_{channel}"] = np.array([hit.box or (-1,) * 4 for hit in hits], np.int64)
            arrays[f"photos_{channel}"] = np.array([hit.name for hit in hits])
        return arrays

    @property
    def provenance(self) -> dict[str, Any]:
        """All that was found, and what is needed to find it again, as plain values."""
        return {
            "model": self.model,
            "recipe": self.recipe,
            "layer": self.layer,
            "photos": self.photos,
            "hits": {str(channel): [hit.record for hit in hits] for channel, hits in self.hits.items()},
            "seed": self.seed,
            "warnings": doubts_of(self.warnings),
            "versions": versions(),
        }

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()

    def __repr__(self) -> str:
        return f"TopPhotos({_listed(list(self.hits))} of {self.layer}, {self.photos['count']} photos)"


def top_photos(
    model: Model,
    photos: Any,
    layer: str | None,
    channels: int | Sequence[int],
    *,
    count: int = 9,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> TopPhotos:
    """The `count` photos that each of a layer's channels responds to most, and where in them.

    `photos`: a folder, searched with the folders in it, or an iterable of photos, read as they are needed; the same
    pixels count once. `layer`: None takes the model's default layer. `progress` is called with the number of images
    that went through the network. `seed`: of the noise by which the receptive fields are found. Photos that cannot be
    read are named in a warning. An interrupt gives the best of the photos so far. Raises PhotoError where none can be
    read, LayerError, TargetError, OptionError, NetworkError.
    """
    check_model(model)
    whole("count", count, 1)
    whole("seed", seed, 0)
    name = model.default_layer if layer is None else layer
    read = Layered(crowd_of(model, photos), name, progress)
    search = _Search(read, _asked(channels), count)
    search.run()
    found = {
        channel: tuple(_hit(search, peak, channel, seed) for peak in best.peaks)
        for channel, best in search.best.items()
    }
    warnings = (*read.warnings, *_blind(found))
    announce(warnings)
    return TopPhotos(found, name, read.crowd.record, model.source, model.recipe(), seed, warnings)


@dataclass
class _Search:
    """A pass over all photos; of each channel the highest peaks are kept, and the photos that they are in."""

    read: Layered
    channels: list[int]
    count: int

    def __post_init__(self) -> None:
        self.best = {channel: Highest(self.count) for channel in self.channels}
        self.members: dict[int, Member] = {}
        self.seen = 0

    def run(self) -> None:
        """Search all photos, or those before an interrupt."""
        try:
            for members, maps in self.read.batches():
                self._offer(members, maps)
        except KeyboardInterrupt:
            if not self.seen:
                raise
            self.read.notes["interrupted"] = stopped(f"after {self.seen} photos")

    def _offer(self, members: list[Member], maps: Tensor) -> None:
        self.members |= {self.seen + i: member for i, member in enumerate(members)}
        for channel, best in self.best.items():
            unit = maps[:, index_in(channel, maps.shape[1], f"channel of {self.read.layer!r}")]
            for i, (score, place) in enumerate(peaks_of(unit)):
                best.offer(Peak(score, place, self.seen + i))
        self.seen += len(members)
        kept = {peak.photo for best in self.best.values() for peak in best.peaks}
        self.members = {photo: member for photo, member in self.members.items() if photo in kept}


def _hit(search: _Search, peak: Peak, channel: int, seed: int) -> Hit:
    unit = Unit(search.read.layer, channel, peak.position or None)
    return hit_of(search.read.crowd.model, search.members[peak.photo], peak, unit, seed)


def _asked(channels: Any) -> list[int]:
    """Channels as numbers, each once. Raises OptionError."""
    given = list(channels) if isinstance(channels, Sequence | np.ndarray | Tensor) else [channels]
    try:
        numbers = [operator.index(one) for one in given]
    except TypeError:
        numbers = []
    if not numbers:
        raise OptionError(f"channels={channels!r}; give the number of a channel, or of several.")
    return [whole("channels", one, 0) for one in dict.fromkeys(numbers)]


def _blind(found: dict[int, tuple[Hit, ...]]) -> Iterator[Warning]:
    """A warning for channels that see nothing of a photo where they are strongest."""
    blind = [str(channel) for channel, hits in found.items() if any(hit.box is None for hit in hits)]
    if blind:
        message = (
            f"no pixel of some photo moves channel {', '.join(blind)} where it is strongest: it has no box there."
        )
        yield Warning("no-field", message)


def _listed(channels: list[int]) -> str:
    shown = ", ".join(map(str, channels[:6])) + (", …" if len(channels) > 6 else "")
    return f"channel {shown}" if len(channels) == 1 else f"channels {shown}"

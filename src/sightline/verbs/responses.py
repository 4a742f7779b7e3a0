"""What a layer shows of a photo, channel by channel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sightline.attribution.cams import enlarge
from sightline.core.checks import whole
from sightline.core.errors import LayerError, OptionError
from sightline.core.heats import Warning
from sightline.features.maps import Shown, shown, strength, strongest_first
from sightline.models.model import Model
from sightline.photos.decode import Photo, photos_of
from sightline.photos.geometry import View
from sightline.photos.localize import box_around
from sightline.render.save import save_wall
from sightline.render.tiles import Bars, Row, Tile, Wall, scale_for
from sightline.render.words import number
from sightline.verbs.attribute import announce
from sightline.verbs.explain import check_model, opened
from sightline.verbs.record import made

if TYPE_CHECKING:
    from sightline.render.sheet import Picture

Floats = NDArray[np.float32]
_LARGEST = 480  # pixels of a small picture's longer side


@dataclass(frozen=True, eq=False)
class Responses:
    """What `layer` put out for a photo: `values` (C, *grid), or (C,) for a layer without a map; raw, float32.

    A transformer's tokens are laid out as the map that they are, class and register tokens left out. `channels`: what
    a figure shows, None for the `most` strongest. `names`: the channels' own, where they are classes.
    """

    values: Tensor
    layer: str
    photo: Photo
    view: View
    model: str
    recipe: dict[str, Any]
    channels: tuple[int, ...] | None
    most: int
    names: tuple[str, ...] | None
    warnings: tuple[Warning, ...]

    @property
    def mapped(self) -> bool:
        """Whether the layer has a map, not one number for each channel."""
        return self.values.ndim > 1 and self.values[0].numel() > 1

    @cached_property
    def strength(self) -> Tensor:
        """How strongly each channel answers, (C,): the mean over its map of what is above zero; a number itself."""
        return strength(self.values)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The channels, the strongest first."""
        return strongest_first(self.strength)

    @property
    def maps(self) -> Floats:
        """All channels on the upright photo, (C, h, w), raw, bilinear, NaN where the network saw nothing.

        A large photo and many channels take much memory; `map` gives one. Raises LayerError where there is no map.
        """
        return np.stack([self.map(channel) for channel in range(len(self.values))])

    def map(self, channel: int) -> Floats:
        """One channel on the upright photo, (h, w). Raises LayerError, OptionError."""
        return self._laid(channel, self.view)

    def _laid(self, channel: int, view: View) -> Floats:
        if not self.mapped:
            raise LayerError(
                f"layer {self.layer!r} holds no map of the photo but one number for each channel: see .values."
            )
        (channel,) = _checked((channel,), len(self.values), self.layer)
        return view.to_photo(enlarge(self.values[None, channel, None], view.input_size)[0, 0].numpy())

    @property
    def shown(self) -> tuple[int, ...]:
        """The channels of a figure."""
        return self.order[: self.most] if self.channels is None else self.channels

    def name(self, channel: int) -> str:
        """A channel's name: its class, where the layer answers with classes."""
        return self.names[channel] if self.names else f"channel {channel}"

    def wall(self) -> Wall | Bars:
        """What the figure shows."""
        return self._wall() if self.mapped else self._bars()

    def _wall(self) -> Wall:
        image = self.photo.image()
        image.thumbnail((_LARGEST, _LARGEST))
        view = replace(self.view, photo_size=(image.height, image.width))
        maps = [self._laid(channel, view) for channel in self.shown]
        scale = scale_for(self.values[list(self.shown)], f"activation of {self.layer}")
        pairs = zip(self.shown, maps, strict=True)
        photo = np.asarray(image)
        tiles = [scale.tile(one, str(at), number(float(self.strength[at])), photo) for at, one in pairs]
        seen = view.seen()
        whole_photo = Tile(photo, self.photo.name or "photo", box=None if seen.all() else box_around(seen))
        read = ["below each channel's number: the mean of its activation above zero"]
        read += ["pale: cut off before the network saw it"] if not seen.all() else []
        return Wall(
            title=self.headline,
            rows=(Row("", (whole_photo, *tiles)),),
            footer="  ·  ".join([*read, self._grid]),
            warnings=self.warnings,
            scale=scale,
            about=self.model,
        )

    def _bars(self) -> Bars:
        image = self.photo.image()
        image.thumbnail((_LARGEST, _LARGEST))
        return Bars(
            title=self.headline,
            picture=Tile(np.asarray(image), self.photo.name or "photo"),
            names=tuple(map(self.name, self.shown)),
            values=tuple(float(self.strength[one]) for one in self.shown),
            unit=f"activation of {self.layer}",
            footer="the layer has one number for each channel, and no map",
            warnings=self.warnings,
            about=self.model,
        )

    @property
    def headline(self) -> str:
        """What a figure shows, in a line."""
        count, chosen = len(self.values), len(self.shown)
        which = f"{chosen} of {count}" if self.channels is not None else f"the {chosen} strongest of {count}"
        of = f"all {count}" if chosen == count and self.channels is None else which
        return f"{self.layer}: {of} channels"

    @property
    def _grid(self) -> str:
        return f"{' × '.join(map(str, self.values.shape[1:]))} places (h × w), enlarged bilinearly"

    def figure(self) -> Picture:
        """The photo, then each channel's map with its number and strength, on one scale with its colour bar.

        For a layer without a map: the photo, and a bar for each channel.
        """
        from sightline.render.wall import figure_of

        return figure_of(self.wall())

    def save(self, path: str | PathLike[str]) -> None:
        """Write the figure (.png, .jpg, .svg), a page (.html), or values with provenance (.npz). Raises SaveError."""
        arrays = {"values": self.values.numpy(), "order": np.array(self.order)}
        save_wall(path, self.wall(), self.provenance, arrays)

    @property
    def provenance(self) -> dict[str, Any]:
        """What was shown to what, as plain values."""
        return {
            **made(self.model, self.recipe, self.photo, None, self.warnings),
            "layer": self.layer,
            "shape": list(self.values.shape),
            "shown": list(self.shown),
            "strength": [float(self.strength[one]) for one in self.shown],
        }

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()

    def __repr__(self) -> str:
        return f"Responses({self.layer!r}, {tuple(self.values.shape)}, {self.photo.name or 'a photo'})"


def responses(
    model: Model, photo: Any, layer: str | None = None, *, channels: Sequence[int] | None = None, most: int = 36
) -> Any:
    """What a layer puts out for a photo, channel by channel: Responses; a list of them for many photos.

    `layer`: None takes the model's default layer. `channels`: which a figure shows, in that order; None: the `most`
    strongest, by the mean of what is above zero. Raises PhotoError, LayerError, OptionError, NetworkError.
    """
    check_model(model)
    whole("most", most, 1)
    sources, one = photos_of(photo)
    name = model.default_layer if layer is None else layer
    results: list[Responses] = []
    for start in range(0, len(sources), model.at_once):
        photos, views, images = opened(model, sources[start : start + model.at_once])
        with model.lend(images) as net:
            found = shown(net, images, name)
            last = net.trace(images).names()[-1:] == (name,)
        for put_out, at, view in zip(found, photos, views, strict=True):
            results.append(_responses(model, put_out, at, view, channels, most, last))
    announce(warning for result in results for warning in result.warnings)
    return results[0] if one else results


def _responses(
    model: Model, put_out: Shown, photo: Photo, view: View, channels: Any, most: int, last: bool
) -> Responses:
    count = len(put_out.values)
    chosen = None if channels is None else _checked(channels, count, put_out.layer)
    names = model.labels if last and put_out.values.ndim == 1 and len(model.labels or ()) == count else None
    twice = f"layer {put_out.layer!r} runs {put_out.runs} times in one pass; this is its last run."
    doubts = (Warning("layer-runs-twice", twice),) if put_out.runs > 1 else ()
    return Responses(
        put_out.values, put_out.layer, photo, view, model.source, model.recipe(), chosen, most, names,
        (*model.warnings, *doubts),
    )  # fmt: skip


def _checked(channels: Any, count: int, layer: str) -> tuple[int, ...]:
    """Channels that the layer has, counted from 0. Raises OptionError."""
    if not isinstance(channels, Iterable) or isinstance(channels, str):
        raise OptionError(f"channels={channels!r}; give a list of channels, such as [3, 7, 12].")
    given = list(channels)
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int | np.integer) or not 0 <= one < count:
            raise OptionError(f"channel {one!r}: {layer!r} has {count}, from 0 to {count - 1}.")
    if not given:
        raise OptionError("channels is empty; name at least one, or None for the strongest.")
    return tuple(map(int, given))

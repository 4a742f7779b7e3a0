"""The result of `visualize`: images, how strongly their targets fire, and all that it takes to go on."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightline.core.errors import OptionError
from sightline.core.heats import Prediction, Warning
from sightline.core.targets import Class, Target
from sightline.features.saving import CARRIED
from sightline.models.model import Model
from sightline.photos.decode import Photo
from sightline.render.film import FILMS, gif, save_film
from sightline.render.save import SUFFIXES, save_wall, suffix_of, write
from sightline.render.tiles import Row, Tile, Wall
from sightline.verbs.record import answers_of, doubts_of, versions
from sightline.verbs.stage import pixels_of
from sightline.verbs.words import describe, indices

if TYPE_CHECKING:
    from sightline.render.figure import Picture

_WHOLE = ("params.0", *CARRIED, "history", "terms", "frames", "frame_steps")  # what an ascent goes on from


@dataclass(frozen=True, eq=False)
class Strongest:
    """The photo that a target fires for most, its name, and the score."""

    photo: Photo = field(repr=False)
    name: str
    score: float


@dataclass(frozen=True, eq=False)
class Visualization:
    """Images that targets fire for: those of a target are `count` neighbours.

    `images` (N, C, h, w) in [0, 1], and as they were `drawn`, (N, C + 1, h, w) where they are transparent. `scores`
    (N,): how strongly each target fires for its image as it is, without transforms and penalties; `predictions`,
    the network's answers for each. `strongest`: for each target the strongest photo, if photos were given.
    `history` (steps, N): the score on the way, penalties taken off, the mean over looks, NaN once an image was
    done; `terms` (parts, N): what each of the `names` added to it last. `frames`: (step, pictures (N, C, h, w)
    uint8). `importance` (N, 1, h, w): the sum of the gradient's size over all steps, which tells what counts from
    what does not.
    """

    model: Model
    recipe: Mapping[str, Any]
    targets: tuple[Target, ...]
    count: int
    drawn: Tensor
    images: Tensor
    scores: Tensor
    predictions: tuple[tuple[Prediction, ...], ...]
    strongest: tuple[Strongest, ...]
    score: str
    names: tuple[str, ...]
    terms: NDArray[np.float32]
    history: NDArray[np.float32]
    frames: tuple[tuple[int, NDArray[np.uint8]], ...]
    importance: Tensor
    state: Mapping[str, NDArray[Any]]
    seed: int
    warnings: tuple[Warning, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What each image is to show, in words."""
        return tuple(describe(self.targets[i // self.count], self.model.labels) for i in range(len(self)))

    @property
    def steps(self) -> int:
        """Steps that were taken."""
        return len(self.history)

    @property
    def unit(self) -> str:
        """What the scores are: the network's, a logit say, where every target is a class's."""
        return self.score if all(isinstance(one, Class) for one in self.targets) else "strength"

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped it."""
        return any(one.code == "interrupted" for one in self.warnings)

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, index: int = 0, *, transparent: bool | None = None) -> NDArray[np.uint8]:
        """An image to look at, (h, w, 3) uint8, or (h, w, 4) of one that is transparent.

        `transparent=True` shows of any image what the network looked at: opacity is its `importance` up to the 95th
        percentile, as MaCo does it.
        """
        own = self.drawn.shape[1] > self.images.shape[1]
        colours = self.drawn[index, :-1] if own and transparent is not False else self.images[index]
        pixels = np.asarray(pixels_of(colours))
        if not transparent and not (own and transparent is None):
            return pixels
        opacity = self.drawn[index, -1] if own else self._importance(index)
        return np.dstack([pixels, (opacity.numpy() * 255).round().astype(np.uint8)])

    def _importance(self, index: int) -> Tensor:
        size = self.importance[index, 0]
        return (size / size.quantile(0.95).clamp_min(torch.finfo(size.dtype).tiny)).clamp(0, 1)

    def wall(self) -> Wall:
        """The images with how strongly their targets fire, beside the strongest photos if there are any."""
        tiles, photos = self._tiles(), self._photos()
        title = f"What {self.model.source} wants to see"
        about = f"{self.recipe['preset']}, {self.steps} steps; below each name: {self.unit} for the image as it is"
        footer = f"canvas {self.recipe['canvas']}; seed {self.seed}; transforms {_listed(self.recipe['transforms'])}"
        if not self.strongest:
            return Wall(title, (Row("", tiles),), footer, self.warnings, about=about)
        rows = []
        for i, photo in enumerate(photos):
            mine = tiles[i * self.count : (i + 1) * self.count]
            rows.append(Row(self.labels[i * self.count] if len(photos) > 1 else "", (*mine, photo)))
        return Wall(title, tuple(rows), footer, self.warnings, about=about)

    def _tiles(self) -> tuple[Tile, ...]:
        labels = self.labels
        return tuple(Tile(self.picture(i), labels[i], self._told(i)) for i in range(len(self)))

    def _photos(self) -> tuple[Tile, ...]:
        shown = [np.asarray(one.photo.image().convert("RGB")) for one in self.strongest]
        return tuple(
            Tile(photo, f"strongest: {one.name}", f"{one.score:.3g}")
            for photo, one in zip(shown, self.strongest, strict=True)
        )

    def _told(self, index: int) -> str:
        """How strongly an image's target fires, and the probability where it is a class."""
        asked = indices(self.targets[index // self.count])
        known = {one.index: one.probability for one in self.predictions[index]}
        chances = [known.get(one) for one in asked]
        chance = f", {chances[0]:.1%}" if len(chances) == 1 and chances[0] is not None else ""
        return f"{float(self.scores[index]):.3g}{chance}"

    def figure(self) -> Picture:
        """The images in a grid, each with its label, its score, and the probability of its class."""
        from sightline.render.wall import wall_figure

        return wall_figure(self.wall())

    def save(self, path: str | PathLike[str]) -> None:
        """Write the figure (.png, .jpg, .svg), a page (.html), the ascent (.gif, .mp4), or values (.npz).

        The .npz holds all that `resume` needs. Raises SaveError.
        """
        suffix = suffix_of(path, (*SUFFIXES, *FILMS))
        if suffix in FILMS:
            return save_film(path, self._film())
        if suffix == ".html":
            return write(path, self._page().encode())
        return save_wall(path, self.wall(), self.provenance, {"images": self.images.numpy(), **self.arrays})

    def _film(self) -> list[tuple[str, NDArray[np.uint8]]]:
        return [(f"step {step}", self._shown(frame)) for step, frame in self.frames]

    def _page(self) -> str:
        from sightline.render.ascents import Rise, rise_page

        fires = f"{self.unit}, as looked at"
        marked = tuple(tuple(indices(self.targets[i // self.count])) for i in range(len(self)))
        film = gif(self._film()) if len(self.frames) > 1 else b""
        rise = Rise(
            self.wall(),
            self._tiles(),
            self._photos(),
            self.labels,
            self.predictions,
            marked,
            self.history,
            "score less penalties, as looked at" if self.recipe.get("penalties") else fires,
            film,
        )
        return rise_page(rise, self.provenance)

    def _shown(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack([pixels_of(torch.from_numpy(one) / 255) for one in frame])

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What it takes to go on, by name."""
        empty = np.zeros((0, *self.images.shape), np.uint8)
        return {
            **self.state,
            "history": self.history,
            "terms": self.terms,
            "scores": self.scores.numpy(),
            "frames": np.stack([frame for _, frame in self.frames]) if self.frames else empty,
            "frame_steps": np.array([step for step, _ in self.frames], np.int64),
        }

    @property
    def provenance(self) -> dict[str, Any]:
        """How these images were made, and what came of it, as plain values."""
        each = [
            {"target": label, "score": float(score), "predictions": answers_of(said)}
            for label, score, said in zip(self.labels, self.scores, self.predictions, strict=True)
        ]
        photos = [{"photo": one.name, "photo_sha256": one.photo.sha256, "score": one.score} for one in self.strongest]
        return {
            "model": self.model.source,
            "recipe": self.model.recipe(),
            "ascent": dict(self.recipe),
            "steps": self.steps,
            "score": self.score,
            "images": each,
            "strongest_photos": photos,
            "warnings": doubts_of(self.warnings),
            "versions": versions(),
        }

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()

    def __repr__(self) -> str:
        return f"Visualization({len(self)} images, {self.steps} steps, {self.model.source!r})"


def saved_in(given: Any, recipe: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays of a Visualization, or of the .npz of one, that was made by this recipe. Raises OptionError."""
    if isinstance(given, Visualization):
        arrays, before = given.arrays, dict(given.recipe)
    else:
        arrays = _opened(given)
        before = json.loads(str(arrays.pop("provenance")))["ascent"]
    differing = [name for name in recipe if before.get(name) != recipe[name]]
    if differing:
        told = "; ".join(f"{name}: {before.get(name)!r} then, {recipe[name]!r} now" for name in differing)
        raise OptionError(f"resume={_named(given)}: another ascent was saved there. {told}.")
    return arrays


def _opened(path: Any) -> dict[str, NDArray[Any]]:
    try:
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        dict(json.loads(str(arrays["provenance"]))["ascent"]), [arrays[name] for name in _WHOLE]
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error) as error:
        raise OptionError(
            f"resume={_named(path)} holds no visualization: {error}. Give an .npz that one saved."
        ) from error
    return arrays


def _named(given: Any) -> str:
    return repr(
        given if isinstance(given, Visualization) else fspath(given) if isinstance(given, PathLike) else given
    )


def _listed(parts: Any) -> str:
    return ", ".join(map(str, parts)) if parts else "none"

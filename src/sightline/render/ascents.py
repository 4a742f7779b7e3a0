"""The page of a feature visualization: its images, what the network says of each, how the scores rose."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.core.heats import Prediction
from sightline.render.columns import INK
from sightline.render.page import answers, doubts, heading, how, image, page, paragraph, side_by_side
from sightline.render.sheet import QUIET, Picture, as_written, sheet
from sightline.render.tiles import Tile, Wall

_WIDE, _HIGH = 7.0, 2.6  # inches of the curves
_NAMED = 8  # curves that are told apart by colour
_LEAST = 224  # pixels of an image's longer side in the page, at least
_SMOOTH = 0.9  # of the running mean that is drawn over the scores of single steps


@dataclass(frozen=True, eq=False)
class Rise:
    """What a page of an ascent shows beside its wall.

    `tiles` and `photos` are those of the wall. `answers`: the network's for each image, `marked` the classes that
    it was to show; `history` (steps, N) of the `score`; `film`: a GIF of the ascent, or nothing.
    """

    wall: Wall
    tiles: tuple[Tile, ...]
    photos: tuple[Tile, ...]
    labels: tuple[str, ...]
    answers: tuple[tuple[Prediction, ...], ...]
    marked: tuple[tuple[int, ...], ...]
    history: NDArray[np.float32]
    score: str
    film: bytes = b""


def rise_page(rise: Rise, provenance: Any) -> str:
    """A page that opens from disk: each image with the network's answers, the photos, the curves, the film."""
    wall, photos = rise.wall, list(map(_cell, rise.photos))
    cells = [
        _cell(tile) + (answers(said, marked) if said and marked else "")
        for tile, said, marked in zip(rise.tiles, rise.answers, rise.marked, strict=True)
    ]
    drawn = [image(curves(rise)._repr_png_(), "scores by step")] if len(rise.history) > 1 else []
    parts = [
        heading(wall.title, 1),
        paragraph(wall.about, "lead"),
        doubts(wall.warnings),
        side_by_side(cells, 16),
        *([heading("The strongest photo of each"), side_by_side(photos, 12)] if photos else []),
        *([heading("How they rose"), *drawn] if drawn else []),
        *([image(rise.film, "the ascent", "the ascent, step by step", "gif")] if rise.film else []),
        paragraph(wall.footer),
        how(provenance),
    ]
    return page(f"{wall.title}: {', '.join(dict.fromkeys(rise.labels))}", parts)


def _cell(tile: Tile) -> str:
    picture = Image.fromarray(tile.pixels)
    times = max(1, round(_LEAST / max(picture.size)))
    buffer = io.BytesIO()
    picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST).save(buffer, "PNG")
    return image(buffer.getvalue(), tile.caption, f"{tile.caption}: {tile.small}")


def curves(rise: Rise) -> Picture:
    """The score of each image by step: single steps pale, their running mean above."""
    drawn, place = sheet(_WIDE, _HIGH)
    axis = place(0.75, 0.2, _WIDE - 1.0, _HIGH - 0.75)
    steps, many = np.arange(1, len(rise.history) + 1), rise.history.shape[1] > _NAMED
    for i, scores in enumerate(rise.history.T):
        colour: Any = QUIET if many else f"C{i}"
        axis.plot(steps, scores, color=colour, lw=0.6, alpha=0.35)
        label = None if many else rise.labels[i]
        axis.plot(steps, _running(scores), color=colour, lw=1.6, alpha=0.6 if many else 1.0, label=label)
    axis.set_xlabel("step", fontsize=9, color=INK)
    axis.set_ylabel(rise.score, fontsize=9, color=INK)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    if not many:
        axis.legend(fontsize=8, frameon=False, loc="lower right")
    return as_written(drawn)


def _running(scores: Sequence[float] | NDArray[np.float32]) -> list[float]:
    means: list[float] = []
    for one in scores:
        means.append(float(one) if not means else _SMOOTH * means[-1] + (1 - _SMOOTH) * float(one))
    return means

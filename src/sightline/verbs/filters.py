"""What a layer's weights look like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.core.checks import whole
from sightline.features.weights import kernels_of, layers_with_kernels, maps_before, plane, strongest
from sightline.models.known import known
from sightline.models.model import Model
from sightline.render.save import save_wall
from sightline.render.tiles import Row, Scale, Tile, Wall, scale_for
from sightline.verbs.record import versions

if TYPE_CHECKING:
    from sightline.render.sheet import Picture

_UNIT = "weight"
_ROWS = 64  # inputs of kernels on a line that are shown one below the other


@dataclass(frozen=True, eq=False)
class Filters:
    """The weights of one layer: `values` (out, in, *kernel), float32; `in` counts the inputs of a filter's group.

    A linear layer has (out, C, h, w) where it reads a map laid flat, else (out, in). `colours`: whether the three
    inputs are an image's red, green and blue. `most`: how many a figure shows.
    """

    values: Tensor
    layer: str
    kind: str
    groups: int
    colours: bool
    model: str
    recipe: dict[str, Any]
    most: int

    @property
    def count(self) -> int:
        """How many filters the layer has."""
        return len(self.values)

    def wall(self) -> Wall:
        """What the figure shows."""
        rows, scale, read = self._shown
        return Wall(
            title=self.headline,
            rows=rows,
            footer="  ·  ".join(read),
            scale=None if self.colours else scale,
            about="  ·  ".join(part for part in (self.model, self.kind, self._groups) if part),
        )

    @cached_property
    def _shown(self) -> tuple[tuple[Row, ...], Scale, list[str]]:
        """The rows of pictures, their scale, and how to read them."""
        kernels, size = self.values, self.values.shape[2:]
        if self.colours:
            return self._colours()
        if len(size) == 1 and 1 < kernels.shape[1] <= _ROWS:
            return self._single(kernels, "rows are inputs, columns positions")
        if math.prod(size) == 1:
            return self._matrix()
        if kernels.shape[1] == 1:
            return self._single(kernels[:, 0], "")
        return self._grid()

    def _colours(self) -> tuple[tuple[Row, ...], Scale, list[str]]:
        """A picture for each filter of an image, its weights to red, green and blue as colours."""
        kept = strongest(self.values, self.most)
        scale = scale_for(self.values[kept], _UNIT, signed=True)
        tiles = (Tile(_coloured(self.values[one], scale.high), str(one)) for one in kept)
        ends = f"−{scale.high:.2g} to {scale.high:.2g}" + (" and beyond" if scale.beyond != "neither" else "")
        read = f"colours: weights to red, green and blue, from {ends}; mid grey is 0"
        return (Row("", tuple(tiles)),), scale, [self._chosen(len(kept)), read]

    def _single(self, kernels: Tensor, read: str) -> tuple[tuple[Row, ...], Scale, list[str]]:
        """A picture for each filter, (out, *kernel)."""
        kept = strongest(kernels, self.most)
        scale = scale_for(kernels[kept], _UNIT, signed=True)
        tiles = tuple(scale.tile(plane(kernels[one]), str(one)) for one in kept)
        return (Row("", tiles),), scale, [part for part in (self._chosen(len(kept)), read) if part]

    def _matrix(self) -> tuple[tuple[Row, ...], Scale, list[str]]:
        """One picture of weights that have no place: a row for each filter, a column for each input."""
        weights = self.values.flatten(1)
        kept = strongest(weights, self.most)
        inputs = strongest(weights[kept].T, self.most)
        part = weights[kept][:, inputs]
        scale = scale_for(part, _UNIT, signed=True)
        read = [
            self._chosen(len(kept)),
            _of(len(inputs), weights.shape[1], "inputs"),
            "rows: filters; columns: inputs",
        ]
        return (Row("", (scale.tile(part),)),), scale, read

    def _grid(self) -> tuple[tuple[Row, ...], Scale, list[str]]:
        """A row for each filter, a picture for each of its inputs."""
        count, width = self.values.shape[:2]
        rows = min(count, max(math.isqrt(self.most), self.most // width, 1))
        kept = strongest(self.values, rows)
        chosen = strongest(self.values[kept].transpose(0, 1), max(1, self.most // rows))
        scale = scale_for(self.values[kept][:, chosen], _UNIT, signed=True)
        own = self.groups > 1  # each filter has inputs of its own
        table = []
        for line, one in enumerate(kept):
            first = one // (count // self.groups) * width
            names = [f"in {first + i}" if own or line == 0 else "" for i in chosen]
            tiles = (scale.tile(plane(self.values[one, i]), name) for i, name in zip(chosen, names, strict=True))
            table.append(Row(f"filter {one}", tuple(tiles)))
        return tuple(table), scale, [self._chosen(rows), _of(len(chosen), width, "inputs")]

    @property
    def headline(self) -> str:
        """How many filters of what size, in a line."""
        sides = " × ".join(map(str, self.values.shape[2:]))
        inputs = self.values.shape[1]
        what = "filter" if self.count == 1 else "filters"
        return f"{self.layer or 'the layer'}: {self.count} {what} of {inputs}{' × ' + sides if sides else ''} weights"

    @property
    def _groups(self) -> str:
        if self.groups == 1:
            return ""
        return "one input each" if self.values.shape[1] == 1 else f"{self.groups} groups"

    def _chosen(self, shown: int) -> str:
        return _of(shown, self.count, "filters")

    def figure(self) -> Picture:
        """The filters as pictures: in colour where they read an image, else on one signed scale with its colour bar.

        Where there are more than `most`, those with the largest norm, and the footer says so.
        """
        from sightline.render.wall import wall_figure

        return wall_figure(self.wall())

    def save(self, path: str | PathLike[str]) -> None:
        """Write the figure (.png, .jpg, .svg), a page (.html), or values with provenance (.npz). Raises SaveError."""
        save_wall(path, self.wall(), self.provenance, {"values": self.values.numpy()})

    @property
    def provenance(self) -> dict[str, Any]:
        """What the weights are of, as plain values."""
        return {
            "model": self.model,
            "recipe": self.recipe,
            "layer": self.layer,
            "kind": self.kind,
            "shape": list(self.values.shape),
            "groups": self.groups,
            "colours": self.colours,
            "versions": versions(),
        }

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()

    def __repr__(self) -> str:
        return f"Filters({self.layer!r}, {self.kind}, {tuple(self.values.shape)})"


def filters(model: Model | nn.Module, layer: str | None = None, *, most: int = 64) -> Filters:
    """The weights of a convolution or linear layer, as values and as pictures.

    `model`: a Model, or any torch.nn.Module as it is. `layer`: None takes the first that has kernels, in the order in
    which they run. `most`: pictures in a figure. A filter that reads an image of three channels is shown in colour:
    red, green and blue as a Model's network takes them. Raises LayerError, OptionError, NetworkError.
    """
    whole("most", most, 1)
    network = (model if isinstance(model, Model) else known(model)).network
    first = _first(model, network)
    name = first if layer is None else layer
    found = kernels_of(network, name, _maps(model, network, name))
    image = name == first and found.values.ndim > 2 and found.values.shape[1] == 3 and found.groups == 1
    source, recipe = (model.source, model.recipe()) if isinstance(model, Model) else (type(network).__name__, {})
    return Filters(found.values, name, found.kind, found.groups, image, source, recipe, most)


def _first(model: Model | nn.Module, network: nn.Module) -> str:
    """The first layer with kernels; "" for a network that is one itself, or that has none."""
    having = layers_with_kernels(network)
    ran = model.traced().names() if isinstance(model, Model) and len(having) > 1 else ()
    return next((name for name in ran if name in having), having[0] if having else "")


def _maps(model: Model | nn.Module, network: nn.Module, name: str) -> list[tuple[int, ...]]:
    """The shapes of the maps that a linear layer may read laid flat; none where the input's size is not known."""
    if not isinstance(model, Model) or not isinstance(dict(network.named_modules()).get(name), nn.Linear):
        return []
    return maps_before(model.traced(), name, (model.channels, *model.input_size))


def _coloured(kernel: Tensor, top: float) -> NDArray[np.uint8]:
    """A kernel (3, *kernel) as colours (h, w, 3 or 4): mid grey is 0, full colour `top` and more."""
    planes = torch.stack([plane(one) for one in kernel], -1).numpy()
    known = np.isfinite(planes)
    share = np.where(known, planes, 0) / (2 * top) + 0.5
    painted = np.rint(share.clip(0, 1) * 255).astype(np.uint8)
    return painted if known.all() else np.dstack([painted, known[..., 0].astype(np.uint8) * 255])


def _of(shown: int, count: int, what: str) -> str:
    """How many of how many are shown."""
    return f"all {count} {what}" if shown == count else f"{shown} of {count} {what}, those with the largest norm"

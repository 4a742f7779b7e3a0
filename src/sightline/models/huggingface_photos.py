"""What an image processor does to a photo, found out by showing it some: a size, a way to resize, mean and std.

Image processors differ in what they do and in what they call it; what comes out is the truth. What is known of their
options only suggests what to try.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sightline.core.errors import ModelError
from sightline.core.heats import Warning
from sightline.models.huggingface_files import read_json
from sightline.photos.decode import Photo
from sightline.photos.geometry import Geometry

_TOLERATED = 3 / 255  # of an 8-bit resize on another backend, the largest difference seen was 2 grey levels
_LONGEST = 10_000  # pixels of an input's side


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How photos become a network's input; `mean` and `std` are of pixels in [0, 1], `flipped`: BGR."""

    geometry: Geometry
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flipped: bool = False
    warnings: tuple[Warning, ...] = ()

    def at(self, size: tuple[int, ...]) -> Geometry:
        """The same way to an input of another size."""
        return _scaled(self.geometry, size)


def processor_of(transformers: Any, folder: Path, config: Any, code: bool) -> tuple[Any, bool]:
    """A repository's image processor, or that of the network's family where there is none, and which of them it is.

    Raises ModelError for one that cannot be made.
    """
    try:
        if _described(folder) or getattr(config, "model_type", "") == "timm_wrapper":
            return transformers.AutoImageProcessor.from_pretrained(folder, trust_remote_code=code), True
        return family_processor(transformers, config), False
    except Exception as error:  # whatever a damaged file makes of it
        raise ModelError(f"the image processor of {folder.name} cannot be made: {error}") from error


def family_processor(transformers: Any, config: Any) -> Any:
    """The image processor of a network's family as it is by default; None where there is none."""
    found = transformers.models.auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING.get(type(config), None) or ()
    kinds = [kind for kind in (found.values() if isinstance(found, dict) else found) if kind is not None]
    return kinds[-1]() if kinds else None


def at_size(processor: Any, prepared: Preprocessing, size: tuple[int, int]) -> Preprocessing:
    """What a processor of the same class would do for an input of another size."""
    if size == prepared.geometry.size:
        return prepared
    if size[0] != size[1] or prepared.geometry.size[0] != prepared.geometry.size[1]:
        return replace(prepared, geometry=prepared.at(size))
    by = size[0] / prepared.geometry.size[0]
    sides = {
        name: {key: round(side * by) for key, side in dict(given).items() if side}
        for name in ("size", "crop_size")
        if (given := getattr(processor, name, None)) is not None
    }
    return measured(type(processor)(**sides), None)


def _described(folder: Path) -> bool:
    """Whether a repository says how photos were prepared."""
    together = folder / "processor_config.json"
    return (folder / "preprocessor_config.json").is_file() or (
        together.is_file() and "image_processor" in read_json(together)
    )


def measured(processor: Any, side: int | None) -> Preprocessing:
    """What `processor` does to photos; `side`: of an input for which it has no fixed size. Raises ModelError.

    A processor that makes inputs of many shapes gets one of a fixed, square size: the whole photo is fitted in, and
    around it is what is zero to the network.
    """
    _check_sides(processor)
    wide, tall = _photo(97, 151), _photo(151, 97)
    shown = [_asked(processor, photo) for photo in (wide, tall)]
    mean, std, flipped = _colours(processor)
    size = (int(shown[0].shape[-2]), int(shown[0].shape[-1]))
    if shown[0].shape != shown[1].shape:
        side = _shortest(processor) or side
        if side is None:
            raise ModelError(f"{type(processor).__name__} makes inputs of any size; give input_size=(height, width).")
        return Preprocessing(Geometry((side, side), "pad", None, _filter(processor), mean), mean, std, flipped)
    means, stds = (torch.tensor(one).view(-1, 1, 1) for one in (mean, std))
    pixels = [((one.flip(0) if flipped else one) * stds + means).numpy() for one in shown]

    def away(geometry: Geometry) -> float:
        return max(
            float(np.abs(geometry.view(photo.height, photo.width).to_input(photo) - wanted).max())
            for photo, wanted in zip((wide, tall), pixels, strict=True)
        )

    ways = {away(way): way for way in reversed(list(_ways(processor, size, mean)))}
    off = min(ways)
    return Preprocessing(ways[off], mean, std, flipped, _approximate(processor, ways[off], off))


def _check_sides(processor: Any) -> None:
    """Refuse sizes that no memory would hold: a photo is to be shown. Raises ModelError."""
    for size in (getattr(processor, name, None) for name in ("size", "crop_size")):
        for name in ("height", "width", "shortest_edge"):
            if (_side(size, name) or 0) > _LONGEST:
                raise ModelError(
                    f"{type(processor).__name__} has {name} {_side(size, name)}; {_LONGEST} is the most."
                )


def _approximate(processor: Any, geometry: Geometry, off: float) -> tuple[Warning, ...]:
    if off <= _TOLERATED:
        return ()
    message = (
        f"{type(processor).__name__} prepares photos in a way of its own; {geometry.resize!r} comes nearest, with "
        f"pixels up to {off * 255:.0f} grey levels apart. Scores are near those of transformers, not equal."
    )
    return (Warning("preprocessing-approximate", message),)


def _photo(height: int, width: int) -> Photo:
    """A photo of soft blobs: a shift by a pixel shows, an antialias of another make does not."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 10, width // 10, 3)).astype(np.uint8)
    return Photo(np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)))


def _asked(processor: Any, photo: Photo) -> Tensor:
    """What a processor makes of a photo, (C, h, w). Raises ModelError where that is no picture."""
    try:
        given = processor(Image.fromarray(photo.pixels), return_tensors="pt")
        pixels = given["pixel_values"]
    except Exception as error:  # processors of other inputs than one photo fail in any way
        raise ModelError(f"{type(processor).__name__} cannot prepare a photo alone: {error}") from error
    pixels = torch.as_tensor(pixels).float()
    if pixels.ndim != 4 or len(pixels) != 1 or pixels.shape[1] not in (1, 3):
        raise ModelError(
            f"{type(processor).__name__} cuts a photo into parts {tuple(pixels.shape)}; networks that take one "
            "picture (1, 3, height, width) can be explained."
        )
    return pixels[0]


def _colours(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Mean and std per channel of pixels in [0, 1], and whether channels come out in reverse."""
    black, white, mixed = (
        _middle(_asked(processor, Photo(np.full((96, 96, 3), colour, np.uint8))))
        for colour in ((0, 0, 0), (255, 255, 255), (0, 102, 204))
    )
    if not bool((white > black).all()):
        raise ModelError(f"{type(processor).__name__} makes white no brighter than black; its input is no picture.")
    expected = black + (white - black) * torch.tensor([0, 0.4, 0.8])[: len(black)]
    flipped = len(black) == 3 and not torch.allclose(mixed, expected, atol=0.02 * float((white - black).max()))
    std = 1 / (white - black)
    mean = -black * std
    if flipped:
        mean, std = mean.flip(0), std.flip(0)
    mean = mean.clamp_min(0)
    if mean.max() > 1:
        raise ModelError(f"{type(processor).__name__} has mean {_rounded(mean)}; it is of pixels in [0, 1].")
    return _rounded(mean), _rounded(std), flipped


def _middle(pixels: Tensor) -> Tensor:
    return pixels[:, pixels.shape[1] // 2, pixels.shape[2] // 2].double()


def _rounded(values: Tensor) -> tuple[float, ...]:
    """Without the last digits, which float32 made: 0.485 and not 0.48500001."""
    return tuple(float(f"{value:.6g}") for value in values.tolist())


def _ways(processor: Any, size: tuple[int, int], mean: tuple[float, ...]) -> Iterator[Geometry]:
    """The ways to an input of that size that are worth a try, the likeliest first."""
    of = _filter(processor)
    yield Geometry(size, "squash", None, of)
    options = {**vars(processor), **getattr(processor, "data_config", {})}  # the latter are timm's
    sides = options.get("size")
    short = _side(sides, "shortest_edge") or options.get("resize_short") or min(size)
    cropped = int(short / (options.get("crop_pct") or 1))
    height, width = _side(sides, "height"), _side(sides, "width")
    shorts: list[Any] = [short, cropped, int(256 / 224 * short), min(size)]
    for one in dict.fromkeys([*shorts, *([(height, width)] if height and width else [])]):
        yield Geometry(size, "crop", one, of, half="down")
        yield Geometry(size, "crop", one, of)
    for fill in dict.fromkeys((mean, (0.0,), (0.5,))):
        yield Geometry(size, "pad", None, of, fill)


def _side(size: Any, name: str) -> int | None:
    found = size.get(name) if isinstance(size, dict) else getattr(size, name, None)
    return int(found) if isinstance(found, int | float) and found else None


def _shortest(processor: Any) -> int | None:
    side = _side(getattr(processor, "size", None), "shortest_edge")
    return side if side and side <= 2048 else None  # some call a number of pixels so


def _filter(processor: Any) -> Any:
    """The interpolation's name; torchvision's enumeration and Pillow's numbers are both in use."""
    given = getattr(processor, "resample", None)
    if given is None:
        return getattr(processor, "data_config", {}).get("interpolation", "bilinear")
    name: str = (
        given.value if isinstance(getattr(given, "value", None), str) else Image.Resampling(given).name.lower()
    )
    return name.removesuffix("-exact")


def _scaled(geometry: Geometry, size: tuple[int, ...]) -> Geometry:
    short = geometry.short
    if isinstance(short, tuple):
        short = tuple(round(side * new / old) for side, new, old in zip(short, size, geometry.size, strict=True))
    elif short is not None:
        short = round(short * min(size) / min(geometry.size))
    return replace(geometry, size=size, short=short)

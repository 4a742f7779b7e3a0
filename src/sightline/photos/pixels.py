"""From PIL images, arrays and tensors of every kind to one: (h, w, C), uint8 or float32 in [0, 1]."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.core.errors import PhotoError

Pixels = NDArray[Any]  # (h, w, C), uint8 or float32 in [0, 1]

ORIENTATION, BITS, PHOTOMETRIC = 0x0112, 258, 262  # tags of EXIF and TIFF
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's convert("L")
TOLERANCE = 1e-6  # rounding that a float photo may stick out of [0, 1]

# How stored pixels become upright, by EXIF orientation: (h, w, ...) -> (h or w, w or h, ...)
TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}


def image_pixels(image: Image.Image) -> Pixels:
    """The upright pixels of a PIL image, (h, w, 1) when it is grey and (h, w, 3) RGB otherwise.

    uint8; float32 in [0, 1] for 16 bits (over 65535), modes I (likewise) and F. Transparency is composited
    over white. Colour profiles are not applied, as in the pipelines that networks are trained with.
    Raises PhotoError for values out of range, and whatever a decoder raises on broken data.
    """
    image.load()  # a TIFF turns itself upright here, so orientation is asked after
    stored = _deep(image) if image.mode[0] in "IF" else _plain(image)
    turn = TURNS.get(_orientation(image))
    return stored if turn is None else turn(stored)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # broken metadata is no reason to refuse sound pixels: browsers show them as stored
        return 1


def _plain(image: Image.Image) -> Pixels:
    """Modes of 8 bits and less, as uint8 (h, w, 1 or 3)."""
    if image.mode == "La":
        image = image.convert("LA")  # Pillow knows no other way out of premultiplied grey
    if image.has_transparency_data:
        image = _over_white(image.convert("RGBA"))
    grey = image.mode in ("1", "L")
    pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[..., None] if grey else pixels


def _over_white(rgba: Image.Image) -> Image.Image:
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _deep(image: Image.Image) -> Pixels:
    """Modes I;16*, I and F as float32 (h, w, 1) in [0, 1]; Pillow's convert would clip them to white."""
    raw = np.asarray(image)
    if image.mode == "F":
        return _unit(raw)[..., None]
    low, high = int(raw.min()), int(raw.max())
    if low < 0 or high > 65535:
        raise PhotoError(
            f"whole-number pixels run from {low} to {high}, and 16 bits end at 65535; "
            f"scale them to [0, 1] and pass an array."
        )
    tags = getattr(image, "tag_v2", {})
    top = 4095 if tags.get(BITS) == (12,) else 65535
    pixels = raw.astype(np.float32) / top
    if tags.get(PHOTOMETRIC) == 0:  # "white is zero", which Pillow minds for 8 bits only
        pixels = 1 - pixels
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        pixels[raw == clear] = 1.0
    return pixels[..., None]


def is_tensor(source: object) -> bool:
    """Whether it is a torch tensor; asks without importing torch, which would cost seconds."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.Tensor)


def array_pixels(array: Pixels, channels: int) -> Pixels:
    """The pixels (h, w, C) of a photo-like array (h, w) or (h, w, C), checked: C suits the network.

    bool and uint8 give uint8; uint16 (over 65535) and floats give float32 in [0, 1].
    Raises PhotoError for other shapes, kinds and ranges, with a hint where (C, h, w) was given.
    """
    hint = "Move its channels last: array.transpose(1, 2, 0)."
    _check_shape(array.shape, -1, channels, "an array is (h, w) or (h, w, C)", hint)
    return _unit_or_bytes(array if array.ndim == 3 else array[..., None])


def tensor_pixels(tensor: Any, channels: int) -> Pixels:
    """The pixels (h, w, C) of a photo-like tensor (h, w) or (C, h, w) on any device; as `array_pixels`."""
    array = tensor_array(tensor)
    hint = "Move its channels first: tensor.permute(2, 0, 1)."
    _check_shape(array.shape, 0, channels, "a tensor is (h, w) or (C, h, w)", hint)
    return _unit_or_bytes(np.moveaxis(array, 0, -1) if array.ndim == 3 else array[..., None])


def tensor_array(tensor: Any) -> NDArray[Any]:
    """A tensor's numbers. Raises PhotoError."""
    try:
        local = tensor.detach().cpu()
        array: NDArray[Any] = (local.float() if local.is_floating_point() else local).numpy()  # it knows no bfloat16
    except Exception as error:  # sparse, quantized, nested, without storage, ...
        raise PhotoError(f"the tensor cannot be read: {type(error).__name__}: {error}") from error
    return array


def _check_shape(shape: tuple[int, ...], axis: int, channels: int, layout: str, hint: str) -> None:
    """Raise PhotoError unless the shape is a photo's, with channels along the axis (0 or -1)."""
    suits = {1, 3, 4} if channels in (1, 3) else {channels}
    given = f"{layout}; got shape {shape}"
    if len(shape) not in (2, 3):
        raise PhotoError(f"{given}.")
    if 0 in shape:
        raise PhotoError(f"{given}, which is empty.")
    if len(shape) == 2:
        shape, axis = (*shape, 1), -1
    if shape[axis] not in suits:
        possible = " or ".join(map(str, sorted(suits)))
        other_way = f" {hint}" if shape[-1 - axis] in suits else ""
        raise PhotoError(f"{given}, and C is {possible} for a network of {channels} channels.{other_way}")


def _unit_or_bytes(array: Pixels) -> Pixels:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return array.astype(np.float32) / 65535
    if array.dtype.kind == "f":
        return _unit(array)
    raise PhotoError(
        f"pixels are uint8, uint16, or floats in [0, 1]; got {array.dtype}. Numbers from 0 to 255 become uint8 first."
    )


def _unit(values: Pixels) -> Pixels:
    """Floats that lie in [0, 1] but for rounding, as float32 clipped to it."""
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise PhotoError(f"pixels are numbers in [0, 1]; got NaN or infinity (from {low:g} to {high:g}).")
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        advice = (
            "A photo goes in as it was before normalization." if low < 0 else "If they end at 255, divide by 255."
        )
        raise PhotoError(f"float pixels lie in [0, 1]; got {low:g} to {high:g}. {advice}")
    return values.astype(np.float32).clip(0, 1)


def fit_channels(pixels: Pixels, channels: int) -> Pixels:
    """Pixels (h, w, C) as what the network takes: 3 is RGB, 1 is grey (luma), others must be there already.

    Four channels are RGB and alpha, composited over white. Raises PhotoError where C cannot be brought to it.
    """
    have = pixels.shape[2]
    if have == channels:
        return pixels
    if channels not in (1, 3) or have not in (1, 3, 4):
        raise PhotoError(
            f"the network takes {channels} channels and the photo has {have}; only grey and colour are "
            f"converted. Pass an array (h, w, {channels}) or a tensor ({channels}, h, w)."
        )
    if have == 4:
        pixels = _without_alpha(pixels)
    if channels == 1:
        return pixels if pixels.shape[2] == 1 else _luma(pixels)
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


def _without_alpha(pixels: Pixels) -> Pixels:
    if pixels.dtype == np.uint8:
        return np.asarray(_over_white(Image.fromarray(np.ascontiguousarray(pixels))))
    alpha = pixels[..., 3:]
    composed: Pixels = pixels[..., :3] * alpha + (1 - alpha)
    return composed


def _luma(pixels: Pixels) -> Pixels:
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[..., None]
    return (pixels @ np.array(LUMA, np.float32)).clip(0, 1)[..., None]

"""What hidden pixels become: black, blurred, inpainted, another photo, or what a function of the user's makes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.core.blur import gaussian
from sightline.core.errors import OptionError, near

STEADY = ("black", "white", "mean", "blur", "noise", "shuffle")
"""Names of fills that are the same whatever is hidden."""
NAMES = (*STEADY, "inpaint", "inpaint-ns")
BLUR = 0.1  # standard deviation of "blur", as a share of each side: coarse layout stays, no object does
_RADIUS = 3.0  # pixels around each that inpainting looks at, as in OpenCV's examples
_SLACK = 1e-4  # by which a user's pixels may leave [0, 1]: rounding of a blur or a resize

Make = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Fill:
    """What hidden pixels of an image (C, *spatial) in [0, 1] become.

    `image` (C, *spatial): the same whatever is hidden. Else `make` has to be asked each time: it is given the pixels
    and what is `hidden` (*spatial), bool, and gives pixels (C, *spatial), of which only the hidden ones count.
    """

    name: str
    image: Tensor | None = None
    make: Make | None = None

    def under(self, pixels: Tensor, hidden: Tensor) -> Tensor:
        """The pixels (C, *spatial) to show where `hidden` (*spatial), in [0, 1], is above 0."""
        if self.image is not None:
            return self.image
        assert self.make is not None
        return self.make(pixels, hidden > 0) if bool((hidden > 0).any()) else pixels

    def hide(self, pixels: Tensor, hidden: Tensor) -> Tensor:
        """`pixels` (C, *spatial) with what is `hidden` (*spatial) filled; hidden in part is filled in part."""
        return torch.lerp(pixels, self.under(pixels, hidden), hidden.to(pixels))


def fills_of(given: Any, pixels: Tensor, seed: int) -> tuple[Fill, ...]:
    """The fills for one image (C, *spatial) in [0, 1] that `given` names: one, or a tuple of them.

    One is a name of NAMES, a number or one per channel in [0, 1], an image (C, *spatial) in [0, 1] or uint8, or a
    function of (photo, mask): the image as an array (*spatial, C) in [0, 1] and what is hidden of it, bool
    (*spatial), which gives the filled image as an array (*spatial, C), uint8 or in [0, 1]. "blur" is Gaussian, a
    tenth of each side its sigma; "noise" uniform; "shuffle" the image's own pixels in random order; "inpaint" is
    Telea's (doi:10.1080/10867651.2004.10487596), "inpaint-ns" Navier and Stokes' (doi:10.1109/CVPR.2001.990497),
    both by OpenCV. Raises OptionError.
    """
    several = given if isinstance(given, list | tuple) and not is_colour(given) else (given,)
    if not several:
        raise OptionError("fill=() names none; " + near("", NAMES))
    found = [_fill(one, pixels, seed) for one in several]
    names = [fill.name for fill in found]
    return tuple(Fill(_numbered(names, i), fill.image, fill.make) for i, fill in enumerate(found))


def is_colour(given: Any) -> bool:
    """Whether it is a number for each channel."""
    numbers = isinstance(given, list | tuple) and len(given) > 0
    return numbers and all(isinstance(part, int | float) and not isinstance(part, bool) for part in given)


def _numbered(names: list[str], i: int) -> str:
    before = names[:i].count(names[i])
    return f"{names[i]} ({before + 1})" if before else names[i]


def _fill(given: Any, pixels: Tensor, seed: int) -> Fill:
    if isinstance(given, str):
        return _named(given, pixels, seed)
    if isinstance(given, int | float) and not isinstance(given, bool):
        return Fill(f"{given:g}", _flat(given, (float(given),) * len(pixels), pixels))
    if is_colour(given):
        return Fill(f"({', '.join(f'{part:g}' for part in given)})", _flat(given, tuple(map(float, given)), pixels))
    if isinstance(given, Tensor | np.ndarray):
        return Fill("a picture", _picture(given, pixels))
    if callable(given):
        name = str(getattr(given, "__name__", type(given).__name__)).replace("<lambda>", "a function")
        return Fill(name, make=_users(given, name))
    raise OptionError(
        f"fill={given!r} is none of a name, a colour, a picture or a function of (photo, mask); {near('', NAMES)}"
    )


def steady(name: str, pixels: Tensor, seed: int) -> Tensor:
    """The fill of that name, one of STEADY, for pixels (C, *spatial) in [0, 1]: an image of that shape."""
    if name == "mean":
        return pixels.mean(tuple(range(1, pixels.ndim)), keepdim=True).expand_as(pixels)
    if name == "blur":
        return gaussian(pixels, [BLUR * side for side in pixels.shape[1:]])
    die = torch.Generator().manual_seed(seed)
    if name == "noise":
        return torch.rand(pixels.shape, generator=die, device="cpu", dtype=torch.float32).to(pixels)
    if name == "shuffle":
        flat = pixels.flatten(1)
        order = torch.randperm(flat.shape[1], generator=die, device="cpu")
        return flat[:, order.to(pixels.device)].view_as(pixels)
    return torch.full_like(pixels, {"black": 0.0, "white": 1.0}[name])


def _named(name: str, pixels: Tensor, seed: int) -> Fill:
    if name in STEADY:
        return Fill(name, steady(name, pixels, seed))
    if name not in NAMES:
        raise OptionError(f"no fill named {name!r}; {near(name, NAMES)}")
    if pixels.ndim != 3 or len(pixels) not in (1, 3):
        raise OptionError(f"fill={name!r} paints pictures of 1 or 3 channels; this input is {tuple(pixels.shape)}.")
    return Fill(name, make=_inpainter(name))


def _flat(given: Any, colour: tuple[float, ...], pixels: Tensor) -> Tensor:
    if len(colour) != len(pixels):
        raise OptionError(f"fill={given} names {len(colour)} channels; the input has {len(pixels)}.")
    if not all(math.isfinite(part) and 0 <= part <= 1 for part in colour):
        raise OptionError(f"fill={given}: a colour is of numbers in [0, 1]; divide one of 0..255 by 255.")
    return torch.tensor(colour).view(-1, *[1] * (pixels.ndim - 1)).to(pixels).expand_as(pixels)


def _picture(given: Any, pixels: Tensor) -> Tensor:
    picture = torch.as_tensor(given)
    picture = picture.to(pixels) / (255 if picture.dtype == torch.uint8 else 1)
    if picture.shape != pixels.shape:
        raise OptionError(f"a fill of shape {tuple(picture.shape)}; the input takes {tuple(pixels.shape)}.")
    if not bool(torch.isfinite(picture).all()):
        raise OptionError("the fill holds NaN or infinite numbers.")
    return picture


def _inpainter(name: str) -> Make:
    def make(pixels: Tensor, hidden: Tensor) -> Tensor:
        import cv2

        if bool(hidden.all()):  # there is nothing to paint from
            return pixels.mean((1, 2), keepdim=True).expand_as(pixels)
        way = cv2.INPAINT_TELEA if name == "inpaint" else cv2.INPAINT_NS
        picture = np.ascontiguousarray((_array(pixels) * 255).round().astype(np.uint8))
        painted = cv2.inpaint(picture, hidden.cpu().numpy().astype(np.uint8), _RADIUS, way)
        return _tensor(painted.reshape(picture.shape), pixels)

    return make


def _users(function: Callable[..., Any], name: str) -> Make:
    def make(pixels: Tensor, hidden: Tensor) -> Tensor:
        answer = function(_array(pixels).copy(), hidden.cpu().numpy().copy())
        answer = np.asarray(answer.detach().cpu() if isinstance(answer, Tensor) else answer)
        expected = (*pixels.shape[1:], len(pixels))
        if answer.shape != expected or not np.isfinite(answer).all():
            got = f"shape {answer.shape}" if answer.shape != expected else "numbers that are not finite"
            raise OptionError(f"the fill {name} gave {got}; it has to give an image {expected}, uint8 or in [0, 1].")
        return _tensor(answer, pixels)

    return make


def _array(pixels: Tensor) -> Any:
    return pixels.detach().cpu().movedim(0, -1).clamp(0, 1).float().numpy()


def _tensor(array: Any, like: Tensor) -> Tensor:
    share = array.astype(np.float32) / 255 if array.dtype == np.uint8 else array
    if share.min() < -_SLACK or share.max() > 1 + _SLACK:
        raise OptionError(
            f"a fill gave pixels from {share.min():g} to {share.max():g}; give uint8, or floats in [0, 1]."
        )
    return torch.from_numpy(np.ascontiguousarray(share)).movedim(-1, 0).to(like).clamp(0, 1)

"""What a unit of a layer can see: its receptive field, found by asking the network and not its architecture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sightline.core.errors import LayerError, MethodError, NetworkError
from sightline.core.targets import Target
from sightline.network.net import Net
from sightline.network.reading import INPUT
from sightline.photos.localize import Box, box_around

_NOISE = 3  # images of noise beside the photo: a slope that is zero by chance in one is not in another


def field_of(net: Net, image: Tensor, target: Target, *, seed: int = 0) -> Box | None:
    """The box (x0, y0, x1, y1), half open, of the input's pixels that can move `target`; None where nothing does.

    It bounds where the gradient is not zero, on the image (C, h, w) itself or on seeded noise. What an activation or
    a max pooling happens to block there is let through, so that the box is what the unit can see in any image.
    Raises LayerError, TargetError, NetworkError.
    """
    if image.ndim != 3:
        raise LayerError(f"a receptive field is of pictures (C, h, w); this input is {tuple(image.shape)}.")
    dice = torch.Generator().manual_seed(seed)
    noise = net.images(torch.rand(_NOISE, *image.shape, generator=dice).to(image))
    seen = _slopes(net, torch.cat([image[None], noise]), target).ne(0).flatten(0, 1).any(0)
    return box_around(seen.cpu().numpy()) if bool(seen.any()) else None


def _slopes(net: Net, images: Tensor, target: Target) -> Tensor:
    """The target's slopes (N, C, h, w) with everything let through, as far as the network can be asked for that."""
    with _AllOfAPool():
        try:
            return net.gradients(images, target, (INPUT,), rule=_through).grads[INPUT][-1]
        except (MethodError, NetworkError):  # there is no activation, or slopes overflow without them
            return net.gradients(images, target, (INPUT,)).grads[INPUT][-1]


def _through(gradient: Tensor, plain: Tensor, given: Tensor) -> Tensor:
    """A rule for activations: all of the gradient goes on."""
    return gradient


class _AllOfAPool(TorchFunctionMode):
    """Inside the block a max pooling answers as ever, but its gradient reaches all sides of what it reads.

    The same pooling of values that rise towards each side in turn picks the outermost of each window.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        answer = func(*args, **kwargs)
        given = args[0] if args else kwargs.get("input")
        pools = "max_pool" in str(getattr(func, "__name__", ""))
        if not (pools and isinstance(answer, Tensor) and isinstance(given, Tensor) and given.requires_grad):
            return answer
        rest = {name: value for name, value in kwargs.items() if name != "input"}
        for rising in _ramps(given.detach()):
            stand_in = func(given + (rising - given.detach()), *args[1:], **rest)
            answer = answer + (stand_in - stand_in.detach())
        return answer


def _ramps(like: Tensor) -> list[Tensor]:
    """Values that rise along each spatial axis, and that fall."""
    ramps = []
    for axis in range(2, like.ndim):
        shape = [-1 if i == axis else 1 for i in range(like.ndim)]
        ramp = torch.arange(like.shape[axis], device=like.device, dtype=like.dtype).view(shape).expand_as(like)
        ramps += [ramp, -ramp]
    return ramps

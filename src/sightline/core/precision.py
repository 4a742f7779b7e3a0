"""The widest numbers that a device calculates with."""

from __future__ import annotations

import torch
from torch import Tensor

NARROW = ("mps",)  # devices without float64


def widest(device: torch.device) -> torch.dtype:
    """float64, or float32 on devices that have no float64, as Apple's."""
    return torch.float32 if device.type in NARROW else torch.float64


def wide(tensor: Tensor) -> Tensor:
    """The tensor in the widest numbers of its device, to add many of them up."""
    return tensor.to(widest(tensor.device))

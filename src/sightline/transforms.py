"""How images are moved about before each look: `sl.transforms.Jitter(8)`, `Rotate(15)`, ..., one after another."""

from sightline.features.transforms import Blur, Change, Crop, Flip, Jitter, Move, Noise, Pad, Rotate, Scale

__all__ = ["Blur", "Change", "Crop", "Flip", "Jitter", "Move", "Noise", "Pad", "Rotate", "Scale"]

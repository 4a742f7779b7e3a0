"""Ways to change a photo, as values: `edits.Remove()`, `edits.Grey() + edits.Move(40, 0)`."""

from sightline.probes.edits import Blur, Chain, Edit, Grey, Keep, Recolour, Remove, ShufflePatches
from sightline.probes.objects import Move, Rotate, Scale, SwapBackground, SwapObject

__all__ = [
    "Blur", "Chain", "Edit", "Grey", "Keep", "Move", "Recolour", "Remove", "Rotate", "Scale", "ShufflePatches",
    "SwapBackground", "SwapObject",
]  # fmt: skip

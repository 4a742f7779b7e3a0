"""What can be explained and climbed: `sl.targets.Class(281)`, `Unit("layer4", 7)`, ...; they add and scale."""

from sightline.core.activations import (
    Alignment,
    CosineDirection,
    Direction,
    Diversity,
    Layer,
    Match,
    Unit,
    interpolated,
)  # fmt: skip
from sightline.core.penalties import L2, Norm, TotalVariation
from sightline.core.places import Box, Region
from sightline.core.targets import Class, Contrast, Function, Output, PerImage, Similar, Target
from sightline.core.words import Text, Token

__all__ = [
    "L2",
    "Alignment",
    "Box",
    "Class",
    "Contrast",
    "CosineDirection",
    "Direction",
    "Diversity",
    "Function",
    "Layer",
    "Match",
    "Norm",
    "Output",
    "PerImage",
    "Region",
    "Similar",
    "Target",
    "Text",
    "Token",
    "TotalVariation",
    "Unit",
    "interpolated",
]  # fmt: skip

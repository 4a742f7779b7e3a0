"""What can be explained: `sl.targets.Class(281)`, `sl.targets.Contrast(281, 285)`, ...; they add and scale."""

from sightline.core.targets import Class, Contrast, Function, Output, Region, Similar, Target, Unit

__all__ = ["Class", "Contrast", "Function", "Output", "Region", "Similar", "Target", "Unit"]

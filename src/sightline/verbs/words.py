"""Targets in words, and the classes that they speak for."""

from __future__ import annotations

from sightline.core.activations import Alignment, CosineDirection, Direction, Diversity, Layer, Match, Unit
from sightline.core.heats import corners
from sightline.core.penalties import L2, Norm, TotalVariation
from sightline.core.places import Box, Region
from sightline.core.targets import Class, Contrast, Function, Output, Similar, Sum, Target


def describe(target: Target, labels: tuple[str, ...] | None, *, outlined: bool = False) -> str:
    """A target in words: labels where it names classes; `outlined`: a picture shows where a box is."""

    def label(index: int) -> str:
        return labels[index] if labels and index < len(labels) else f"class {index}"

    match target:
        case Class(index):
            return label(index)
        case Contrast(index, other):
            return f"{label(index)} rather than {label(other)}"
        case Sum(((-1.0, part),)):
            return f"least {describe(part, labels, outlined=outlined)}"
        case Sum(parts):
            words = [f"{_factor(weight)}{describe(part, labels, outlined=outlined)}" for weight, part in parts]
            return " ".join(words).removeprefix("+ ")
        case Output(index, direction):
            return f"what would {direction} {labels[index] if labels else f'output {index}'}"
        case Region(_, index, where):
            return f"{label(index)} {where}"
        case Box(box, index):
            return f"{label(index)} " + ("in the box" if outlined else f"at {corners(box)}")
        case Similar():
            return "likeness to an embedding"
        case Function(function):
            return str(getattr(function, "__name__", "a function of the scores")).replace("<lambda>", "a function")
    return _inside(target)


def _inside(target: Target) -> str:
    """A target that no class is named in, in words."""
    match target:
        case Unit(layer, channel, at):
            return f"channel {channel} of {layer}" + (f" at {at}" if at else "")
        case Layer(layer):
            return f"all of {layer}"
        case Direction(layer) | CosineDirection(layer):
            return f"a direction of {layer}"
        case Match(layer):
            return f"likeness in {layer}"
        case L2():
            return "squared L2 norm"
        case Norm(p):
            return f"L{p:g} norm"
        case TotalVariation():
            return "total variation"
        case Diversity(layer) | Alignment(layer):
            return f"{type(target).__name__.lower()} in {layer}"
    return str(target)


def _factor(weight: float) -> str:
    sign, size = ("- " if weight < 0 else "+ "), abs(weight)
    return sign + (f"{size:.3g} × " if size != 1 else "")


def indices(target: Target) -> list[int]:
    """The classes that a target speaks for."""
    if isinstance(target, Sum):
        return [index for weight, part in target.parts if weight > 0 for index in indices(part)]
    return [target.index] if isinstance(target, Class | Contrast | Region | Box) else []

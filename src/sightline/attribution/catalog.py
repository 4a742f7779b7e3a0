"""Every method by name: its paper, what it needs, what it costs. CLI, docs and law tests are derived from here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any, Literal

from sightline.attribution.cams import cam, grad_cam
from sightline.attribution.gradients import input_x_gradient, saliency, smoothgrad
from sightline.attribution.paths import integrated_gradients
from sightline.core.errors import MethodError, near
from sightline.core.heats import Heat
from sightline.network.net import INPUT

Explainer = Callable[..., Heat | Iterator[Heat]]
GRADIENTS, LAYER = frozenset({"gradients"}), frozenset({"gradients", "layer"})


@dataclass(frozen=True)
class Method:
    """A method of the catalog.

    `needs` of the network: a subset of {"gradients", "layer", "linear-head", "relu", "attention", "detections"}.
    `cost`: what one image takes, in passes. `unit`: what a value of the map means. `reads`: the places that one
    shared pass has to show ("layer" stands for the chosen one); empty for methods that make their own passes.
    `channels`: how the values of an input's channels become one map, "sum" or the "largest" by magnitude.
    """

    id: str
    family: str
    paper: str
    needs: frozenset[str]
    cost: str
    function: Explainer
    unit: str
    reads: tuple[str, ...] = ()
    channels: Literal["sum", "largest"] = "sum"

    @property
    def magnitude(self) -> bool:
        """Whether a heat map shows the size of the values, and not only the positive ones."""
        return self.family == "gradients"

    @property
    def evidence(self) -> bool:
        """Whether a value below zero speaks against the target; a negative slope does not."""
        return self.channels == "sum"

    @property
    def options(self) -> dict[str, Any]:
        """The options that it takes, with their defaults."""
        parameters = inspect.signature(self.function).parameters.values()
        keywords = (p for p in parameters if p.kind is p.KEYWORD_ONLY)
        return {p.name: p.default for p in keywords if p.name not in ("weigh", "seed", "layer")}

    @property
    def seeded(self) -> bool:
        """Whether it draws random numbers, or can be asked to."""
        return "seed" in inspect.signature(self.function).parameters

    def bind(self, layer: str | None, seed: int, options: dict[str, Any]) -> Explainer:
        """An explainer (net, images, target) -> Heat or ever better Heats; `options` are among its own."""
        fixed = {"seed": seed} if self.seeded else {}
        if "layer" in self.needs:
            fixed["layer"] = layer  # type: ignore[assignment]
        return partial(self.function, **fixed, **options)


_SLOPE = "change of the score per unit of normalized input"
_SHARE = "contribution to the score"

CATALOG: tuple[Method, ...] = (
    Method(
        "saliency", "gradients", "arXiv:1312.6034", GRADIENTS, "1 forward, 1 backward",
        saliency, _SLOPE, (INPUT,), "largest",
    ),
    Method(
        "input-x-gradient", "gradients", "arXiv:1605.01713", GRADIENTS, "1 forward, 1 backward",
        input_x_gradient, _SHARE, (INPUT,),
    ),
    Method(
        "smoothgrad", "gradients", "arXiv:1706.03825", GRADIENTS, "`samples` forward and backward: 25",
        smoothgrad, _SLOPE, (), "largest",
    ),
    Method(
        "integrated-gradients", "gradients", "arXiv:1703.01365", GRADIENTS,
        "25 to `budget` forward and backward, as the path needs",
        integrated_gradients, _SHARE,
    ),
    Method(
        "grad-cam", "cams", "arXiv:1610.02391", LAYER, "1 forward, 1 backward to the layer",
        partial(cam, weigh=grad_cam), "weighted activation, in units of the score", ("layer",),
    ),
)  # fmt: skip


@cache
def methods() -> tuple[Method, ...]:
    """Every method: those of Sightline, then those that installed packages add (entry point `sightline.methods`)."""
    return CATALOG + tuple(entry.load() for entry in entry_points(group="sightline.methods"))


def method(name: str) -> Method:
    """The method of that id; case and underscores do not matter. Raises MethodError with near misses."""
    if not isinstance(name, str):
        raise MethodError(f"{name!r} is not the name of a method; {near('', (m.id for m in methods()))}")
    wanted = name.lower().replace("_", "-")
    for one in methods():
        if one.id == wanted:
            return one
    raise MethodError(f"no method named {name!r}; {near(wanted, (m.id for m in methods()))}")

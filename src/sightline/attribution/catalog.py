"""Every method by name: its paper, what it needs, what it costs. CLI, docs and law tests are derived from here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any, Literal

from torch import Tensor

from sightline.attribution import contributions
from sightline.attribution.cams import cam_map, finer_cam, guided_grad_cam, refine_cam, shapley_cam
from sightline.attribution.gradients import MeanSquare, input_x_gradient, noisy_gradient, saliency
from sightline.attribution.occlusion import occlusion
from sightline.attribution.paths import integrated_gradients
from sightline.attribution.rise import rise
from sightline.attribution.smooth import smooth_grad_cam_pp
from sightline.core.errors import MethodError, near
from sightline.core.heats import Heat, Warning
from sightline.stats.running import RunningMean, RunningVariance

Explainer = Callable[..., Heat | Iterator[Heat]]
GRADIENTS, LAYER, RELU = frozenset({"gradients"}), frozenset({"gradients", "layer"}), frozenset({"gradients", "relu"})
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Method:
    """A method of the catalog.

    `needs` of the network: a subset of {"gradients", "layer", "linear-head", "relu", "attention", "detections"}.
    `cost`: what one image takes, in passes. `unit`: what a value of the map means. `reads`: the places that one
    shared pass has to show ("" is the input; "layer", "stages" and "wrt" stand for what is chosen); empty for methods
    that make their own passes. `channels`: how the values of an input's channels become one map, "sum" or the
    "largest" by magnitude. `caution`: what every reader of its maps has to know.
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
    caution: Warning | None = None

    @property
    def magnitude(self) -> bool:
        """Whether a heat map shows the size of the values, and not only the positive ones."""
        return self.family == "gradients"

    @property
    def evidence(self) -> bool:
        """Whether a value below zero speaks against the target; a negative slope does not."""
        return self.channels == "sum"

    def plane(self, values: Tensor) -> Tensor:
        """One signed value per place (*spatial) of a map (C, *spatial): its channels' sum, or the largest by size."""
        if self.channels == "sum" or len(values) == 1:
            return values.sum(0)
        return values.gather(0, values.abs().argmax(0, keepdim=True))[0]

    @property
    def options(self) -> dict[str, Any]:
        """The options that it takes, with their defaults."""
        hidden = {"seed", "layer", *getattr(self.function, "keywords", ())}
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in hidden}

    @property
    def seeded(self) -> bool:
        """Whether it draws random numbers, or can be asked to."""
        return "seed" in inspect.signature(self.function).parameters

    def bind(self, layer: Any, seed: int, options: dict[str, Any]) -> Explainer:
        """An explainer (net, images, target) -> Heat or ever better Heats; `options` are among its own."""
        fixed = {"seed": seed} if self.seeded else {}
        if "layer" in self.needs:
            fixed["layer"] = layer
        return partial(self.function, **fixed, **options)


_SLOPE = "change of the score per unit of normalized input"
_SHARE = "contribution to the score"
_WEIGHTED = "weighted activation, in units of the score"
_ONCE, _TO_LAYER = "1 forward, 1 backward", "1 forward, 1 backward to the layer"
_SAMPLES = "25 forward and backward, or as many as `precision` takes"


def insane(method: str, paper: str) -> Warning:
    """That a method's maps are no evidence."""
    message = f"{method} shows much the same whatever the network learned ({paper}): it sharpens the photo's edges."
    return Warning("fails-sanity-check", f"{message} Do not take its map as evidence.")


def _untargeted(method: str) -> Warning:
    message = f"{method} does not look at the target: it shows what stands out in the layer, for every class alike."
    return Warning("ignores-target", message)


def _cam(name: str, paper: str, contribution: contributions.Contribution, **more: Any) -> Method:
    """A method that differs from Grad-CAM in what a channel contributes, and perhaps in what else is said."""
    values = {"needs": LAYER, "unit": _WEIGHTED, "cost": _TO_LAYER, "reads": ("layer",)} | more
    fixed: dict[str, Any] = {"rule": None} if "caution" in more else {}  # there is no gradient in them to change
    return Method(name, "cams", paper, function=partial(cam_map, contribution=contribution, **fixed), **values)


CATALOG: tuple[Method, ...] = (
    Method("saliency", "gradients", "arXiv:1312.6034", GRADIENTS, _ONCE, saliency, _SLOPE, ("wrt",), "largest"),
    Method(
        "input-x-gradient", "gradients", "arXiv:1605.01713", GRADIENTS, _ONCE, input_x_gradient, _SHARE, ("wrt",),
    ),
    Method(
        "guided-backprop", "gradients", "arXiv:1412.6806", RELU, _ONCE, partial(saliency, rule="guided"),
        "guided gradient", channels="largest", caution=insane("guided-backprop", "arXiv:1810.03292"),
    ),
    Method(
        "deconvnet", "gradients", "arXiv:1311.2901", RELU, _ONCE, partial(saliency, rule="rectified"),
        "rectified gradient", channels="largest", caution=insane("deconvnet", "arXiv:1805.07039"),
    ),
    Method(
        "smoothgrad", "gradients", "arXiv:1706.03825", GRADIENTS, _SAMPLES,
        partial(noisy_gradient, statistic=RunningMean), _SLOPE, channels="largest",
    ),
    Method(
        "smoothgrad-squared", "gradients", "arXiv:1806.10758", GRADIENTS, _SAMPLES,
        partial(noisy_gradient, statistic=MeanSquare), f"mean square of the {_SLOPE}", channels="largest",
    ),
    Method(
        "vargrad", "gradients", "arXiv:1810.03292", GRADIENTS, _SAMPLES,
        partial(noisy_gradient, statistic=RunningVariance), f"variance of the {_SLOPE}", channels="largest",
    ),
    Method(
        "integrated-gradients", "gradients", "arXiv:1703.01365", GRADIENTS,
        "25 to `budget` forward and backward, as the path needs",
        integrated_gradients, _SHARE,
    ),
    Method(
        "guided-grad-cam", "gradients", "arXiv:1610.02391", LAYER | RELU, "2 forward, 2 backward",
        guided_grad_cam, "guided gradient × weighted activation", ("layer",), "largest",
        caution=insane("guided-grad-cam", "arXiv:1810.03292"),
    ),
    _cam("grad-cam", "arXiv:1610.02391", contributions.grad_cam),
    _cam("cam", "arXiv:1512.04150", contributions.cam, needs=LAYER | {"linear-head"}),
    _cam("grad-cam++", "arXiv:1710.11063", contributions.grad_cam_pp),
    Method(
        "smooth-grad-cam++", "cams", "arXiv:1908.01224", LAYER, _SAMPLES, smooth_grad_cam_pp, _WEIGHTED, ("layer",),
    ),
    _cam("xgrad-cam", "arXiv:2008.02312", contributions.xgrad_cam),
    _cam("layer-cam", "doi:10.1109/TIP.2021.3089943", contributions.layer_cam),
    _cam("hires-cam", "arXiv:2011.08891", contributions.hires_cam),
    _cam("grad-cam-element-wise", "pytorch-grad-cam", contributions.grad_cam_element_wise),
    _cam(
        "eigen-cam", "arXiv:2008.00299", contributions.eigen_cam,
        unit="activation along the first singular vector", caution=_untargeted("eigen-cam"),
    ),
    Method(
        "eigen-grad-cam", "cams", "pytorch-grad-cam", LAYER, _TO_LAYER,
        partial(cam_map, contribution=contributions.hires_cam, smoothing="principal"),
        "weighted activation along the first principal component", ("layer",),
    ),
    _cam(
        "kpca-cam", "arXiv:2410.00267", contributions.kpca_cam,
        unit="first component under a sigmoid kernel", caution=_untargeted("kpca-cam"),
    ),
    _cam(
        "fem", "doi:10.1109/IPTA50016.2020.9286629", contributions.fem,
        unit="mean activation of the channels that stand out here", caution=_untargeted("fem"),
    ),
    Method(
        "shapley-cam", "cams", "arXiv:2501.06261", LAYER, "1 forward, 2 backward to the layer",
        shapley_cam, _WEIGHTED,
    ),
    Method(
        "finer-cam", "cams", "arXiv:2501.11309", LAYER, "2 forward, 1 backward to the layer", finer_cam, _WEIGHTED,
    ),
    Method(
        "refine-cam", "cams", "arXiv:2605.14641", LAYER, _TO_LAYER, refine_cam,
        "product of the layers' maps, each scaled to [0, 1]", ("stages",),
    ),
    Method(
        "occlusion", "masking", "arXiv:1311.2901", NOTHING, "1 forward for each window", occlusion,
        "score lost where the pixel is hidden",
    ),
    Method(
        "rise", "masking", "arXiv:1806.07421", NOTHING, "1,000 forward, or as many as `precision` takes", rise,
        "mean score where the pixel is kept, less the mean score",
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

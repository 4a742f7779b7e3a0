"""Ours and the peers', each on a network of its own: built once, then run again and again.

Peers are called as their documentation shows, with the network as it comes: parameters ask for gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import sightline as sl
from benchmarks.agreement import Style, positive_share, unit
from benchmarks.cases import Case
from benchmarks.race import fastest

Maps = dict[str, Tensor]
_PIP = {
    "captum": "captum>=0.8", "jax": "jax>=0.4.30", "lucent": "torch-lucent>=0.1.8",
    "pytorch_grad_cam": "grad-cam>=1.5.5", "torchcam": "torchcam>=0.4",
}  # fmt: skip
SAMPLES, NOISE = 25, 0.15


class UnavailableError(Exception):
    """A row cannot be measured here: the message says what is missing."""


@dataclass(frozen=True)
class Contestant:
    """`run` makes maps by method id; `styles` say how ours are to be read to be the same; `chosen` what was tuned."""

    run: Callable[[], Maps]
    styles: Mapping[str, Style] = field(default_factory=dict)
    chosen: str = ""


def peer(module: str) -> Any:
    """A module of a peer. Raises UnavailableError with the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        wanted = _PIP[module.partition(".")[0]]
        raise UnavailableError(f'{module} is not there ({error}); pip install "{wanted}"') from error


def ours(case: Case, methods: Sequence[str], **options: Any) -> Contestant:
    """`sl.attribute` for one method, or for several at once. Raises UnavailableError for one that is not there."""
    missing = set(methods) - {method.id for method in sl.methods()}
    if missing:
        raise UnavailableError(f"there is no method {', '.join(sorted(missing))}")
    model = case.model()
    layer = case.layer if any("layer" in one.needs for one in sl.methods() if one.id in methods) else None

    def one() -> Maps:
        return {methods[0]: _attribute(model, case, methods[0], layer, options).values}

    def several() -> Maps:
        return {name: heat.values for name, heat in _attribute(model, case, list(methods), layer, options).items()}

    return Contestant(one if len(methods) == 1 else several)


def _attribute(model: sl.Model, case: Case, method: Any, layer: str | None, options: dict[str, Any]) -> Any:
    return sl.attribute(model, case.images, case.target, method=method, layer=layer, **options)


def forward_pass(case: Case) -> Contestant:
    """One plain pass of the network, without a gradient."""
    network = case.own()

    def run() -> Maps:
        with torch.no_grad():
            network(case.images)
        return {}

    return Contestant(run)


def one_by_one(contestants: Sequence[Contestant]) -> Contestant:
    """All of them in a row."""

    def run() -> Maps:
        return {name: maps for each in contestants for name, maps in each.run().items()}

    styles = {name: style for each in contestants for name, style in each.styles.items()}
    return Contestant(run, styles, ", ".join(each.chosen for each in contestants if each.chosen))


def captum_saliency(case: Case) -> Contestant:
    method = peer("captum.attr").Saliency(case.own())
    return Contestant(lambda: {"saliency": method.attribute(_leaf(case), target=case.target, abs=False)})


def captum_guided_backprop(case: Case) -> Contestant:
    method = peer("captum.attr").GuidedBackprop(case.own(in_place=False))
    return Contestant(lambda: {"guided-backprop": method.attribute(_leaf(case), target=case.target)})


def captum_grad_cam(case: Case) -> Contestant:
    """With the enlarging to the input that ours includes."""
    captum = peer("captum.attr")
    network = case.own()
    method = captum.LayerGradCam(network, network.get_submodule(case.layer))

    def run() -> Maps:
        cells = method.attribute(case.images, target=case.target)
        return {"grad-cam": captum.LayerAttribution.interpolate(cells, case.images.shape[2:], "bilinear").detach()}

    return Contestant(run)


def captum_smoothgrad(case: Case) -> Contestant:
    """Seeded as ours, so that the noise of a batch of one is the same; at the fastest of a few batch sizes."""
    captum = peer("captum.attr")
    method = captum.NoiseTunnel(captum.Saliency(case.own()))
    spread = NOISE * float(case.images.max() - case.images.min())

    def at_once(size: int) -> Maps:
        torch.manual_seed(0)
        options = {"nt_samples": SAMPLES, "nt_samples_batch_size": size, "stdevs": spread, "abs": False}
        return {"smoothgrad": method.attribute(_leaf(case), target=case.target, nt_type="smoothgrad", **options)}

    return at_its_best(at_once, (1, 5, 8, 25))


def captum_integrated_gradients(case: Case, steps: int, sizes: Sequence[int] = (1, 5, 8, 17, 51)) -> Contestant:
    """The trapezoid rule on the same points as ours; at the fastest of a few batch sizes."""
    points = steps + 1
    method = peer("captum.attr").IntegratedGradients(case.own())

    def at_once(size: int) -> Maps:
        options = {"n_steps": points, "method": "riemann_trapezoid", "internal_batch_size": size}
        return {"integrated-gradients": method.attribute(_leaf(case), case.black(), case.target, **options)}

    def style(maps: Tensor) -> Tensor:
        return maps * steps / points  # its inner points weigh 1 / points, where the rule has 1 / (points - 1)

    best = at_its_best(at_once, sizes)
    return Contestant(best.run, {"integrated-gradients": style}, best.chosen)


def occlusion_window(case: Case) -> tuple[int, int]:
    """A quarter of the image's side, moved on by half of itself: 49 windows on 224 pixels."""
    side = case.images.shape[-1]
    return side // 4, side // 8


def captum_occlusion(case: Case, sizes: Sequence[int] = (1,)) -> Contestant:
    """A window hides all channels, so that the map is the same for each; `sizes` of `perturbations_per_eval`."""
    method = peer("captum.attr").Occlusion(case.own())
    window, stride = occlusion_window(case)
    options = {"sliding_window_shapes": (3, window, window), "strides": (3, stride, stride)}

    def at_once(size: int) -> Maps:
        found = method.attribute(
            case.images, baselines=case.black(), target=case.target, perturbations_per_eval=size, **options
        )
        return {"occlusion": found}

    best = at_its_best(at_once, sizes)
    return Contestant(best.run, {"occlusion": lambda maps: maps.expand_as(case.images)}, best.chosen)


def grad_cam_package(case: Case, method: str) -> Contestant:
    """pytorch-grad-cam's class for `method`: the positive part, from 0 to 1, enlarged."""
    cams, targets = peer("pytorch_grad_cam"), peer("pytorch_grad_cam.utils.model_targets")
    kind = {"grad-cam": cams.GradCAM, "layer-cam": cams.LayerCAM}[method]
    network = case.own()
    extractor = kind(network, [network.get_submodule(case.layer)])
    wanted = [targets.ClassifierOutputTarget(case.target)] * len(case.images)
    share = positive_share(_grid(case))
    return Contestant(
        lambda: {method: torch.from_numpy(extractor(input_tensor=case.images, targets=wanted))[:, None]},
        {method: lambda maps: unit(share(maps))},
    )


def torchcam_layer_cam(case: Case) -> Contestant:
    """torchcam's LayerCAM, enlarged as ours: the positive part, from 0 to 1."""
    network = case.own()
    extractor = peer("torchcam.methods").LayerCAM(network, case.layer)

    def run() -> Maps:
        (cells,) = extractor(case.target, network(case.images))
        enlarged = F.interpolate(cells[:, None], case.images.shape[2:], mode="bilinear", align_corners=False)
        return {"layer-cam": enlarged}

    return Contestant(run, {"layer-cam": positive_share(_grid(case))})


def fastest_layer_cam(case: Case) -> Contestant:
    """pytorch-grad-cam's or torchcam's, whichever is faster here."""
    both = {"pytorch-grad-cam": grad_cam_package(case, "layer-cam"), "torchcam": torchcam_layer_cam(case)}
    best = fastest({name: one.run for name, one in both.items()})
    return Contestant(both[best].run, both[best].styles, f"LayerCAM of {best}")


def at_its_best(at_once: Callable[[int], Maps], sizes: Sequence[int]) -> Contestant:
    """A peer at the fastest of a few batch sizes."""

    def run(size: int) -> Callable[[], Maps]:
        return lambda: at_once(size)

    if len(sizes) == 1:
        return Contestant(run(sizes[0]))
    best = int(fastest({str(size): run(size) for size in sizes}, rounds=2, label="batch size"))
    return Contestant(run(best), chosen=f"{best} at once, the fastest of {', '.join(map(str, sizes))}")


def _leaf(case: Case) -> Tensor:
    return case.images.clone().requires_grad_()


def _grid(case: Case) -> tuple[int, int]:
    """The height and width of the layer's map."""
    seen: list[Tensor] = []
    network = case.own()
    network.get_submodule(case.layer).register_forward_hook(lambda _layer, _inputs, output: seen.append(output))
    with torch.no_grad():
        network(case.images[:1])
    return int(seen[0].shape[2]), int(seen[0].shape[3])

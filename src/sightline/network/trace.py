"""What happens inside a network in one pass: which layers run, with which maps, and what the score depends on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sightline.core.errors import LayerError, near
from sightline.network.census import RELU, census
from sightline.network.hooks import differentiate, first_tensor, watch
from sightline.network.layouts import Layout, layout_of
from sightline.network.readout import answer_of
from sightline.network.rules import Activations

_ATTENTION = ("attn", "self_attn", "attention", "self_attention")  # as timm and Hugging Face call such modules


@dataclass(frozen=True, slots=True)
class Step:
    """A layer as one pass showed it. `layout` is None where its output holds no map of the input."""

    name: str
    layout: Layout | None
    shape: tuple[int, ...]
    depends: bool
    usable: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """The layers in the order in which they finished; `differentiable`: a gradient reaches the input.

    `activations`: how often each kind ran, ReLUs of all makes as "relu".
    """

    steps: tuple[Step, ...]
    differentiable: bool
    activations: Counter[str]

    def names(self) -> tuple[str, ...]:
        """Every layer that ran, the deepest last."""
        return tuple(dict.fromkeys(step.name for step in self.steps))

    def layout(self, name: str) -> Layout | None:
        """How the output of layer `name` is laid out. Raises LayerError for a layer that does not run."""
        for step in reversed(self.steps):
            if step.name == name:
                return step.layout
        raise LayerError(f"no layer named {name!r} runs in this network; {near(name, self.names())}")

    def maps(self) -> list[Step]:
        """The layers that put out a map of features when they ran last."""
        last = {step.name: step for step in self.steps}
        return [one for one in last.values() if one.layout is not None and one.layout.cells > 1 and one.usable]

    def stages(self) -> tuple[str, ...]:
        """The last map of each of the last three sizes on which the score depends, the deepest last."""
        last = {step.layout.grid: step.name for step in self.maps() if step.depends and step.layout is not None}
        places = {name: at for at, name in enumerate(step.name for step in self.steps)}
        return tuple(sorted(last.values(), key=places.__getitem__)[-3:]) or (self.default(),)

    def default(self) -> str:
        """The last map on which the score still depends, before the pooling. Raises LayerError without one."""
        maps = self.maps()
        for step in reversed(maps):
            if step.depends:
                return step.name
        if maps:
            return maps[-1].name
        raise LayerError("this network has no layer with a spatial map; use a method that needs no layer.")


@dataclass(frozen=True, slots=True, eq=False)
class _Ran:
    """A module that finished: what it put out, what it was given, and the first module that put out the same."""

    name: str
    module: nn.Module
    output: Tensor
    given: Tensor | None
    same: str


class _Recorder:
    """Watches a pass. Each output goes on as a copy, so that a gradient tells what leaves that module, not others."""

    def __init__(self) -> None:
        self.ran: list[_Ran] = []
        self._copies: dict[int, tuple[Tensor, int, str]] = {}

    def look(self, name: str, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        copy, version, same = self._copies.get(id(output), (None, 0, name))
        if copy is None or output._version != version:  # changed in place since: no longer the same
            same = name
        self.ran.append(_Ran(name, module, output, first_tensor(inputs), same))
        copy = output.clone()
        self._copies[id(copy)] = (copy, copy._version, same)
        return copy


def trace(network: nn.Module, image: Tensor, output: str = "") -> Trace:
    """Run `image` (1, C, *spatial) through a borrowed network once, forward and back; `output`: what it answers."""
    recorder = _Recorder()
    leaf = image.detach().clone().requires_grad_()
    with watch(network, recorder.look), Activations() as activations:
        answer = answer_of(network(leaf.clone()), 1)
    ran = recorder.ran
    if not answer.requires_grad:
        deaf = (Step(r.name, None, tuple(r.output.shape), False, False) for r in ran)
        return Trace(tuple(deaf), False, activations.seen)
    ran = [one for one in ran if one.output.requires_grad]
    layouts = _layouts(network, ran, tuple(image.shape[2:]))
    ends = _candidates(answer) if output == "detections" else [answer]
    depends = [all(each) for each in zip(*(_dependence(end, ran, layouts) for end in ends), strict=True)]
    outer = _outermost(ran)
    steps = []
    for one, layout, matters in zip(ran, layouts, depends, strict=True):
        usable = outer[one.same] == one.name and not _aside(network, one, answer) and not _pools(ran, one)
        steps.append(Step(one.name, layout, tuple(one.output.shape), matters, usable))
    return Trace(tuple(steps), True, _activations(answer, activations.seen))


def _activations(answer: Tensor, reached: Counter[str]) -> Counter[str]:
    """The activations on the way to the answer; ReLUs that no rule reaches by a name of their own."""
    found = census(answer)
    hidden = found[RELU] - reached[RELU]
    return found + Counter({"relu out of reach": hidden}) if hidden > 0 else found


def _layouts(network: nn.Module, ran: list[_Ran], spatial: tuple[int, ...]) -> list[Layout | None]:
    grids: list[tuple[int, ...]] = []
    layouts = []
    for one in ran:
        layout = layout_of(network, one.name, one.module, one.output, spatial, grids)
        if layout is not None and not layout.prefix:
            grids.append(layout.grid)
        layouts.append(layout)
    return layouts


def _dependence(answer: Tensor, ran: list[_Ran], layouts: list[Layout | None]) -> list[bool]:
    """Whether the score depends on each output, class and register tokens aside.

    A head that starts at zero, as torchvision's ViT has it, hides everything: then what it is given stands in.
    """
    heads = [one.given for one in reversed(ran) if one.given is not None and one.given.ndim == 2]
    depends = [False] * len(ran)
    for end in (answer, *(head for head in heads if head.requires_grad)):
        slopes = _gradients(end, [one.output for one in ran])
        depends = [
            slope is not None and bool((layout.apply(slope) if layout else slope).any())
            for slope, layout in zip(slopes, layouts, strict=True)
        ]
        if any(matters and layout for matters, layout in zip(depends, layouts, strict=True)):
            break
    return depends


def _candidates(answer: Tensor) -> list[Tensor]:
    """The first and the last candidate of a detector: in a pyramid they come from different levels."""
    found = answer[0, :, 4:].amax(1).nonzero()[:, 0].tolist()
    rows = dict.fromkeys((found[0], found[-1])) if found else ()
    return [answer[:, row, 4:] for row in rows] or [answer]


def _gradients(end: Tensor, tensors: list[Tensor]) -> list[Tensor | None]:
    return differentiate(mixture(end).sum(), tensors, again=True)


def mixture(scores: Tensor) -> Tensor:
    """A fixed random mixture of each row, (N,): a plain sum of probabilities would have no gradient."""
    weights = torch.randn(scores.shape[1:], generator=torch.Generator().manual_seed(0)).to(scores)
    return (scores * weights).flatten(1).sum(1)


def _outermost(ran: list[_Ran]) -> dict[str, str]:
    """The shortest path among the names of each output: "layer4" rather than "layer4.2.relu"."""
    best: dict[str, str] = {}
    for one in ran:
        if one.same not in best or one.name.count(".") <= best[one.same].count("."):
            best[one.same] = one.name
    return best


def _pools(ran: list[_Ran], one: _Ran) -> bool:
    """Whether only pooling modules put this out."""
    makers = [other.module for other in ran if other.same == one.same]
    return all("pool" in type(module).__name__.lower() for module in makers)


def of_attention(name: str, kind: str) -> bool:
    """Whether a module of that name and type is attention."""
    return name in _ATTENTION or "attention" in kind.lower()


def _aside(network: nn.Module, one: _Ran, answer: Tensor) -> bool:
    """Not a map of features: inside an attention module (queries, keys), or already a dense map of class scores."""
    parts = one.name.split(".")
    parents = [".".join(parts[:depth]) for depth in range(1, len(parts))]
    inside = getattr(one.module, "in_attention", False) or any(
        of_attention(parent.rpartition(".")[2], type(network.get_submodule(parent)).__name__) for parent in parents
    )
    tensor = one.output
    return inside or (answer.ndim > 2 and tensor.ndim == answer.ndim and tensor.shape[1] == answer.shape[1])

"""A network on loan: what methods ask of it, in chunks that fit, with passes counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sightline.core.errors import LayerError, MethodError, NetworkError, TargetError, near
from sightline.core.heats import Passes, Seen, Warning
from sightline.core.targets import Function, Target
from sightline.network.hooks import borrow, device_of, differentiate, dtype_of, record, told
from sightline.network.layouts import Layout
from sightline.network.packing import Packing
from sightline.network.readout import Readout, StaleReadoutError, finite, read_off, scores_of
from sightline.network.rules import Rule, ruled
from sightline.network.trace import Trace, mixture, trace

_FLAT = 1e-4  # share of the largest gradient by which those of a linear head may differ
INPUT = ""  # the place that is the network's input; other places are layers
Found = TypeVar("Found")
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One pass over images, forward and back.

    `score`: (N,) of the target; `scores`: (N, K, ...) of the network; `acts` and `grads`: for each place what was
    there and the score's gradient, a pair of (N, C, *spatial) for each time the layer ran; `bends`: the score's
    second derivative times the activations, likewise, if asked for.
    """

    score: Tensor
    scores: Tensor
    acts: dict[str, tuple[Tensor, ...]]
    grads: dict[str, tuple[Tensor, ...]]
    bends: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Ask:
    """What a pass is to show: the target's slope at the places, and how their layers are laid out."""

    target: Target
    places: tuple[str, ...]
    layers: dict[str, nn.Module]
    layouts: dict[str, Layout | None]
    rule: Rule | None
    curvature: bool


@dataclass(eq=False)
class Net:
    """A borrowed network. `levels` are its black and its white, (C,); `plan` the places asked for together."""

    module: nn.Module
    facts: Facts
    readout: Readout
    output: str
    levels: tuple[Tensor, Tensor]
    chunk: int = 8
    plan: tuple[str, ...] = ()
    packing: Packing = field(default_factory=Packing)
    warnings: list[Warning] = field(default_factory=list)
    progress: Callable[[int], object] = lambda _rows: None
    _memo: tuple[Tensor, Reading] | None = None

    def scores(self, images: Tensor) -> Tensor:
        """(N, K, ...) scores of images (N, C, *spatial), without a gradient."""
        parts = list(self._in_chunks(len(images), partial(self._scores, images)))
        return finite(torch.cat(parts), "scores", self.module)

    def _scores(self, images: Tensor, part: slice) -> Tensor:
        with torch.no_grad():
            return self._answer(self._ready(images[part]).clone())

    def _answer(self, images: Tensor) -> Tensor:
        """The scores; a readout that the network has outgrown is found out anew."""
        try:
            with told(self.module, images):
                scores = scores_of(self.module, images, self.readout)
                return scores_of(self.module, images, self.readout) if self.packing.mistaken() else scores
        except StaleReadoutError:
            key = ("readout", self.output)
            self.facts.forget(key)
            self.readout = self.facts.know(key, lambda: _read_off(self.module, images.detach(), self.output))
            return scores_of(self.module, images, self.readout, sure=True)

    def look(self, images: Tensor, target: Target, *places: str) -> Reading:
        """The pass over the untouched images that all methods asked for together share."""
        if self._memo is not None and self._memo[0] is images and set(places) <= set(self._memo[1].grads):
            return self._memo[1]
        reading = self.gradients(images, target, tuple(dict.fromkeys(self.plan + places)))
        self._memo = (images, reading)
        return reading

    def gradients(
        self,
        images: Tensor,
        target: Target,
        places: Sequence[str] = (INPUT,),
        *,
        rows: Tensor | None = None,
        rule: Rule | None = None,
        curvature: bool = False,
    ) -> Reading:
        """Scores and their gradients at `places`, for images (N, C, *spatial); `rows` (N,) says whose they are.

        `rule`: what goes back through activations; `curvature`: the second derivatives too. Raises LayerError for a
        layer that does not run, MethodError where no gradient reaches the input or the rule does not fit the
        network, NetworkError for numbers that are not finite.
        """
        rows = torch.arange(len(images)) if rows is None else rows
        layers = {name: self.layer(name) for name in (*places, *target.layers) if name != INPUT}
        layouts = {name: self.layout(images, name) for name in layers}
        ask = _Ask(target, tuple(places), layers, layouts, rule, curvature)
        run = partial(self._gradients, images, rows, ask)
        return _joined(list(self._in_chunks(len(images), run)))

    def _gradients(self, images: Tensor, rows: Tensor, ask: _Ask, part: slice) -> Reading:
        leaf = self._ready(images[part]).detach().requires_grad_(INPUT in ask.places)
        twice = sdpa_kernel(SDPBackend.MATH) if ask.curvature else nullcontext()  # the fused ones differentiate once
        with self.packing.hidden(ask.layers), record(ask.layers) as seen, ruled(ask.rule), twice:
            scores = self._answer(leaf.clone())
        finite(scores, "scores", self.module)
        maps = {name: _plain(calls[-1], ask.layouts[name]) for name, calls in seen.items() if calls}
        score = _one_each(ask.target.read(Seen(scores, maps, rows[part])), ask.target, len(leaf))
        at = {place: [leaf] if place == INPUT else seen[place] for place in ask.places}
        _reached(at, score, scores)
        flat = [tensor for place in ask.places for tensor in at[place]]
        slopes = _slopes(score.sum(), flat, again=ask.curvature)
        bends = _bends(slopes, flat) if ask.curvature else []
        for found in (*slopes, *bends):
            finite(found, "gradients", self.module)
        plain = partial(_by_place, at, ask.layouts, images.dtype)
        turned = [ask.target.turn(slope) for slope in slopes] if not ask.target.additive else slopes
        return Reading(
            score.detach().to(images.dtype),
            scores.detach(),
            plain(flat),
            plain(turned),
            plain(bends) if ask.curvature else {},
        )

    def trace(self, images: Tensor) -> Trace:
        """What happens inside for images of this shape; found out once."""
        key = ("trace", tuple(images.shape[1:]), images.device, dtype_of(self.module))
        with self.packing.hidden():
            return self.facts.know(key, lambda: trace(self.module, self._ready(images[:1])))

    def default_layer(self, images: Tensor) -> str:
        """The last map on which the score still depends. Raises LayerError where there is none."""
        return self.trace(images).default()

    def stages(self, images: Tensor) -> tuple[str, ...]:
        """The last map of each of the last three sizes of maps on which the score depends."""
        return self.trace(images).stages()

    def linear_head(self, images: Tensor, name: str) -> bool:
        """Whether the scores are an average of layer `name`'s map, put through one linear layer; found out once."""
        key = ("linear head", name, tuple(images.shape[1:]), images.device, dtype_of(self.module))
        return self.facts.know(key, lambda: self._linear_head(images[:1], name))

    def _linear_head(self, image: Tensor, name: str) -> bool:
        """Whether a mixture of the scores has one gradient, everywhere in the map and whatever the image."""
        if self.layout(image, name) is None:
            return False
        other = torch.rand(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
        pair = torch.cat([image, image.flip(-1) * 0.5 + other])
        reading = self.gradients(pair, Function(mixture), (name,))
        slopes = torch.cat(reading.grads[name]).flatten(2).double()
        flat = (slopes - slopes[:1].mean(2, keepdim=True)).abs().max()
        return len(reading.grads[name]) == 1 and bool(flat <= _FLAT * slopes.abs().max())

    def layout(self, images: Tensor, name: str) -> Layout | None:
        """How layer `name` is laid out for these images; None where it holds no map of them."""
        return self.trace(images).layout(name)

    def layer(self, name: str) -> nn.Module:
        """The module of that name. Raises LayerError with near misses."""
        if not isinstance(name, str):
            raise LayerError(f"a layer is given by its name; {name!r} is a {type(name).__name__}.")
        try:
            layer = self.module.get_submodule(name)
        except AttributeError:
            names = [n for n, _ in self.module.named_modules() if n]
            raise LayerError(f"no layer named {name!r}; {near(name, names)}") from None
        if isinstance(layer, torch.jit.ScriptModule):
            raise LayerError(
                f"layer {name!r} is TorchScript, which cannot be looked into; wrap the original network."
            )
        return layer

    def _ready(self, images: Tensor) -> Tensor:
        return images.to(device_of(self.module), dtype_of(self.module) or images.dtype)

    def _in_chunks(self, count: int, run: Callable[[slice], Part]) -> Iterator[Part]:
        """Run slices of at most `chunk` rows; out of memory halves the chunk, and a warning says so."""
        start = 0
        while start < count:
            try:
                part = run(slice(start, min(start + self.chunk, count)))
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error) or min(self.chunk, count) == 1:
                    raise
                self._halve(min(self.chunk, count))
                continue
            self.progress(min(self.chunk, count - start))
            start += self.chunk
            yield part

    def _halve(self, tried: int) -> None:
        self.chunk = tried // 2
        self.warnings = [w for w in self.warnings if w.code != "out-of-memory"]
        message = f"{tried} images at once did not fit into memory; went on with {self.chunk}. Set batch_size."
        self.warnings.append(Warning("out-of-memory", message))


@contextmanager
def lend(
    module: nn.Module,
    images: Tensor,
    *,
    output: str = "auto",
    levels: tuple[Tensor, Tensor] | None = None,
    chunk: int = 8,
    packing: Packing | None = None,
) -> Iterator[Net]:
    """Borrow `module` for work on images (N, C, *spatial); refuses images that are not finite.

    `packing` keeps prepared weights from one loan to the next.
    """
    if not bool(torch.isfinite(images).all()):
        bad = int((~torch.isfinite(images.flatten(1)).all(1)).nonzero()[0])
        raise NetworkError(f"image {bad} holds NaN or infinite pixels; give finite numbers.")
    channels = images.shape[1]
    with borrow(module):
        facts = Facts.about(module)
        readout = facts.know(("readout", output), lambda: _read_off(module, images[:chunk], output))
        black_and_white = levels or (torch.zeros(channels), torch.ones(channels))
        net = Net(module, facts, readout, output, black_and_white, chunk)
        if packing is None:
            yield net
            return
        net.packing = packing
        with packing.applied(module, net._ready(images[:1])):
            yield net


def _read_off(module: nn.Module, images: Tensor, output: str) -> Readout:
    ready = images.to(device_of(module), dtype_of(module) or images.dtype)
    with torch.no_grad(), told(module, ready):
        while True:
            try:
                return read_off(module, ready, output)
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error) or len(ready) == 1:
                    raise
                ready = ready[: len(ready) // 2]


class Facts:
    """What was found out about a network, kept while it lives and its modules stay the same."""

    _of: ClassVar[WeakKeyDictionary[nn.Module, Facts]] = WeakKeyDictionary()

    def __init__(self, modules: tuple[object, ...]) -> None:
        self._modules = modules
        self._found: dict[object, Any] = {}

    @classmethod
    def about(cls, module: nn.Module) -> Facts:
        """The facts about a borrowed network; none yet when its modules changed."""
        modules = tuple((id(one), type(one)) for one in module.modules())
        facts = cls._of.get(module)
        if facts is None or facts._modules != modules:
            facts = cls._of[module] = cls(modules)
        return facts

    def know(self, key: object, find: Callable[[], Found]) -> Found:
        """The fact of that key, found out at the first time."""
        if key not in self._found:
            self._found[key] = find()
        found: Found = self._found[key]
        return found

    def forget(self, key: object) -> None:
        """Make the fact of that key be found out again."""
        self._found.pop(key, None)


def _plain(tensor: Tensor, layout: Layout | None) -> Tensor:
    return tensor if layout is None else layout.apply(tensor)


def _one_each(score: Tensor, target: Target, count: int) -> Tensor:
    if score.shape != (count,):
        raise TargetError(f"{target} gave {tuple(score.shape)}; it has to give one score per image, ({count},).")
    return score


def _reached(at: dict[str, list[Tensor]], score: Tensor, scores: Tensor) -> None:
    for place, tensors in at.items():
        if place == INPUT and not (score.requires_grad or scores.requires_grad):
            raise MethodError(
                "this method needs gradients, and none reaches the input: the network is a black box. "
                "Use a method that needs no gradients."
            )
        if not tensors:
            raise LayerError(f"layer {place!r} did not run, or puts out no numbers that can be differentiated.")


def _slopes(total: Tensor, places: list[Tensor], *, again: bool = False) -> list[Tensor]:
    """Gradients of a sum of scores; zeros where it does not depend on a place. `again`: with a graph of their own."""
    if not total.requires_grad:
        return [torch.zeros_like(place) for place in places]
    found = differentiate(total, places, again=again, curved=again)
    return [torch.zeros_like(at) if g is None else g for at, g in zip(places, found, strict=True)]


def _bends(slopes: list[Tensor], places: list[Tensor]) -> list[Tensor]:
    """The second derivative of the scores times what is at the places."""
    along = torch.stack([(slope * at.detach()).sum() for slope, at in zip(slopes, places, strict=True)]).sum()
    return _slopes(along, places)


def _by_place(
    at: dict[str, list[Tensor]], layouts: dict[str, Layout | None], dtype: torch.dtype, tensors: Sequence[Tensor]
) -> dict[str, tuple[Tensor, ...]]:
    """Tensors in the order of the places' runs, as plain grids, by place."""
    rest = iter(tensors)
    return {
        place: tuple(_plain(next(rest).detach(), layouts.get(place)).to(dtype) for _ in runs)
        for place, runs in at.items()
    }


def _out_of_memory(error: BaseException) -> bool:
    words = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(w in str(error) for w in words)


def _joined(parts: list[Reading]) -> Reading:
    if len(parts) == 1:
        return parts[0]

    def cat(which: Callable[[Reading], dict[str, tuple[Tensor, ...]]]) -> dict[str, tuple[Tensor, ...]]:
        first = which(parts[0])
        return {
            place: tuple(torch.cat([which(part)[place][call] for part in parts]) for call in range(len(calls)))
            for place, calls in first.items()
        }

    score = torch.cat([part.score for part in parts])
    scores = torch.cat([part.scores for part in parts])
    by_place = (cat(which) for which in (lambda p: p.acts, lambda p: p.grads, lambda p: p.bends))
    return Reading(score, scores, *by_place)


def passes(forward: int, backward: int, count: int) -> tuple[Passes, ...]:
    """The same (forward, backward) for each of `count` images."""
    return ((forward, backward),) * count

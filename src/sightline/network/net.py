"""A network on loan: what methods ask of it, in chunks that fit, with passes counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sightline.core.errors import LayerError, NetworkError, near
from sightline.core.heats import Passes, Seen, Warning
from sightline.core.precision import wide
from sightline.core.targets import Function, Target
from sightline.network.facts import Facts
from sightline.network.hooks import borrow, device_of, dtype_of, record, told
from sightline.network.layouts import Layout
from sightline.network.packing import Packing
from sightline.network.reading import INPUT, Ask, Reading, joined, one_each, plain, read
from sightline.network.readout import Readout, StaleReadoutError, finite, read_off, scores_of
from sightline.network.rules import Rule, check_ruled, ruled
from sightline.network.trace import Trace, mixture, trace

_SCALES = (0.5, -1.0, 4.0)  # of the other images that a linear head is tried on
_FLAT = 1e-4  # share of the largest gradient by which those of a linear head may differ
Part = TypeVar("Part")


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
    _memo: dict[tuple[int, Rule | None], tuple[Tensor, Reading]] = field(default_factory=dict)
    _views: list[tuple[Tensor, bool]] | None = None

    def scores(self, images: Tensor) -> Tensor:
        """(N, K, ...) scores of images (N, C, *spatial), without a gradient."""
        parts = list(self._in_chunks(len(images), partial(self._scores, images)))
        return finite(torch.cat(parts), "scores", self.module)

    def _scores(self, images: Tensor, part: slice) -> Tensor:
        with torch.no_grad():
            return self._answer(self._ready(images[part]).clone())

    def answers(
        self, count: int, make: Callable[[slice], Tensor], target: Target, rows: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Chunk by chunk (score of the target (n,), the network's scores (n, K, ...)), without a gradient.

        `make` gives the images (n, C, *spatial) of a slice of `count`: they are made when their turn comes, and made
        again where they did not fit into memory; `rows` (count,) says whose they are. Raises as `gradients` does.
        """
        rows = torch.arange(count) if rows is None else rows
        layers = {name: self.layer(name) for name in target.layers}
        layouts = {name: self.layout(make(slice(0, 1)), name) for name in layers}

        def run(part: slice) -> tuple[Tensor, Tensor]:
            with torch.no_grad(), self.packing.hidden(layers), record(layers) as seen:
                images = self._ready(make(part))
                scores = finite(self._answer(images.clone(), seen), "scores", self.module)
                maps = {name: plain(calls[-1], layouts[name]) for name, calls in seen.items() if calls}
                score = one_each(
                    target.read(Seen(scores, maps, rows[part], images, self.readout.output)), target, len(scores)
                )
                return score.detach(), scores

        return self._in_chunks(count, run)

    def outputs(self, images: Tensor, name: str) -> tuple[Tensor, int]:
        """What layer `name` puts out for images (N, C, *spatial), and how often it runs; its last run counts.

        (N, C, *grid) where it holds a map of them, else as it is; without a gradient. Raises LayerError where it
        does not run or puts out no numbers, NetworkError for numbers that are not finite.
        """
        layers, layout = {name: self.layer(name)}, self.layout(images, name)

        def run(part: slice) -> tuple[Tensor, int]:
            with torch.no_grad(), self.packing.hidden(layers), record(layers) as seen:
                self._answer(self._ready(images[part]).clone(), seen)
            if not seen[name]:
                raise LayerError(f"layer {name!r} did not run, or puts out no numbers.")
            put_out = finite(seen[name][-1].detach(), f"numbers of layer {name!r}", self.module)
            return plain(put_out, layout), len(seen[name])

        parts = list(self._in_chunks(len(images), run))
        return torch.cat([put_out for put_out, _ in parts]), parts[0][1]

    def _answer(self, images: Tensor, seen: Mapping[str, list[Tensor]] | None = None) -> Tensor:
        """The scores. A readout that the network has outgrown is found out anew, and so are weights folded in vain.

        `seen` is what hooks collect on the way; of a pass that has to be made again nothing stays in it.
        """
        try:
            with told(self.module, images):
                scores = scores_of(self.module, images, self.readout)
                if not self.packing.mistaken():
                    return scores
                _clear(seen)
                return scores_of(self.module, images, self.readout)
        except StaleReadoutError:
            key = ("readout", self.output)
            self.facts.forget(key)
            self.readout = self.facts.know(key, lambda: _read_off(self.module, images.detach(), self.output))
            _clear(seen)
            return scores_of(self.module, images, self.readout, sure=True)

    def look(self, images: Tensor, target: Target, *places: str, rule: Rule | None = None) -> Reading:
        """The pass over images that all methods asked for together share; one for each rule and each view.

        The plain pass over the untouched images shows all places of the `plan`.
        """
        a_view = any(view is images for view, _ in (self._views or [])[1:])
        planned = self.plan if rule is None and not a_view else ()
        key = (id(images), rule)
        known = self._memo.get(key)
        if known is not None and set(places) <= set(known[1].grads):
            return known[1]
        reading = self.gradients(images, target, tuple(dict.fromkeys(planned + places)), rule=rule)
        self._memo[key] = (images, reading)
        return reading

    def views(self, images: Tensor) -> list[tuple[Tensor, bool]]:
        """Six views of images, and whether they are mirrored: as they are first, then times 0.9 and 1.1."""
        if self._views is None or self._views[0][0] is not images:
            plain = [images, images * 0.9, images * 1.1]
            self._views = [(view, False) for view in plain] + [(view.flip(-1), True) for view in plain]
        return self._views

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
        ask = Ask(target, tuple(places), layers, layouts, rule, curvature, self.readout.output)
        run = partial(self._gradients, images, rows, ask)
        return joined(list(self._in_chunks(len(images), run)))

    def _gradients(self, images: Tensor, rows: Tensor, ask: Ask, part: slice) -> Reading:
        leaf = self._ready(images[part]).detach().requires_grad_(INPUT in ask.places)
        twice = sdpa_kernel(SDPBackend.MATH) if ask.curvature else nullcontext()  # the fused ones differentiate once
        with self.packing.hidden(ask.layers), record(ask.layers) as seen, ruled(ask.rule) as asked, twice:
            scores = self._answer(leaf.clone(), seen)
        check_ruled(ask.rule, asked, scores)
        return read(self.module, ask, leaf, scores, seen, rows[part], images.dtype)

    def pixels(self, images: Tensor) -> Tensor:
        """Images (N, C, *spatial) in the network's units as shares of the way from its black, 0, to its white, 1."""
        black, white = self._levels(images)
        return (images - black) / (white - black)

    def images(self, pixels: Tensor) -> Tensor:
        """Pixels (N, C, *spatial), 0 black and 1 white, in the network's units."""
        black, white = self._levels(pixels)
        return black + pixels * (white - black)

    def _levels(self, like: Tensor) -> tuple[Tensor, Tensor]:
        black, white = (level.view(-1, *[1] * (like.ndim - 2)).to(like) for level in self.levels)
        return black, white

    def trace(self, images: Tensor) -> Trace:
        """What happens inside for images of this shape; found out once."""
        key = ("trace", tuple(images.shape[1:]), images.device, dtype_of(self.module))
        with self.packing.hidden(), told(self.module, images):
            return self.facts.know(key, lambda: trace(self.module, self._ready(images[:1]), self.readout.output))

    def prepare(self, images: Tensor, layer: str | None) -> None:
        """Find out how a layer lies on the images as they are, before others are shown to the network."""
        if layer is not None:
            self.layer(layer)
            self.layout(images, layer)

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
        dice = torch.Generator().manual_seed(0)
        others = torch.rand(len(_SCALES), *image.shape[1:], generator=dice, device="cpu").to(image)
        scales = torch.tensor(_SCALES).view(-1, *[1] * (image.ndim - 1)).to(image)
        reading = self.gradients(torch.cat([image, scales * (image.flip(-1) + others)]), Function(mixture), (name,))
        slopes, *more = (wide(run.flatten(2)) for run in reading.grads[name])
        uneven = (slopes - slopes[:1].mean(2, keepdim=True)).abs().max()
        return not more and bool(uneven <= _FLAT * slopes.abs().max())

    def layout(self, images: Tensor, name: str) -> Layout | None:
        """How layer `name` is laid out for these images; None where it holds no map of them."""
        return self.trace(images).layout(name)

    def layer(self, name: str) -> nn.Module:
        """The module of that name. Raises LayerError with near misses."""
        if not isinstance(name, str):
            raise LayerError(f"a layer is given by its name; {name!r} is a {type(name).__name__}.")
        try:
            scripted = isinstance(self.module, torch.jit.ScriptModule)  # which has no such function
            layer = self.module if scripted else self.module.get_submodule(name)
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


def _clear(seen: Mapping[str, list[Tensor]] | None) -> None:
    for calls in (seen or {}).values():
        calls.clear()


def _out_of_memory(error: BaseException) -> bool:
    words, said = ("out of memory", "not enough memory", "can't allocate memory"), str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(w in said for w in words)


def passes(forward: int, backward: int, count: int) -> tuple[Passes, ...]:
    """The same (forward, backward) for each of `count` images."""
    return ((forward, backward),) * count

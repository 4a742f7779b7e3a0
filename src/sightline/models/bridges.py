"""Functions of JAX and TensorFlow arrays as torch networks: numbers and gradients cross over without a copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from sightline.core.errors import MethodError, NetworkError
from sightline.models.known import Known
from sightline.models.request import needed
from sightline.network.adapters import FunctionNetwork

Function = Callable[[Any], Any]
Back = Callable[[Sequence[Tensor]], Tensor]
"""A slope for each leaf of an answer -> the images' gradient."""
_ALIGNED = 64  # bytes, where TensorFlow's kernels expect an array to begin


def jax_network(function: Function, layout: str | None = None) -> FunctionNetwork:
    """A function of a JAX array (N, C, *spatial) as a torch network with gradients.

    It is compiled once for each shape, where it can be, with its weights as they are then. `layout`: "NHWC" where it
    takes channels last; None finds that out from whether it takes the first images. Raises ModelError where JAX
    cannot be imported.
    """
    jax = needed("jax", "jax")
    sides = [_Jax(jax, function, compiled) for compiled in (True, False)]
    return FunctionNetwork(_FirstThatRuns(sides, layout))


def tensorflow_network(function: Function, layout: str | None = None) -> FunctionNetwork:
    """A function of a TensorFlow tensor (N, C, *spatial) as a torch network with gradients; `layout` as above.

    A `tf.function` is compiled, any other function runs as it is. Raises ModelError where TensorFlow cannot be
    imported.
    """
    return FunctionNetwork(_FirstThatRuns([_TensorFlow(needed("tensorflow", "tensorflow"), function)], layout))


def compiled_by_jax(network: Any) -> Known | None:
    """What `jax.jit` made, as a torch network; None for anything else."""
    return Known(jax_network(network)) if isinstance(network, needed("jax", "jax").stages.Wrapped) else None


def compiled_by_tensorflow(network: Any) -> Known | None:
    """What `tf.function` made, as a torch network; None for anything else."""
    kind = needed("tensorflow", "tensorflow").types.experimental.PolymorphicFunction
    return Known(tensorflow_network(network)) if isinstance(network, kind) else None


def _channels_last(function: Function, images: Tensor) -> Any:
    return function(images.movedim(1, -1))


class _FirstThatRuns:
    """Of several ways to ask for the same the first that takes the first images; it stays.

    Images are given with channels first, last, or, where nobody said how, in both ways in turn.
    """

    def __init__(self, sides: Sequence[_Side], layout: str | None) -> None:
        first = [partial(_cross, side) for side in sides]
        last = [partial(_channels_last, way) for way in first]
        self._sides = sides
        self._ways: Sequence[Function] = [*first, *last] if layout is None else last if layout == "NHWC" else first

    @property
    def why(self) -> str:
        """Why no gradient came back from an answer."""
        return next((side.why for side in self._sides if side.why), "")

    def __call__(self, images: Tensor | None = None, **beside: Any) -> Any:
        if images is None or beside:
            raise NetworkError(
                "a function of another library's arrays takes images alone; give what it takes beside them in one of "
                "your own: lambda images: function(images, numbers)."
            )
        refused: list[Exception] = []
        for way in self._ways:
            try:
                answer = way(images)
            except Exception as error:  # the function is the user's: it may fail in any way
                refused.append(error)
            else:
                self._ways = (way,)
                return answer
        raise refused[0]


class _Side(Protocol):
    """A function of another library's arrays, asked with torch tensors; its answer is a tree of such arrays."""

    why: str
    """Why no gradient came back from its last answer."""

    def ask(self, images: Tensor) -> Any:
        """The answer alone."""

    def follow(self, images: Tensor) -> tuple[Any, Back]:
        """The answer, and the way back from it."""

    def flat(self, answer: Any) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], Any]]:
        """An answer's leaves as torch tensors, and how such are put together again."""


def _cross(side: _Side, images: Tensor) -> Any:
    """The function's answer as torch tensors, with a gradient where the images ask for one and there is one."""
    why = ""
    if images.requires_grad and torch.is_grad_enabled():
        try:
            joined: list[Any] = []
            leaves = _Followed.apply(images, side, joined)
            return joined[0](leaves)
        except (TypeError, ValueError, NotImplementedError) as error:  # it may answer, and have no gradient
            why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    leaves, join = side.flat(side.ask(images))
    side.why = why or side.why
    return join([leaf.to(images.device) for leaf in leaves])


class _Followed(torch.autograd.Function):
    """One pass with the way back: torch's graph goes on where the other library's ends."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, side: _Side, joined: list[Any]) -> tuple[Tensor, ...]:
        answer, ctx.back = side.follow(images)
        leaves, join = side.flat(answer)
        joined.append(join)
        ctx.dtype, ctx.device = images.dtype, images.device
        return tuple(leaf.to(images.device) for leaf in leaves)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():
            raise MethodError(
                "this needs second derivatives, and they do not cross over from another library. "
                "Use a method of first derivatives, such as saliency or integrated-gradients."
            )
        return ctx.back(slopes).to(ctx.device, ctx.dtype), None, None


class _Jax:
    """A function of a JAX array."""

    def __init__(self, jax: Any, function: Function, compiled: bool) -> None:
        def forward(array: Any) -> Any:  # of its own, so that JAX remembers nothing of the user's function
            return function(array)

        self.why = ""
        self._jax, self._compiled = jax, compiled
        self._forward = jax.jit(forward) if compiled else forward
        self._with_back = partial(jax.vjp, forward)
        self._routes: dict[tuple[Any, ...], _Route] = {}

    def ask(self, images: Tensor) -> Any:
        return self._forward(self._array(images))

    def follow(self, images: Tensor) -> tuple[Any, Back]:
        array = self._array(images)
        answer, pull = self._route(array)(array) if self._compiled else self._with_back(array)
        leaves, tree = self._jax.tree.flatten(answer)

        def followed(slopes: Sequence[Tensor]) -> Tensor:
            (found,) = pull(tree.unflatten(map(partial(_slope, self._jax), leaves, map(self._array, slopes))))
            return self._torch(found)

        return answer, followed

    def _route(self, array: Any) -> _Route:
        key = array.shape, array.dtype, tuple(array.devices())
        if key not in self._routes:
            self._routes[key] = _Route(self._jax, self._with_back, array)
        return self._routes[key]

    def flat(self, answer: Any) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], Any]]:
        leaves, tree = self._jax.tree.flatten(answer)
        return [self._torch(leaf) for leaf in leaves], tree.unflatten

    def _array(self, tensor: Tensor) -> Any:
        tensor = tensor.detach().contiguous()
        with suppress(Exception):  # a device that JAX does not reach, or a type that it does not know
            return self._jax.dlpack.from_dlpack(tensor)
        return self._jax.numpy.asarray(tensor.cpu().numpy())

    def _torch(self, array: Any) -> Tensor:
        return from_dlpack(self._jax.block_until_ready(self._jax.numpy.asarray(array)))


def _slope(jax: Any, leaf: Any, slope: Any) -> Any:
    """A slope of a leaf, as JAX wants it: numbers that have none get nothing."""
    moves = jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact)
    return slope if moves else np.zeros(leaf.shape, jax.dtypes.float0)


class _Route:
    """A function with its way back, for arrays of one shape: an array to its answer and the pull from slopes of it.

    Of what JAX keeps for the way back, what hangs on no pixel is kept once: weights, which would be copied at each
    call.
    """

    def __init__(self, jax: Any, with_back: Callable[[Any], Any], array: Any) -> None:
        traced, shapes = jax.make_jaxpr(with_back, return_shape=True)(array)
        run = needed("jax.extend.core", "jax").jaxpr_as_fun(traced)
        tree, moves = jax.tree.structure(shapes), _hang_on_input(traced.jaxpr)

        def parts(moving: bool, given: Any) -> list[Any]:
            return [leaf for leaf, one in zip(run(given), moves, strict=True) if one == moving]

        kept = jax.jit(partial(parts, False))(array)

        def whole(moving: Sequence[Any]) -> Any:
            from_each = {True: iter(moving), False: iter(kept)}
            return tree.unflatten([next(from_each[one]) for one in moves])

        self._whole = whole
        self._forth = jax.jit(partial(parts, True))
        self._pull = jax.jit(lambda moving, slopes: whole(moving)[1](slopes))
        slopes = jax.tree.map(lambda leaf: _slope(jax, leaf, leaf), shapes[0])
        jax.eval_shape(self._pull, jax.eval_shape(self._forth, array), slopes)  # what goes forth may not go back

    def __call__(self, array: Any) -> tuple[Any, Callable[[Any], Any]]:
        moving = self._forth(array)
        return self._whole(moving)[0], partial(self._pull, moving)


def _hang_on_input(traced: Any) -> list[bool]:
    """Which results of a traced function can change with what it is given."""
    moving = set(traced.invars)
    for step in traced.eqns:
        if any(one in moving for one in step.invars if not hasattr(one, "val")):
            moving.update(step.outvars)
    return [not hasattr(one, "val") and one in moving for one in traced.outvars]


class _TensorFlow:
    """A function of a TensorFlow tensor."""

    def __init__(self, tf: Any, function: Function) -> None:
        self._tf, self._function, self.why = tf, function, ""

    def ask(self, images: Tensor) -> Any:
        return self._function(self._tensor(images))

    def follow(self, images: Tensor) -> tuple[Any, Back]:
        given = self._tensor(images)
        with self._tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(given)
            answer = self._function(given)
        leaves = self._tf.nest.flatten(answer)

        def followed(slopes: Sequence[Tensor]) -> Tensor:
            moving = [(leaf, self._tensor(slope)) for leaf, slope in zip(leaves, slopes, strict=True) if _moves(leaf)]
            targets, given_slopes = ([pair[part] for pair in moving] for part in (0, 1))
            found = tape.gradient(targets, given, given_slopes, unconnected_gradients="zero")
            return self._torch(found)

        return answer, followed

    def flat(self, answer: Any) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], Any]]:
        tensors = [self._torch(leaf) for leaf in self._tf.nest.flatten(answer)]
        return tensors, lambda leaves: self._tf.nest.pack_sequence_as(answer, list(leaves))

    def _tensor(self, tensor: Tensor) -> Any:
        tensor = tensor.detach().contiguous()
        tensor = tensor.clone() if tensor.data_ptr() % _ALIGNED else tensor
        with suppress(Exception):  # a device or a type that TensorFlow does not know
            return self._tf.experimental.dlpack.from_dlpack(tensor.__dlpack__())
        return self._tf.convert_to_tensor(tensor.cpu().numpy())

    def _torch(self, array: Any) -> Tensor:
        array = self._tf.convert_to_tensor(array)
        return from_dlpack(self._tf.experimental.dlpack.to_dlpack(array))


def _moves(leaf: Any) -> bool:
    """Whether a TensorFlow tensor holds numbers that have a gradient."""
    return bool(leaf.dtype.is_floating)

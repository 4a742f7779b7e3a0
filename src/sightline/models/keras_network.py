"""A Keras model on the torch backend as a network that is shown images (N, C, h, w)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.network.hooks import device_of, lock_of


class KerasNetwork(nn.Module):
    """Images (N, C, *spatial) in, what the Keras model answers out; dense answers as (N, K, *spatial).

    Its layers, those of nested models too, are modules by their Keras paths: "conv1", "mobilenet/conv1"; a "." in a
    name is a "_". `channels_last` says how the model's own maps lie. `flip` hands on RGB as BGR.
    """

    def __init__(self, model: Any, keras: Any, *, flip: bool = False) -> None:
        super().__init__()
        check_built(model)
        vars(self).update(model=model, _keras=keras, flip=flip)
        self.channels_last = lies_last(model, keras)
        self.plane = len(_image_shape(model) or ()) == 3  # images without a side for channels
        self.weights = nn.Module()  # all of them: a model may have some that are no layer's
        self.weights._parameters.update({one.path: one.value for one in model.variables})
        for path, layer in _layers(model, "", keras):
            name = path.replace(".", "_")
            while name in self._modules:
                name += "_"
            self._modules[name] = layer
        vars(self)["_steps"] = [one for one in self._modules.values() if isinstance(one, _Step)]

    def named_modules(self, *given: Any, **named: Any) -> Iterator[tuple[str, nn.Module]]:
        """The layers by name, without the lists of weights that Keras keeps in each."""
        return (found for found in super().named_modules(*given, **named) if not found[0].endswith("_torch_params"))

    @property
    def inner(self) -> Any:
        """The Keras model itself."""
        return vars(self)["model"]

    @property
    def lock_owner(self) -> Any:
        """Whose lock a loan takes: the model's own, however many networks there are around it."""
        return self.inner

    def forward(self, images: Tensor | None = None, **named: Any) -> Any:
        """What the model answers for images, or for inputs by name."""
        given = self._laid(images) if images is not None else {name: self._laid(one) for name, one in named.items()}
        return vars(self)["_keras"].tree.map_structure(self._plain, self.asked(given))

    def asked(self, given: Any) -> Any:
        """What the model answers for what it takes, in its own layout."""
        keras = vars(self)["_keras"]
        with ExitStack() as undo:
            undo.enter_context(lock_of(self.inner))
            undo.enter_context(keras.device(str(device_of(self))))
            undo.enter_context(keras.StatelessScope(collect_losses=True))  # it keeps the losses of this pass
            for step in vars(self)["_steps"]:
                undo.callback(step.stand_in())
            return self.inner(given, training=False)

    def _laid(self, given: Any) -> Any:
        """Images as the model has them; anything else as it is."""
        if not isinstance(given, Tensor) or given.ndim < 4:
            return given
        if vars(self)["flip"]:
            given = given.flip(1)
        if self.plane:
            return given[:, 0]
        return given.movedim(1, -1) if self.channels_last else given

    def _plain(self, answer: Any) -> Any:
        last = self.channels_last and isinstance(answer, Tensor) and answer.ndim > 3
        return answer.movedim(-1, 1) if last else answer


def input_of(model: Any, last: bool) -> tuple[tuple[int, ...] | None, int | None]:
    """The size and the channels of the images that a model takes; None for what its input shape leaves open.

    `last`: its channels come last.
    """
    shape = _image_shape(model)
    if shape is None:
        return None, None
    plane = len(shape) == 3
    sides = shape[1:] if plane else shape[1:-1] if last else shape[2:]
    channels = 1 if plane else shape[-1] if last else shape[1]
    size = tuple(side for side in sides if side is not None)
    return (size if len(size) == len(sides) else None), channels


def _image_shape(model: Any) -> tuple[int | None, ...] | None:
    """(batch, ...) of the first input that can be an image; None for a model that does not say."""
    given = getattr(model, "input_shape", None) if getattr(model, "inputs", None) else None
    shapes = list(given.values()) if isinstance(given, dict) else given if isinstance(given, list) else [given]
    return next((tuple(shape) for shape in shapes if shape is not None and len(shape) > 2), None)


def check_built(model: Any) -> None:
    """Raises ModelError for a model without weights yet, and for one whose inputs are no images."""
    if not model.built:
        raise ModelError(
            f"the Keras model {model.name!r} has no weights yet: call it on an image, or build((None, h, w, 3))."
        )
    shapes = [tuple(one.shape) for one in getattr(model, "inputs", None) or []]
    if shapes and _image_shape(model) is None:
        raise ModelError(f"the Keras model {model.name!r} takes {shapes}; images have height and width.")


def lies_last(model: Any, keras: Any) -> bool:
    """Whether a model's channels come last: as its first layer that says so has them, else as its input looks."""
    said = [getattr(layer, "data_format", None) for layer in model._flatten_layers(include_self=False)]
    for one in said:
        if one in ("channels_last", "channels_first"):
            return bool(one == "channels_last")
    shape = _image_shape(model)
    if shape is not None and len(shape) > 3:
        few = (1, 3, 4)
        if (shape[-1] in few) != (shape[1] in few):
            return shape[-1] in few
    return bool(keras.config.image_data_format() == "channels_last")


def _layers(layer: Any, prefix: str, keras: Any) -> Iterator[tuple[str, Any]]:
    """Every layer inside with its path, the inner ones before those that hold them; then the graph's other steps."""
    inner = layer._flatten_layers(include_self=False, recursive=False)
    for one in inner:
        if type(one).__name__ != "InputLayer":
            path = f"{prefix}{one.name}"
            yield from _layers(one, f"{path}/", keras)
            yield path, one
    for one in getattr(layer, "operations", ()):
        if not isinstance(one, keras.Layer):
            yield f"{prefix}{one.name}", _Step(one)


class _Step(nn.Module):
    """A step of a functional model that is no layer, such as the sum of two, where hooks reach it."""

    def __init__(self, operation: Any) -> None:
        super().__init__()
        vars(self)["operation"] = operation

    def stand_in(self) -> Callable[[], object]:
        """Let the operation answer through this module; gives what undoes it."""
        own = vars(vars(self)["operation"])
        own["call"] = self
        return lambda: own.pop("call", None)

    def forward(self, *given: Any, **named: Any) -> Any:
        operation = vars(self)["operation"]
        return type(operation).call(operation, *given, **named)

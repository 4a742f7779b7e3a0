"""Live Keras models: on the torch backend as they are, on another as a copy that follows them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
import torch
from torch import Tensor

from sightline.core.errors import ModelError
from sightline.core.heats import Warning
from sightline.models.bridges import jax_network, tensorflow_network
from sightline.models.keras_import import backend_of, gist, instances, torch_keras
from sightline.models.keras_network import KerasNetwork, check_built, input_of, lies_last
from sightline.models.known import Known
from sightline.network.adapters import FunctionNetwork

_CLOSE = 1e-3  # share of the largest answer by which a copy may differ from its original
_OPEN = 64  # pixels, where an input's side is left open
_twins: WeakKeyDictionary[Any, KerasNetwork | str] = WeakKeyDictionary()
"""Model -> its copy, or why there is none; a network by way of its backend would keep it alive."""


def known_keras(network: Any) -> Known | None:
    """A Keras model as torch asks it, with its own input size and channels; None for anything else.

    One on the TensorFlow or JAX backend is copied to the torch backend, and the copy follows it; where it cannot be
    copied it is asked by way of its own backend, and a warning says so. Raises ModelError.
    """
    if isinstance(network, KerasNetwork):
        return Known(network, *input_of(network.inner, network.channels_last))
    keras = next((one for one in instances() if isinstance(network, one.Layer)), None)
    if keras is None:
        return None
    if backend_of(keras) == "torch":
        return known_keras(KerasNetwork(network, keras))
    check_built(network)
    if network not in _twins:
        _twins[network] = _twin(network, keras)
    twin, size = _twins[network], input_of(network, lies_last(network, keras))
    if isinstance(twin, KerasNetwork):
        return Known(twin, *size)
    message = (
        f"the Keras model {network.name!r} is asked by way of {backend_of(keras)}, because {twin}. "
        "Methods that read layers need such a copy; those of the input's gradient and of masks do not."
    )
    return Known(_bridged(network, keras, twin), *size, remarks=(Warning("no-copy", message),))


def _twin(source: Any, keras: Any) -> KerasNetwork | str:
    """A Keras model as a torch network that follows it, or why there is none."""
    try:
        twin = _copied(source, keras)
        away = _difference(source, keras, twin)
    except Exception as error:  # what a model of the user's is made of may fail in any way on another backend
        return f"it cannot be copied to the torch backend: {gist(error)}"
    return f"its copy on the torch backend answers {away:.1e} otherwise" if away > _CLOSE else twin


def _copied(source: Any, keras: Any) -> KerasNetwork:
    """The model built again on the torch backend, with its weights."""
    other = torch_keras()
    with keras.src.saving.serialization_lib.ObjectSharingScope():  # a layer used twice stays one
        config = keras.saving.serialize_keras_object(source)
    config.pop("compile_config", None)
    with other.device("cpu"), other.src.saving.serialization_lib.ObjectSharingScope():
        copy = other.saving.deserialize_keras_object(config, safe_mode=False)  # the user's own code, in this process
        twin = KerasNetwork(copy, other)
    if [tuple(one.shape) for one in source.weights] != [tuple(one.shape) for one in copy.weights]:
        raise ModelError("its weights are not those of its configuration.")
    vars(twin)["catch_up"] = partial(_catch_up, ref(source), copy, keras.ops.convert_to_numpy)
    vars(twin)["catch_up"]()
    return twin


def _catch_up(source: Callable[[], Any], copy: Any, as_array: Callable[[Any], Any]) -> None:
    """Bring a copy to where its original was trained to; what did not change is not touched."""
    original = source()
    if original is None:
        return
    if len(original.weights) != len(copy.weights):
        raise ModelError(f"the layers of the Keras model {original.name!r} have changed: wrap it again.")
    changed = False
    for now, own in zip(_numbers(original, as_array), copy.weights, strict=False):
        if not torch.equal(now.to(own.value), own.value):
            with torch.no_grad():
                own.value.copy_(now)
            changed = True
    for layer in copy._flatten_layers() if changed else ():
        if hasattr(layer, "finalize_state"):  # Normalization calculates with what it makes of its weights
            with torch_keras().device(str(own.value.device)):
                layer.finalize_state()


def _numbers(model: Any, as_array: Callable[[Any], Any]) -> list[Tensor]:
    """A model's weights as they are now; none while JAX's trainer holds them, in whatever thread."""
    values = [one._value for one in model.weights]
    if any(value is None for value in values):
        return []
    try:
        return [_as_tensor(as_array(value)) for value in values]
    except RuntimeError:  # given to a step of training meanwhile, which has taken their memory
        return []


def _as_tensor(array: Any) -> Tensor:
    """A NumPy array as a tensor of its own; bfloat16, which is not NumPy's, as float32."""
    return torch.from_numpy(np.array(array, np.float32 if array.dtype.name == "bfloat16" else None))


def _difference(source: Any, keras: Any, twin: KerasNetwork) -> float:
    """How far the copy's answer to a random image is from the original's, as a share of the largest number."""
    dice = np.random.default_rng(0)
    shapes = keras.tree.map_structure(lambda one: [side or _OPEN for side in one.shape[1:]], source.inputs)
    given = [dice.random((1, *shape), dtype=np.float32) for shape in shapes]
    theirs = keras.tree.flatten(source(given if len(given) > 1 else given[0], training=False))
    with torch.no_grad():
        own = twin.asked([torch.from_numpy(one) for one in given] if len(given) > 1 else torch.from_numpy(given[0]))
    pairs = zip(theirs, torch_keras().tree.flatten(own), strict=True)
    return max(_away(np.asarray(keras.ops.convert_to_numpy(a), np.float64), b.double().numpy()) for a, b in pairs)


def _away(one: Any, other: Any) -> float:
    return float(np.abs(one - other).max() / max(np.abs(one).max(), 1e-12))


def _bridged(source: Any, keras: Any, why: str) -> FunctionNetwork:
    """The model asked by way of its own backend, made anew when it was trained on: compiled, it keeps its weights."""
    make = {"jax": jax_network, "tensorflow": tensorflow_network}.get(backend_of(keras))
    if make is None:
        raise ModelError(f"{why}; and from Keras' backend {backend_of(keras)!r} there is no way to torch.")
    layout = "NHWC" if lies_last(source, keras) else "NCHW"
    network: FunctionNetwork = make(partial(source, training=False), layout)
    network.closed = why
    if backend_of(keras) == "jax":
        vars(network)["catch_up"] = _Recompiling(source, network, layout)
    return network


class _Recompiling:
    """A network by way of JAX is made anew once its model was trained on: compiled, it keeps the weights it had."""

    def __init__(self, source: Any, network: FunctionNetwork, layout: str) -> None:
        self.source, self.network, self.layout = source, network, layout
        self.held = [one.value for one in source.weights]

    def __call__(self) -> None:
        now = [one.value for one in self.source.weights]  # JAX's arrays never change: others take their place
        if any(one is not other for one, other in zip(now, self.held, strict=True)):
            self.network.function = jax_network(partial(self.source, training=False), self.layout).function
            self.held = now

"""Live Keras models: on the torch backend as they are."""

from __future__ import annotations

from typing import Any

from sightline.models.keras_import import backend_of, instances
from sightline.models.keras_network import KerasNetwork, input_of
from sightline.models.known import Known


def known_keras(network: Any) -> Known | None:
    """A Keras model as torch asks it, with its own input size and channels; None for anything else."""
    if isinstance(network, KerasNetwork):
        return Known(network, *input_of(network))
    for keras in instances():
        if isinstance(network, keras.Layer) and backend_of(keras) == "torch":
            return known_keras(KerasNetwork(network, keras))
    return None

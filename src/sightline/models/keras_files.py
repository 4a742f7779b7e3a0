"""Keras' own files, .keras and .h5, saved under any backend, as networks on its torch backend."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from sightline.core.errors import ModelError
from sightline.models.keras_checks import REGISTER, check_file
from sightline.models.keras_import import UNKNOWN, gist, torch_keras
from sightline.models.keras_network import KerasNetwork
from sightline.models.model import Model
from sightline.models.request import Request
from sightline.models.sources import wrapped


def load_keras_file(request: Request) -> Model:
    """A network from a .keras, .h5 or .hdf5 file, with `wrap`'s options. Raises ModelError.

    Input size and channels are the file's own; mean and std are not in it.
    """
    path = Path(request.name)
    if request.weights != "default":
        raise ModelError(f"{path.name} brings its own weights; weights={request.weights!r} does not apply.")
    keras = torch_keras()
    check_file(path, keras, request.allow_code_execution)
    return wrapped(KerasNetwork(read_model(path, keras, request.allow_code_execution), keras), request)


def read_model(path: Path, keras: Any, allow_code_execution: bool = False) -> Any:
    """The Keras model in a checked file, on the CPU. Raises ModelError for what Keras cannot make of it."""
    try:
        with keras.device("cpu"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on old optimizers and the like, which are not loaded
            return keras.saving.load_model(path, compile=False, safe_mode=not allow_code_execution)
    except Exception as error:  # Keras raises anything for what it does not know
        advice = f"; {REGISTER}" if UNKNOWN.search(str(error)) else "."
        raise ModelError(f"keras {keras.__version__} cannot load {path.name}: {gist(error)}{advice}") from error

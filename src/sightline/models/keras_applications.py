"""keras.applications: its networks by name, with their own preprocessing and ImageNet's labels."""

from __future__ import annotations

import contextlib
import io
import os
import random
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.errors import ModelError, near
from sightline.models.keras_checks import check_file, check_weights
from sightline.models.keras_import import gist, torch_keras
from sightline.models.keras_network import KerasNetwork, input_of
from sightline.models.model import Model
from sightline.models.request import OFFLINE, Request
from sightline.models.wrapping import wrap

_FILES = (".h5", ".hdf5", ".keras")
_SIDE = 224  # pixels, what networks that take any size were trained with


def load_application(request: Request) -> Model:
    """A network of keras.applications by name; the whole photo is squashed into its input, as Keras' users do it.

    `weights`: "default" or "imagenet", None for random ones, or a file .weights.h5, .h5 or .keras. Raises ModelError.
    """
    request.no_options(f"keras/{request.name}")
    keras = torch_keras()
    if request.name not in names(keras):
        raise ModelError(f"keras.applications has no {request.name!r}; {near(request.name, names(keras))}")
    build = getattr(keras.applications, request.name)
    flip, mean, std = preprocessing(build.__globals__["preprocess_input"])
    network = KerasNetwork(_built(keras, build, request), keras, flip=flip)
    size, _ = input_of(network.inner, network.channels_last)
    return wrap(network, input_size=size or _SIDE, mean=mean, std=std, labels=_labels(), resize="squash")


def names(keras: Any) -> list[str]:
    """The networks of keras.applications."""
    found = vars(keras.applications).items()
    return sorted(name for name, one in found if callable(one) and name[0].isupper())


def preprocessing(prepare: Callable[[Any], Any]) -> tuple[bool, list[float], list[float]]:
    """What a network's `preprocess_input` does to RGB in 0..255: whether it flips to BGR; mean, std of RGB in [0, 1].

    Found out by asking it: it is a linear step on each channel, and so known from its black and its primary colours.
    """
    black = np.asarray(prepare(np.zeros((1, 1, 3))))[0, 0]
    primary = np.asarray(prepare(np.eye(3)[None] * 255.0))[0]  # one row per colour
    rise = primary - black
    flip = bool(rise[0, 2])
    scale, start = (np.fliplr(rise), black[::-1]) if flip else (rise, black)
    std = 1 / np.diag(scale)
    return flip, (-start * std + 0.0).tolist(), std.tolist()


def _built(keras: Any, build: Callable[..., Any], request: Request) -> Any:
    """The Keras model, on the CPU."""
    weights = request.weights
    path = Path(weights) if isinstance(weights, str | os.PathLike) and Path(weights).suffix in _FILES else None
    if path is None and weights not in ("default", "imagenet", None):
        raise ModelError(
            f"keras/{request.name} has no weights {weights!r}; possible: 'imagenet', None, or a file {_FILES}."
        )
    if path is not None:
        _check(path, keras, request)
    with keras.device("cpu"), _as_in_a_new_process(keras):
        model = _made(build, "imagenet" if path is None and weights is not None else None, request.name)
        if path is not None:
            _filled(model, path, request.name)
        return model


def _check(path: Path, keras: Any, request: Request) -> None:
    if path.suffix == ".keras":
        check_file(path, keras, request.allow_code_execution)
    else:
        check_weights(path)


def _made(build: Callable[..., Any], weights: str | None, name: str) -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # Keras' progress bar
            return build(weights=weights)
    except Exception as error:  # no network, a wrong hash, or a damaged file: Keras raises anything
        if weights is None or "backend" in str(error):
            raise ModelError(f"keras/{name} cannot be made: {gist(error)}.") from error
        raise ModelError(
            f"the weights of keras/{name} are not at hand and could not be fetched ({error}). {OFFLINE}"
        ) from error


def _filled(model: Any, path: Path, name: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on each container that does not fit: the error says it once
            model.load_weights(path)
    except Exception as error:  # Keras raises anything for what does not fit
        raise ModelError(
            f"{path.name} does not fit keras/{name}: {gist(error)}. A network with a head of its own is loaded from "
            "its whole file: sl.load('file.keras', mean=..., std=...)."
        ) from error


@contextmanager
def _as_in_a_new_process(keras: Any) -> Iterator[None]:
    """Layers are numbered from the start, and random weights are the same each time; the user's go on as before."""
    state = keras.src.backend.common.global_state
    numbers, dice = state.get_global_attribute("object_name_uids"), random.getstate()
    state.set_global_attribute("object_name_uids", defaultdict(int))
    random.seed(0)  # Keras draws the seeds of its layers here
    try:
        yield
    finally:
        random.setstate(dice)
        state.set_global_attribute("object_name_uids", numbers)


def _labels() -> list[str]:
    """ImageNet's labels in the order of the outputs, torchvision's: Keras would fetch its own from the web."""
    from torchvision import models

    labels: list[str] = models.get_model_weights("resnet50").DEFAULT.meta["categories"]
    return labels

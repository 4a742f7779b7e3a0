"""What a Keras file holds, looked at before Keras sees it: nothing in it may run code or reach other files."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from sightline.core.errors import ModelError
from sightline.models.archives import check_size, checked_zip
from sightline.models.request import code_refused, needed

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
_PICKLED = "model.weights.npz"
_CODE = ("Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")
"""Layers of Keras that run what a file holds: bytecode, pickles, other libraries' programs."""
REGISTER = (
    "a layer of your own has to be registered first, with @keras.saving.register_keras_serializable(), in a Keras on "
    "its torch backend."
)
_VALUES = {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__"}
_VALUES |= {"TensorShape"}
_FUNCTIONS = (
    "builtins", "keras.activations", "keras.constraints", "keras.initializers", "keras.losses", "keras.metrics",
    "keras.ops", "keras.regularizers",
)  # fmt: skip
_SPACES = (
    "layers", "models", "initializers", "regularizers", "constraints", "dtype_policies", "losses", "metrics",
    "optimizers", "optimizers.schedules", "quantizers", "src.models",
)  # fmt: skip


def check_file(path: Path, keras: Any, allow_code_execution: bool) -> dict[str, Any]:
    """The configuration in a .keras or HDF5 file, once it was found harmless.

    Raises ModelError for a file that is damaged or holds no network, that reaches outside itself or would expand past
    the limit, and, unless it is allowed, for one that holds code.
    """
    if not path.is_file():
        raise ModelError(f"no file {str(path)!r}.")
    if path.suffix != path.suffix.lower():
        raise ModelError(f"{path.name}: Keras reads files by their endings, in small letters; rename it.")
    config = _of_archive(path, allow_code_execution) if path.suffix == ".keras" else _of_hdf5(path)
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict | list):
        raise ModelError(f"{path.name} holds no configuration of a Keras model; it is damaged.")
    config = {key: value for key, value in config.items() if key != "compile_config"}  # not compiled, not read
    if not allow_code_execution:
        try:
            _check(config, "", path.name, keras)
        except RecursionError as error:
            raise ModelError(f"{path.name} holds a configuration without end; it is damaged.") from error
    return config


def check_weights(path: Path) -> None:
    """Look through an HDF5 file of weights. Raises ModelError as `check_file` does."""
    if not path.is_file():
        raise ModelError(f"no weights file {str(path)!r}.")
    with path.open("rb") as file:
        _looked_through(path, file)


def _of_archive(path: Path, allow_code_execution: bool) -> Any:
    names = [member.filename for member in checked_zip(path)]
    if _PICKLED in names and WEIGHTS not in names and not allow_code_execution:
        raise code_refused(path.name, f"{_PICKLED}, weights that NumPy may unpickle")
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read(CONFIG))
            weights = archive.read(WEIGHTS) if WEIGHTS in names else None
    except (KeyError, ValueError, RecursionError, OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(f"{path.name} is no intact Keras file: {error}.") from error
    if weights is not None:
        _looked_through(path, io.BytesIO(weights))
    return config


def _of_hdf5(path: Path) -> Any:
    with path.open("rb") as file:
        attributes = _looked_through(path, file)
    config = attributes.get("model_config")
    if config is None:
        raise ModelError(
            f"{path.name} holds weights without a network. Save the whole model, or give it as weights= to the "
            'network it belongs to: sl.load("keras/ResNet50", weights="file.weights.h5").'
        )
    try:
        return json.loads(config)
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path.name} is no intact Keras file: {error}.") from error


# HDF5 ---------------------------------------------------------------------------------------------------------


def _looked_through(path: Path, file: Any) -> dict[str, Any]:
    """The attributes at the root of an HDF5 file that holds nothing but its own data. Raises ModelError."""
    h5py = needed("h5py", "keras")
    try:
        with h5py.File(file, "r") as opened:
            size = sum(_sizes(h5py, opened, path.name, set()))
            attributes = dict(opened.attrs)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path.name} holds no intact HDF5 file: {error}.") from error
    check_size(path, size)
    return attributes


def _sizes(h5py: Any, group: Any, what: str, seen: set[Any]) -> Iterator[int]:
    """The bytes of every data set, once it was seen to be the file's own. Raises ModelError."""
    where = h5py.h5o.get_info(group.id).addr
    if where in seen:
        return
    seen.add(where)
    for name in group:
        place = f"{group.name.rstrip('/')}/{name}"
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ModelError(f"{what} holds a link, {place!r} to {_led(link)!r}; it was not loaded.")
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _sizes(h5py, item, what, seen)
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ModelError(f"{what} keeps {place!r} in another file; it was not loaded.")
            yield int(item.size or 0) * int(item.dtype.itemsize)


def _led(link: Any) -> str:
    return f"{getattr(link, 'filename', '')}:{link.path}".removeprefix(":")


# The configuration --------------------------------------------------------------------------------------------


def _check(config: Any, layer: str, what: str, keras: Any) -> None:
    """Walk a configuration, `layer` being the layer's name that it is a part of. Raises ModelError."""
    if isinstance(config, list):
        for one in config:
            _check(one, layer, what, keras)
    if not isinstance(config, dict):
        return
    inner = config.get("config")
    if isinstance(inner, dict) and isinstance(inner.get("name"), str):
        layer = inner["name"]
    if "class_name" in config:
        _check_one(config, layer, what, keras)
    if isinstance(config.get("vocabulary"), str):
        raise ModelError(f"{what}: the layer {layer!r} reads the file {config['vocabulary']!r}; it was not loaded.")
    for one in config.values():
        _check(one, layer, what, keras)


def _check_one(config: dict[str, Any], layer: str, what: str, keras: Any) -> None:
    """Whether one object of a configuration is Keras' own, or one that the user has registered."""
    name, module = config["class_name"], config.get("module")
    where = f"in the layer {layer!r}" if layer else "in its configuration"
    if not isinstance(name, str) or not isinstance(module, str | None):
        raise ModelError(f"{what} names a class {name!r} of module {module!r} {where}; it is damaged.")
    if name == "__lambda__":
        raise code_refused(what, f"a Python function {where}")
    if name in _CODE:
        raise code_refused(what, f"the {name} layer {layer!r}")
    if name in _VALUES or _registered(config, keras):
        return
    if name == "function":
        found = _function(config.get("config"), module, keras)
    elif module is None or _is_keras(module):
        found = _class(name, module, keras)
    else:
        found = None
    if found is None:
        raise _stranger(config, where, what, keras)


def _stranger(config: dict[str, Any], where: str, what: str, keras: Any) -> ModelError:
    """The error for what is no part of Keras that networks are made of."""
    name, module = config["class_name"], config.get("module")
    name = config.get("config") if name == "function" else name
    place = _module(module or "keras.layers", keras) if _is_keras(module or "keras.layers") else None
    if module is not None and ((place is not None and hasattr(place, str(name))) or not _is_keras(module)):
        return code_refused(what, f"{module}.{name} {where}, no building block of Keras")
    return ModelError(f"{what} holds {name!r} {where}, which keras {keras.__version__} does not know; {REGISTER}")


def _is_keras(module: str) -> bool:
    return module == "keras" or module.startswith("keras.")


def _registered(config: dict[str, Any], keras: Any) -> bool:
    """Whether the user has registered what a configuration names with this Keras."""
    name = config.get("registered_name") or config["class_name"]
    if config["class_name"] == "function":
        name = config.get("config")
    return isinstance(name, str) and keras.saving.get_registered_object(name) is not None


def _function(name: Any, module: str | None, keras: Any) -> Any:
    """A function of Keras that calculates; None for any other."""
    if not isinstance(name, str) or module not in _FUNCTIONS or name in ("get", "deserialize"):
        return None
    places = _FUNCTIONS[1:] if module == "builtins" else (module,)
    found = [getattr(_module(place, keras), name, None) for place in places if name.isidentifier()]
    return next((one for one in found if callable(one)), None)


def _class(name: str, module: str | None, keras: Any) -> type | None:
    """A class of Keras that networks are made of; None for any other. Without a module, as old files have it."""
    places = [module] if module is not None else [f"keras.{space}" for space in _SPACES]
    parts = (
        keras.Operation, keras.Initializer, keras.Regularizer, keras.constraints.Constraint, keras.DTypePolicy,
        keras.Quantizer, keras.Loss, keras.Metric, keras.Optimizer, keras.optimizers.schedules.LearningRateSchedule,
        keras.dtype_policies.DTypePolicyMap,
    )  # fmt: skip
    for place in places:
        found = getattr(_module(place, keras), name, None) if name.isidentifier() else None
        if isinstance(found, type) and issubclass(found, parts) and found.__name__ not in _CODE:
            return found
    return None


def _module(name: str, keras: Any) -> Any:
    """A module of this Keras by its name in files; None where it has none. Nothing is imported."""
    found = keras
    for part in name.split(".")[1:]:
        found = vars(found).get(part)
        if not isinstance(found, ModuleType):
            return None
    return found

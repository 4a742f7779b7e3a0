"""Keras on its torch backend, whatever backend the user's own Keras has.

A process has one Keras, and that has one backend. Where it is not torch's, a second instance of the package is
imported beside it, under another name: its modules import each other through `_import`, and the user's Keras, the
environment and Keras' configuration file stay as they are.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace
from typing import Any

from sightline.core.errors import ModelError
from sightline.models.request import needed

PRIVATE = "_sightline_keras"
"""The name of the instance beside the user's own."""
_UNNEEDED = ("tensorflow", "jax")  # seconds to import, and they take a GPU's memory
UNKNOWN = re.compile(r"Could not (?:locate|find|interpret).*?(?=\.\s|\.?$)|Unknown [\w ]+: '[^']*'", re.MULTILINE)
"""How Keras says that it does not know a name of a file."""
_lock = threading.Lock()


def torch_keras() -> Any:
    """The Keras package on its torch backend: the user's own where it is that, else the one beside it.

    Raises ModelError where Keras is not installed, or too old.
    """
    own = sys.modules.get("keras")
    if own is None and os.environ.get("KERAS_BACKEND") == "torch":
        own = needed("keras", "keras")
    return own if own is not None and backend_of(own) == "torch" else _beside()


def backend_of(keras: Any) -> str:
    """The backend of an instance of Keras."""
    backend: str = keras.backend.backend()
    return backend


def instances() -> list[Any]:
    """Every instance of Keras in this process, the user's own first."""
    return [sys.modules[name] for name in ("keras", PRIVATE) if sys.modules.get(name)]


def gist(error: BaseException) -> str:
    """What an error of Keras comes down to: it often prints whole configurations."""
    said = str(error).strip().rpartition("Exception encountered: ")[2]
    unknown = UNKNOWN.search(said)
    bold = re.search("\x1b\\[1m(.*?)\x1b\\[0m", said, re.DOTALL)  # inside an account of the layer's arguments
    told = [unknown[0]] if unknown else (bold[1] if bold else said).split("\n")
    lines = [line.strip() for line in told if line.strip()] or [type(error).__name__]
    first = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
    return first.removesuffix(".")[:300]


def _beside() -> Any:
    with _lock:
        if PRIVATE in sys.modules:
            return sys.modules[PRIVATE]
        if importlib.util.find_spec("keras") is None:
            needed("keras", "keras")
        if _Finder not in sys.meta_path:
            sys.meta_path.insert(0, _Finder)
        try:
            with _without_triton() if sys.modules.get("tensorflow") else nullcontext():
                keras: Any = importlib.import_module(PRIVATE)
        except ImportError as error:
            raise ModelError(f"keras cannot be imported on its torch backend: {error}.") from error
        if backend_of(keras) != "torch":
            raise ModelError(f"keras {keras.__version__} has no torch backend; Sightline needs keras 3.5 or later.")
        return keras


def _renamed(name: str) -> str:
    return PRIVATE + name[len("keras") :] if name == "keras" or name.startswith("keras.") else name


def _import(name: str, names: Any = None, local: Any = None, wanted: Any = (), level: int = 0) -> Any:
    """`import` as the private instance's modules have it: "keras" means their own."""
    if level == 0 and name == "importlib" and not wanted:
        return SimpleNamespace(import_module=_import_module)
    if level == 0:
        _needed_here(name)
    return builtins.__import__(_renamed(name) if level == 0 else name, names, local, wanted, level)


def _needed_here(name: str) -> None:
    """What Keras would only look for, and torch's backend does not need, is not there unless it is in use."""
    library = name.partition(".")[0]
    if library in _UNNEEDED and not sys.modules.get(library):
        raise ModuleNotFoundError(f"No module named {library!r}", name=library)


def _import_module(name: str, package: str | None = None) -> ModuleType:
    _needed_here(name)
    return importlib.import_module(_renamed(name), package)


@contextmanager
def _without_triton() -> Iterator[None]:
    """torch goes without Triton, whose library crashes the process where TensorFlow's was loaded before."""
    if "triton" in sys.modules:
        yield
        return
    sys.modules["triton"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["triton"]


@contextmanager
def _torch_backend() -> Iterator[None]:
    """The environment as Keras' own configuration is to read it; as it was afterwards."""
    names = ("KERAS_BACKEND", "TF_FORCE_GPU_ALLOW_GROWTH")  # Keras sets the second
    before = {name: os.environ.get(name) for name in names}
    os.environ["KERAS_BACKEND"] = "torch"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class _Finder:
    """Finds the private instance's modules in the files of the installed Keras."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if name.partition(".")[0] != PRIVATE:
            return None
        real = PathFinder.find_spec("keras" + name[len(PRIVATE) :], path)
        if real is None or real.origin is None:
            return None
        spec = importlib.util.spec_from_file_location(
            name, real.origin, submodule_search_locations=real.submodule_search_locations
        )
        if spec is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


class _Loader:
    """Runs a module of Keras as one of the private instance."""

    def __init__(self, plain: Any) -> None:
        self.plain = plain

    def create_module(self, spec: ModuleSpec) -> None:
        """None: a plain module."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
        with _torch_backend() if module.__name__ == f"{PRIVATE}.src.backend.config" else nullcontext():
            self.plain.exec_module(module)
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__:
                value.__module__ = "keras" + module.__name__[len(PRIVATE) :]  # as files name classes

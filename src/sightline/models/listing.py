"""What can be loaded by name, source by source."""

from __future__ import annotations

from importlib.util import find_spec

from sightline.core.errors import ModelError, near
from sightline.models.request import needed
from sightline.models.sources import FACTORY, FILES, NAMED

ABOUT: dict[str, tuple[str, str | None, str | None]] = {
    "demo": ("the embedded model: drawn scenes, no download", None, None),
    "torchvision": ("classes, segmentation, detection, video", None, None),
    "timm": ("PyTorch Image Models, any architecture", "timm", "timm"),
    "hf": ("the Hugging Face hub, or a local folder", "transformers", "hf"),
    "keras": ("the networks of keras.applications", "keras", "keras"),
    ".keras": ("a Keras file, from any backend", "keras", "keras"),
    ".h5": ("an older Keras file", "keras", "keras"),
    ".hdf5": ("an older Keras file", "keras", "keras"),
    ".onnx": ("an ONNX file", "onnxruntime", "onnx"),
    ".pt2": ("a file of torch.export", None, None),
    ".pt": ("TorchScript, a program: only with allow_code_execution=True", None, None),
    ".pth": ("as .pt", None, None),
    ".ts": ("as .pt", None, None),
    ".torchscript": ("as .pt", None, None),
}
"""A source or a file's ending -> what it is, the library that it needs, and the extra that brings it."""


def _torchvision() -> list[str]:
    from sightline.models.vision import names

    return names()


def _timm() -> list[str]:
    found: list[str] = needed("timm", "timm").list_models()
    return found


def _keras() -> list[str]:
    from sightline.models.keras_applications import names
    from sightline.models.keras_import import torch_keras

    return names(torch_keras())


LISTS = {"torchvision": _torchvision, "timm": _timm, "keras": _keras}
"""The sources whose names can be listed."""


def sources() -> list[tuple[str, str, str]]:
    """What is written, what it is, and what is still to be installed for it, for every source."""
    rows = []
    written = {kind: reads for kind, (reads, _) in NAMED.items()} | {ending: f"FILE{ending}" for ending in FILES}
    for kind, reads in written.items():
        about, library, extra = ABOUT[kind]
        missing = library is not None and find_spec(library) is None
        rows.append((reads, about, f'pip install "sightline[{extra}]"' if missing else ""))
    return [*rows, (FACTORY, "your own: a function that returns a network, or a sightline Model", "")]


def names(source: str) -> list[str]:
    """The names within a source, such as "timm". Raises ModelError for one that has no list, or is not installed."""
    if source not in LISTS:
        raise ModelError(f"no source {source!r} with a list of names; {near(source, LISTS)}")
    return LISTS[source]()

"""The folder of photos and trained networks that are not part of the sources: what SIGHTLINE_DATA names."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from torch import nn

from benchmarks.contestants import UnavailableError

DATA = Path(__file__).parents[1] / os.environ.get("SIGHTLINE_DATA", "../shared/data")


def check() -> None:
    """Raises UnavailableError without the folder."""
    if not DATA.is_dir():
        raise UnavailableError("no networks and photos: set SIGHTLINE_DATA to their folder")


def mobilenet_v1(side: int, alpha: float) -> nn.Module:
    """MobileNet V1 for images (B, 3, side, side) between -1 and 1; its answers are logits."""
    file = DATA / "models" / f"mobilenet_v1_{round(100 * alpha):03}_{side}.safetensors"
    network: nn.Module = definitions("mobilenet_v1").load_mobilenet_v1(file, alpha)
    return network


def mobilenet_v2() -> nn.Module:
    """MobileNet V2 for images (B, 3, 224, 224) between -1 and 1; its answers are logits."""
    file = DATA / "models" / "mobilenet_v2_100_224.safetensors"
    network: nn.Module = definitions("mobilenet_v2").load_mobilenet_v2(file)
    return network


@cache
def definitions(name: str) -> ModuleType:
    """One of the folder's own modules, imported without leaving bytecode there."""
    spec = importlib.util.spec_from_file_location(f"sightline_data_{name}", DATA / "models" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module

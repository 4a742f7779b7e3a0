"""What scikit-learn brings, asked for only where it is used."""

from __future__ import annotations

from typing import Any

from sightline.core.errors import MethodError


def learner(name: str) -> Any:
    """A class of scikit-learn by its path, "decomposition.NMF". Raises MethodError where it is not installed."""
    room, _, what = name.rpartition(".")
    try:
        import importlib

        return getattr(importlib.import_module(f"sklearn.{room}"), what)
    except ImportError as error:
        raise MethodError(
            f"this needs scikit-learn, which is not there ({error}); pip install 'sightline[concepts]'."
        ) from error

"""What a user asks of a source, and what every source says when it cannot."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from sightline.core.errors import ModelError

ALLOW = "allow_code_execution=True"
"""The argument that loads what can run code, as an error names it."""
OFFLINE = (
    "Without a network: the embedded model 'demo', weights=None for random ones, or a file of your own, "
    "weights='file.safetensors'."
)


@dataclass(frozen=True, slots=True)
class Request:
    """A model asked for: its `name` within the source, or its file, and `load`'s other arguments."""

    name: str
    weights: Any = "default"
    options: dict[str, Any] = field(default_factory=dict)
    allow_code_execution: bool = False

    def no_options(self, what: str) -> None:
        """Refuse options where the source knows its own preprocessing. Raises ModelError."""
        if self.options:
            raise ModelError(f"{what} brings its own preprocessing; {sorted(self.options)} do not apply.")


def needed(module: str, extra: str) -> Any:
    """An optional library. Raises ModelError that names the extra to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ModelError(
            f"{module.partition('.')[0]} is needed for this and cannot be imported ({error}). "
            f'Install it: pip install "sightline[{extra}]"'
        ) from error


def code_refused(what: str, found: str) -> ModelError:
    """The error for a file that would run code while it is loaded."""
    return ModelError(
        f"{what} holds {found}, which can run any code on this machine while it is loaded; it was not loaded. "
        f"If you trust where it is from: {ALLOW}."
    )

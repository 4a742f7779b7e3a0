"""Targets in words, for networks that read text beside the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from sightline.core.errors import TargetError, near
from sightline.core.heats import Seen
from sightline.core.targets import Target


@dataclass(frozen=True)
class Said(Target):
    """A text; what it means to a network only its Model knows. Raises TargetError for one without a word."""

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise TargetError(f"{type(self).__name__}({self.text!r}) says nothing; give a text.")

    def meant(self, words: Callable[[Said], Target] | None) -> Target:
        """What it means to a network, by its Model's `words`. Raises TargetError where it reads no text."""
        if words is None:
            raise TargetError(f"{self!r}: this model reads no text; load one that does, or give a class.")
        return words(self)

    def read(self, seen: Seen) -> Tensor:
        raise TargetError(f"{self!r} means something to a Model only; use sl.load, and give it the Model.")


@dataclass(frozen=True)
class Text(Said):
    """How like a text the image is: the cosine of their embeddings, times the model's scale (arXiv:2103.00020)."""


@dataclass(frozen=True)
class Token(Said):
    """How likely a text is the next that a vision-language model writes: the log-probability of its first token."""


def index_of(label: str, labels: Sequence[str] | None) -> int:
    """The index of a label. Raises TargetError when there is none, or more than one."""
    if not labels:
        raise TargetError(f"this model has no labels, so {label!r} names no class; give an index.")
    wanted = label.casefold()
    names = [one.casefold() for one in labels]
    found = [index for index, one in enumerate(labels) if one == label]
    found = found or [index for index, one in enumerate(names) if one == wanted]
    # ImageNet's labels are lists of synonyms: "tabby, tabby cat"
    found = found or [index for index, one in enumerate(names) if wanted in one.split(", ")]
    if len(found) > 1:
        raise TargetError(f"the label {label!r} occurs {len(found)} times, at {found}; give one of these indices.")
    if not found:
        raise TargetError(f"no class is labelled {label!r}; {near(label, labels)}")
    return found[0]

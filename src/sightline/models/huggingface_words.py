"""Hugging Face networks that compare images with texts: labels and targets in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sightline.core.errors import TargetError
from sightline.core.heats import Seen
from sightline.core.targets import Class, Target
from sightline.core.words import Said, Token, index_of
from sightline.models.huggingface_tasks import Ask, sized, taken

_FIXED = ("siglip", "siglip2")  # trained on texts filled up to their full length


@dataclass(frozen=True, eq=False, repr=False)
class Likeness(Target):
    """How like `text` the image is: the cosine of their embeddings, times the network's scale."""

    text: str
    embedding: Tensor
    scale: float

    def __repr__(self) -> str:
        return f"Text({self.text!r})"

    def read(self, seen: Seen) -> Tensor:
        return self.scale * F.cosine_similarity(seen.scores, self.embedding.to(seen.scores)[None], dim=1)


@dataclass(eq=False)
class Texts:
    """Texts beside images, in one space (arXiv:2103.00020)."""

    network: Any
    tokenizer: Any
    _kept: tuple[Any, Tensor] | None = None

    def image(self, network: Any, images: Tensor) -> Tensor:
        """(N, D) embeddings of images."""
        size = tuple(images.shape[-2:])
        asked = sized(network.get_image_features, network.config, size)
        return _tensor(network.get_image_features(pixel_values=images, **asked))

    def embed(self, texts: Sequence[str]) -> Tensor:
        """(K, D) embeddings of texts, each of length 1."""
        config = self.network.config
        options: dict[str, Any] = {"padding": True}
        if config.model_type in _FIXED:
            options = {"padding": "max_length", "max_length": config.text_config.max_position_embeddings}
        given = self.tokenizer(list(texts), return_tensors="pt", truncation=True, **options)
        asked = {name: value.to(self.network.device) for name, value in given.items()}
        asked = {name: value for name, value in asked.items() if taken(self.network.get_text_features, name)}
        with torch.no_grad():
            return F.normalize(_tensor(self.network.get_text_features(**asked)), dim=-1)

    def scale(self) -> float:
        """What a cosine is multiplied by."""
        if hasattr(self.network, "logit_scale"):
            return float(self.network.logit_scale.detach().exp())
        return 1 / float(self.network.temperature.detach())

    def among(self, labels: Sequence[str]) -> Ask:
        """The network as a classifier among texts: (N, K) as its own logits_per_image.

        SigLIP was trained to say of each text alone whether it fits (arXiv:2303.15343): what it gives are those
        probabilities.
        """

        def ask(network: Any, images: Tensor) -> Tensor:
            shift = getattr(network, "logit_bias", None)
            cosines = F.normalize(self.image(network, images), dim=-1) @ self._embedded(labels).T
            logits: Tensor = cosines * self.scale()
            return logits if shift is None else (logits + shift.detach()).sigmoid()

        return ask

    def _embedded(self, labels: Sequence[str]) -> Tensor:
        """The labels' embeddings, made again when the network has changed."""
        now = [(id(one), one._version, one.device, one.dtype) for one in self.network.parameters()]
        if self._kept is None or self._kept[0] != now:
            self._kept = now, self.embed(labels)
        return self._kept[1]

    def meant(self, said: Said) -> Target:
        """A text as a target. Raises TargetError for a token: the network does not write."""
        if isinstance(said, Token):
            raise TargetError(f"{said!r}: this network writes no text, it compares; give sl.targets.Text(...).")
        return Likeness(said.text, self.embed([said.text])[0], self.scale())


def among(labels: Sequence[str]) -> Callable[[Said], Target]:
    """Texts as targets of a network that was loaded as a classifier among `labels`."""

    def meant(said: Said) -> Target:
        if isinstance(said, Token):
            raise TargetError(f"{said!r}: this network writes no text; give one of its labels.")
        try:
            return Class(index_of(said.text, labels))
        except TargetError as error:
            raise TargetError(f"{error} Loaded without labels=, the model takes any text.") from error

    return meant


def _tensor(found: Any) -> Tensor:
    """The embedding itself; newer versions of transformers hand it over in an object."""
    pooled: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return pooled

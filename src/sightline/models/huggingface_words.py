"""What texts mean to a Hugging Face network: to one that embeds them as it does images, and to one that writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from sightline.core.errors import ModelError, TargetError
from sightline.core.heats import Seen
from sightline.core.targets import Class, Target
from sightline.core.words import Said, Text, Token, index_of
from sightline.models.huggingface_tasks import Ask, sized, taken
from sightline.network.adapters import Among

_FIXED = ("siglip", "siglip2")  # trained on texts filled up to their full length


@dataclass(frozen=True, eq=False)
class Likeness(Target):
    """How like `text` the image is: the cosine of their embeddings, times the network's scale."""

    text: str
    embedding: Tensor
    scale: float

    def __str__(self) -> str:
        return f"Text({self.text!r})"

    def read(self, seen: Seen) -> Tensor:
        return self.scale * F.cosine_similarity(seen.scores, self.embedding.to(seen.scores)[None], dim=1)


@dataclass(frozen=True)
class Next(Target):
    """How likely token `index`, with which `text` begins, is the next: its log-probability."""

    text: str
    index: int

    def __str__(self) -> str:
        return f"Token({self.text!r})"

    def read(self, seen: Seen) -> Tensor:
        return seen.scores.log_softmax(1)[:, self.index]


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
        """The network as a classifier among texts: (N, K) as its own logits_per_image."""

        def ask(network: Any, images: Tensor) -> Tensor:
            shift = getattr(network, "logit_bias", None)
            cosines = F.normalize(self.image(network, images), dim=-1) @ self._embedded(labels).T
            return cosines * self.scale() + (0 if shift is None else shift.detach())

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


@dataclass(eq=False)
class Writer:
    """A network that goes on with a text about an image."""

    network: Any
    tokenizer: Any
    text: str
    beside: dict[str, Tensor]
    among: Among | None = None

    def ask(self, network: Any, images: Tensor) -> Tensor:
        """(N, vocabulary) logits of the next token."""
        beside = {
            name: value.to(images.device).expand(len(images), *value.shape[1:]) for name, value in self.beside.items()
        }
        last = {"logits_to_keep": 1} if taken(network.forward, "logits_to_keep") else {}
        logits: Tensor = network(pixel_values=images, **beside, **last).logits
        return logits[:, -1]

    def labels(self) -> list[str]:
        """The tokens as they are read: a leading space is one."""
        count = self.network.get_input_embeddings().num_embeddings
        names = self.tokenizer.convert_ids_to_tokens(list(range(min(count, len(self.tokenizer)))))
        read = [name.replace("▁", " ").replace("Ġ", " ") if name else "" for name in names]
        return [name or f"token {index}" for index, name in enumerate(read)] + [
            f"token {index}" for index in range(len(read), count)
        ]

    def meant(self, said: Said) -> Target:
        """A text as a target: its first token as what comes next. Raises TargetError."""
        if isinstance(said, Text):
            raise TargetError(f"{said!r}: this network compares no texts, it writes; give sl.targets.Token(...).")
        return Next(said.text, self._first(said.text))

    def _first(self, text: str) -> int:
        if not text.strip():
            raise TargetError(f"{text!r} begins with no word.")
        gap = "" if text[0].isspace() or not self.text or self.text[-1].isspace() else " "
        before, after = (self.tokenizer(one)["input_ids"] for one in (self.text, f"{self.text}{gap}{text}"))
        end = next((i for i, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), len(before))
        if after[end] == self.tokenizer.unk_token_id:
            raise TargetError(f"the network's tokenizer does not know {text!r}.")
        return int(after[end])


def writer(network: Any, processor: Any, prompt: str | None, size: tuple[int, ...]) -> Writer:
    """`network` as it goes on with `prompt`, beside an image of `size`. Raises ModelError where it needs a prompt."""
    if prompt is not None and not isinstance(prompt, str):
        raise ModelError(f"prompt={prompt!r}; give a text.")
    family = network.config.model_type
    make = {"blip": _caption, "vision-encoder-decoder": _decoded, "git": _caption}.get(family, _inline)
    text, beside = make(network, processor, prompt, size)
    among = _among(network.config, beside["input_ids"][0]) if make is _inline else None
    return Writer(network, getattr(processor, "tokenizer", processor), text, beside, among)


def _among(config: Any, ids: Tensor) -> Among:
    """Where the image's tokens are; none of them where words stand between them."""
    mark = getattr(config, "image_token_id", None)
    mark = getattr(config, "image_token_index", None) if mark is None else mark
    places = [place for place, one in enumerate(ids.tolist()) if one == mark]
    whole = bool(places) and places[-1] - places[0] + 1 == len(places)
    return Among(len(ids), places[0], len(places)) if whole else Among(len(ids), 0, 0)


def _caption(network: Any, processor: Any, prompt: str | None, _size: Any) -> tuple[str, dict[str, Tensor]]:
    """BLIP and GIT write on without the end that their tokenizer sets."""
    tokenizer = getattr(processor, "tokenizer", processor)
    config = network.config
    words = tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
    start = config.text_config.bos_token_id if config.model_type == "blip" else tokenizer.cls_token_id
    return prompt or "", _ids("input_ids", [start, *words])


def _decoded(network: Any, processor: Any, prompt: str | None, _size: Any) -> tuple[str, dict[str, Tensor]]:
    """An encoder of images and a decoder that writes."""
    tokenizer = getattr(processor, "tokenizer", processor)
    words = tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
    start = network.config.decoder_start_token_id
    start = network.config.decoder.bos_token_id if start is None else start
    return prompt or "", _ids("decoder_input_ids", [start, *words])


def _ids(name: str, ids: list[int]) -> dict[str, Tensor]:
    return {name: torch.tensor([ids])}


def _inline(
    _network: Any, processor: Any, prompt: str | None, size: tuple[int, ...]
) -> tuple[str, dict[str, Tensor]]:
    """The image stands among the words: the processor puts its tokens there."""
    if prompt is None:
        raise ModelError("this network goes on with a text about an image; give prompt='What is this?'.")
    text = _prompted(processor, prompt)
    blank = Image.new("RGB", (size[1], size[0]), (127, 127, 127))
    given = processor(images=blank, text=text, return_tensors="pt")
    beside = {name: value for name, value in given.items() if isinstance(value, Tensor) and name != "pixel_values"}
    return text, beside


def _prompted(processor: Any, prompt: str) -> str:
    """The prompt with the image's place, in the words of the network's own chat where it has one."""
    mark = getattr(processor, "image_token", None)
    if mark and mark in prompt:
        return prompt
    if getattr(processor, "chat_template", None):
        said = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}
        return str(processor.apply_chat_template([said], add_generation_prompt=True))
    return f"{mark}\n{prompt}" if mark else prompt

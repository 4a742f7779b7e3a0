"""Hugging Face networks that write about an image: the next token's scores, and words as targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from sightline.core.errors import ModelError, TargetError
from sightline.core.heats import Seen
from sightline.core.targets import Target
from sightline.core.words import Said, Text
from sightline.models.huggingface_tasks import taken
from sightline.network.adapters import Among


@dataclass(frozen=True, repr=False)
class Next(Target):
    """How likely token `index`, with which `text` begins, is the next: its log-probability."""

    text: str
    index: int

    def __repr__(self) -> str:
        return f"Token({self.text!r})"

    def read(self, seen: Seen) -> Tensor:
        return seen.scores.log_softmax(1)[:, self.index]


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
        head = self.network.get_output_embeddings() or self.network.get_input_embeddings()
        count = len(head.weight)
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
    tokenizer, config = getattr(processor, "tokenizer", processor), network.config
    if config.model_type not in _STARTS:
        return _inline(network, processor, prompt, size)
    name, start = _STARTS[config.model_type](config, tokenizer)
    words = tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
    ids = torch.tensor([[start, *words]])
    among = _before(config.vision_config, size, ids.shape[1]) if config.model_type == "git" else None
    return Writer(network, tokenizer, prompt or "", {name: ids}, among)


_STARTS: dict[str, Callable[[Any, Any], tuple[str, int]]] = {
    "blip": lambda config, _: ("input_ids", config.text_config.bos_token_id),
    "git": lambda _, tokenizer: ("input_ids", tokenizer.cls_token_id),
    "vision-encoder-decoder": lambda config, _: ("decoder_input_ids", _either(config, "decoder_start_token_id")),
}
"""Families whose words stand apart from the image -> what takes them, and the token that they begin with."""


def _either(config: Any, name: str) -> int:
    own = getattr(config, name, None)
    return int(config.decoder.bos_token_id if own is None else own)


def _before(vision: Any, size: tuple[int, ...], words: int) -> Among:
    """GIT's sequences: a class token, the image's patches, the words."""
    patches = math.prod(side // vision.patch_size for side in size)
    return Among(1 + patches + words, 1, patches)


def _inline(network: Any, processor: Any, prompt: str | None, size: tuple[int, ...]) -> Writer:
    """The image stands among the words: the processor puts its tokens there, by itself or where a mark is."""
    if prompt is None:
        raise ModelError("this network goes on with a text about an image; give prompt='What is this?'.")
    blank = Image.new("RGB", (size[1], size[0]), (127, 127, 127))
    for text in _prompts(processor, prompt):
        try:
            given = processor(images=blank, text=text, return_tensors="pt")
        except Exception as error:  # processors refuse a text without an image's place in any way
            refused = error
            continue
        among = _among(network.config, given["input_ids"][0].tolist())
        if among is not None:
            break
        refused = ValueError("it puts no tokens of an image among them")
    else:
        raise ModelError(f"{type(processor).__name__} cannot put an image among these words: {refused}") from refused
    passed = {name: value for name, value in given.items() if name not in ("pixel_values", "labels")}
    beside = {name: value for name, value in passed.items() if isinstance(value, Tensor)}
    after = given["input_ids"][0, among.end :].tolist()
    return Writer(network, processor.tokenizer, processor.tokenizer.decode(after), beside, among.place)


def _prompts(processor: Any, prompt: str) -> Iterator[str]:
    """The prompt in the words of the network's own chat where it has one; else as it is, and with a mark."""
    mark = getattr(processor, "image_token", None)
    mark = getattr(mark, "content", mark)
    if getattr(processor, "chat_template", None) and not (mark and mark in prompt):
        said = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}
        yield str(processor.apply_chat_template([said], add_generation_prompt=True, tokenize=False))
    yield prompt
    if mark:
        yield f"{mark}\n{prompt}"


def _among(config: Any, ids: list[int]) -> _Placed | None:
    """Where the image's tokens are; None where there are none.

    With words between them they are no map, nor are a query transformer's.
    """
    mark = getattr(config, "image_token_id", None)
    mark = getattr(config, "image_token_index", None) if mark is None else mark
    places = [place for place, one in enumerate(ids) if one == mark]
    if not places:
        return None
    whole = places[-1] - places[0] + 1 == len(places) and not hasattr(config, "qformer_config")
    return _Placed(Among(len(ids), places[0], len(places) if whole else 0), places[-1] + 1)


class _Placed(NamedTuple):
    place: Among
    end: int

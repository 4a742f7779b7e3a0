"""What a Hugging Face network answers, found from its class, and how it is asked for images alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sightline.core.errors import ModelError, near

TASKS = {
    "classification": ("IMAGE_CLASSIFICATION",),
    "segmentation": ("SEMANTIC_SEGMENTATION",),
    "masks": ("UNIVERSAL_SEGMENTATION",),
    "detection": ("OBJECT_DETECTION",),
    "likeness": ("ZERO_SHOT_IMAGE_CLASSIFICATION",),
    "depth": ("DEPTH_ESTIMATION",),
    "writing": ("IMAGE_TEXT_TO_TEXT", "VISION_2_SEQ"),
}
"""Task -> transformers' lists of the classes that do it, of old and new versions."""
Ask = Callable[[Any, Tensor], Any]


def kind_of(transformers: Any, config: Any) -> str:
    """The name of a configuration's class: the one that wrote it, or the first that can be made of it."""
    wrote = getattr(config, "architectures", None)
    wrote = [name for name in wrote if isinstance(name, str)] if isinstance(wrote, list) else []
    named: list[str] = [name for name in wrote if _is_network(transformers, name)]
    if named:
        return named[0]
    for task in TASKS:
        for family, classes in _classes(transformers, task):
            if family == config.model_type:
                return classes[0]
    families = [family for task in TASKS for family, _ in _classes(transformers, task)]
    named_so = ", ".join(wrote) or config.model_type
    raise ModelError(
        f"transformers {transformers.__version__} has no class {named_so!r} that looks at images; "
        f"{near(config.model_type, families)}"
    )


def _is_network(transformers: Any, name: str) -> bool:
    found = getattr(transformers, name, None)
    return isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)


def task_of(transformers: Any, kind: Any) -> str:
    """What a class does, or one that it is derived from: a key of the tasks, "embedding", or "" for anything else.

    One that has to be told more than an image, as OneFormer its task, is anything else.
    """
    names = {one.__name__ for one in kind.__mro__}
    asked = inspect.signature(kind.forward).parameters
    told = [name for name, one in asked.items() if one.kind is one.POSITIONAL_OR_KEYWORD and one.default is one.empty]
    for task in TASKS:
        if any(names & set(classes) for _, classes in _classes(transformers, task)):
            return "" if task in ASKED and set(told) - {"self", "pixel_values"} else task
    base = kind.__name__.endswith(("Model", "ModelWithProjection"))
    return "embedding" if base and "pixel_values" in asked and "input_ids" not in asked else ""


def _classes(transformers: Any, task: str) -> list[tuple[str, tuple[str, ...]]]:
    """(family, names of its classes) that do a task."""
    known = transformers.models.auto.modeling_auto
    lists = [getattr(known, f"MODEL_FOR_{name}_MAPPING_NAMES", {}) for name in TASKS[task]]
    return [(family, (names,) if isinstance(names, str) else names) for one in lists for family, names in one.items()]


def own_size(config: Any) -> tuple[int, int] | None:
    """(h, w) that a configuration is of; None where any will do."""
    for part in (config, getattr(config, "vision_config", None), getattr(config, "encoder", None)):
        size = getattr(part, "image_size", None)
        if isinstance(size, int):
            return size, size
        if isinstance(size, list | tuple) and len(size) == 2:
            return int(size[0]), int(size[1])
    return None


def channels_of(config: Any) -> int:
    """How many channels its images have."""
    for part in (config, getattr(config, "vision_config", None)):
        count = getattr(part, "num_channels", None)
        if isinstance(count, int):
            return count
    return 3


def labels_of(config: Any) -> tuple[str, ...] | None:
    """The names of the classes; None where nobody named them."""
    names = getattr(config, "id2label", None) or {}
    labels = tuple(str(names.get(index, f"class {index}")) for index in range(len(names)))
    placeholders = tuple(f"LABEL_{index}" for index in range(len(names)))
    return None if not labels or labels == placeholders else labels


def taken(function: Any, *names: str) -> bool:
    """Whether a function takes all of these arguments by name."""
    asked = inspect.signature(function).parameters
    return all(name in asked for name in names)


def sized(forward: Any, config: Any, size: tuple[int, ...]) -> dict[str, Any]:
    """The arguments that let a transformer take images of another size than it was made for."""
    other = own_size(config) not in (None, size)
    return {"interpolate_pos_encoding": True} if other and taken(forward, "interpolate_pos_encoding") else {}


def _plain(network: Any, images: Tensor) -> Any:
    return network(pixel_values=images, **sized(network.forward, network.config, tuple(images.shape[-2:])))


def _each(network: Any, images: Tensor) -> Tensor:
    """(N, K): the probability of each class alone."""
    likely: Tensor = _plain(network, images).logits.sigmoid()
    return likely


def detections(network: Any, images: Tensor) -> Tensor:
    """(N, Q, 4 + K): boxes x0, y0, x1, y1 in pixels of the input, then a probability for each class.

    Families that keep a column for "no object" share one softmax among the classes and it; the others ask for each
    class alone.
    """
    answer = _plain(network, images)
    height, width = images.shape[-2:]
    x, y, w, h = answer.pred_boxes.unbind(-1)
    corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)
    spare = answer.logits.shape[-1] == network.config.num_labels + 1
    likely = answer.logits.softmax(-1)[..., :-1] if spare else answer.logits.sigmoid()
    return torch.cat([corners * corners.new_tensor([width, height, width, height]), likely], -1)


def masks(network: Any, images: Tensor) -> Tensor:
    """(N, K, h, w): of networks that propose masks, each with a class, the logarithm of what all say of a place.

    That is their semantic segmentation: each mask's probability there, times its class's, summed.
    """
    answer = _plain(network, images)
    classes = getattr(answer, "class_queries_logits", None)
    proposed = answer.pred_masks if classes is None else answer.masks_queries_logits
    chances = (answer.logits if classes is None else classes).softmax(-1)[..., :-1]
    shares = torch.einsum("nqk,nqhw->nkhw", chances, proposed.sigmoid())
    return shares.clamp_min(torch.finfo(shares.dtype).tiny).log()


def embedding(network: Any, images: Tensor) -> Tensor:
    """(N, D): what the network makes of an image as a whole; its class token, or the mean of its tokens."""
    answer = _plain(network, images)
    for name in ("image_embeds", "pooler_output"):
        found = getattr(answer, name, None)
        if isinstance(found, Tensor):
            return found.flatten(1)
    last: Tensor = answer.last_hidden_state
    return last.mean((2, 3)) if last.ndim == 4 else last[:, 0]


def depth(network: Any, images: Tensor) -> Tensor:
    """(N, 1, h, w): how near or far each place is, in the network's own units."""
    answer: Tensor = _plain(network, images).predicted_depth
    return answer[:, None]


ASKED: dict[str, tuple[Ask, str]] = {
    "classification": (_plain, "auto"),
    "segmentation": (_plain, "auto"),
    "masks": (masks, "logits"),
    "detection": (detections, "detections"),
    "depth": (depth, "regression"),
    "embedding": (embedding, "embedding"),
}
"""Task -> how a network is asked for it, and what its output is."""


def asked(task: str, config: Any) -> tuple[Ask, str]:
    """How a network of that configuration is asked for a task, and what its output is.

    A classifier's scores are what transformers' own pipeline takes them for.
    """
    problem = getattr(config, "problem_type", None) if task == "classification" else None
    if problem == "regression":
        return _plain, "regression"
    if problem == "multi_label_classification" or (task == "classification" and config.num_labels == 1):
        return _each, "multilabel"
    return ASKED[task]

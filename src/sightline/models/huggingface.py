"""Hugging Face networks, from the hub or a folder, with their own preprocessing, labels and words."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.core.heats import Warning
from sightline.models.huggingface_files import read_json, repository
from sightline.models.huggingface_photos import Preprocessing, at_size, family_processor, measured, processor_of
from sightline.models.huggingface_tasks import ASKED, TASKS, asked, channels_of, kind_of, labels_of, own_size, task_of
from sightline.models.huggingface_weights import built, quiet
from sightline.models.huggingface_words import Texts, among
from sightline.models.huggingface_writing import writer
from sightline.models.known import Known
from sightline.models.model import Model
from sightline.models.request import Request, needed
from sightline.models.sources import wrapped
from sightline.network.adapters import Adapter, unwrap


def load_huggingface(request: Request) -> Model:
    """A network by its id, 'hf/owner/name', or its folder, 'hf/./folder'. Raises ModelError.

    What it answers is found from its class: the scores of classes (N, K), of classes at each place (N, K, h, w),
    detections, an embedding, or with `prompt=` the next token's scores (N, vocabulary). A network that compares
    images and texts takes `labels=["a photo of a dog", ...]`, used as they are given, and is a classifier among
    them; without, it answers with the image's embedding, and a text is a target. `wrap`'s options override the
    image processor's. Where that makes inputs of many shapes, as DETR's, the input is a square of its short side: the
    whole photo is fitted in, and around it is what is zero to the network; input_size=(h, w) of the photos' shape
    leaves no border.
    """
    needed("transformers", "hf")
    code = request.allow_code_execution
    folder = repository(request.name, request.weights == "default", code)
    with quiet() as transformers:
        try:
            config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=code)
        except Exception as error:  # a damaged or foreign configuration makes it raise anything
            raise ModelError(f"the configuration of {request.name!r} cannot be read: {error}") from error
        kind, task = _kind(transformers, config, folder, code)
        network, found = built(kind, config, folder, request.weights, code and hasattr(config, "auto_map"))
        prepared = _prepared(transformers, folder, config, code, request.options)
        known = _known(transformers, network, task, folder, prepared, request)
    known = replace(known, warnings=(*found, *known.warnings))
    return wrapped(known, request, {"likeness": ("labels",), "writing": ("prompt",)}.get(task, ()))


def _kind(transformers: Any, config: Any, folder: Path, code: bool) -> tuple[Any, str]:
    """The class of a network, and its task."""
    own = read_json(folder / "config.json").get("auto_map", {}) if code else {}
    names = [name for name in own if name.startswith("AutoModel")]
    if names:
        return getattr(transformers, names[0]), "classification"
    kind = getattr(transformers, kind_of(transformers, config))
    task = task_of(transformers, kind)
    if not task:
        raise ModelError(
            f"{kind.__name__} does not look at images in a way that is known here; possible: {', '.join(TASKS)}. A "
            "live network can be asked by the names of its inputs: sl.wrap(network, input_name=..., inputs=...)."
        )
    return kind, task


def _prepared(
    transformers: Any, folder: Path, config: Any, code: bool, options: dict[str, Any]
) -> Preprocessing | None:
    """What photos go through; None where that is unknown, and the options have to say it."""
    processor, own = processor_of(transformers, folder, config, code)
    if processor is None:
        return None
    size = own_size(config)
    side = 1 if "input_size" in options else min(size) if size else None
    prepared = measured(processor, side)
    return prepared if own else _assumed(prepared, processor, size)


def _assumed(prepared: Preprocessing, processor: Any, size: tuple[int, int] | None) -> Preprocessing:
    """A family's usual preprocessing, at the network's own size, with a warning that it is no more than that."""
    message = (
        f"nothing says how photos were prepared for this network: they are as {type(processor).__name__} does by "
        "default. Give input_size, mean, std and resize where it was trained on others."
    )
    prepared = at_size(processor, prepared, size) if size else prepared
    return replace(prepared, warnings=(*prepared.warnings, Warning("preprocessing-assumed", message)))


def _known(
    transformers: Any, network: Any, task: str, folder: Path, prepared: Preprocessing | None, request: Request
) -> Known:
    """The network as it is asked, with what it says of itself."""
    config, options, code = network.config, request.options, request.allow_code_execution
    if "prompt" in options and task != "writing":
        raise ModelError(f"{type(network).__name__} writes no text; prompt= does not apply.")
    known = Known(network, own_size(config), channels_of(config))
    if prepared is not None:
        known = Known(
            network,
            prepared.geometry.size,
            len(prepared.mean),
            prepared.mean,
            prepared.std,
            geometry=prepared.at,
            warnings=prepared.warnings,
        )
    if task == "likeness":
        known = _comparing(known, _reader(transformers.AutoTokenizer, folder, code), options.get("labels"))
    elif task == "writing":
        known = _writing(known, _reader(transformers.AutoProcessor, folder, code), options)
    else:
        known = _answering(known, task)
    flipped = prepared is not None and prepared.flipped
    return replace(known, network=_reversed(known.network)) if flipped else known


def _reader(kind: Any, folder: Path, code: bool) -> Any:
    """What reads texts for a network. Raises ModelError."""
    if not any(True for pattern in ("tokenizer.json", "vocab*", "*.model") for _ in folder.glob(pattern)):
        raise ModelError(f"{folder.name} holds no tokenizer, which reads the texts that this network takes.")
    try:
        return kind.from_pretrained(folder, trust_remote_code=code)
    except Exception as error:  # whatever a file that is missing or damaged makes of it
        raise ModelError(f"what reads texts for {folder.name} cannot be made: {error}") from error


def _answering(known: Known, task: str) -> Known:
    """A network that is asked for images alone."""
    ask, output = asked(task, known.network.config)
    labels = None if task in ("embedding", "depth") else labels_of(known.network.config)
    return replace(known, network=Adapter(known.network, ask), labels=labels, output=output)


def _comparing(known: Known, tokenizer: Any, labels: Any) -> Known:
    texts = Texts(known.network, tokenizer)
    if labels is None:
        return replace(known, network=Adapter(known.network, texts.image), words=texts.meant, output="embedding")
    named = isinstance(labels, list | tuple) and all(isinstance(one, str) and one.strip() for one in labels)
    if not named or not labels:
        raise ModelError(
            f"labels={labels!r}; give a list of texts, such as ['a photo of a dog', 'a photo of a cat']."
        )
    return replace(
        known, network=Adapter(known.network, texts.among(labels)), labels=tuple(labels), words=among(labels)
    )


def _writing(known: Known, processor: Any, options: dict[str, Any]) -> Known:
    if "labels" in options:
        raise ModelError("a network that writes has the tokens of its vocabulary for labels; labels= does not apply.")
    if "input_size" in options or known.input_size is None:
        raise ModelError("the words beside the image are for an input of its own size; input_size= does not apply.")
    one = writer(known.network, processor, options.get("prompt"), known.input_size)
    return replace(known, network=Adapter(known.network, one.ask, one.among), labels=one.labels(), words=one.meant)


def _reversed(network: Any) -> nn.Module:
    """A network that takes BGR, asked for RGB."""

    def ask(inner: Any, images: Tensor) -> Any:
        return inner(images.flip(1))

    return Adapter(network, ask)


def recognised(network: Any) -> Known | None:
    """A live network of transformers, with what its configuration says; None for any other."""
    loaded = sys.modules.get("transformers.modeling_utils")  # else nobody has made one, and to load it takes seconds
    network = unwrap(network) if isinstance(network, nn.Module) else network
    if loaded is None or not isinstance(network, loaded.PreTrainedModel):
        return None
    import transformers

    task = task_of(transformers, type(network))
    known = Known(network, own_size(network.config), channels_of(network.config), bare=network)
    if task == "likeness":
        known = replace(known, network=Adapter(network, Texts(network, None).image), output="embedding")
    elif task in ASKED:
        known = _answering(known, task)
    return _with_family(transformers, known, network.config)


def _with_family(transformers: Any, known: Known, config: Any) -> Known:
    """With mean and std of its family's image processor, and a warning that they are no more than that."""
    with quiet():
        processor = family_processor(transformers, config)
        if processor is None:
            return known
        try:
            prepared = measured(processor, 1)
        except ModelError:
            return known
    if prepared.flipped or len(prepared.mean) != known.channels:
        return known
    message = (
        f"mean and std are those that {type(processor).__name__} has by default. Give those that the network was "
        "trained with, or sl.load its folder."
    )
    return replace(known, mean=prepared.mean, std=prepared.std, warnings=(Warning("preprocessing-assumed", message),))

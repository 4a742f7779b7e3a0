"""From whatever a network returns to one tensor of scores: the scores before a final softmax."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sightline.core.errors import ModelError, NetworkError
from sightline.network.hooks import name_of

Output = Literal["logits", "probabilities", "multilabel", "regression", "detections", "embedding"]
Final = Literal["softmax", "log_softmax", "sigmoid"]
OUTPUTS = ("auto", "logits", "probabilities", "multilabel", "regression", "detections", "embedding")
_FINALS: tuple[Final, ...] = ("softmax", "log_softmax", "sigmoid")
_KEYS = ("logits", "out", "output", "scores", "prediction", "pred")


@dataclass(frozen=True, slots=True)
class Readout:
    """What the output means, and which last step is undone to get the score that is explained.

    `final` is that step; "unknown" when the output was squashed by a step that was not seen. `auto`: it was found
    out, not told, and is found out again when the network changes. `dense`: an image has more than one score for each
    class.
    """

    output: Output
    final: Final | Literal["unknown"] | None = None
    auto: bool = False
    dense: bool = False

    @property
    def score(self) -> str:
        """The name of the score: what is differentiated."""
        if self.final == "unknown":
            return "log-probability" if self.output == "probabilities" else "log-odds"
        return {"regression": "output", "detections": "likeness"}.get(self.output, "logit")

    def probabilities(self, scores: Tensor) -> Tensor | None:
        """Scores (N, K, ...) as probabilities of the same shape; None for what is no score of a class."""
        if self.output in ("regression", "detections", "embedding"):
            return None
        return scores.float().sigmoid() if self.output == "multilabel" else scores.float().softmax(1)

    def unsquash(self, answer: Tensor) -> Tensor:
        """The score behind probabilities whose last step is unknown."""
        tiny = torch.finfo(answer.dtype).tiny
        score = answer.clamp_min(tiny).log()
        return score - (1 - answer).clamp_min(tiny).log() if self.output == "multilabel" else score


class _Finals(TorchFunctionMode):
    """Remembers what every softmax and sigmoid was given, modules and plain functions alike."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Final, Tensor, Tensor, int]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        called = name_of(func).lstrip("_")
        for name in _FINALS:
            if called == name and isinstance(result, Tensor):
                self.calls.append((name, args[0] if args else kwargs["input"], result, result._version))
        if called == "clone" and args:  # what hooks hand on
            copied = [(name, given) for name, given, made, _ in self.calls if made is args[0]]
            self.calls += [(name, given, result, result._version) for name, given in copied[-1:]]
        return result

    def before(self, answer: Tensor) -> tuple[Final, Tensor] | None:
        """The last step that made `answer`, and what it was given; None when it was something else."""
        for name, given, result, version in reversed(self.calls):
            if result._version != version:
                continue  # changed in place afterwards: what it was given no longer says what came out
            same = result.data_ptr() == answer.data_ptr() and result.numel() == answer.numel()
            if result is answer or same:
                return name, _seen_alike(given, result, answer)
        return None


def _seen_alike(given: Tensor, result: Tensor, answer: Tensor) -> Tensor:
    """What a step was `given`, seen as `answer` sees its `result`: reshaped, or with its axes in another order."""
    if answer.is_contiguous() or not result.is_contiguous():
        return given.reshape_as(answer)
    return given.reshape_as(result).contiguous().as_strided(answer.size(), answer.stride())


def answer_of(output: Any, count: int) -> Tensor:
    """The tensor (N, K, ...) in what the network returned: a tensor, tuple, dict or output object.

    Raises NetworkError when there is none for `count` images.
    """
    answer = _pick(output)
    if answer is None:
        several = " Say which are the scores: output_name=." if isinstance(output, Mapping | tuple | list) else ""
        raise NetworkError(f"the network returned {_described(output)}; no scores (N, K, ...) are in it.{several}")
    if answer.ndim == 0 and count == 1:
        answer = answer[None]
    if answer.ndim == 1 and len(answer) == count:
        answer = answer[:, None]
    if answer.ndim < 2 or len(answer) != count or not answer.is_floating_point():
        raise NetworkError(
            f"the network returned {answer.dtype} {tuple(answer.shape)} for {count} images; "
            f"scores have to be floating point, ({count}, K) or ({count}, K, ...)."
        )
    return answer


def _pick(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        named = [output[key] for key in _KEYS if isinstance(output.get(key), Tensor)]
        tensors = [value for value in output.values() if isinstance(value, Tensor)]
        return named[0] if named else tensors[0] if len(tensors) == 1 else None
    for key in _KEYS:
        if isinstance(getattr(output, key, None), Tensor):
            value: Tensor = getattr(output, key)
            return value
    if isinstance(output, tuple | list) and output:
        return _pick(output[0])
    return None


def _described(output: Any) -> str:
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} with {sorted(map(str, output))}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {[type(part).__name__ for part in output]}"
    return f"a {type(output).__name__}"


class StaleReadoutError(Exception):
    """The network ends in another step than it did when its output was read off."""


def scores_of(network: nn.Module, images: Tensor, readout: Readout, *, sure: bool = False) -> Tensor:
    """One pass: the scores (N, K, ...) of images (N, C, *spatial), before the final step where it is known.

    Raises StaleReadoutError when the network seems to have changed since, unless the caller is `sure`.
    """
    if readout.final is None or readout.final == "unknown":
        answer = answer_of(network(images), len(images))
        if readout.auto and not sure and (_kind(answer, None) == "probabilities") != (readout.final == "unknown"):
            raise StaleReadoutError
        return answer if readout.final is None else readout.unsquash(answer)
    finals = _Finals()
    with finals:
        answer = answer_of(network(images), len(images))
    found = finals.before(answer)
    if found is None or found[0] != readout.final:
        raise StaleReadoutError
    _, score = found
    return score


def read_off(network: nn.Module, images: Tensor, output: str = "auto") -> Readout:
    """Find out from a first batch what a network's output is.

    "auto": probabilities when every row is non-negative and sums to 1 within 1e-3; independent probabilities when
    the last step is a sigmoid; a regression when there is only one number; logits otherwise.
    """
    if output not in OUTPUTS:
        raise ModelError(f"output={output!r}; possible: {', '.join(OUTPUTS)}.")
    finals = _Finals()
    with finals:
        answer = answer_of(network(images.clone()), len(images))  # it may start with an in-place step
    found = finals.before(answer)
    last = found[0] if found else None
    finite(answer, "scores", network)
    auto = output == "auto"
    kind = _kind(answer, last) if auto else output
    if auto and kind == "probabilities" and last is None:  # a photo's logits may sum to 1 by accident
        kind = _kind(next(_others(network, images)), None)
    dense = answer.ndim > 2
    if kind in ("detections", "embedding"):
        return Readout("detections" if kind == "detections" else "embedding", dense=dense)
    if kind == "probabilities":
        return Readout("probabilities", last if last in ("softmax", "log_softmax") else "unknown", auto, dense)
    if kind == "multilabel":
        final: Final | Literal["unknown"] | None = "sigmoid" if last == "sigmoid" else None
        if final is None and all(
            bool(((one >= 0) & (one <= 1)).all()) for one in (answer, *_others(network, images))
        ):
            final = "unknown"
        return Readout("multilabel", final, dense=dense)
    if auto and last == "log_softmax":
        return Readout("logits", "log_softmax", dense=dense)
    return Readout("regression" if kind == "regression" else "logits", None, auto, dense)


def _others(network: nn.Module, images: Tensor) -> Iterator[Tensor]:
    """What the network answers to noise, to zeros and to ones; a few logits look like anything."""
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0), device="cpu").to(images)
    for other in (noise, torch.zeros_like(images), torch.ones_like(images)):
        yield answer_of(network(other), len(other))


def finite(tensor: Tensor, what: str, module: nn.Module) -> Tensor:
    """The tensor itself. Raises NetworkError where it is NaN or infinite, naming the weights that made it so."""
    if bool(torch.isfinite(tensor).all()):
        return tensor
    broken = [name for name, weight in module.named_parameters() if not bool(torch.isfinite(weight).all())]
    broken += [name for name, buffer in module.named_buffers() if bool(buffer.isnan().any())]  # masks hold -inf
    cause = f"its weights {broken[0]!r} are not finite" if broken else "its numbers overflow on the way"
    raise NetworkError(f"the network's {what} are NaN or infinite: {cause}. Check the weights and the input's scale.")


def _kind(answer: Tensor, last: str | None) -> str:
    rows = answer.detach().float()
    if rows.shape[1] > 1 and bool((rows >= 0).all()) and bool(((rows.sum(1) - 1).abs() < 1e-3).all()):
        return "probabilities"
    if last == "sigmoid":
        return "multilabel"
    return "regression" if rows.shape[1] == 1 else "logits"

"""ONNX graphs as torch networks: run by ONNX Runtime, and by torch where torch can be given the same graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sightline.core.errors import ModelError
from sightline.models.known import Known
from sightline.models.onnx_torch import converted
from sightline.models.request import needed
from sightline.network.adapters import by_input, in_parts

_CLOSE = 1e-3  # of the largest answer: how far torch's answers may be from ONNX Runtime's
_SIDE = 64  # of a random image, where a graph takes any
_CHANNELS = (1, 3, 4)
_TYPES = {"float": "float32", "double": "float64", "float16": "float16", "bool": "bool"}
_STEPS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "Softmax": torch.softmax,
    "LogSoftmax": torch.log_softmax,
    "Sigmoid": lambda scores, _axis: torch.sigmoid(scores),
}


@dataclass(frozen=True)
class _End:
    """An output of the graph: what it is called, and its last step where torch takes it, so that it can be seen."""

    name: str
    step: Callable[[Tensor], Tensor] | None = None


class OnnxNetwork(nn.Module):
    """Images (N, C, *spatial) to the graph's output, or to a dictionary of its outputs where there are several.

    `body` is the graph as torch runs it: then its nodes are layers. Else ONNX Runtime runs it, and `why` says
    why torch does not. A graph that takes whole numbers gets pixels from 0 to 255.
    """

    body: nn.Module | None

    def __init__(self, session: Any, ends: Sequence[_End], body: nn.Module | None = None, why: str = "") -> None:
        super().__init__()
        self.session, self.ends, self.why = session, ends, why
        self.takes = {one.name: (one.shape, _dtype(one.type)) for one in session.get_inputs()}
        self.image = next((name for name, (shape, _) in self.takes.items() if len(shape) > 2), next(iter(self.takes)))
        shape = self.takes[self.image][0]
        self.last = len(shape) > 3 and shape[-1] in _CHANNELS and shape[1] not in _CHANNELS
        first = shape[:1]
        self.at_once = first[0] if first and isinstance(first[0], int) else None
        vars(self)["body"] = body  # not as a layer of its own, so that its layers keep their names
        self._modules.update({} if body is None else body._modules)
        self.eval()

    def forward(self, *images: Tensor, **beside: Any) -> Any:
        given = by_input({name: shape for name, (shape, _) in self.takes.items()}, self.image, images, beside)
        if self.last:
            given[self.image] = given[self.image].movedim(1, -1)
        ask = self._runtime if self.body is None else partial(self._torch, self.body)
        found = in_parts(ask, given, self.at_once)
        answers = {
            end.name: one if end.step is None else end.step(one) for end, one in zip(self.ends, found, strict=True)
        }
        return next(iter(answers.values())) if len(answers) == 1 else answers

    def _torch(self, body: nn.Module, given: Mapping[str, Any]) -> tuple[Tensor, ...]:
        ready = [torch.as_tensor(self._counted(name, given[name])) for name in self.takes]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using a non-tuple sequence")  # as onnx2torch slices
            found = body(*ready)
        return tuple(found) if isinstance(found, list | tuple) else (found,)

    def _runtime(self, given: Mapping[str, Any]) -> tuple[Tensor, ...]:
        feed = {}
        for name, (_, dtype) in self.takes.items():
            array = np.asarray(torch.as_tensor(self._counted(name, given[name])).detach().cpu())
            feed[name] = (array.round() if dtype.kind in "iu" and array.dtype.kind == "f" else array).astype(dtype)
        return tuple(_tensor(one, given[self.image]) for one in self.session.run(None, feed))

    def _counted(self, name: str, value: Any) -> Any:
        """The pixels as this graph counts them."""
        return value * 255 if name == self.image and self.takes[name][1].kind in "iu" else value


def known_onnx(network: Any) -> Known | None:
    """An `onnx.ModelProto` as a network, and what its graph says; None for anything else. Raises ModelError."""
    onnx = needed("onnx", "onnx")
    if not isinstance(network, onnx.ModelProto):
        return None
    plain = OnnxNetwork(_session(network.SerializeToString()), [_End(one.name) for one in network.graph.output])
    return _described(_best(network, plain, onnx))


def known_session(network: Any) -> Known | None:
    """An `onnxruntime.InferenceSession` as a network without gradients; None for anything else."""
    if not isinstance(network, needed("onnxruntime", "onnx").InferenceSession):
        return None
    why = 'an InferenceSession gives none; sl.load("file.onnx") can, where the graph can be made of torch\'s layers'
    return _described(OnnxNetwork(network, [_End(one.name) for one in network.get_outputs()], why=why))


def _session(model: bytes) -> Any:
    """A graph in ONNX Runtime, on the GPU where it has one; it prints nothing. Raises ModelError."""
    runtime = needed("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    there = [f"{name}ExecutionProvider" for name in ("CUDA", "CPU")]
    try:
        return runtime.InferenceSession(
            model, options, providers=[name for name in there if name in runtime.get_available_providers()]
        )
    except Exception as error:  # ONNX Runtime's own, of several kinds
        raise ModelError(f"ONNX Runtime cannot run this graph: {' '.join(str(error).split())}") from error


def _best(proto: Any, plain: OnnxNetwork, onnx: Any) -> OnnxNetwork:
    """The same graph with its last steps taken by torch, and by torch altogether, where the answers stay the same."""
    samples = _samples(plain)
    try:
        expected = plain(**samples)
    except Exception as error:  # whatever a graph raises for random images
        plain.why = f"it could not be tried on random images ({_line(error)}), so torch's answers are not known"
        return plain
    body, ends = _before_the_end(proto, onnx)
    seen = plain
    if any(end.step for end in ends):
        seen = OnnxNetwork(_session(body.SerializeToString()), ends)
        if not _alike(seen, samples, expected):
            body, ends, seen = proto, plain.ends, plain
    for made in converted(body, onnx):
        if isinstance(made, str):
            seen.why = seen.why or made
            continue
        network = OnnxNetwork(seen.session, ends, made)
        for network.at_once in (None, seen.at_once):
            if _alike(network, samples, expected):
                return network
        seen.why = "what onnx2torch makes of it answers otherwise than ONNX Runtime"
    return seen


def _alike(network: OnnxNetwork, samples: Mapping[str, Tensor], expected: Any) -> bool:
    """Whether a network gives all answers that are expected, within `_CLOSE` of the largest."""
    pairs = (
        answers if isinstance(answers, dict) else {"": answers} for answers in (_tried(network, samples), expected)
    )
    found, wanted = pairs
    return all(
        isinstance(found.get(name), Tensor)
        and found[name].shape == one.shape
        and bool((found[name] - one).abs().max() <= _CLOSE * one.abs().max())
        for name, one in wanted.items()
        if isinstance(one, Tensor)
    )


def _tried(network: OnnxNetwork, samples: Mapping[str, Tensor]) -> Any:
    """What it answers; None where it fails, as a graph that was made for one image does for two."""
    try:
        with torch.no_grad():
            return network(**samples)
    except Exception:  # converted code may fail in any way
        return None


def _samples(network: OnnxNetwork) -> dict[str, Tensor]:
    """Random images, in shares of 255 as pixels are, one more than it takes at once; ones for every other input."""
    dice, rows = torch.Generator().manual_seed(0), (network.at_once or 1) + 1
    made = {}
    for name, (shape, dtype) in network.takes.items():
        sides = [side if isinstance(side, int) else 3 if at == 1 else _SIDE for at, side in enumerate(shape)]
        image = name == network.image
        numbers = (
            torch.randint(0, 256, (rows, *sides[1:]), generator=dice) / 255 if image else torch.ones(rows, *sides[1:])
        )
        numbers = numbers.movedim(-1, 1) if image and network.last else numbers
        made[name] = numbers.to(torch.from_numpy(np.zeros(0, dtype)).dtype) if dtype.kind == "f" else numbers
    return made


def _before_the_end(proto: Any, onnx: Any) -> tuple[Any, Sequence[_End]]:
    """A graph that stops before its outputs' softmaxes and sigmoids, and those as steps of torch's."""
    cut = onnx.ModelProto()
    cut.CopyFrom(proto)
    opset = next((one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")), 0)
    made = {name: node for node in cut.graph.node for name in node.output}
    outputs, ends = [], []
    for output in cut.graph.output:
        node = made.get(output.name)
        if node is None or node.op_type not in _STEPS or node.domain not in ("", "ai.onnx"):
            outputs.append(output)
            ends.append(_End(output.name))
            continue
        axis = next((one.i for one in node.attribute if one.name == "axis"), -1 if opset >= 13 else 1)
        outputs.append(onnx.ValueInfoProto(name=node.input[0]))
        ends.append(_End(output.name, partial(_step, node.op_type, axis)))
    del cut.graph.output[:]
    cut.graph.output.extend(outputs)
    return cut, ends


def _step(kind: str, axis: int, scores: Tensor) -> Tensor:
    return _STEPS[kind](scores, axis)


def _described(network: OnnxNetwork) -> Known:
    """The network with what its input says: size and channels where they are fixed, and how images lie in it."""
    shape = [side if isinstance(side, int) else None for side in network.takes[network.image][0]]
    sides = shape[1:-1] if network.last else shape[2:]
    size = tuple(side for side in sides if side is not None)
    channels = shape[-1] if network.last else shape[1] if len(shape) > 2 else None
    whole = network.takes[network.image][1].kind in "iu"
    return Known(
        network,
        size if size and len(size) == len(sides) else None,
        channels,
        mean=(0.0,) * (channels or 3) if whole else None,
        std=(1.0,) * (channels or 3) if whole else None,
        layout="NHWC" if network.last else "NCHW",
        batch_size=network.at_once,
    )


def _dtype(kind: str) -> np.dtype[Any]:
    """What ONNX Runtime calls "tensor(float)" as NumPy's. Raises ModelError for what is no tensor of numbers."""
    inner = kind.removeprefix("tensor(").removesuffix(")")
    try:
        return np.dtype(_TYPES.get(inner, inner))
    except TypeError as error:
        raise ModelError(f"the graph takes {kind}; only tensors of numbers can be given to it.") from error


def _tensor(answer: Any, like: Any) -> Any:
    """An answer as a tensor; scikit-learn's graphs give a list of dictionaries, class -> probability."""
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        answer = np.array([list(row.values()) for row in answer], np.float32)
    if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "fiub":
        return answer
    tensor = torch.from_numpy(answer).to(like.device if isinstance(like, Tensor) else "cpu")
    return tensor.float() if tensor.dtype == torch.float16 else tensor


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

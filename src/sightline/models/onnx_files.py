"""ONNX files: looked at before they are read, so that a file reaches nothing but itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightline.core.errors import ModelError
from sightline.models.archives import check_size, outside
from sightline.models.model import Model
from sightline.models.onnx_network import known_onnx
from sightline.models.request import Request, needed
from sightline.models.sources import wrapped

_LARGEST = 2**31 - 1  # bytes that ONNX Runtime takes from memory


def load_onnx(request: Request) -> Model:
    """A network from an .onnx file, with `wrap`'s options. Raises ModelError.

    Input size, channels, their order and how many images it takes at once are the graph's own; mean and std are not
    in it. A graph that takes whole numbers gets pixels from 0 to 255, for which there is no mean and std to give.
    """
    path = Path(request.name)
    if request.weights != "default":
        raise ModelError(f"{path.name} brings its own weights; weights={request.weights!r} does not apply.")
    return wrapped(known_onnx(read_onnx(path)), request)


def read_onnx(path: Path) -> Any:
    """The ModelProto of a file, with what it keeps beside itself in its own folder. Raises ModelError."""
    onnx = needed("onnx", "onnx")
    check_size(path, path.stat().st_size)
    try:
        proto = onnx.load_model(path, load_external_data=False)
    except Exception as error:  # protobuf's own, of several kinds
        raise ModelError(f"{path.name} is no intact ONNX file: {error}") from error
    if not proto.graph.node or not proto.graph.output:
        raise ModelError(f"{path.name} is no ONNX file, or an empty one: there is no graph in it.")
    tensors = list(_tensors(proto, onnx))
    check_size(path, sum(_declared(one, onnx, path) for one in tensors))
    beside = [one for one in tensors if one.data_location == onnx.TensorProto.EXTERNAL]
    for tensor in beside:
        _check_beside(tensor, path, onnx)
    if beside:
        onnx.load_external_data_for_model(proto, str(path.parent))
    if proto.ByteSize() > _LARGEST:
        raise ModelError(f"{path.name} holds more than 2 GB, which cannot be read from memory.")
    return proto


def _tensors(message: Any, onnx: Any) -> Iterator[Any]:
    """Every tensor in a message: weights, constants, and those of graphs within."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if hasattr(value, "__len__") else (value,):
                yield from _tensors(one, onnx)


def _declared(tensor: Any, onnx: Any, path: Path) -> int:
    """Bytes that a tensor says it holds. Raises ModelError where its numbers are fewer, or its shape is none."""
    if min(tensor.dims, default=0) < 0:
        raise ModelError(f"{path.name} is damaged: {tensor.name!r} has the shape {list(tensor.dims)}.")
    try:
        width: int = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{path.name} is damaged: {tensor.name!r} holds numbers of no known type.") from error
    declared = int(math.prod(tensor.dims)) * width
    if tensor.HasField("raw_data") and tensor.data_type < onnx.TensorProto.UINT4 and len(tensor.raw_data) != declared:
        raise ModelError(
            f"{path.name} is damaged: {tensor.name!r} says it holds {declared:,} bytes, and there are "
            f"{len(tensor.raw_data):,}."
        )
    return declared


def _check_beside(tensor: Any, path: Path, onnx: Any) -> None:
    """Refuse numbers kept in a file that is not beside the model, or not there. Raises ModelError."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    folder = path.parent.resolve()
    file = folder / location
    if not location or outside(location) or not file.resolve().is_relative_to(folder):
        raise ModelError(
            f"{path.name} keeps {tensor.name!r} in {location!r}, outside its own folder; it was not read."
        )
    if not file.is_file():
        raise ModelError(f"{path.name} keeps its numbers in {location!r}, which is not beside it; bring both.")
    offset, length = (entries.get(key, "0") for key in ("offset", "length"))
    if not (offset.isdecimal() and length.isdecimal()):
        raise ModelError(f"{path.name} is damaged: {tensor.name!r} begins at {offset!r} and is {length!r} long.")
    needs = int(offset) + max(int(length), _declared(tensor, onnx, path))
    if needs > file.stat().st_size:
        raise ModelError(f"{location} is damaged: it ends before {tensor.name!r} does.")

"""ONNX graphs made of torch's layers, by onnx2torch, which knows the operators of TorchScript's exports."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sightline.core.errors import ModelError
from sightline.models.request import needed
from sightline.network.trace import of_attention

_OLDER = 17  # the last opset whose operators onnx2torch knows
_NAME = re.compile(r"[\w./:+@\- ]*")


def converted(proto: Any, onnx: Any) -> Iterator[nn.Module | str]:
    """The graph as torch's layers, as it is and then in older operators; why not, for each that cannot be had."""
    try:
        onnx2torch = needed("onnx2torch", "onnx")
    except ModelError as error:
        yield str(error)
        return
    for prepare in (_plainly_named, _in_older_operators):
        try:
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # its layers begin as random ones
                warnings.simplefilter("ignore")  # on torch's own ways
                ready = prepare(proto, onnx)
                made = _named(onnx2torch.convert(ready), ready, _in_attention(proto))
        except Exception as error:  # it raises anything for what it does not know
            yield _why(error)
        else:
            yield made


def _in_attention(proto: Any) -> set[str]:
    """The nodes that the original network ran inside an attention module, as far as exporters tell."""
    found = set()
    for node in proto.graph.node:
        said = {one.key.rpartition(".")[2]: re.findall(r"'([^']*)'", one.value) for one in node.metadata_props}
        names = [*node.name.split("/")[:-1], *said.get("name_scopes", [])[:-1]]
        kinds = said.get("class_hierarchy", [])[:-1]
        if any(of_attention(name.rpartition(".")[2], "") for name in names) or any(
            of_attention("", one) for one in kinds
        ):
            found.add(node.name)
    return found


def _named(made: Any, proto: Any, in_attention: set[str]) -> nn.Module:
    """The layers under their nodes' own names, with "_" for ".", without what no output hangs on."""
    calls = [one for one in made.graph.nodes if one.op == "call_module"]
    for call, node in zip(calls, proto.graph.node, strict=True):
        made.get_submodule(call.target).in_attention = node.name in in_attention
        name = node.name.replace(".", "_")  # a dot would be a layer within another
        if name and not hasattr(made, name):
            made.add_module(name, made.get_submodule(call.target))
            call.target = name
    made.graph.eliminate_dead_code()
    made.delete_all_unused_submodules()
    made.recompile()
    network: nn.Module = made
    return network


def _why(error: Exception) -> str:
    operator = re.search(r"operation_type='(\w+)', version=(\d+)", str(error))
    if operator:
        return f"onnx2torch cannot convert its operator {operator[1]} (opset {operator[2]})"
    return f"onnx2torch cannot convert it: {' '.join(str(error).split())[:200]}"


def _plainly_named(proto: Any, onnx: Any) -> Any:
    """A copy whose nodes' names are names: they become code in torch.fx, so that another could run anything."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for node in copy.graph.node:
        for field in ("name", "domain", "op_type"):
            if not _NAME.fullmatch(getattr(node, field)):
                node.ClearField(field)
    return copy


def _in_older_operators(proto: Any, onnx: Any) -> Any:
    """The same graph as older exports have it, without functions and without operators that came after `_OLDER`."""
    from onnx import inliner, version_converter

    older = _plainly_named(inliner.inline_local_functions(proto), onnx)
    nodes = [part for node in older.graph.node for part in _ungelued(node, older.graph, onnx)]
    del older.graph.node[:]
    older.graph.node.extend(nodes)
    try:
        older = version_converter.convert_version(older, _OLDER)
    except RuntimeError:  # it does not know of operators that only take more types since: the answers will tell
        for one in older.opset_import:
            one.version = min(one.version, _OLDER) if one.domain in ("", "ai.onnx") else one.version
    for node in older.graph.node:
        kept = [one for one in node.attribute if one.name != "allowzero"]  # says nothing where no side is 0
        del node.attribute[:]
        node.attribute.extend(kept)
    return older


def _ungelued(node: Any, graph: Any, onnx: Any) -> list[Any]:
    """A GELU by the operators that it stands for, the last of them under its name; any other node as it is."""
    if node.op_type != "Gelu" or any(one.name == "approximate" and one.s != b"none" for one in node.attribute):
        return [node]
    given, answer = node.input[0], node.output[0]
    numbers = {"shrink": 0.5**0.5, "one": 1.0, "half": 0.5}
    graph.initializer.extend(
        onnx.helper.make_tensor(f"{answer}.{name}", onnx.TensorProto.FLOAT, [], [number])
        for name, number in numbers.items()
    )
    steps = (
        ("Mul", (given, f"{answer}.shrink"), f"{answer}.1"), ("Erf", (f"{answer}.1",), f"{answer}.2"),
        ("Add", (f"{answer}.2", f"{answer}.one"), f"{answer}.3"), ("Mul", (given, f"{answer}.3"), f"{answer}.4"),
        ("Mul", (f"{answer}.4", f"{answer}.half"), answer),
    )  # fmt: skip
    return [
        onnx.helper.make_node(kind, inputs, [output], node.name if output == answer else f"{node.name}.{at}")
        for at, (kind, inputs, output) in enumerate(steps)
    ]

"""Programs of `torch.export` as networks whose every operation is a layer, under its node's name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree

from sightline.core.errors import ModelError
from sightline.models.known import Known
from sightline.network.adapters import by_input, in_parts
from sightline.network.trace import of_attention

_TRAINING = {"dropout", "batch_norm", "instance_norm", "feature_dropout", "alpha_dropout"}
_SAME = 1e-4  # of the largest answer: how far two images at once may be from one by one


class ExportedNetwork(nn.Module):
    """Images (N, C, *spatial) to what the exported network answers; its layers are the graph's nodes.

    A program that was exported for so many images takes them in parts of so many, unless any number will do.
    """

    def __init__(self, program: Any) -> None:
        super().__init__()
        inputs = _inputs(program)
        self.takes = {name: tuple(value.shape) if isinstance(value, Tensor) else () for name, value in inputs.items()}
        self.image = next((name for name, shape in self.takes.items() if len(shape) > 2), next(iter(self.takes)))
        self.sides = [side if isinstance(side, int) else None for side in self.takes[self.image]]
        self.at_once: int | None = self.sides[0]
        self.join = partial(_pytree.tree_unflatten, treespec=program.call_spec.out_spec)
        body = in_layers(program)
        vars(self)["body"] = body  # not as a layer of its own, so that its layers keep their names
        self._modules.update(body._modules)
        self.eval()

    def forward(self, *images: Tensor, **beside: Any) -> Any:
        return in_parts(self._ask, by_input(self.takes, self.image, images, beside), self.at_once)

    def _ask(self, given: Mapping[str, Any]) -> Any:
        return self.join(list(vars(self)["body"](*(given[name] for name in self.takes))))


class Operation(nn.Module):
    """One operation of a graph; `in_attention`: inside an attention module, as the original network had it."""

    def __init__(self, function: Any, in_attention: bool) -> None:
        super().__init__()
        self.function, self.in_attention = function, in_attention

    def forward(self, *given: Any, **options: Any) -> Any:
        return self.function(*given, **options)


def known_exported(network: Any) -> Known | None:
    """A `torch.export.ExportedProgram` as a network, and what it says of its input; None for anything else."""
    if not isinstance(network, torch.export.ExportedProgram):
        return None
    found = ExportedNetwork(network)
    if found.at_once is not None and _any_number(found):
        found.at_once = None
    size = tuple(side for side in found.sides[2:] if side is not None)
    channels = found.sides[1] if len(found.sides) > 2 else None
    whole = size if size and len(size) == len(found.sides) - 2 else None
    return Known(found, whole, channels, layout="NCHW", batch_size=found.at_once)


def in_layers(program: Any) -> fx.GraphModule:
    """The program's graph with plain inputs and outputs, each operation that gives floating-point numbers a module.

    Raises ModelError for a program that was exported while training.
    """
    unguarded = {"check_guards": False} if "check_guards" in inspect.signature(program.module).parameters else {}
    made = program.module(**unguarded)
    root, tensors = nn.Module(), nn.Module()
    for node in list(made.graph.nodes):
        if node.op == "get_attr":
            node.target = _kept(attrgetter(node.target)(made), node, root, tensors)
        elif node.op == "call_function":
            _check_evaluating(node)
            if _gives_numbers(node):
                kind = type(
                    node.target.__name__.partition(".")[0], (Operation,), {}
                )  # a pooling has to look like one
                root.add_module(node.name, kind(node.target, _in_attention(node)))
                node.op, node.target = "call_module", node.name
    root.add_module("_tensors", tensors)
    made.graph.set_codegen(fx.graph.CodeGen())
    return fx.GraphModule(root, made.graph)


def _kept(value: Any, node: fx.Node, root: nn.Module, tensors: nn.Module) -> str:
    """A weight, a constant or a graph within, kept aside: its own name may be an operation's."""
    name = node.name
    if isinstance(value, nn.Parameter):
        tensors.register_parameter(name, value)
    elif isinstance(value, Tensor):
        tensors.register_buffer(name, value)
    else:
        setattr(tensors, name, value)
    return f"_tensors.{name}"


def _gives_numbers(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()


def _in_attention(node: fx.Node) -> bool:
    """Whether the original network ran this inside an attention module."""
    within = list((node.meta.get("nn_module_stack") or {}).values())
    return any(of_attention(path.rpartition(".")[2], _type_name(kind)) for path, kind in within)


def _type_name(kind: Any) -> str:
    return kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__


def _check_evaluating(node: fx.Node) -> None:
    schema = getattr(node.target, "_schema", None)
    if schema is None or schema.name.rpartition("::")[2].rstrip("_") not in _TRAINING:
        return
    given = dict(zip((one.name for one in schema.arguments), node.args, strict=False)) | node.kwargs
    if any(given.get(name) is True for name in ("train", "training", "use_input_stats")):
        raise ModelError(
            f"this program was exported while training ({node.name} says so): what it answers hangs on chance or on "
            "the other images. Export it again after network.eval()."
        )


def _inputs(program: Any) -> dict[str, Any]:
    """What the program takes, by name, in its order: examples without numbers."""
    wanted = set(program.graph_signature.user_inputs)
    return {
        node.name: node.meta.get("val")
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in wanted
    }


def _any_number(network: ExportedNetwork) -> bool:
    """Whether one random image more than it was made for is answered at once as it is in parts."""
    dice = torch.Generator().manual_seed(0)
    like = next((one for one in network.parameters()), torch.empty(0))
    given = {
        name: torch.rand(
            (network.at_once or 1) + 1, *(side if isinstance(side, int) else 64 for side in shape[1:]), generator=dice
        ).to(like)
        for name, shape in network.takes.items()
    }
    with torch.no_grad():
        try:
            apart, network.at_once = network(**given), None
            together = network(**given)
        except Exception:  # a graph that was made for one image fails anywhere
            return False
        finally:
            network.at_once = network.sides[0]
    pairs = zip(_pytree.tree_leaves(apart), _pytree.tree_leaves(together), strict=True)
    return all(
        one.shape == two.shape and bool((one - two).abs().max() <= _SAME * one.abs().max()) for one, two in pairs
    )

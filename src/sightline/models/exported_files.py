"""Files of `torch.export`: what torch would run while it reads one is looked for first.

Names in such a file become Python code, its expressions are evaluated, its pickles are trusted, and its operators are
looked up by their paths in torch: none of this is left to the file.
"""

from __future__ import annotations

import ast
import io
import json
import logging
import math
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from sightline.core.errors import ModelError
from sightline.models.archives import check_size, checked_zip
from sightline.models.model import Model
from sightline.models.request import Request, code_refused
from sightline.models.sources import wrapped
from sightline.network.adapters import FunctionNetwork

_COMPILED = (".so", ".dll", ".dylib", ".pyd", ".o", ".cpp", ".cu", ".cubin", ".hsaco", ".ptx", ".spv")
_LOGGERS = ("torch.export", "torch.export.pt2_archive._package", "torch._export.serde.serialize")
_NAME = re.compile(r"[\w.+\-/ ]*")
_OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims|torchvision)\.(?!from_file\b|save\b|_?print\b|warn\b)\w+(\.\w+)?"
    r"|torch\.ops\.higher_order\.wrap_with_(set_grad_enabled|autocast)"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|getitem|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|torch\.sym_\w+|math\.(ceil|floor|trunc|sqrt)"
)
_SPECS = re.compile(r"builtins\.(tuple|list|dict)|collections\.OrderedDict|transformers\.modeling_outputs\.\w+")
_FUNCTIONS = re.compile(
    "Integer|Float|Rational|Symbol|Add|Mul|Pow|Max|Min|Mod|Abs|And|Or|Not|Equality|Unequality|LessThan|GreaterThan|"
    "StrictLessThan|StrictGreaterThan|Eq|Ne|Le|Ge|Lt|Gt|floor|ceiling|FloorDiv|ModularIndexing|Where|PythonMod|"
    "CleanDiv|CeilToInt|FloorToInt|CeilDiv|FloatTrueDiv|IntTrueDiv|TruncToFloat|TruncToInt|RoundToInt|ToFloat|Identity"
)
_GRAMMAR = (
    ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.UnaryOp, ast.USub, ast.BinOp,
    ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Compare, ast.cmpop,
)  # fmt: skip
_SYMBOL = re.compile(r"(s|u|z)\w{0,12}|True|False")
_POWER, _WIDE = 8, 2**64


def load_exported(request: Request) -> Model:
    """A network from a .pt2 file of `torch.export.save`, with `wrap`'s options. Raises ModelError.

    Input size and channels are the program's own; mean and std are not in it. What could run code is refused unless
    `allow_code_execution`; a compiled package (AOTInductor's) is all code, and a black box.
    """
    path = Path(request.name)
    if request.weights != "default":
        raise ModelError(f"{path.name} brings its own weights; weights={request.weights!r} does not apply.")
    members = checked_zip(path)
    compiled = [one.filename for one in members if _is_compiled(one.filename)]
    if not request.allow_code_execution:
        if compiled:
            raise code_refused(path.name, f"compiled code, {compiled[0]!r}")
        _check(path, members)
    with _silence() as said:
        try:
            if compiled:
                return wrapped(FunctionNetwork(torch._inductor.aoti_load_package(str(path))), request)
            program = torch.export.load(str(path))
        except Exception as error:  # a program of another torch, or a damaged one: torch raises anything
            raise ModelError(
                f"torch {torch.__version__} cannot load {path.name}: {_line([*said, error][0])}"
            ) from error
    return wrapped(program, request)


@contextmanager
def _silence() -> Iterator[list[BaseException]]:
    """Nothing that torch warns of or logs while it reads a file, but the errors that it logs instead of raising."""
    errors: list[BaseException] = []

    def keep(record: logging.LogRecord) -> bool:
        errors.extend([record.exc_info[1]] if record.exc_info and record.exc_info[1] else [])
        return False

    with warnings.catch_warnings(), ExitStack() as undo:
        warnings.simplefilter("ignore")
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(keep)
            undo.callback(logging.getLogger(name).removeFilter, keep)
        yield errors


def _line(error: BaseException) -> str:
    said = str(error).strip().splitlines() or [type(error).__name__]
    return f"{said[-1][:300]}."


def _is_compiled(name: str) -> bool:
    return "aotinductor" in PurePosixPath(name).parts or PurePosixPath(name).suffix in _COMPILED


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse a file of which torch would run something. Raises ModelError."""
    with zipfile.ZipFile(path) as archive:
        for member in members:
            name = PurePosixPath(member.filename)
            if name.suffix == ".json" and not name.stem.startswith("serialized_state"):
                _check_json(archive.read(member), archive, name, path)
            elif name.suffix in (".pt", ".json", ".pkl"):
                _check_pickle(archive.read(member), name, path)


def _check_json(content: bytes, archive: zipfile.ZipFile, name: PurePosixPath, path: Path) -> None:
    try:
        found = json.loads(content)
        if "config" in found:
            for entry in found["config"].values():
                _check_payload(entry, archive, name.parent, path)
        _check_strings(found, path)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UnicodeDecodeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path.name} is damaged: {name.name} says nothing that torch can read.") from error


def _check_payload(entry: Any, archive: zipfile.ZipFile, folder: PurePosixPath, path: Path) -> None:
    """One weight or constant as the archive keeps it: plain numbers, or a pickle of a tensor alone."""
    where = str(entry["path_name"])
    if entry.get("use_pickle") or not where.startswith(("weight_", "tensor_")):
        if not where.startswith(("weight_", "tensor_")):
            raise code_refused(path.name, f"a pickled object, {where!r}")
        _check_pickle(archive.read(str(folder / where)), folder / where, path)
    sides = [side.get("as_int", 0) for side in (entry.get("tensor_meta") or {}).get("sizes", ())]
    check_size(path, math.prod(sides) if sides else 0)


def _check_pickle(content: bytes, name: PurePosixPath, path: Path) -> None:
    """Refuse a pickle that holds more than tensors and plain values; nothing of it is run."""
    if not content:
        return
    file = io.BytesIO(content)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as inner:
            check_size(path, sum(member.file_size for member in inner.infolist()))
    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged one makes the unpickler raise anything
        raise code_refused(path.name, f"more than tensors in {name.name!r}") from error


def _check_strings(value: Any, path: Path, key: str = "") -> None:
    """Refuse names that are no names, expressions that are no sums, and operators that are not torch's own."""
    if isinstance(value, dict):
        if key == "metadata" and "expr_str" not in value and all(isinstance(one, str) for one in value.values()):
            return  # where a node is from: kept as text
        for name, part in value.items():
            _check_string(name, path, "")
            _check_strings(part, path, name)
    elif isinstance(value, list):
        for part in value if key != "guards_code" else ():  # which are not made
            _check_strings(part, path, key)
    elif isinstance(value, str):
        _check_string(value, path, key)


def _check_string(text: str, path: Path, key: str) -> None:
    if key == "expr_str":
        _check_expression(text, path)
    elif key in ("target", "as_operator"):
        if not _OPERATORS.fullmatch(text):
            raise code_refused(path.name, f"a call of {text!r}, which is no operator of torch's own")
    elif key in ("in_spec", "out_spec"):
        _check_spec(json.loads(text)[1], path)
    elif key not in ("as_string", "as_strings") and not _NAME.fullmatch(text):
        raise code_refused(path.name, f"a name that is code, {text[:80]!r}")


def _check_spec(spec: Any, path: Path) -> None:
    """How inputs and outputs are nested."""
    kind, context = spec["type"], str(spec["context"])
    if (kind is not None and not _SPECS.fullmatch(kind)) or "__enum__" in context:
        raise code_refused(path.name, f"inputs or outputs of the type {kind or context!r}")
    for child in spec["children_spec"]:
        _check_spec(child, path)


def _check_expression(text: str, path: Path) -> None:
    """An expression of sizes: numbers, symbols, and sympy's functions of these."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError) as error:
        raise code_refused(path.name, f"a size that is no expression, {text[:80]!r}") from error
    if not all(map(_is_arithmetic, ast.walk(tree))):
        raise code_refused(path.name, f"a size that is code, {text[:80]!r}")


def _is_arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        small = called != "Pow" or all(_is_small(one) for one in node.args[1:])
        return bool(_FUNCTIONS.fullmatch(called)) and small and all(isinstance(one.arg, str) for one in node.keywords)
    if isinstance(node, ast.Name):
        return bool(_FUNCTIONS.fullmatch(node.id) or _SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.Constant):
        whole = isinstance(node.value, int | float) and abs(node.value) < _WIDE
        return whole or (isinstance(node.value, str) and bool(_SYMBOL.fullmatch(node.value)))
    return isinstance(node, _GRAMMAR)


def _is_small(power: ast.AST) -> bool:
    """An exponent that is a small number: another could take forever."""
    inner = power.args[0] if isinstance(power, ast.Call) and len(power.args) == 1 else power
    inner = inner.operand if isinstance(inner, ast.UnaryOp) else inner
    return isinstance(inner, ast.Constant) and isinstance(inner.value, int) and inner.value <= _POWER

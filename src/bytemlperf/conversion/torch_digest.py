"""The digest of the graph that a torch definition gives, without its weights: what runs, operator by operator."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from bytemlperf.conversion.torch_module import FLOAT_DTYPES, build_module
from bytemlperf.conversion.torch_tracing import EXPORTING, Positional, zero_tensors
from bytemlperf.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bytemlperf.spec import ModelSpec, Recipe

_BATCH = 2


def recipe_graph_digest(spec: ModelSpec, recipe: Recipe) -> str:
    """Return a sha256 over the graph of ATen operators that torch.export sees in a recipe's module.

    It is built and traced on the meta device, in the precision of the spec, for a batch of two: nothing is computed
    and no weight has memory. Names of weights, types, shapes, operators, their arguments and connections count.

    Args:
        spec: Precision, inputs and outputs.
        recipe: Of a torch module.

    Raises:
        ArtifactError: If the module cannot be built.
        ConversionError: If it cannot be traced.
    """
    digest = hashlib.sha256()
    for line in _lines(_program(spec, recipe)):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _program(spec: ModelSpec, recipe: Recipe) -> ExportedProgram:
    floats = FLOAT_DTYPES.get(spec.precision)
    with torch.device("meta"), torch.no_grad():
        module = build_module(recipe, spec.name).eval()
        module = module if floats is None else module.to(floats)
        inputs = zero_tensors(spec.inputs, _BATCH, floats)
        try:
            with EXPORTING, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # remarks of torch about itself
                return torch.export.export(Positional(module, spec.outputs), inputs)
        except Exception as error:  # the module's own code runs here
            raise ConversionError(
                f"the graph of {spec.name} cannot be traced",
                where=recipe.architecture,
                got=f"{type(error).__name__}: {error}",
                expected="a module that torch.export takes on the meta device",
            ) from error


def _lines(program: ExportedProgram) -> Iterator[str]:
    for given in program.graph_signature.input_specs:
        yield f"input {given.kind.name} {given.target}"
    numbers: dict[fx.Node, int] = {}
    for number, node in enumerate(program.graph.nodes):
        numbers[node] = number
        target = node.target if node.op == "call_function" else ""
        arguments = f"{_text(node.args, numbers)} {_text(dict(node.kwargs), numbers)}"
        yield f"%{number} {node.op} {target} {arguments} {_kind(node.meta.get('val'))}"


def _text(value: object, numbers: dict[fx.Node, int]) -> str:
    """Write an argument; nodes by their place, as names are only the tracer's."""
    if isinstance(value, fx.Node):
        return f"%{numbers[value]}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(each, numbers) for each in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_text(value[key], numbers)}' for key in sorted(value))}}}"
    return str(value)


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_kind, value))}]"
    return str(value)

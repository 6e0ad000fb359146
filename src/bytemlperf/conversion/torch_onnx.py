"""Export a torch module to ONNX, with the original's names and the batch as an axis of the graph."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import onnx
import torch
from torch import Tensor, nn

from bytemlperf.conversion.torch_tracing import EXPORTING, Positional, example_tensors, module_to_trace
from bytemlperf.errors import ConversionError
from bytemlperf.spec import Axis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onnx_ir import Graph, Model
    from torch.onnx import ONNXProgram

    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.spec import ModelSpec, TensorSpec

OPSET: Final = 18
"""Version of ONNX's operators: what torch's exporter writes by itself, and most compilers read."""

EXTERNAL_FROM_BYTES: Final = 2**31 - 2**24
"""Weights of that size go into a file beside the graph: one protobuf message ends at 2 GiB."""

logger = logging.getLogger(__name__)


def write_onnx(artifact: ModelArtifact, path: Path) -> None:
    """Export a torch artifact in the precision of its spec; see `export_onnx`.

    Raises:
        ArtifactError: If its module cannot be built.
        ConversionError: If it cannot be exported.
    """
    export_onnx(module_to_trace(artifact), artifact.spec, path)


def export_onnx(
    module: nn.Module, spec: ModelSpec, path: Path, *, external_from_bytes: int = EXTERNAL_FROM_BYTES
) -> None:
    """Export a module to an ONNX file, which is checked by ONNX's own checker.

    Inputs and outputs have their original names (`TensorSpec.file_name`), axes that grow with the
    batch are symbolic (`batch`, `26*batch`), weights keep their names in the module. What tracing
    leaves in the file about where it was made is taken out, so that equal modules give equal files.
    The exporter folds constants and, in evaluation mode, batch normalisation into convolutions.

    Args:
        module: On the CPU, in evaluation mode; called with positional tensors in the order of `spec.inputs`.
        spec: Names, shapes and types of its inputs and outputs.
        path: File to write; its folder exists.
        external_from_bytes: From that size of weights on, they are written to `<name>.data` beside it.

    Raises:
        ConversionError: If the module does not return what the spec declares, or cannot be
            exported for any batch size.
    """
    example = example_tensors(module, spec)
    program = _exported(Positional(module, spec.outputs), example, spec)
    _refuse_frozen_axes(program.model.graph, spec)
    _tidy(program.model, spec)
    program.save(path, external_data=_weight_bytes(program.model.graph) >= external_from_bytes)
    _check(path, spec)


def _exported(adapter: nn.Module, example: tuple[Tensor, ...], spec: ModelSpec) -> ONNXProgram:
    try:
        with EXPORTING, _quiet():
            program = torch.onnx.export(
                adapter,
                example,
                input_names=[tensor.file_name for tensor in spec.inputs],
                output_names=[tensor.file_name for tensor in spec.outputs],
                dynamic_shapes=(_dynamic_shapes(spec.inputs),),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter runs the module's own code and wraps what that raises
        cause = error.__cause__ or error
        raise ConversionError(
            f"{spec.name} cannot be exported to ONNX",
            got=f"{type(cause).__name__}: {cause}",
            remedy="its forward must be traceable by torch.export for any batch size",
        ) from error
    assert program is not None
    return program


def _dynamic_shapes(inputs: tuple[TensorSpec, ...]) -> tuple[dict[int, Any], ...]:
    names = {axis.name for tensor in inputs for axis in tensor.shape if isinstance(axis, Axis)}
    lengths = {name: torch.export.Dim(name) for name in names}
    return tuple(
        {
            position: lengths[axis.name] if axis.times == 1 else axis.times * lengths[axis.name]
            for position, axis in enumerate(tensor.shape)
            if isinstance(axis, Axis)
        }
        for tensor in inputs
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about itself (deprecations, optional packages) from the caller."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)


def _refuse_frozen_axes(graph: Graph, spec: ModelSpec) -> None:
    """Refuse a graph that holds for the example's batch size only: the exporter makes one without a word."""
    for value, tensor in zip((*graph.inputs, *graph.outputs), (*spec.inputs, *spec.outputs), strict=True):
        shape = [] if value.shape is None else list(value.shape)
        frozen = [str(axis) for axis, length in zip(tensor.shape, shape, strict=True) if _is_frozen(axis, length)]
        if frozen:
            error = ConversionError(
                f"the forward of {spec.name} holds for one batch size only",
                got=f"{tensor.name} {[str(length) for length in shape]}",
                expected=f"{tensor.name} {[str(axis) for axis in tensor.shape]}",
                remedy="take lengths from the inputs instead of writing them down, and branch on none of them",
            )
            error.tensor = tensor.name
            raise error


def _is_frozen(axis: int | Axis, length: object) -> bool:
    return isinstance(axis, Axis) and isinstance(length, int)


def _tidy(model: Model, spec: ModelSpec) -> None:
    """Take out notes of the tracing and the adapter's prefix; write the axes as the spec does."""
    graph = model.graph
    for value in list(graph.initializers.values()):
        if value.name and value.name.startswith(Positional.PREFIX):
            value.name = value.name.removeprefix(Positional.PREFIX)
    for noted in _noted(graph):
        noted.metadata_props.clear()
        noted.doc_string = None
    model.metadata_props.clear()
    for value, tensor in zip(graph.outputs, spec.outputs, strict=True):
        _write_axes(value, tensor)


def _noted(graph: Graph) -> Iterator[Any]:
    """Yield everything in a graph, its subgraphs included, that can carry notes."""
    yield graph
    yield from (*graph.inputs, *graph.initializers.values())
    yield from graph.subgraphs()
    for node in graph.all_nodes():
        yield node
        yield from node.outputs


def _write_axes(value: Any, tensor: TensorSpec) -> None:  # noqa: ANN401 - onnx_ir.Value, which ships with the exporter
    """Name an output's symbolic axes: the tracer gives those that it computes names of its own."""
    for position, axis in enumerate(tensor.shape):
        if isinstance(axis, Axis) and value.shape is not None:
            value.shape[position] = str(axis)


def _weight_bytes(graph: Graph) -> int:
    return sum(value.const_value.nbytes for value in graph.initializers.values() if value.const_value is not None)


def _check(path: Path, spec: ModelSpec) -> None:
    try:
        onnx.checker.check_model(path, full_check=False)
    except onnx.checker.ValidationError as error:
        raise ConversionError(f"the ONNX file of {spec.name} is not valid", where=str(path), got=str(error)) from error

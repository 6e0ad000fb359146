"""Count the work in an ONNX graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import onnx

from bytemlperf.errors import ArtifactError
from bytemlperf.graph.cost import GraphCost, OperatorCost, summed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.spec import ModelSpec

Shape = tuple[int, ...]

_SMALL_BYTES: Final = 1024
"""Values up to that size stay in the graph: shapes may be computed from them."""


class _Tensors:
    """Shapes and types of a graph's tensors, after inference."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._shapes: dict[str, Shape | None] = {each.name: tuple(each.dims) for each in graph.initializer}
        self._sizes = {each.name: _item_bytes(each.data_type) for each in graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            tensor = value.type.tensor_type
            dims = tensor.shape.dim
            known = tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in dims)
            self._shapes[value.name] = tuple(dim.dim_value for dim in dims) if known else None
            self._sizes[value.name] = _item_bytes(tensor.elem_type)

    def shape(self, name: str) -> Shape:
        found = self._shapes.get(name)
        if found is None:
            raise ArtifactError(
                "the shape of a tensor cannot be inferred",
                got=name,
                remedy="give the model fixed lengths but for the batch",
            )
        return found

    def bytes(self, name: str) -> int:
        found = self._shapes.get(name)
        return 0 if found is None else math.prod(found) * self._sizes.get(name, 0)


def count(artifact: ModelArtifact, batch_size: int) -> GraphCost:
    """Count an ONNX artifact; see `bytemlperf.graph.cost`.

    Raises:
        ArtifactError: If the file cannot be read, or a shape that decides the work cannot be inferred.
    """
    model = _inferred(artifact, batch_size)
    tensors = _Tensors(model.graph)
    parts = [_operator(node, tensors) for node in model.graph.node if node.op_type != "Constant"]
    weights = (math.prod(each.dims) * _item_bytes(each.data_type) for each in model.graph.initializer)
    return GraphCost(
        batch_size=batch_size,
        operators=summed(parts),
        weight_bytes=sum(weights),
        uncounted=tuple(sorted({node.op_type for node in model.graph.node if _has_graph(node)})),
    )


def _inferred(artifact: ModelArtifact, batch_size: int) -> onnx.ModelProto:
    """Read a file without its large values, and infer all shapes at a batch size."""
    try:
        model = onnx.load(str(artifact.path), load_external_data=False)
        _fix_inputs(model, artifact.spec, batch_size)
        _drop_values(model)
        return onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    except Exception as error:  # protobuf's and ONNX's exceptions share no base but this
        raise ArtifactError(
            f"the graph of {artifact.name} cannot be read",
            where=str(artifact.path),
            got=f"{type(error).__name__}: {error}",
        ) from error


def _fix_inputs(model: onnx.ModelProto, spec: ModelSpec, batch_size: int) -> None:
    shapes = {each.file_name: each.sized(batch_size) for each in spec.inputs}
    for value in model.graph.input:
        for dim, length in zip(value.type.tensor_type.shape.dim, shapes.get(value.name, ()), strict=False):
            dim.dim_value = length
    # What the exporter noted of shapes has the batch as a symbol, which inference would keep.
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _drop_values(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > _SMALL_BYTES:
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL


def _operator(node: onnx.NodeProto, tensors: _Tensors) -> OperatorCost:
    names = [*dict.fromkeys(name for name in (*node.input, *node.output) if name)]
    formula = _FORMULAS.get(node.op_type)
    return OperatorCost(
        kind=node.op_type,
        count=1,
        macs=0 if formula is None else formula(node, tensors),
        bytes=sum(tensors.bytes(name) for name in names),
    )


def _convolution(node: onnx.NodeProto, tensors: _Tensors) -> int:
    """Each output is a sum over a window of the channels of its group; the filters are [out, in / groups, *window]."""
    return math.prod(tensors.shape(node.output[0])) * math.prod(tensors.shape(node.input[1])[1:])


def _transposed(node: onnx.NodeProto, tensors: _Tensors) -> int:
    """Each input goes to a window of the channels of its group; the filters are [in, out / groups, *window]."""
    return math.prod(tensors.shape(node.input[0])) * math.prod(tensors.shape(node.input[1])[1:])


def _product(node: onnx.NodeProto, tensors: _Tensors) -> int:
    """Each output is a sum over the first factor's last axis."""
    return math.prod(tensors.shape(node.output[0])) * tensors.shape(node.input[0])[-1]


def _gemm(node: onnx.NodeProto, tensors: _Tensors) -> int:
    """As a product, whose first factor may be transposed."""
    first = tensors.shape(node.input[0])
    return math.prod(tensors.shape(node.output[0])) * first[0 if _attribute(node, "transA") else 1]


def _recurrent(node: onnx.NodeProto, tensors: _Tensors) -> int:
    """At each step the gates are products of the input and of the state: W is [directions, gates * hidden, input]."""
    steps, batch = tensors.shape(node.input[0])[:2]
    return steps * batch * (math.prod(tensors.shape(node.input[1])) + math.prod(tensors.shape(node.input[2])))


_FORMULAS: Final[Mapping[str, Callable[[onnx.NodeProto, _Tensors], int]]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "MatMul": _product,
    "Gemm": _gemm,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "RNN": _recurrent,
}
"""Products of each operator that has any. Source: the operators' definitions in ONNX's specification."""


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next((each.i for each in node.attribute if each.name == name), 0)


def _has_graph(node: onnx.NodeProto) -> bool:
    return any(each.HasField("g") or each.graphs for each in node.attribute)


def _item_bytes(kind: int) -> int:
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
    except KeyError:
        return 0

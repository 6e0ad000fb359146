"""The digest of an ONNX graph without its weights: what a benchmark's definition is, whatever it was trained to."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import onnx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_INTEGERS: Final = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL)


def graph_digest(path: Path) -> str:
    """Return a sha256 over a graph: its operators, their attributes and connections, inputs and outputs.

    Of weights, names, types and shapes count; of constants (whole numbers, and single numbers) also the values.

    Args:
        path: ONNX file; data files beside it are not read.
    """
    model = onnx.load(str(path), load_external_data=False)
    digest = hashlib.sha256()
    for line in _lines(model):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _lines(model: onnx.ModelProto) -> Iterator[str]:
    for opset in model.opset_import:
        yield f"opset {opset.domain} {opset.version}"
    for value in (*model.graph.input, *model.graph.output):
        yield f"value {value.name} {_text(value.type)}"
    for tensor in sorted(model.graph.initializer, key=lambda each: each.name):
        yield f"tensor {tensor.name} {tensor.data_type} {list(tensor.dims)} {_constant(tensor)}"
    for node in model.graph.node:
        attributes = sorted(_text(each) for each in node.attribute)
        yield f"node {node.domain} {node.op_type} {list(node.input)} {list(node.output)} {attributes}"


def _constant(tensor: onnx.TensorProto) -> str:
    plain = tensor.data_type in _INTEGERS or not tensor.dims
    return onnx.numpy_helper.to_array(tensor).tobytes().hex() if plain else ""


def _text(message: onnx.TypeProto | onnx.AttributeProto) -> str:
    serialised: bytes = message.SerializeToString(deterministic=True)
    return serialised.hex()

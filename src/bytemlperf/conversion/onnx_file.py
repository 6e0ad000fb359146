"""Read of an ONNX file what can be known without running it: inputs, outputs, weights' files, shapes."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, shape_inference

from bytemlperf.artifact import digest_of
from bytemlperf.conversion.signature import FileTensor, Signature
from bytemlperf.errors import ArtifactError, SpecError
from bytemlperf.spec import DType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import ModelProto, TypeProto, ValueInfoProto

DTYPES: Final[Mapping[int, DType]] = {
    TensorProto.DOUBLE: DType.FLOAT64,
    TensorProto.FLOAT: DType.FLOAT32,
    TensorProto.FLOAT16: DType.FLOAT16,
    TensorProto.BFLOAT16: DType.BFLOAT16,
    TensorProto.FLOAT8E4M3FN: DType.FLOAT8,
    TensorProto.FLOAT8E5M2: DType.FLOAT8,
    TensorProto.INT64: DType.INT64,
    TensorProto.INT32: DType.INT32,
    TensorProto.INT16: DType.INT16,
    TensorProto.INT8: DType.INT8,
    TensorProto.INT4: DType.INT4,
    TensorProto.UINT8: DType.UINT8,
    TensorProto.BOOL: DType.BOOL,
    TensorProto.STRING: DType.STRING,
}
"""Types that a spec can name, by ONNX's numbers."""

_SHAPE_LIKE_BYTES: Final = 4096
"""Weights up to that size may decide shapes, so shape inference keeps their values."""


def read_signature(path: Path) -> Signature:
    """Read inputs and outputs of an ONNX file; initialisers that are listed as inputs are none.

    Raises:
        ArtifactError: If the file is missing, is no ONNX model, or its external weights are missing.
        SpecError: If an input or output is no tensor, or of a type that no spec can name.
    """
    model = loaded(path)
    data_files(model, path)
    weights = {each.name for each in model.graph.initializer}
    weights |= {each.values.name for each in model.graph.sparse_initializer}
    return Signature(
        inputs=tuple(_tensor(each) for each in model.graph.input if each.name not in weights),
        outputs=tuple(_tensor(each) for each in model.graph.output),
        precision=_precision(model),
    )


def infer_outputs(path: Path, inputs: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Compute the shapes of the outputs for given shapes of the inputs, without running the model.

    Args:
        path: ONNX file.
        inputs: Shape of each input, by the file's name.

    Returns:
        Shapes by the file's name of those outputs whose shape ONNX's shape inference finds; what
        the file itself declares of outputs is not looked at.
    """
    model = loaded(path)
    _forget_shapes(model)
    for value in model.graph.input:
        if value.name in inputs:
            _set_shape(value, inputs[value.name])
    try:
        model = shape_inference.infer_shapes(model, data_prop=True)
    except shape_inference.InferenceError:
        return {}
    found = {value.name: _dims(value.type) for value in model.graph.output}
    return {name: known for name, dims in found.items() if (known := _all_known(dims)) is not None}


def digest_with_data(path: Path) -> str:
    """Return the digest of an ONNX file; with external weights, that of a folder of just these files.

    Raises:
        ArtifactError: If the file is no ONNX model, or external weights are missing.
    """
    data = data_files(loaded(path), path)
    if not data:
        return digest_of(path)
    lines = "".join(f"{digest_of(path.parent / name)}  {name}\n" for name in sorted({path.name, *data}))
    return hashlib.sha256(lines.encode()).hexdigest()


def loaded(path: Path) -> ModelProto:
    """Read an ONNX file without its external weights.

    Raises:
        ArtifactError: If it cannot be read, or is no ONNX model.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ArtifactError("the ONNX file cannot be read", where=str(path), got=str(error)) from error
    except DecodeError as error:
        raise ArtifactError("the file is no ONNX model", where=str(path), got=str(error)) from error
    if not model.graph.output:
        raise ArtifactError("the file is no ONNX model", where=str(path), got="a graph without outputs")
    return model


def data_files(model: ModelProto, path: Path) -> set[str]:
    """Return the names of the files that hold external weights, all of which must be there."""
    external = [each for each in model.graph.initializer if each.data_location == TensorProto.EXTERNAL]
    names = {entry.value for each in external for entry in each.external_data if entry.key == "location"}
    for name in sorted(names):
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise ArtifactError("an ONNX file refers to weights outside its folder", where=str(path), got=name)
        if not (path.parent / name).is_file():
            raise ArtifactError(
                "a file of external weights is missing", where=str(path.parent / name), remedy="put it beside the model"
            )
    return names


def _tensor(value: ValueInfoProto) -> FileTensor:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise _told(value.name, "is no tensor", got=kind or "no type")
    element = value.type.tensor_type.elem_type
    if element not in DTYPES:
        name = TensorProto.DataType.Name(element) if element in TensorProto.DataType.values() else str(element)
        raise _told(value.name, "is of a type that no spec can name", got=name)
    return FileTensor(name=value.name, dtype=DTYPES[element], dims=_dims(value.type))


def _told(name: str, what: str, *, got: str) -> SpecError:
    error = SpecError(f"{name!r} {what}", got=got, remedy="cut the model so that it takes and gives plain tensors")
    error.tensor = name
    return error


def _dims(kind: TypeProto) -> tuple[int | str | None, ...] | None:
    if not kind.tensor_type.HasField("shape"):
        return None
    return tuple(
        int(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or None for dim in kind.tensor_type.shape.dim
    )


def _all_known(dims: tuple[int | str | None, ...] | None) -> tuple[int, ...] | None:
    if dims is None:
        return None
    known = tuple(dim for dim in dims if isinstance(dim, int))
    return known if len(known) == len(dims) else None


def _precision(model: ModelProto) -> DType | None:
    elements: Counter[DType] = Counter()
    for each in model.graph.initializer:
        dtype = DTYPES.get(each.data_type)
        if dtype is not None and dtype.is_float:
            elements[dtype] += _length(each)
    return elements.most_common(1)[0][0] if elements else None


def _length(weight: TensorProto) -> int:
    length = 1
    for dim in weight.dims:
        length *= dim
    return length


def _forget_shapes(model: ModelProto) -> None:
    """Take out what the file claims of shapes, and large weights: only their own shapes matter here."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    for weight in model.graph.initializer:
        if len(weight.raw_data) > _SHAPE_LIKE_BYTES:
            weight.ClearField("raw_data")


def _set_shape(value: ValueInfoProto, shape: tuple[int, ...]) -> None:
    value.type.tensor_type.ClearField("shape")
    value.type.tensor_type.shape.SetInParent()
    for length in shape:
        value.type.tensor_type.shape.dim.add().dim_value = length

"""Write a TensorFlow module as a SavedModel, and read what a SavedModel says of its signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2

from bytemlperf.conversion.signature import FileTensor, Signature, argument_names
from bytemlperf.errors import ArtifactError, SpecError, UnknownNameError
from bytemlperf.spec import DType

if TYPE_CHECKING:
    from pathlib import Path

    from bytemlperf.spec import ModelSpec

SERVING = "serving_default"
"""The name of the signature that runtimes take where none is asked for."""


def write_saved_model(module: Any, path: Path) -> None:  # noqa: ANN401 - a tf.Module with a `serve`; TensorFlow ships no types
    """Save a module as the SavedModel folder `path`; its `serve` is the one signature.

    The weights are written the same every time; TensorFlow numbers the graph's functions anew in
    each process, so the folder's digest is not.
    """
    tf.saved_model.save(module, str(path), signatures={SERVING: module.serve})


def read_signature(path: Path, signature: str = SERVING) -> Signature:
    """Read a signature's inputs and outputs, by name in alphabetical order; nothing is executed.

    Args:
        path: SavedModel folder.
        signature: Name of the signature.

    Raises:
        ArtifactError: If the folder is missing or is no SavedModel.
        UnknownNameError: If it has no such signature.
        SpecError: If an input or output is no plain tensor, or of a type that no spec can name.
    """
    signatures = _graph(path).signature_def
    if signature not in signatures:
        known = [name for name in signatures if not name.startswith("__")]
        raise UnknownNameError("signature", signature, known, remedy="give it as signature=")
    found = signatures[signature]
    return Signature(
        inputs=tuple(_tensor(name, found.inputs[name]) for name in sorted(found.inputs)),
        outputs=tuple(_tensor(name, found.outputs[name]) for name in sorted(found.outputs)),
    )


def signature_of(path: Path, spec: ModelSpec) -> str:
    """Return the name of the signature whose inputs and outputs are a spec's, by the names in the file.

    `serving_default` comes first where it fits. A signature may give more outputs than the spec names.

    Raises:
        ArtifactError: If the folder is no SavedModel, or no signature fits.
    """
    signatures = _graph(path).signature_def
    inputs, outputs = ({tensor.file_name for tensor in each} for each in (spec.inputs, spec.outputs))
    for name in sorted(signatures, key=lambda each: (each != SERVING, each)):
        takes, gives = set(signatures[name].inputs), set(signatures[name].outputs)
        if argument_names(inputs, takes) == takes and argument_names(outputs, gives) <= gives:
            return str(name)
    raise ArtifactError(
        f"no signature of the SavedModel takes and gives what {spec.name} does",
        where=str(path),
        got={name: (sorted(each.inputs), sorted(each.outputs)) for name, each in signatures.items()},
        expected=f"inputs {sorted(inputs)}, outputs {sorted(outputs)}",
    )


def _graph(path: Path) -> Any:  # noqa: ANN401 - a MetaGraphDef; TensorFlow ships no types
    """Return the graph for serving."""
    document = saved_model_pb2.SavedModel()
    try:
        document.ParseFromString((path / "saved_model.pb").read_bytes())
    except OSError as error:
        raise ArtifactError("the SavedModel cannot be read", where=str(path), got=str(error)) from error
    except DecodeError as error:
        raise ArtifactError("saved_model.pb is no SavedModel", where=str(path), got=str(error)) from error
    for graph in document.meta_graphs:
        if tf.saved_model.SERVING in graph.meta_info_def.tags:
            return graph
    tags = [list(graph.meta_info_def.tags) for graph in document.meta_graphs]
    raise ArtifactError(
        "the SavedModel has no graph for serving", where=str(path), got=tags, expected="the tag 'serve'"
    )


def _tensor(name: str, info: Any) -> FileTensor:  # noqa: ANN401 - a TensorInfo; TensorFlow ships no types
    if info.WhichOneof("encoding") != "name":
        raise _told(name, "is no plain tensor", got=info.WhichOneof("encoding"))
    dtype = tf.dtypes.as_dtype(info.dtype).name
    try:
        known = DType.of(dtype)
    except SpecError:
        raise _told(name, "is of a type that no spec can name", got=dtype) from None
    shape = info.tensor_shape
    dims = None if shape.unknown_rank else tuple(int(dim.size) if dim.size >= 0 else None for dim in shape.dim)
    return FileTensor(name=name, dtype=known, dims=dims)


def _told(name: str, what: str, *, got: str) -> SpecError:
    error = SpecError(f"{name!r} {what}", got=got)
    error.tensor = name
    return error

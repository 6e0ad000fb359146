"""Anyone's own model without a catalog entry: its spec is derived from its file, or from running it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.artifact import ModelArtifact, digest_of
from bytemlperf.conversion.signature import Signature
from bytemlperf.errors import SpecError
from bytemlperf.spec import Axis, Format, Framework, ModelSpec
from bytemlperf.zoo.reading import Reading
from bytemlperf.zoo.tensors import axis_position, given_shape, task_name

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from bytemlperf.conversion.signature import FileTensor
    from bytemlperf.conversion.torch_probe import Example
    from bytemlperf.spec import TensorSpec
    from bytemlperf.zoo.tensors import Shape, Shapes

_SIZES: Final = (2, 3)
"""Two batch sizes, neither of them 1, tell a length that grows with the batch from one that does not."""


def from_onnx(
    path: str | os.PathLike[str],
    *,
    batch_axis: int | None = 0,
    name: str | None = None,
    shapes: Shapes | None = None,
) -> ModelArtifact:
    """Take an ONNX file as it is, and derive its spec from it.

    Every tensor keeps the file's name as its original name and gets a Python identifier that looks
    like it. A free length at `batch_axis` of an input is the batch's; a fixed length stays a number.
    Shapes of outputs are inferred by ONNX for two batch sizes, and read off the file where that
    tells nothing.

    Args:
        path: The file; external weights lie beside it.
        batch_axis: Position of the batch where a length is free; None where nothing grows.
        name: Task name; None for the file's.
        shapes: Shapes that the file does not tell, or that are to be seen otherwise, by original or
            canonical name: `{"x": ["batch", 128], "indices": ["26*batch", 2]}`. Where it calls a
            fixed length the batch's, that length is the only batch size.

    Raises:
        ArtifactError: If the file is missing, or is no ONNX model.
        SpecError: If a length is free of which it is not known what it is (the message names the
            tensor), or a type is none that a spec can name.
        UnknownNameError: If `shapes` names no input or output.

    Example:
        ::

            artifact = zoo.from_onnx("detector.onnx", shapes={"boxes": ["100*batch", 4]})
            report = run(artifact, backend="onnxruntime")
    """
    from bytemlperf.conversion import onnx_file

    file = _absolute(path)
    reading = Reading.of(onnx_file.read_signature(file), batch_axis=batch_axis, shapes=shapes)
    inputs = reading.inputs()
    inferred = {
        size: onnx_file.infer_outputs(file, {tensor.file_name: tensor.sized(size) for tensor in inputs})
        for size in (_SIZES if reading.fixed_batch is None else ())
    }
    spec = reading.spec(name or task_name(file.stem), Framework.ONNX, Format.ONNX, inferred)
    sha256 = onnx_file.digest_with_data(file)
    return ModelArtifact(spec=spec, format=Format.ONNX, path=file, sha256=sha256, origin=file.name)


def from_saved_model(
    path: str | os.PathLike[str],
    *,
    signature: str = "serving_default",
    batch_axis: int | None = 0,
    name: str | None = None,
    shapes: Shapes | None = None,
) -> ModelArtifact:
    """Take a TensorFlow SavedModel as it is, and derive its spec from one of its signatures.

    Inputs and outputs have the signature's own names, in alphabetical order. A free length at
    `batch_axis` is the batch's; a fixed length stays a number.

    Args:
        path: The folder.
        signature: Name of the signature.
        batch_axis: Position of the batch where a length is free; None where nothing grows.
        name: Task name; None for the folder's.
        shapes: As for `from_onnx`.

    Raises:
        ArtifactError: If the folder is missing, or is no SavedModel.
        SpecError: If a length is free of which it is not known what it is (the message names the
            tensor), a type is none that a spec can name, or another signature has the same names.
        UnknownNameError: If there is no such signature, or `shapes` names no input or output.
    """
    from bytemlperf.conversion import tf_saved_model

    folder = _absolute(path)
    found = tf_saved_model.read_signature(folder, signature)
    reading = Reading.of(found, batch_axis=batch_axis, shapes=shapes)
    spec = reading.spec(name or task_name(folder.name), Framework.TENSORFLOW, Format.SAVED_MODEL, {})
    taken = tf_saved_model.signature_of(folder, spec)
    if taken != signature:
        raise SpecError(
            f"the signature {signature!r} has the inputs and outputs of {taken!r}, which backends would take",
            remedy="save the model with only one of them, or with outputs of distinct names",
        )
    return ModelArtifact(
        spec=spec, format=Format.SAVED_MODEL, path=folder, sha256=digest_of(folder), origin=folder.name
    )


def from_module(
    module: nn.Module,
    example: Example,
    *,
    batch_axis: int | None = 0,
    name: str | None = None,
    shapes: Shapes | None = None,
) -> ModelArtifact:
    """Take a live torch module, and derive its spec by running a copy of it on an example.

    The copy is in evaluation mode; the module itself is left alone. Inputs are named after the
    arguments of `forward`. Outputs are named by the keys of a mapping that it returns, `output_0`
    and so on for a tuple, `output` for a single tensor. Inputs whose length at `batch_axis` is that
    of the first input are batched; the module is run at two batch sizes to see which lengths of its
    outputs grow.

    Args:
        module: Called with tensors in the order of its arguments.
        example: One batch of any size: tensors or arrays by argument, or in order, or the only one.
        batch_axis: Position of the batch; None where nothing grows.
        name: Task name; None for the class'.
        shapes: Shapes that are to be seen otherwise, as for `from_onnx`.

    Returns:
        An artifact that holds the module itself and the digest of its weights (not of its code);
        only a backend in the same process takes it as it is, others take a conversion.

    Raises:
        SpecError: If the example does not fit, the module cannot be run at two batch sizes, returns
            something else than tensors, or an output grows in a way that no spec can say.
        ArtifactError: If it is no module, or cannot be copied.
        UnknownNameError: If `shapes` names no input or output.
    """
    from bytemlperf.conversion import torch_probe
    from bytemlperf.conversion.torch_state import state_digest

    task = name or task_name(type(module).__name__)
    bare = ModelSpec(name=task, framework=Framework.TORCH, format=Format.TORCH_MODULE, inputs=(), outputs=())
    copied = torch_probe.evaluation_copy(module, bare)
    arguments = torch_probe.named_arguments(copied, example)
    seen = torch_probe.described(arguments)
    size = _batch_size(seen, batch_axis, shapes or {})
    outputs = torch_probe.described(torch_probe.run(copied, arguments))
    inputs = tuple(_freed(each, size, batch_axis, shapes or {}) for each in seen)
    signature = Signature(inputs=inputs, outputs=outputs, precision=torch_probe.precision_of(copied))
    reading = Reading.of(signature, batch_axis=batch_axis, shapes=shapes)
    measured = _measured(copied, arguments, reading.inputs()) if size is not None else {}
    spec = reading.spec(task, Framework.TORCH, Format.TORCH_MODULE, measured)
    return ModelArtifact(
        spec=attrs.evolve(spec, parameters=sum(each.numel() for each in module.parameters())),
        format=Format.TORCH_MODULE,
        sha256=state_digest(module),
        origin=f"{type(module).__module__}.{type(module).__qualname__}",
        module=module,
    )


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(path).expanduser().absolute()


def _batch_size(inputs: Sequence[FileTensor], batch_axis: int | None, shapes: Shapes) -> int | None:
    """Return the batch size of an example: what the given shapes make of it, else the first input's."""
    sizes = {
        tensor.name: dim // length.times
        for tensor in inputs
        for length, dim in zip(_given(tensor, shapes) or (), tensor.dims or (), strict=False)
        if isinstance(length, Axis) and isinstance(dim, int)
    }
    if len(set(sizes.values())) > 1:
        raise SpecError("the example's tensors are of different batch sizes", got=sizes)
    for tensor in inputs:
        position = axis_position(tensor.dims or (), batch_axis)
        if tensor.name not in shapes and position is not None:
            sizes.setdefault("the first input", int((tensor.dims or ())[position] or 0))
    return next(iter(sizes.values()), None)


def _freed(tensor: FileTensor, size: int | None, batch_axis: int | None, shapes: Shapes) -> FileTensor:
    """Declare the lengths free that an example's batch size decides."""
    dims, given = tensor.dims or (), _given(tensor, shapes)
    position = axis_position(dims, batch_axis)
    if given is not None:
        free = {each for each, length in enumerate(given) if isinstance(length, Axis)}
    else:
        free = {each for each, dim in enumerate(dims) if each == position and dim == size}
    return attrs.evolve(tensor, dims=tuple(None if each in free else dim for each, dim in enumerate(dims)))


def _given(tensor: FileTensor, shapes: Shapes) -> Shape | None:
    return given_shape(tensor, shapes[tensor.name]) if tensor.name in shapes else None


def _measured(
    module: nn.Module, arguments: Mapping[str, Tensor], inputs: Sequence[TensorSpec]
) -> dict[int, dict[str, tuple[int, ...]]]:
    """Run a module at two batch sizes; return the shapes of its outputs at each."""
    from bytemlperf.conversion.torch_probe import resized, run

    return {
        size: {
            name: tuple(output.shape)
            for name, output in run(
                module, {each.file_name: resized(arguments[each.file_name], each.sized(size)) for each in inputs}
            ).items()
        }
        for size in _SIZES
    }

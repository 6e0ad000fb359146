"""What every built-in backend refuses in the same words: inputs, devices, precisions, files that do not fit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bytemlperf.errors import (
    BackendUnavailableError,
    CompileError,
    InputMismatchError,
    PredictError,
    WeightsUnavailableError,
)
from bytemlperf.spec import Axis, DType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.backends.compiled import CompileOptions
    from bytemlperf.sample import Array, Batch
    from bytemlperf.spec import TensorSpec

Shape = tuple[int | None, ...]
BFLOAT16_BITS: Final = ("bfloat16", "void16", "uint16")
"""Names of the types under which the bits of bfloat16 may come: numpy's files lose the type, not the bits."""
_NOT_PLAIN: Final = frozenset({DType.BFLOAT16, DType.FLOAT8, DType.INT4, DType.STRING})


class InputCheck:
    """See that a batch is what an engine takes; made once at compile, asked at every query.

    Args:
        inputs: What the engine takes, in its order.
    """

    def __init__(self, inputs: tuple[TensorSpec, ...]) -> None:
        self._inputs = inputs
        self._names = tuple(tensor.name for tensor in inputs)
        self._dtypes = tuple(_plain_dtype(tensor.dtype) for tensor in inputs)
        self._shapes: dict[int, tuple[Shape, ...]] = {}

    def arrays(self, batch: Batch) -> list[Array]:
        """Return the batch's arrays in the engine's order. Not copied.

        Raises:
            InputMismatchError: If one is missing, is not asked for, or has another dtype or shape.
        """
        shapes = self._shapes.get(batch.size) or self._sized(batch.size)
        given = batch.inputs
        if len(given) != len(self._names):
            self._refuse_names(given)
        arrays = []
        for tensor, dtype, shape in zip(self._inputs, self._dtypes, shapes, strict=True):
            array = given.get(tensor.name)
            if array is None:
                self._refuse_names(given)
            elif array.dtype != dtype and not _stands_for(array.dtype, tensor.dtype):
                raise _mismatch(tensor.name, "dtype", array.dtype.name, tensor.dtype.value)
            elif array.shape != shape and not _fits(array.shape, shape):
                raise _mismatch(tensor.name, "shape", list(array.shape), _written(shape))
            else:
                arrays.append(array)
        return arrays

    def _sized(self, size: int) -> tuple[Shape, ...]:
        shapes = tuple(_shape(tensor, size) for tensor in self._inputs)
        self._shapes[size] = shapes
        return shapes

    def _refuse_names(self, given: Mapping[str, Array]) -> None:
        missing = [name for name in self._names if name not in given]
        unknown = [name for name in given if name not in self._names]
        error = InputMismatchError(
            f"input {missing[0]!r} is missing" if missing else f"input {unknown[0]!r} is not asked for",
            got=sorted(given),
            expected=", ".join(self._names),
        )
        error.tensor = (missing or unknown)[0]
        raise error


def _plain_dtype(dtype: DType) -> np.dtype[Any]:
    """Return numpy's type of that name; where it has none, one that no array has."""
    return np.dtype("V0" if dtype in _NOT_PLAIN else dtype.value)


def _stands_for(found: np.dtype[Any], dtype: DType) -> bool:
    """Tell whether arrays of a type are taken for a dtype that is no plain type of numpy's."""
    if dtype is DType.STRING:
        return found.kind in "USOT"
    if dtype is DType.BFLOAT16:
        return found.name in (*BFLOAT16_BITS, "float32")
    return dtype in _NOT_PLAIN and found.name == dtype.value


def _shape(tensor: TensorSpec, size: int) -> Shape:
    """Return the shape at a batch size; None for an axis that is free."""
    sized = tensor.sized(size)
    free = [isinstance(axis, Axis) and axis.name != "batch" for axis in tensor.shape]
    return tuple(None if is_free else length for is_free, length in zip(free, sized, strict=True))


def _fits(found: tuple[int, ...], expected: Shape) -> bool:
    return len(found) == len(expected) and all(
        want is None or have == want for have, want in zip(found, expected, strict=True)
    )


def _written(shape: Shape) -> str:
    return f"[{', '.join('any' if length is None else str(length) for length in shape)}]"


def _mismatch(name: str, fact: str, got: object, expected: str) -> InputMismatchError:
    error = InputMismatchError(f"input {name!r} has another {fact} than the engine takes", got=got, expected=expected)
    error.tensor = name
    return error


def model_file(artifact: ModelArtifact) -> Path:
    """Return the path of an artifact that is a file or folder.

    Raises:
        WeightsUnavailableError: If it has none, or nothing is there.
    """
    if artifact.path is None or not artifact.path.exists():
        raise WeightsUnavailableError(
            f"the file of {artifact.name} is not there", where=str(artifact.path), remedy="resolve the model again"
        )
    return artifact.path


def match_tensors(
    artifact: ModelArtifact,
    kind: str,
    tensors: tuple[TensorSpec, ...],
    found: Collection[str],
    *,
    all_of_them: bool = False,
) -> None:
    """Refuse a file that lacks a tensor of the spec, or needs one that the spec does not have.

    Args:
        artifact: Whose file it is.
        kind: `inputs` or `outputs`, for the message.
        tensors: Those of the spec.
        found: The file's own names.
        all_of_them: Whether the spec must have all that the file has.

    Raises:
        CompileError: Naming both sides.
    """
    named = {tensor.file_name: tensor.name for tensor in tensors}
    wrong = [name for name in named if name not in found]
    if all_of_them:
        wrong += [name for name in found if name not in named]
    if not wrong:
        return
    error = CompileError(
        f"the {kind} of {artifact.name} are not those of its file",
        where=str(artifact.path),
        got=sorted(found),
        expected=", ".join(sorted(named)),
        remedy="the spec's original_name is the name in the file",
    )
    error.tensor = named.get(wrong[0], wrong[0])
    raise error


def one_device(options: CompileOptions, default: str) -> str:
    """Return the device that is asked for, or the default.

    Raises:
        CompileError: If several are asked for.
    """
    if len(options.devices) > 1:
        raise CompileError(
            "a compiled model of this backend runs on one device", got=options.devices, expected="one device id"
        )
    return options.devices[0] if options.devices else default


def refuse_device(backend: str, device: str, known: Iterable[str]) -> BackendUnavailableError:
    """Return the error for a device that is not there."""
    return BackendUnavailableError(
        f"{backend} has no device {device!r} on this machine", expected=f"one of: {', '.join(known)}"
    )


def own_precision(artifact: ModelArtifact, options: CompileOptions, backend: str) -> DType:
    """Return the model's own precision, the only one that a backend that casts nothing has.

    Raises:
        CompileError: If another one is asked for.
    """
    own = artifact.spec.precision
    if options.precision not in (None, own):
        raise refuse_precision(backend, options.precision, (own,))
    return own


def refuse_precision(backend: str, asked: object, supported: Sequence[DType]) -> CompileError:
    """Return the error for a precision that a backend cannot give this model."""
    return CompileError(
        f"{backend} cannot run this model at the precision that is asked for",
        got=str(asked),
        expected="one of " + ", ".join(each.short for each in supported),
    )


def released(backend: str) -> PredictError:
    """Return the error for a query to a compiled model that was given back."""
    return PredictError(f"the compiled model of {backend} was released", remedy="compile it again")


def operator_in(message: str, patterns: Iterable[re.Pattern[str]]) -> str | None:
    """Return the operator that a runtime's message names, by the first pattern's first group that matches."""
    return next((found[1] for pattern in patterns if (found := pattern.search(message))), None)


def one_line(error: BaseException) -> str:
    """Return type and message of a runtime's error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def owned(value: Any) -> Any:  # noqa: ANN401 - one of a runtime's outputs: an array, a list, None
    """Widen bfloat16, which numpy does not have, to float32; leave the rest."""
    if isinstance(value, np.ndarray) and value.dtype.name == "bfloat16":
        return value.astype(np.float32)
    return value

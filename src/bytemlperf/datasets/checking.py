"""What a loader gave, held against what the model's inputs say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bytemlperf.datasets.casting import Kind, kind_of, misfit, numpy_dtype
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bytemlperf.sample import Array
    from bytemlperf.spec import TensorSpec


def check_names(arrays: Mapping[str, Array], inputs: Sequence[TensorSpec], *, dataset: str) -> None:
    """Refuse arrays that are not one for each input: matching is by name, never by position.

    Raises:
        DatasetError: If an array is missing, or there is one that no input takes.
    """
    names = {tensor.name for tensor in inputs}
    if set(arrays) != names:
        raise DatasetError(
            f"data set {dataset!r} does not give the model's inputs",
            got=sorted(arrays),
            expected=f"the names {sorted(names)}",
        )


def checked(array: Array, tensor: TensorSpec, *, samples: int, dataset: str) -> Array:
    """Return an input in the model's own dtype; not copied where it has it.

    Args:
        array: As loaded.
        tensor: What the model says of it.
        samples: How many were asked for.
        dataset: Name for messages.

    Raises:
        DatasetError: If the shape is not `tensor.sized(samples)`, if it is of another kind of numbers,
            if a value does not fit the dtype, or lies outside the vocabulary.
    """
    shape = tensor.sized(samples)
    if not isinstance(array, np.ndarray) or array.shape != shape:
        got = array.shape if isinstance(array, np.ndarray) else type(array).__name__
        raise _refusal(tensor, dataset, "has another shape", got=got, expected=f"{shape} for {samples} samples")
    if not same_kind(array, tensor):
        raise _refusal(tensor, dataset, "is of another kind", got=str(array.dtype), expected=f"{tensor.dtype}")
    problem = misfit(array, tensor.dtype)
    if problem is not None:
        raise _refusal(tensor, dataset, "does not fit its dtype", got=problem, expected=f"{tensor.dtype}")
    outside = _beyond_vocabulary(array, tensor)
    if outside is not None:
        expected = f"whole numbers from 0, below {tensor.high}"
        raise _refusal(tensor, dataset, "lies outside its vocabulary", got=outside, expected=expected)
    return array.astype(numpy_dtype(tensor.dtype), copy=False)


def same_kind(array: Array, tensor: TensorSpec) -> bool:
    """Whether both are whole numbers, or both floating-point; pixels for a float input lack their preprocessing."""
    return kind_of(array.dtype) is (Kind.FLOAT if tensor.dtype.is_float else Kind.INTEGER)


def _beyond_vocabulary(array: Array, tensor: TensorSpec) -> int | None:
    if tensor.high is None or tensor.dtype.is_float or not array.size:
        return None
    return next((int(value) for value in (array.min(), array.max()) if not 0 <= value < tensor.high), None)


def _refusal(tensor: TensorSpec, dataset: str, problem: str, *, got: object, expected: str) -> DatasetError:
    error = DatasetError(f"input {tensor.name!r} of data set {dataset!r} {problem}", got=got, expected=expected)
    error.tensor = tensor.name
    return error

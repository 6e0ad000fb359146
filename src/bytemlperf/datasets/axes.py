"""Where samples lie in a tensor: from a row of samples to the model's own axes, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bytemlperf.errors import SpecError
from bytemlperf.spec import Axis

if TYPE_CHECKING:
    from bytemlperf.sample import Array
    from bytemlperf.spec import TensorSpec


def sample_shape(tensor: TensorSpec) -> tuple[int, ...]:
    """Return the shape of one sample: [times, *the axes that do not grow with the batch].

    Raises:
        SpecError: If none or more than one axis grows with the batch.

    Example:
        >>> from bytemlperf.spec import TensorSpec
        >>> sample_shape(TensorSpec(name="indices", shape=("26*batch", 2), dtype="int64"))
        (26, 2)
    """
    growing = [axis for axis in tensor.shape if isinstance(axis, Axis)]
    if len(growing) != 1:
        raise SpecError(
            f"tensor {tensor.name!r} has no single batch axis",
            got=[str(axis) for axis in tensor.shape],
            expected="one axis in batch",
        )
    return (growing[0].times, *(axis for axis in tensor.shape if not isinstance(axis, Axis)))


def join_samples(rows: Array, tensor: TensorSpec) -> Array:
    """Return rows of samples in the model's own shape.

    Args:
        rows: [n, times, *other axes]; where `times` is 1, [n, *other axes] will do.
        tensor: A batched input or output.

    Returns:
        Contiguous, `tensor.sized(n)`: the `times` rows of a sample stay together.
    """
    times, *others = sample_shape(tensor)
    flat = rows.reshape(len(rows) * times, *others)
    return np.ascontiguousarray(np.moveaxis(flat, 0, tensor.batch_axis or 0))


def split_samples(array: Array, tensor: TensorSpec, *, samples: int) -> Array:
    """Undo `join_samples`: from `tensor.sized(samples)` to [samples, times, *other axes], a view where possible."""
    times, *others = sample_shape(tensor)
    return np.moveaxis(array, tensor.batch_axis or 0, 0).reshape(samples, times, *others)

"""Wide outputs, such as logits over a vocabulary, kept by their largest values alone."""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.sample import Array
from bytemlperf.spec import TensorSpec

WIDE: Final = 4096
"""Length of the last axis from which an output may be reduced; no classifier of images has as many classes."""
WHOLE_BYTES: Final = 256 * 2**20
"""Reference outputs up to that size are kept whole, however wide."""
TOP: Final = 64
"""Values that are kept of each row."""


def is_reduced(tensor: TensorSpec, samples: int) -> bool:
    """Tell whether an output over so many samples is kept by its largest values: by its spec alone."""
    shape = tensor.sized(samples)
    last = len(shape) - 1
    if not shape or not tensor.dtype.is_float or tensor.batch_axis in {None, last} or shape[-1] < WIDE:
        return False
    return int(np.prod(shape, dtype=np.float64)) * 4 > WHOLE_BYTES


def tops(array: Array) -> NDArray[np.int32]:
    """Return where the 64 largest values of each row are, ascending, int32[..., 64]; NaN counts as largest."""
    found = np.argpartition(array, -TOP, axis=-1)[..., -TOP:]
    return np.sort(found, axis=-1).astype(np.int32)


def reduced(array: Array, places: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the values at some places of each row and the row's root mean square, float64[..., 65].

    A NaN, an infinity or a wrong value anywhere else in the row shows in the root mean square, which is never above
    the row's largest magnitude and so does not change what differences are divided by.
    """
    wide = np.asarray(array)
    values = np.take_along_axis(wide, places.astype(np.int64), axis=-1).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.square(wide, dtype=np.float64).mean(axis=-1, keepdims=True)
    return np.concatenate([values, np.sqrt(square)], axis=-1)


def reduced_spec(tensor: TensorSpec) -> TensorSpec:
    """Return the spec of a reduced output."""
    return attrs.evolve(tensor, shape=(*tensor.shape[:-1], TOP + 1))


def top_spec(tensor: TensorSpec) -> TensorSpec:
    """Return the spec of the places of a reduced output's values."""
    return attrs.evolve(tensor, shape=(*tensor.shape[:-1], TOP), dtype="int32")

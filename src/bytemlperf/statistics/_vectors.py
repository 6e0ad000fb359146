"""What comes in, as one-dimensional arrays that can be computed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def real_vector(values: npt.ArrayLike, *, name: str = "values") -> npt.NDArray[np.integer] | npt.NDArray[np.floating]:
    """Take values as an array [n] of integers or floats, copied only if they are no such array.

    Raises:
        ValueError: if they are not one-dimensional, none at all, no real numbers, or not all finite.
    """
    vector = np.asarray(values)
    if vector.ndim != 1 or vector.size == 0:
        raise ValueError(f"{name} must be one-dimensional and not empty, got shape {vector.shape}")
    if vector.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be integers or floats, got dtype {vector.dtype}")
    check_finite(vector, name=name)
    return vector


def float_vector(values: npt.ArrayLike, *, name: str = "values") -> npt.NDArray[np.float64]:
    """Take values as an array [n] of float64.

    Raises:
        ValueError: as `real_vector`.
    """
    return real_vector(values, name=name).astype(np.float64, copy=False)


def check_finite(array: npt.NDArray[np.generic], *, name: str) -> None:
    """Refuse NaN and infinity, which no figure may swallow in silence.

    Raises:
        ValueError: saying how many there are.
    """
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise ValueError(f"{name} must be finite, but {bad} of {array.size} are NaN or infinite")

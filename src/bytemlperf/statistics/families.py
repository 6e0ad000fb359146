"""Many tests at once: one of a hundred true nulls is refused by chance, so their p-values are raised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bytemlperf.statistics._vectors import float_vector

if TYPE_CHECKING:
    import numpy.typing as npt


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Raise p-values so that with probability 1 - alpha not one null hypothesis that is true is below alpha.

    The i-th smallest of m is multiplied by m - i + 1, never to less than the one before it, nor above 1. It holds
    whatever the dependence between the tests.

    Args:
        p_values: Array [m] between 0 and 1, in any order; may be empty.

    Returns:
        Raised p-values in the same order.

    Raises:
        ValueError: if it is not one-dimensional, or a value is not between 0 and 1.

    Source:
        Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6(2), 1979,
        pp. 65-70.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.shape == (0,):
        return given
    vector = float_vector(given, name="p_values")
    if vector.min() < 0 or vector.max() > 1:
        raise ValueError(f"p_values must lie between 0 and 1, got {vector.min()} to {vector.max()}")
    order = np.argsort(vector, kind="stable")
    raised = np.minimum(np.maximum.accumulate(vector[order] * np.arange(vector.size, 0, -1)), 1.0)
    result = np.empty_like(vector)
    result[order] = raised
    return result

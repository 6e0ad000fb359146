"""Indices that a loader is asked for, checked: numpy would wrap a negative one in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def positions(indices: Sequence[int] | NDArray[np.int64], *, total: int, dataset: str) -> NDArray[np.int64]:
    """Return indices as int64[n].

    Args:
        indices: Whole numbers.
        total: How many samples can be loaded, those for calibration included.
        dataset: Name for the message.

    Raises:
        DatasetError: If one is no whole number from 0 to `total` - 1.

    Example:
        >>> positions([2, 0], total=3, dataset="digits")
        array([2, 0])
    """
    found = np.asarray(indices)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise DatasetError(f"indices into data set {dataset!r} are no list of whole numbers", got=indices)
    wrong = found[(found < 0) | (found >= total)]
    if wrong.size:
        raise DatasetError(
            f"data set {dataset!r} has no such sample", got=int(wrong[0]), expected=f"an index from 0 to {total - 1}"
        )
    return found.astype(np.int64)

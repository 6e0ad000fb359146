"""When queries are due, made of gaps between them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bytemlperf.scenarios.base import NS_PER_S, check_size


def until(
    gaps_ns: Callable[[int], NDArray[np.int64]],
    *,
    rate_qps: float,
    min_queries: int,
    min_duration_ns: int,
    multiple_of: int = 1,
) -> NDArray[np.int64]:
    """Add up gaps until there are enough queries, in number and in time; the first is due at 0.

    Args:
        gaps_ns: Draws so many further gaps, in ns.
        rate_qps: About how many there are in a second.
        min_queries: Least number of queries, at least 1.
        min_duration_ns: The last one is not due before it.
        multiple_of: Their number is a multiple of it.

    Returns:
        int64[n], in order.

    Raises:
        SpecError: If they would be too many to hold.
    """
    expected = rate_qps * min_duration_ns / NS_PER_S
    check_size(max(expected, min_queries))
    due = np.zeros(1, np.int64)
    while (count := _enough(due, min_queries, min_duration_ns, multiple_of)) > len(due):
        left_ns = max(min_duration_ns - int(due[-1]), 0)
        missing = max(count - len(due), int(rate_qps * left_ns / NS_PER_S), 64)
        check_size(len(due) + missing)
        due = np.concatenate([due, due[-1] + np.cumsum(gaps_ns(missing))])
    return due[:count]


def _enough(due: NDArray[np.int64], min_queries: int, min_duration_ns: int, multiple_of: int) -> int:
    """Return how many queries are enough: more than there are if the last of them is not late enough."""
    count = max(min_queries, int(np.searchsorted(due, min_duration_ns)) + 1)
    return -(-count // multiple_of) * multiple_of

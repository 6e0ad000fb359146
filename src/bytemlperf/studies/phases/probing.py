"""What this machine's processor and memory reach at best, measured by numpy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import attrs
import numpy as np

_SIDE: Final = 1536
_READ_BYTES: Final = 256 * 2**20
"""Beyond any cache."""
_TIMES: Final = 5


@attrs.frozen(kw_only=True)
class MachineLimits:
    """What a machine reaches at best.

    Attributes:
        flops_per_s: Of a float32 matrix product by numpy, the fastest of five.
        read_bytes_per_s: Of reading memory by as many threads as there are processors, the fastest of five.
    """

    flops_per_s: float
    read_bytes_per_s: float


def machine_limits(*, side: int = _SIDE, read_bytes: int = _READ_BYTES) -> MachineLimits:
    """Measure this machine's limits; takes about a second.

    Args:
        side: Of the square matrices that are multiplied.
        read_bytes: Memory that is read.
    """
    drawn = np.random.default_rng(0)
    left, right = (drawn.random((side, side), dtype=np.float32) for _ in range(2))
    answer = np.empty_like(left)
    product_s = _fastest_s(lambda: np.matmul(left, right, out=answer))
    return MachineLimits(flops_per_s=2 * side**3 / product_s, read_bytes_per_s=_read_rate(read_bytes))


def _read_rate(size: int) -> float:
    threads = len(os.sched_getaffinity(0))
    parts = np.array_split(np.ones(size // 8, dtype=np.int64), threads)
    with ThreadPoolExecutor(threads) as pool:
        taken_s = _fastest_s(lambda: list(pool.map(np.bitwise_or.reduce, parts)))
    return sum(part.nbytes for part in parts) / taken_s


def _fastest_s(do: Callable[[], object]) -> float:
    times = []
    for _ in range(_TIMES):
        begin = time.perf_counter_ns()
        do()
        times.append(time.perf_counter_ns() - begin)
    return max(min(times), 1) / 1e9

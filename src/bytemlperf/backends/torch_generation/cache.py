"""Keys and values of the requests under way: one row a request, allocated once."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from bytemlperf.causal import Cache, CausalShape

_STEP: Final = 64
"""Positions by which a view of the cache grows, so that shapes seldom change."""

_NUMPY: Final = {torch.float32: np.float32, torch.float16: np.float16, torch.float64: np.float64}


class Rows:
    """The cache of every request under way.

    Memory is reserved once; on the CPU a page of it is taken only when it is first written to.

    Args:
        shape: The model's.
        rows: Most requests at a time.
        length: Most positions of a request.
        dtype: Type of keys and values.
        device: Where they lie.
    """

    def __init__(self, shape: CausalShape, *, rows: int, length: int, dtype: torch.dtype, device: torch.device) -> None:
        size = (rows, shape.kv_heads, length, shape.head_dim)
        self.length = length
        self._layers = [(_zeros(size, dtype, device), _zeros(size, dtype, device)) for _ in range(shape.layers)]

    def view(self, first: int, last: int, positions: int) -> Cache:
        """Return rows `first` to `last - 1` with room for `positions`; writing to it writes to the cache."""
        reach = min(-(-positions // _STEP) * _STEP, self.length)
        return [(_part(keys, first, last, reach), _part(values, first, last, reach)) for keys, values in self._layers]

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy what a row holds to another."""
        for keys, values in self._layers:
            for each in (keys, values):
                each[target, :, :positions] = each[source, :, :positions]


def _zeros(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return zeros, not what memory held before: a masked value counts zero times, and zero times NaN is NaN."""
    if device.type == "cpu" and dtype in _NUMPY:
        return torch.from_numpy(np.zeros(size, _NUMPY[dtype]))  # numpy's come from the system and take no memory yet
    return torch.zeros(size, dtype=dtype, device=device)


def _part(each: Tensor, first: int, last: int, reach: int) -> Tensor:
    return each[first:last, :, :reach]


def bytes_of(shape: CausalShape, dtype: torch.dtype) -> int:
    """Return the bytes of one position of one request."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * dtype.itemsize

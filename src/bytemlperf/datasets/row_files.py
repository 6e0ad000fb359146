"""Rows of numbers in files: read when they are asked for, so that memory is that of the rows that are asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from bytemlperf.sample import Array


class RowFile:
    """A file of rows of one shape and type, one after another and nothing else; to be indexed as an array is.

    The file is mapped only while it is read: pages of it that were read would count as the process' own memory as long
    as they are mapped, and would grow to the whole file.

    Args:
        path: The file.
        dtype: Of the numbers.
        shape: Of a row; empty where a row is one number.

    Raises:
        DatasetError: If the file is missing, or has no whole number of rows.
    """

    def __init__(self, path: Path, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> None:
        """Look how many rows there are."""
        self._path, self._dtype, self._shape = path, np.dtype(dtype), shape
        row_bytes = self._dtype.itemsize * math.prod(shape)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DatasetError("a file cannot be read", where=str(path), got=str(error)) from error
        self._length, rest = divmod(size, row_bytes)
        if rest:
            raise DatasetError("a file is cut off", where=str(path), got=size, expected=f"a multiple of {row_bytes}")

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    def __getitem__(self, where: slice | NDArray[np.int64]) -> Array:
        """Return some rows, [n, *shape], as an array of their own.

        Raises:
            DatasetError: If the file cannot be read any more.
        """
        if not self._length:
            return np.empty((0, *self._shape), self._dtype)
        try:
            rows = np.memmap(self._path, self._dtype, mode="r", shape=(self._length, *self._shape))
        except (OSError, ValueError) as error:
            raise DatasetError("a file cannot be read", where=str(self._path), got=str(error)) from error
        return np.array(rows[where])

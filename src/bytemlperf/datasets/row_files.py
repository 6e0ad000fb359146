"""Rows of numbers in files: read when they are asked for, so that memory is that of the rows that are asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from bytemlperf.sample import Array

_STARTS: Final = ".starts"
_DENSE: Final = 4
"""How many numbers are read for each that is asked for, rather than to look for each by itself."""
_SLACK_BYTES: Final = 2**17
"""What is read besides in any case: it takes no longer."""
_ROWS_AT_ONCE: Final = 2**15


class RowFile:
    """A file of rows of one shape and type, one after another; to be indexed as an array is.

    The file is mapped at most while it is read: pages of it that were read would count as the process' own memory as
    long as they are mapped, and would grow to the whole file.

    Args:
        path: The file.
        dtype: Of the numbers.
        shape: Of a row; empty where a row is one number.
        offset: Bytes before the first row.
        length: Number of rows; None where they go to the end of the file and nothing else follows.

    Raises:
        DatasetError: If the file is missing, or has no whole number of rows, or too few.
    """

    def __init__(
        self, path: Path, dtype: DTypeLike, shape: tuple[int, ...] = (), *, offset: int = 0, length: int | None = None
    ) -> None:
        """Look how many rows there are."""
        self.path, self.dtype, self.shape, self._offset = path, np.dtype(dtype), shape, offset
        self._row_bytes = self.dtype.itemsize * math.prod(shape)
        try:
            size = path.stat().st_size - offset
        except OSError as error:
            raise DatasetError("a file cannot be read", where=str(path), got=str(error)) from error
        whole, rest = divmod(size, self._row_bytes)
        if size < 0 or (rest if length is None else length > whole):
            expected = f"a multiple of {self._row_bytes}" if length is None else f"{length * self._row_bytes}"
            raise DatasetError("a file is cut off", where=str(path), got=size, expected=expected)
        self._length = whole if length is None else length

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    def __getitem__(self, where: slice | NDArray[np.integer]) -> Array:
        """Return some rows, [*shape of where, *shape of a row], as an array of their own.

        Args:
            where: A slice without a step, or whole numbers from 0 in an array of any shape.

        Raises:
            DatasetError: If the file cannot be read any more.
        """
        if isinstance(where, slice):
            start, stop, _ = where.indices(self._length)
            return self._between(start, max(start, stop))
        if not where.size:
            return np.empty((*where.shape, *self.shape), self.dtype)
        first, last = int(where.min()), int(where.max())
        if (last - first) * self._row_bytes < _DENSE * where.size * self._row_bytes + _SLACK_BYTES:
            rows: Array = self._between(first, last + 1)[where - first]
            return rows
        return np.array(self.mapped()[where])

    def blocks(self, rows: int = _ROWS_AT_ONCE) -> Iterator[Array]:
        """Yield all rows, some at a time."""
        for start in range(0, self._length, rows):
            yield self[start : start + rows]

    def mapped(self) -> Array:
        """Return all rows, mapped: what is read of them counts as the process' memory until nobody has the array.

        Raises:
            DatasetError: If the file cannot be read any more.
        """
        if not self._length:
            return self._between(0, 0)
        try:
            return np.memmap(self.path, self.dtype, mode="r", offset=self._offset, shape=(self._length, *self.shape))
        except (OSError, ValueError) as error:
            raise self._unreadable(str(error)) from error

    def _between(self, start: int, stop: int) -> Array:
        count = (stop - start) * math.prod(self.shape)
        try:
            found = np.fromfile(self.path, self.dtype, count, offset=self._offset + start * self._row_bytes)
        except OSError as error:
            raise self._unreadable(str(error)) from error
        if len(found) < count:
            raise self._unreadable("it is cut off")
        return found.reshape(stop - start, *self.shape)

    def _unreadable(self, got: str) -> DatasetError:
        return DatasetError("a file cannot be read", where=str(self.path), got=got)


class RaggedFile:
    """Rows of different lengths: a file of their numbers, and beside it one of where each begins.

    Args:
        path: The file of numbers; what `add_rows` writes.
        dtype: Of the numbers.

    Raises:
        DatasetError: If a file is missing or cut off.
    """

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        """Look how many rows there are."""
        self.values = RowFile(path, dtype)
        self._starts = RowFile(path.with_name(path.name + _STARTS), np.int64)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._starts) - 1

    def starts(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return where rows begin among all numbers; that after the last row is where the last one ends."""
        found: NDArray[np.int64] = self._starts[rows]
        return found

    def rows(self, chosen: Sequence[int] | NDArray[np.integer]) -> list[Array]:
        """Return some rows, an array of its own length each.

        Raises:
            DatasetError: If a file cannot be read any more.
        """
        numbers = np.asarray(chosen, np.int64)
        if not numbers.size:
            return []
        starts, ends = self.starts(numbers), self.starts(numbers + 1)
        first, last = int(starts.min()), int(ends.max())
        asked = int((ends - starts).sum())
        if (last - first - _DENSE * asked) * self.values.dtype.itemsize > _SLACK_BYTES:
            return [self.values[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        whole = self.values[first:last]
        return [whole[start:end] for start, end in zip((starts - first).tolist(), (ends - first).tolist(), strict=True)]

    def texts(self, chosen: Sequence[int] | NDArray[np.integer]) -> list[str]:
        """Return some rows of bytes as the texts that `add_texts` took."""
        return [row.tobytes().decode("utf-8", "surrogatepass") for row in self.rows(chosen)]

    def blocks(self, rows: int = 1024) -> Iterator[list[Array]]:
        """Yield all rows, some at a time."""
        for start in range(0, len(self), rows):
            yield self.rows(range(start, min(start + rows, len(self))))


def add_array(path: Path, rows: Array) -> None:
    """Write rows behind those that a file has; the file is made where there is none.

    Raises:
        OSError: If it cannot be written.
    """
    with path.open("ab") as file:
        np.ascontiguousarray(rows).tofile(file)


def add_rows(path: Path, rows: Sequence[Array], dtype: DTypeLike) -> None:
    """Write rows of different lengths behind those that the files of a `RaggedFile` have.

    Raises:
        OSError: If they cannot be written.
    """
    starts = path.with_name(path.name + _STARTS)
    if not starts.exists():
        add_array(starts, np.zeros(1, np.int64))
    begun = path.stat().st_size // np.dtype(dtype).itemsize if path.exists() else 0
    add_array(starts, begun + np.cumsum([len(row) for row in rows], dtype=np.int64))
    add_array(path, np.concatenate([np.empty(0, dtype), *rows]).astype(dtype, copy=False))


def add_texts(path: Path, texts: Sequence[str]) -> None:
    """Write texts behind those that the files of a `RaggedFile` of bytes have.

    Raises:
        OSError: If they cannot be written.
    """
    add_rows(path, [np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8) for text in texts], np.uint8)

"""Pickles as data: numpy arrays and plain values, and nothing that runs."""

from __future__ import annotations

import io
import math
import os
import pickle
from pathlib import Path
from typing import IO, Any, Final, cast

import attrs
import numpy as np

from bytemlperf.datasets.locating import read_bytes
from bytemlperf.errors import DatasetError

_ALLOWED: Final = {
    ("_codecs", "encode"): ("_codecs", "encode"),
    ("numpy", "dtype"): ("numpy", "dtype"),
    ("numpy", "ndarray"): ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
}
"""What a pickle of arrays names, by its old and new places; none of it does anything but build values."""
_MANY: Final = 2**20
"""Bytes that are left in the file; no frame of a pickle, which has to be read, is that long."""


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - the base's
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(*_ALLOWED[module, name])


def restricted_load(file: IO[bytes]) -> Any:  # noqa: ANN401 - what the file holds
    """Read a pickle of arrays, lists and plain values.

    Raises:
        UnpicklingError: If it names anything else; nothing of that has run.
    """
    return _Restricted(file, encoding="latin1").load()


def read_pickle(path: Path) -> dict[str, Any]:
    """Read a dictionary of arrays and plain values; a pickle that names anything else is refused, nothing of it runs.

    An array whose bytes stand in the file as they are, and are many, is not read: it is mapped, as `numpy.memmap`.

    Args:
        path: Of a pickle written by Python 2 or 3.

    Raises:
        DatasetError: If it names anything but arrays, is damaged, or holds no dictionary.
    """
    try:
        found = _mapped(path)
    except Exception:  # noqa: BLE001 - the other way reads whatever can be read, and says what is wrong with the rest
        found = _whole(path)
    if not isinstance(found, dict):
        raise DatasetError("a pickle holds no dictionary", where=str(path), got=type(found).__name__)
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in found.items()}


def _whole(path: Path) -> Any:  # noqa: ANN401 - what the file holds
    try:
        return restricted_load(io.BytesIO(read_bytes(path)))
    except DatasetError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its damage leads to
        raise DatasetError(
            "a pickle cannot be read",
            where=str(path),
            got=f"{type(error).__name__}: {error}",
            expected="arrays and text",
        ) from error


def _mapped(path: Path) -> Any:  # noqa: ANN401 - what the file holds
    with path.open("rb") as file:
        reading = _Mapping(cast("IO[bytes]", _Spans(path, file)), encoding="latin1")
        found = {key: each.array if isinstance(each, _Array) else each for key, each in reading.load().items()}
    if reading.arrays != sum(isinstance(each, np.ndarray) for each in found.values()):
        raise pickle.UnpicklingError("an array lies within another value")
    return found


@attrs.frozen(kw_only=True)
class _Span:
    """Bytes of a file that are not read.

    Attributes:
        path: The file.
        start: The first of them.
        length: How many there are.
    """

    path: Path
    start: int
    length: int

    def __len__(self) -> int:
        return self.length

    def decode(self, *_: str) -> _Span:
        """Return itself: as text of Latin 1, bytes are what they are."""
        return self


class _Spans:
    """A file that gives a `_Span` in the place of many bytes."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file, self._size = path, file, path.stat().st_size
        self.readline = file.readline

    def read(self, count: int) -> bytes | _Span:
        start = self._file.tell()
        if count < _MANY or start + count > self._size:
            return self._file.read(count)
        self._file.seek(count, os.SEEK_CUR)
        return _Span(path=self._path, start=start, length=count)


class _Array:
    """Stands for an array until it is known what it holds."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, content = state[-4:]
        if not isinstance(content, _Span):
            self.array = np.ndarray(0, "b")
            self.array.__setstate__(state)
        elif fortran or dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content):
            raise pickle.UnpicklingError("an array's bytes are not what they should be")
        else:
            self.array = np.memmap(content.path, dtype, mode="r", offset=content.start, shape=shape)


class _Mapping(pickle._Unpickler):  # noqa: SLF001 - the one in Python, which hands bytes through as they are read
    arrays = 0

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - the base's
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return self._new_array if name == "_reconstruct" else super().find_class(*_ALLOWED[module, name])

    def _new_array(self, *_: object) -> _Array:
        self.arrays += 1
        return _Array()

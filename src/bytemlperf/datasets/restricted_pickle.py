"""Pickles as data: numpy arrays and plain values, and nothing that runs."""

from __future__ import annotations

import io
import pickle
from typing import IO, TYPE_CHECKING, Any, Final

from bytemlperf.datasets.locating import read_bytes
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

_ALLOWED: Final = {
    ("_codecs", "encode"): ("_codecs", "encode"),
    ("numpy", "dtype"): ("numpy", "dtype"),
    ("numpy", "ndarray"): ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
}
"""What a pickle of arrays names, by its old and new places; none of it does anything but build values."""


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

    Args:
        path: Of a pickle written by Python 2 or 3.

    Raises:
        DatasetError: If it names anything but arrays, is damaged, or holds no dictionary.
    """
    try:
        found = restricted_load(io.BytesIO(read_bytes(path)))
    except DatasetError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its damage leads to
        raise DatasetError(
            "a pickle cannot be read",
            where=str(path),
            got=f"{type(error).__name__}: {error}",
            expected="arrays and text",
        ) from error
    if not isinstance(found, dict):
        raise DatasetError("a pickle holds no dictionary", where=str(path), got=type(found).__name__)
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in found.items()}

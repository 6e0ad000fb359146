"""Keep answers and tell of errors, beside the backend: standard library and numpy, syntax of Python 3.7."""

from __future__ import annotations

import json
import threading
import traceback

import numpy as np

if False:
    from typing import Any, Dict, Mapping, Tuple


def widened(value: Any) -> Any:
    """Return an output as an array that .npy can hold: types that numpy lacks become float32.

    Raises TypeError for anything else than an array of numbers.
    """
    if not isinstance(value, np.ndarray):
        raise TypeError("an output is no numpy array but %s" % type(value).__name__)
    if value.dtype.kind == "V" or value.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        return value.astype(np.float32)
    if value.dtype.kind not in "biufc":
        raise TypeError("an output has dtype %s" % value.dtype)
    return value


class FileSink:
    """Keeps answers in files: one .npy stream an output, and a line an array in index.jsonl."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: Dict[str, Tuple[int, Any]] = {}
        self._lock = threading.Lock()
        self._index = open("%s/index.jsonl" % folder, "a")  # noqa: SIM115 - lives as long as the sink

    def __call__(self, query: int, outputs: Mapping[str, Any]) -> None:
        """Write an answer's arrays."""
        arrays = {str(name): widened(value) for name, value in outputs.items()}
        with self._lock:
            for name, array in arrays.items():
                number, file = self._file_of(name)
                row = {"query": query, "name": name, "file": number, "offset": file.tell()}
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
                file.flush()
                self._index.write(json.dumps(row) + "\n")
            self._index.flush()

    def _file_of(self, name: str) -> Tuple[int, Any]:
        if name not in self._files:
            number = len(self._files)
            self._files[name] = (number, open("%s/%d.npy" % (self._folder, number), "wb"))  # noqa: SIM115 - as above
        return self._files[name]

    def close(self) -> None:
        """Close all files."""
        for _, file in self._files.values():
            file.close()
        self._index.close()


def described(error: BaseException) -> Dict[str, Any]:
    """Return an error as plain JSON data: its code where it has one, facts, message and trail."""
    code = getattr(error, "code", None)
    facts = {name: getattr(error, name, None) for name in ("operator", "tensor", "where")}
    return dict(
        facts,
        type=type(error).__name__,
        message=str(error) or type(error).__name__,
        code=str(code) if isinstance(code, str) else None,
        out_of_memory=isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__,
        unavailable=isinstance(error, ImportError),
        traceback="".join(traceback.format_exception(type(error), error, error.__traceback__))[-4000:],
    )

"""Check and keep answers, beside the backend: standard library and numpy, syntax of Python 3.7."""

from __future__ import annotations

import contextlib
import json
import math
import numbers
import threading

import numpy as np

if False:
    from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

HELD_VALUES = 2**16
"""Values of each output of the first answer that are looked at again at the end."""
CHANGED = (
    "output %r of query %d was changed after it had been given: an answer is whole when predict returns, and from then "
    "on the caller's"
)


def widened(value: Any) -> Any:
    """Return an output as an array that .npy can hold: types that numpy lacks become float32.

    Raises TypeError for anything else than an array of numbers.
    """
    if not isinstance(value, np.ndarray):
        raise TypeError("an output is no numpy array but %s" % type(value).__name__)
    if value.dtype.isbuiltin == 2:  # noqa: PLR2004 - numpy's number for a type that a package has added
        return value.astype(np.float32)
    if value.dtype.kind not in "biufc":
        raise TypeError("an output has dtype %s" % value.dtype)
    return value


def named(outputs: Any) -> Dict[str, Any]:
    """Return an answer as arrays by name that .npy can hold.

    Raises TypeError for what is no answer.
    """
    if not hasattr(outputs, "items"):
        raise TypeError("an answer is no mapping of names to arrays but %s" % type(outputs).__name__)
    return {str(name): _array_of(name, value) for name, value in outputs.items()}


def _array_of(name: Any, value: Any) -> Any:
    try:
        return widened(value)
    except TypeError as error:
        raise TypeError("%s: %s" % (name, error)) from None


def check(_: int, outputs: Any) -> None:
    """Raise TypeError for what is no answer; keep nothing."""
    named(outputs)


def told_figures(told: Any) -> Tuple[Dict[str, float], Dict[str, str]]:
    """Return the numbers of a vendor tool's own figures by name, and why each of the others is refused.

    Raises TypeError for what is no mapping.
    """
    if not hasattr(told, "items"):
        raise TypeError("vendor_benchmark returned no mapping of names to numbers but %s" % type(told).__name__)
    figures: Dict[str, float] = {}
    refused: Dict[str, str] = {}
    for name, value in told.items():
        reason = _objection(name, value)
        if reason:
            refused[str(name)] = reason
        else:
            figures[name] = float(value)
    return figures, refused


def _objection(name: Any, value: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        return "its name is no text but %r" % (name,)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return "it is no number but %s" % type(value).__name__
    try:
        return "" if math.isfinite(value) else "it is %s" % float(value)
    except OverflowError:
        return "it is beyond any float"


def reported_figures(reported: Mapping[int, Any]) -> Dict[int, Dict[str, float]]:
    """Return what an engine told of its queries itself, by query: what is no finite number is left out."""
    told = {query: value for query, value in reported.items() if hasattr(value, "items")}
    found = {
        query: {str(name): float(each) for name, each in value.items() if not _objection(name, each)}
        for query, value in told.items()
    }
    return {query: figures for query, figures in found.items() if figures}


def viewed(array: Any, dtype: str) -> Any:
    """Return stored bytes as the type that numpy lacks and a name tells; as they are where it is empty."""
    if not dtype:
        return array
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError("inputs of dtype %s need the package ml_dtypes in the worker: %s" % (dtype, error)) from error
    return array.view(getattr(ml_dtypes, dtype))


class FirstAnswer:
    """Hands answers on to a sink, and tells whether the first of them is still what it was.

    For backends that block and answer in one part: what `predict` returns belongs to the caller. Of large arrays only
    the beginning is looked at.
    """

    def __init__(self, sink: Callable[[int, Mapping[str, Any]], None]) -> None:
        self._sink = sink
        self._first: List[Tuple[int, str, Any, bytes]] = []

    def __call__(self, query: int, outputs: Mapping[str, Any]) -> None:
        """Hand an answer on; hold the first one, and remember what was in it."""
        self._sink(query, outputs)
        if not self._first:
            self._first = [(query, str(name), each, _beginning(each)) for name, each in outputs.items()]

    def objection(self) -> Optional[Tuple[int, str]]:
        """Return the first query and what has come of its answer since; None while it is as it was."""
        for query, name, array, before in self._first:
            if _beginning(array) != before:
                return query, CHANGED % (name, query)
        return None


def _beginning(array: Any) -> bytes:
    found: bytes = array.flat[:HELD_VALUES].tobytes()
    return found


class SampledSink:
    """Keeps the answers to some queries of a timed run: copies in memory, handed on when the run is over."""

    def __init__(self, queries: Iterable[int], sink: Callable[[int, Mapping[str, Any]], None]) -> None:
        self._parts: Dict[int, List[Dict[str, Any]]] = {int(query): [] for query in queries}
        self._sink = sink

    @property
    def queries(self) -> List[int]:
        """Return whose answers are kept."""
        return list(self._parts)

    def __call__(self, query: int, outputs: Mapping[str, Any]) -> None:
        """Copy an answer, or a part of one, if it is of one of the queries."""
        parts = self._parts.get(query)
        if parts is not None:
            parts.append({name: np.array(array) for name, array in named(outputs).items()})

    def hand_on(self) -> None:
        """Give all that was kept to the sink, in order of queries and of parts."""
        for query, parts in self._parts.items():
            for part in parts:
                self._sink(query, part)
        self._parts.clear()


class FileSink:
    """Keeps answers in files: one .npy stream an output, and a line an array in index.jsonl."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: Dict[str, Tuple[int, Any]] = {}
        self._parts: Dict[int, int] = {}
        self._lock = threading.Lock()
        self._index = open("%s/index.jsonl" % folder, "a")  # noqa: SIM115 - lives as long as the sink

    def __call__(self, query: int, outputs: Mapping[str, Any]) -> None:
        """Write an answer's arrays."""
        arrays = named(outputs)
        with self._lock:
            part = self._parts[query] = self._parts.get(query, -1) + 1
            for name, array in arrays.items():
                number, file = self._file_of(name)
                row = {"query": query, "part": part, "name": name, "file": number, "offset": file.tell()}
                np.lib.format.write_array(file, np.asarray(array, order="C"), allow_pickle=False)
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
        for file in [self._index, *(each for _, each in self._files.values())]:
            with contextlib.suppress(OSError):  # what a full disk has no room for was told when it was to be kept
                file.close()

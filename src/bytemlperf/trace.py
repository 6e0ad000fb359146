"""Raw event times of one run, as integer nanoseconds, and the file they are written to as they happen.

The file starts with one line of JSON (its length in the first 8 bytes) that lists each column's
dtype, offset and length, so that the issuer beside the backend needs nothing but the standard
library to write it, and a run that was killed leaves what was stamped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError

MAGIC: Final = b"BMLPTRC1"
_HEADER_BYTES: Final = 4096
_META: Final = ("started_ns", "warmup_queries", "warmup_stable", "chunks", "chunks_lost", "ended", "samples_per_query")
_CHUNK_COLUMNS: Final = {"chunk_ns": "q", "chunk_tokens": "H", "chunk_query": "I"}
_PROBE: Final = "probe_late_ns"
_KINDS: Final = {
    **dict.fromkeys(("meta", "scheduled_ns", "sent_ns", "first_ns", "done_ns"), "q"),
    "tokens": "I",
    "batch": "I",
    "size": "I",
    "client": "H",
    "status": "B",
    "replica": "B",
    **_CHUNK_COLUMNS,
    _PROBE: "q",
}
_RECORD: Final = tuple(name for name in _KINDS if name not in {"meta", *_CHUNK_COLUMNS, _PROBE})
UNANSWERED: Final = 0
"""Status of a query that was not sent, or whose answer did not come."""
OK: Final = 1
"""Status of a query that was answered."""
FAILED: Final = 2
"""Status of a query whose answer is an error."""


class Ended(IntEnum):
    """Why a run issued no further query."""

    WHOLE = 0
    """It had no more, or something went wrong: see the failures."""
    ENOUGH = 1
    """It had enough queries and enough time."""
    MAX_DURATION = 2
    """Its longest time had passed."""
    MAX_OUTSTANDING = 3
    """More queries than allowed awaited their answer."""
    CERTAIN = 4
    """Its figure was known as well as was asked for."""


@attrs.frozen(kw_only=True, eq=False)
class Trace:
    """Events of the queries of one run, in plan order; the clock is CLOCK_MONOTONIC.

    A query of several samples has a record for each, side by side. A record takes 48 bytes.

    Attributes:
        scheduled_ns: int64[n], when the query was due; latency counts from here.
        sent_ns: int64[n], entry into the backend.
        first_ns: int64[n], first part of the answer with a token; `done_ns` where one part came.
        done_ns: int64[n], end of the answer; 0 where none came.
        tokens: uint32[n], tokens of the answer.
        batch: uint32[n], which prepared batch was asked for.
        size: uint32[n], samples in the query that count (padding left out).
        client: uint16[n], which client sent it.
        status: uint8[n], 0 unanswered, 1 answered, 2 failed.
        replica: uint8[n], which of the replicas of the model was asked; they are counted from 0.
        started_ns: When the timed part began.
        warmup_queries: Untimed queries before it.
        warmup_stable: Whether the latency had settled by then.
        chunk_ns: int64[m], when each part of a streamed answer came.
        chunk_tokens: uint16[m], its tokens.
        chunk_query: uint32[m], whose part it is.
        chunks_lost: Parts that came when the room for their stamps was full.
        probe_late_ns: int64[p], how late a thread of the issuing process ran that had slept until a given time, looked
            at every few ms; empty where nothing was looked at.
        samples_per_query: Records that make one query.
        ended: Why no further query was issued; what a rule has left out is not in the trace.
    """

    scheduled_ns: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    first_ns: NDArray[np.int64]
    done_ns: NDArray[np.int64]
    tokens: NDArray[np.uint32]
    batch: NDArray[np.uint32]
    size: NDArray[np.uint32]
    client: NDArray[np.uint16]
    status: NDArray[np.uint8]
    replica: NDArray[np.uint8] = attrs.field(
        default=attrs.Factory(lambda self: np.zeros(len(self.status), np.uint8), takes_self=True)
    )
    chunk_ns: NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(0, np.int64))
    chunk_tokens: NDArray[np.uint16] = attrs.field(factory=lambda: np.zeros(0, np.uint16))
    chunk_query: NDArray[np.uint32] = attrs.field(factory=lambda: np.zeros(0, np.uint32))
    started_ns: int = 0
    warmup_queries: int = 0
    warmup_stable: bool = False
    chunks_lost: int = 0
    probe_late_ns: NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(0, np.int64))
    samples_per_query: int = 1
    ended: Ended = attrs.field(default=Ended.WHOLE, converter=Ended)

    def __len__(self) -> int:
        """Return the number of records planned: queries, or where a query has several samples, these."""
        return len(self.status)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """bool[n], which queries were answered."""
        answered: NDArray[np.bool_] = self.status == OK
        return answered

    @property
    def latency_ns(self) -> NDArray[np.int64]:
        """int64[answered], done less scheduled."""
        return (self.done_ns - self.scheduled_ns)[self.answered]


def from_buffer(buffer: memoryview | bytes) -> Trace:
    """Read a trace from the bytes that the issuer wrote, finished or not.

    Raises:
        SpecError: If the bytes are no trace.
    """
    data = memoryview(buffer)
    places = _places(bytes(data[:_HEADER_BYTES]))
    columns = {name: place.array(data[place.offset : place.end]) for name, place in places.items()}
    meta = dict(zip(_META, columns.pop("meta").tolist(), strict=False))
    came = columns["chunk_ns"] > 0  # not the issuer's own count, which a run that was killed never wrote
    columns.update({name: columns[name][came] for name in _CHUNK_COLUMNS})
    columns[_PROBE] = columns[_PROBE][columns[_PROBE] > 0]
    trace = Trace(
        **{name: array.copy() for name, array in columns.items()},
        started_ns=meta["started_ns"],
        warmup_queries=meta["warmup_queries"],
        warmup_stable=bool(meta["warmup_stable"]),
        chunks_lost=meta["chunks_lost"],
        samples_per_query=_samples_per_query(meta["samples_per_query"], len(columns["status"])),
        ended=_ended(meta["ended"]),
    )
    return trace if trace.ended is Ended.WHOLE else _issued(trace)


def _samples_per_query(told: int, records: int) -> int:
    if told < 0 or records % (told or 1):
        raise SpecError("a trace's records make no whole queries", got=told, expected=f"a divisor of {records}")
    return told or 1  # 0 where the issuer had not begun


def _ended(told: int) -> Ended:
    try:
        return Ended(told)
    except ValueError as error:
        raise SpecError("a trace ends for no known reason", got=told) from error


def _issued(trace: Trace) -> Trace:
    """Leave out the queries that a stop rule has left out."""
    if len(trace.chunk_query) and int(trace.chunk_query.max()) >= len(trace):
        raise SpecError("a trace tells of a part of no query", got=int(trace.chunk_query.max()))
    sent = (trace.sent_ns > 0) | (trace.status != UNANSWERED)
    kept = np.repeat(sent.reshape(-1, trace.samples_per_query).any(axis=1), trace.samples_per_query)
    there, number = kept[trace.chunk_query], np.cumsum(kept, dtype=np.uint32) - np.uint32(1)
    chunks = {name: getattr(trace, name)[there] for name in _CHUNK_COLUMNS}
    chunks["chunk_query"] = number[chunks["chunk_query"]]
    return attrs.evolve(trace, **{name: getattr(trace, name)[kept] for name in _RECORD}, **chunks)


def read(path: Path) -> Trace:
    """Read the trace file of a run, finished or not.

    Raises:
        SpecError: If the file is no trace.
    """
    return from_buffer(path.read_bytes())


def read_columns(path: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Read some columns of a trace file, without the rest; the run may still be going on.

    Raises:
        SpecError: If the file is no trace, or not yet one.
    """
    with path.open("rb") as file:
        places = _places(file.read(_HEADER_BYTES))
        found, size = {}, file.seek(0, os.SEEK_END)
        for name in names:
            file.seek(min(places[name].offset, size))
            length = min(places[name].end, size) - places[name].offset
            found[name] = places[name].array(file.read(max(length, 0)))
    return found


@attrs.frozen
class _Place:
    """Where a column lies, as the header says."""

    kind: np.dtype[Any]
    offset: int
    count: int

    @property
    def end(self) -> int:
        return self.offset + self.count * self.kind.itemsize

    def array(self, data: memoryview | bytes) -> NDArray[Any]:
        if len(data) != self.count * self.kind.itemsize:
            raise SpecError("a trace file is cut short", got=len(data), expected=f"{self.count * self.kind.itemsize}")
        return np.frombuffer(data, self.kind)


def _places(header: bytes) -> dict[str, _Place]:
    """Read and check where the columns lie."""
    start = len(MAGIC) + 8
    if header[: len(MAGIC)] != MAGIC:
        raise SpecError("not a trace file", got=header[: len(MAGIC)], expected=repr(MAGIC))
    length = int.from_bytes(header[len(MAGIC) : start], "little")
    try:
        told = json.loads(header[start : start + length])
        places = {name: _place(name, *told[name]) for name in _KINDS}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SpecError("a trace file's header cannot be read", got=f"{type(error).__name__}: {error}") from error
    counts = {places[name].count for name in _RECORD}
    too_short = places["meta"].count < len(_META)
    if len(counts) > 1 or len({places[name].count for name in _CHUNK_COLUMNS}) > 1 or too_short:
        raise SpecError("a trace file's columns differ in length", got=sorted(counts))
    return places


def _place(name: str, kind: object, offset: object, count: object) -> _Place:
    if kind != _KINDS[name] or type(offset) is not int or type(count) is not int or offset < _HEADER_BYTES or count < 0:
        raise ValueError(f"column {name} is {kind!r} at {offset!r}, {count!r} long")
    return _Place(np.dtype(_KINDS[name]), offset, count)


def empty(queries: int = 0) -> Trace:
    """Return a trace of queries of which none was sent."""
    columns: dict[str, Any] = {name: np.zeros(queries, _KINDS[name]) for name in _RECORD}
    return Trace(**columns)

"""Raw event times of one run, as integer nanoseconds, and the file they are written to as they happen.

The file starts with one line of JSON (its length in the first 8 bytes) that lists each column's
dtype, offset and length, so that the issuer beside the backend needs nothing but the standard
library to write it, and a run that was killed leaves what was stamped.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError

MAGIC: Final = b"BMLPTRC1"
OK: Final = 1
"""Status of a query that was answered; 0 is unanswered, 2 failed."""
FAILED: Final = 2


@attrs.frozen(kw_only=True, eq=False)
class Trace:
    """Events of the queries of one run, in plan order; the clock is CLOCK_MONOTONIC.

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
        started_ns: When the timed part began.
        warmup_queries: Untimed queries before it.
        warmup_stable: Whether the latency had settled by then.
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
    chunk_ns: NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(0, np.int64))
    chunk_tokens: NDArray[np.uint16] = attrs.field(factory=lambda: np.zeros(0, np.uint16))
    chunk_query: NDArray[np.uint32] = attrs.field(factory=lambda: np.zeros(0, np.uint32))
    started_ns: int = 0
    warmup_queries: int = 0
    warmup_stable: bool = False

    def __len__(self) -> int:
        """Return the number of queries planned."""
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
    columns = _columns(memoryview(buffer))
    meta = columns.pop("meta")
    used = int(meta[3])
    chunks = {name: columns[name][:used] for name in ("chunk_ns", "chunk_tokens", "chunk_query")}
    return Trace(
        **{name: array.copy() for name, array in {**columns, **chunks}.items()},
        started_ns=int(meta[0]),
        warmup_queries=int(meta[1]),
        warmup_stable=bool(meta[2]),
    )


def read(path: Path) -> Trace:
    """Read the trace file of a run, finished or not.

    Raises:
        SpecError: If the file is no trace.
    """
    return from_buffer(path.read_bytes())


def _columns(buffer: memoryview) -> dict[str, NDArray[Any]]:
    start = len(MAGIC) + 8
    if bytes(buffer[: len(MAGIC)]) != MAGIC:
        raise SpecError("not a trace file", got=bytes(buffer[: len(MAGIC)]), expected=repr(MAGIC))
    length = int.from_bytes(buffer[len(MAGIC) : start], "little")
    places: dict[str, tuple[str, int, int]] = json.loads(bytes(buffer[start : start + length]))
    return {name: np.frombuffer(buffer, kind, count, offset) for name, (kind, offset, count) in places.items()}


def empty(queries: int = 0) -> Trace:
    """Return a trace of queries of which none was sent."""
    return Trace(
        **{name: np.zeros(queries, np.int64) for name in ("scheduled_ns", "sent_ns", "first_ns", "done_ns")},
        **{name: np.zeros(queries, np.uint32) for name in ("tokens", "batch", "size")},
        client=np.zeros(queries, np.uint16),
        status=np.zeros(queries, np.uint8),
    )

"""The columns into which a run is stamped: standard library and numpy, syntax of Python 3.7."""

from __future__ import annotations

import errno
import json
import mmap
import os

import numpy as np

if False:
    from typing import IO, List, Optional, Sequence, Tuple

MAGIC = b"BMLPTRC1"
HEADER_BYTES = 4096

COLUMNS = (
    ("scheduled_ns", "q"),
    ("sent_ns", "q"),
    ("first_ns", "q"),
    ("done_ns", "q"),
    ("tokens", "I"),
    ("batch", "I"),
    ("size", "I"),
    ("client", "H"),
    ("status", "B"),
    ("replica", "B"),
)
CHUNK_COLUMNS = (("chunk_ns", "q"), ("chunk_tokens", "H"), ("chunk_query", "I"))
PROBES = ("probe_late_ns", "q")
META = ("started_ns", "warmup_queries", "warmup_stable", "chunks", "chunks_lost", "ended", "samples_per_query")
MOST_PROBES = 4096


class TraceBuffer:
    """Columns of one run in a memory map, so that stamps outlive the process.

    Attributes are memoryviews named as in COLUMNS, CHUNK_COLUMNS and PROBES, and `meta`, int64 by META.

    Args:
        queries: Records, each of 48 bytes: one a sample where a query has several.
        path: Of the file; None for memory alone.
        chunks: Room for stamps of parts of answers.
        probes: Room for how late a sleeping thread ran.
    """

    meta: memoryview[int]
    scheduled_ns: memoryview[int]
    sent_ns: memoryview[int]
    first_ns: memoryview[int]
    done_ns: memoryview[int]
    tokens: memoryview[int]
    batch: memoryview[int]
    size: memoryview[int]
    client: memoryview[int]
    status: memoryview[int]
    replica: memoryview[int]
    probe_late_ns: memoryview[int]
    chunk_ns: memoryview[int]
    chunk_tokens: memoryview[int]
    chunk_query: memoryview[int]

    def __init__(self, queries: int, path: Optional[str] = None, chunks: int = 0, probes: int = 0) -> None:
        self.queries = queries
        self.chunks = chunks
        self.probes = probes
        places, size = _layout(queries, chunks, probes)
        if path is None:
            self.map = mmap.mmap(-1, size)
        else:
            with open(path, "w+b") as file:
                _reserve(file, size)
                self.map = mmap.mmap(file.fileno(), size)
        self._write_header(places)
        view = memoryview(self.map)
        for name, kind, offset, length in places:
            setattr(self, name, view[offset : offset + length * np.dtype(kind).itemsize].cast(kind))  # type: ignore[call-overload]

    def _write_header(self, places: Sequence[Tuple[str, str, int, int]]) -> None:
        header = json.dumps({name: [kind, offset, length] for name, kind, offset, length in places}).encode()
        self.map[: len(MAGIC)] = MAGIC
        self.map[len(MAGIC) : len(MAGIC) + 8] = len(header).to_bytes(8, "little")
        self.map[len(MAGIC) + 8 : len(MAGIC) + 8 + len(header)] = header

    def flush(self) -> None:
        """Let the file hold all that was stamped."""
        self.map.flush()


def _reserve(file: IO[bytes], size: int) -> None:
    """Give a file its size and its blocks: a full disk is an error here, not a SIGBUS at a stamp."""
    file.truncate(size)
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:  # some file systems cannot do it; one that is full must be heard
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def _layout(queries: int, chunks: int, probes: int) -> Tuple[List[Tuple[str, str, int, int]], int]:
    """Return (name, kind, offset, length) of every column and the file's size."""
    places: List[Tuple[str, str, int, int]] = []
    offset = HEADER_BYTES
    columns = [(name, kind, queries) for name, kind in COLUMNS] + [(name, kind, chunks) for name, kind in CHUNK_COLUMNS]
    for name, kind, length in [("meta", "q", len(META)), *columns, (*PROBES, probes)]:
        places.append((name, kind, offset, length))
        offset += -(-length * np.dtype(kind).itemsize // 64) * 64
    return places, offset

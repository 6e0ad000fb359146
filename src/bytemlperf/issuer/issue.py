"""Issue queries to a backend and stamp when they are sent and answered.

The one clock of the project. The same file runs inline, in the worker process and in a
vendor's own old interpreter: standard library and numpy only, syntax of Python 3.7.
In the timed region there is no I/O, no logging, no growing container and no lock but the one
on which a client waits for its answer; garbage collection is held off.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import mmap
import queue
import threading
import time

import numpy as np

if False:
    from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

MAGIC = b"BMLPTRC1"
HEADER_BYTES = 4096
UNANSWERED, ANSWERED, FAILED = 0, 1, 2
MAX_FAILURES = 10
"""A run in which that many queries failed is stopped: the rest would tell nothing new."""

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
)
CHUNK_COLUMNS = (("chunk_ns", "q"), ("chunk_tokens", "H"), ("chunk_query", "I"))
META = ("started_ns", "warmup_queries", "warmup_stable", "chunks", "chunks_lost")

_clock = time.perf_counter_ns


class TraceBuffer:
    """Columns of one run in a memory map, so that stamps outlive the process.

    Attributes are memoryviews named as in COLUMNS and CHUNK_COLUMNS, and `meta`, int64 by META.
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
    chunk_ns: memoryview[int]
    chunk_tokens: memoryview[int]
    chunk_query: memoryview[int]

    def __init__(self, queries: int, path: Optional[str] = None, chunks: int = 0) -> None:
        self.queries = queries
        self.chunks = chunks
        places, size = _layout(queries, chunks)
        self._file = open(path, "w+b") if path else None  # noqa: SIM115 - lives as long as the map
        if self._file is not None:
            self._file.truncate(size)
        self.map = mmap.mmap(self._file.fileno() if self._file else -1, size)
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


def _layout(queries: int, chunks: int) -> Tuple[List[Tuple[str, str, int, int]], int]:
    """Return (name, kind, offset, length) of every column and the file's size."""
    places: List[Tuple[str, str, int, int]] = []
    offset = HEADER_BYTES
    columns = [(name, kind, queries) for name, kind in COLUMNS] + [(name, kind, chunks) for name, kind in CHUNK_COLUMNS]
    for name, kind, length in [("meta", "q", len(META)), *columns]:
        places.append((name, kind, offset, length))
        offset += -(-length * np.dtype(kind).itemsize // 64) * 64
    return places, offset


class Reply:
    """The harness' side of one query; stamps on entry and waits for nothing. Any thread may call it."""

    __slots__ = ("_query", "_run", "_wake", "cancelled")

    def __init__(self, run: Run, query: int, wake: Any) -> None:
        self.cancelled = False
        self._run = run
        self._query = query
        self._wake = wake

    def chunk(self, outputs: Mapping[str, Any], tokens: int = 1) -> None:
        """Take a part of the answer."""
        now = _clock()
        run, query = self._run, self._query
        if run.status[query]:
            return
        if tokens and not run.first_ns[query]:
            run.first_ns[query] = now
        run.tokens[query] += tokens
        run.stamp_chunk(now, query, tokens)
        if run.sink is not None:
            self._keep(run.sink, outputs)

    def done(
        self,
        outputs: Optional[Mapping[str, Any]] = None,
        tokens: Optional[int] = None,
        reported: Optional[Mapping[str, float]] = None,
    ) -> None:
        """Take the end of the answer; `outputs` are borrowed until this returns."""
        now = _clock()
        run, query = self._run, self._query
        if run.status[query]:
            run.twice += 1
            return
        run.done_ns[query] = now
        if not run.first_ns[query]:
            run.first_ns[query] = now
        if not run.tokens[query]:
            run.tokens[query] = 1 if tokens is None else tokens
        status = ANSWERED
        if run.sink is not None and outputs is not None and not self._keep(run.sink, outputs):
            status = FAILED
        if reported is not None:
            run.reported[query] = dict(reported)
        self._end(status)

    def fail(self, error: BaseException) -> None:
        """Take an error for an answer; other queries go on."""
        now = _clock()
        if self._run.status[self._query]:
            self._run.twice += 1
            return
        self._run.done_ns[self._query] = now
        self._run.note_failure(self._query, error)
        self._end(FAILED)

    def _keep(self, sink: Callable[[int, Mapping[str, Any]], None], outputs: Mapping[str, Any]) -> bool:
        try:
            sink(self._query, outputs)
        except (TypeError, ValueError, AttributeError) as error:  # what comes of an answer that is no answer
            self._run.note_failure(self._query, MalformedAnswerError("%s: %s" % (type(error).__name__, error)))
            return False
        return True

    def _end(self, status: int) -> None:
        self._run.status[self._query] = status
        if self._run.slots is not None:
            self._run.slots.put(None)
        self._wake.release()


class MalformedAnswerError(Exception):
    """`predict` returned None, or something that is no mapping of names to arrays of numbers."""

    code = "malformed_output"


class UnansweredError(Exception):
    """A query was not answered within its limit."""

    code = "time_limit"


def blocking_submit(backend: Any, streams: bool) -> Callable[..., None]:
    """Return the one verb, `submit(compiled, batch, reply)`, for a backend that blocks."""
    predict, stream = backend.predict, backend.stream

    def submit_whole(compiled: Any, batch: Any, reply: Reply) -> None:
        outputs = predict(compiled, batch)
        if outputs is None:
            reply.fail(MalformedAnswerError("predict returned None"))
        else:
            reply.done(outputs)

    def submit_parts(compiled: Any, batch: Any, reply: Reply) -> None:
        parts = stream(compiled, batch)
        for part in parts:
            reply.chunk(part.outputs, part.tokens)
            if reply.cancelled:
                parts.close()
                break
        reply.done()

    return submit_parts if streams else submit_whole


class Run:
    """One series of queries in a closed loop: clients that each wait for their last answer.

    Args:
        submit: `submit(compiled, batch, reply)`.
        flush: Called when no more queries come for now; None for blocking backends.
        compiled: What `submit` takes first.
        batches: Prepared batches, in memory before the clock starts.
        sizes: Samples that count in each batch.
        max_in_flight: Calls that the backend takes at once; None for no bound.
        query_s: Seconds after which an unanswered query ends the run.
        sink: `sink(query, outputs)` keeps an answer; None in timed runs.
    """

    scheduled_ns: memoryview[int]
    sent_ns: memoryview[int]
    first_ns: memoryview[int]
    done_ns: memoryview[int]
    tokens: memoryview[int]
    status: memoryview[int]
    chunk_ns: memoryview[int]
    chunk_tokens: memoryview[int]
    chunk_query: memoryview[int]

    def __init__(
        self,
        *,
        submit: Callable[..., Any],
        flush: Optional[Callable[..., Any]],
        compiled: Any,
        batches: Sequence[Any],
        sizes: Sequence[int],
        max_in_flight: Optional[int] = 1,
        query_s: Optional[float] = None,
        sink: Optional[Callable[[int, Mapping[str, Any]], None]] = None,
    ) -> None:
        self._submit, self._flush, self._compiled = submit, flush, compiled
        self._batches, self._sizes = batches, sizes
        self._max_in_flight, self._timeout = max_in_flight, -1 if query_s is None else query_s
        self.sink = sink
        self.stopped = False
        self.failures: List[Tuple[int, BaseException]] = []
        self.reported: Dict[int, Dict[str, float]] = {}
        self.twice = 0
        self.slots: Any = None
        self._cancels: Dict[int, Callable[[], None]] = {}

    def stop(self) -> None:
        """Issue nothing more and ask what is in flight to stop; from any thread."""
        self.stopped = True
        for cancel in list(self._cancels.values()):
            with contextlib.suppress(Exception):
                cancel()

    def warm_up(
        self,
        order: Sequence[int],
        clients: int,
        *,
        max_queries: int,
        window: int,
        tolerance: float,
        max_seconds: float,
        path: Optional[str] = None,
    ) -> Tuple[int, bool]:
        """Run windows of queries until their median settles; return (queries, whether it did)."""
        last: Optional[float] = None
        done, ends = 0, time.monotonic() + max_seconds
        count = window * clients
        buffer = TraceBuffer(count, path)
        while done + count <= max_queries and not self.stopped and time.monotonic() < ends:
            picked = [order[i % len(order)] for i in range(done, done + count)]
            self.closed_loop(picked, clients, buffer)
            done += count
            median = float(np.median(np.asarray(buffer.done_ns) - np.asarray(buffer.scheduled_ns)))
            if self.failures or (last is not None and abs(median - last) <= tolerance * last):
                return done, not self.failures
            last = median
        return done, False

    def closed_loop(self, order: Sequence[int], clients: int, buffer: TraceBuffer) -> None:
        """Issue the batches named by `order`, an equal share by each client; stamp into `buffer`."""
        self._adopt(buffer, order, clients)
        share = [len(order) * i // clients for i in range(clients + 1)]
        work = [self._batches[i] for i in order]
        with _no_garbage_collection():
            buffer.meta[0] = _clock()
            if clients == 1:
                self._client(work, 0, len(order), flush_each=True)
            else:
                self._threads(work, share)
        buffer.meta[3] = min(next(self._chunk_slot), buffer.chunks)

    def _adopt(self, buffer: TraceBuffer, order: Sequence[int], clients: int) -> None:
        """Fill in what is known beforehand, and keep the columns at hand."""
        for name, _ in COLUMNS + CHUNK_COLUMNS:
            column = getattr(buffer, name)
            np.asarray(column)[:] = 0
            setattr(self, name, column)
        self._chunk_room, self._chunk_slot = buffer.chunks, itertools.count()
        self._meta = buffer.meta
        picked = np.asarray(order, dtype=np.uint32)
        np.asarray(buffer.batch)[:] = picked
        np.asarray(buffer.size)[:] = np.asarray(self._sizes, dtype=np.uint32)[picked] if len(picked) else 0
        for i in range(clients):
            np.asarray(buffer.client)[len(order) * i // clients : len(order) * (i + 1) // clients] = i
        self.slots = None
        if self._max_in_flight is not None and self._max_in_flight < clients:
            self.slots = queue.SimpleQueue()
            for _ in range(self._max_in_flight):
                self.slots.put(None)

    def _threads(self, work: Sequence[Any], share: Sequence[int]) -> None:
        ready = threading.Barrier(len(share))

        def client(first: int, last: int) -> None:
            ready.wait()
            self._client(work, first, last, flush_each=False)

        threads = [threading.Thread(target=client, args=pair, daemon=True) for pair in zip(share, share[1:])]
        for thread in threads:
            thread.start()
        self._meta[0] = _clock()
        ready.wait()
        for thread in threads:
            thread.join()

    def _client(self, work: Sequence[Any], first: int, last: int, flush_each: bool) -> None:
        submit, compiled, slots, flush = self._submit, self._compiled, self.slots, self._flush
        scheduled_ns, sent_ns, clock, timeout = self.scheduled_ns, self.sent_ns, _clock, self._timeout
        wake = threading.Lock()
        wake.acquire()
        for query in range(first, last):
            if self.stopped:
                return
            reply = Reply(self, query, wake)
            now = scheduled_ns[query] = clock()
            if slots is not None:
                slots.get()
                now = clock()
            sent_ns[query] = now
            try:
                cancel = submit(compiled, work[query], reply)
                if cancel is not None:
                    self._cancels[first] = cancel
                if flush is not None and (flush_each or query == last - 1):
                    flush(compiled)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a vendor's runtime raises
                reply.fail(error)
            if not wake.acquire(True, timeout):
                reply.cancelled = True
                reply.fail(UnansweredError("query %d was not answered within %g s" % (query, timeout)))
                self.stopped = True
                return

    def stamp_chunk(self, now: int, query: int, tokens: int) -> None:
        """Keep one part's stamp; parts beyond the room made for them are counted as lost."""
        slot = next(self._chunk_slot)
        if slot < self._chunk_room:
            self.chunk_ns[slot] = now
            self.chunk_tokens[slot] = tokens
            self.chunk_query[slot] = query
        else:
            self._meta[4] += 1

    def note_failure(self, query: int, error: BaseException) -> None:
        """Keep what went wrong with a query."""
        self.failures.append((query, error))
        if len(self.failures) >= MAX_FAILURES:
            self.stopped = True


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect before, hold off during; what a run leaves is freed by reference counts."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()

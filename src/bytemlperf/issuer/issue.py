"""Issue queries to a backend and stamp when they are sent and answered.

The one clock of the project. The same file runs inline, in the worker process and in a
vendor's own old interpreter: standard library and numpy only, syntax of Python 3.7.
In the timed region there is no I/O, no logging, no growing container and no lock but the one
on which a client waits for its answer; garbage collection is held off.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import itertools
import threading
import time

import numpy as np

from .buffer import CHUNK_COLUMNS, COLUMNS, TraceBuffer
from .reply import ANSWERED, HarnessError, MalformedAnswerError, Reply, UnansweredError

if False:
    from typing import Any, Callable, Deque, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

MAX_FAILURES = 10
"""A run in which that many queries failed is stopped: the rest would tell nothing new."""

_clock = time.perf_counter_ns


def blocking_submit(backend: Any, streams: bool) -> Callable[..., None]:
    """Return the one verb, `submit(compiled, batch, reply)`, for a backend that blocks."""
    predict, stream = backend.predict, backend.stream

    def submit_whole(compiled: Any, batch: Any, reply: Reply) -> None:
        reply.done(predict(compiled, batch))

    def submit_parts(compiled: Any, batch: Any, reply: Reply) -> None:
        parts = stream(compiled, batch)
        for part in parts:
            reply.chunk(getattr(part, "outputs", None), getattr(part, "tokens", None))  # type: ignore[arg-type]
            if reply.cancelled:
                if hasattr(parts, "close"):
                    parts.close()
                reply.leave()
                return
        reply.done()

    return submit_parts if streams else submit_whole


def phased_submit(backend: Any) -> Callable[..., None]:
    """Return the verb that stamps the phases of a backend that can tell them apart.

    What is sent is being prepared; its first part, empty, says that it is; its second that it was executed; its end
    is the fetched answer.
    """
    prepare, execute, fetch = backend.prepare, backend.execute, backend.fetch

    def submit(compiled: Any, batch: Any, reply: Reply) -> None:
        inputs = prepare(compiled, batch)
        reply.chunk({}, 0)
        outputs = execute(compiled, inputs)
        reply.chunk({}, 0)
        answer = fetch(compiled, outputs)
        if answer is None:
            raise MalformedAnswerError("there is no answer: fetch returned None")
        reply.done(answer)

    return submit


class Slots:
    """So many calls at once, given to clients in the order in which they asked.

    A client that comes back at once would else be served before all that wait, and latency would tell of that.
    Every step is one operation of a deque, which threads cannot share; nobody waits but a client for its turn.
    """

    def __init__(self, count: int) -> None:
        self._free = collections.deque([None] * count)
        self._waiting: Deque[Any] = collections.deque()

    def take(self, wake: Any) -> None:
        """Wait for a slot on the client's own lock, which it holds."""
        self._waiting.append(wake)
        self._match()
        wake.acquire()

    def give(self) -> None:
        """Give a slot back."""
        self._free.append(None)
        self._match()

    def _match(self) -> None:
        while self._free and self._waiting:
            try:
                self._free.pop()
            except IndexError:  # another thread was quicker
                continue
            try:
                self._waiting.popleft().release()
            except IndexError:
                self._free.append(None)


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
        check: `check(query, outputs)` raises for what is no answer; used in the warm-up.
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
        check: Optional[Callable[[int, Mapping[str, Any]], None]] = None,
        sink: Optional[Callable[[int, Mapping[str, Any]], None]] = None,
    ) -> None:
        self._submit, self._flush, self._compiled = submit, flush, compiled
        self._batches, self._sizes = batches, sizes
        self._max_in_flight = max_in_flight
        self._timeout = -1 if query_s is None else min(query_s, threading.TIMEOUT_MAX)
        self._check = check
        self.sink = sink
        self.stopped = False
        self.failures: List[Tuple[int, BaseException]] = []
        self.reported: Dict[int, Mapping[str, float]] = {}
        self.twice = 0
        self.slots: Optional[Slots] = None
        self._cancels: Dict[int, Callable[[], None]] = {}
        self._ending = False
        self._rare = threading.Lock()

    def stop(self) -> None:
        """Issue nothing more and ask what is in flight to end; from any thread."""
        self.stopped = True
        for cancel in list(self._cancels.values()):
            with contextlib.suppress(Exception):
                cancel()
        self._push_out()

    def _push_out(self) -> None:
        """Let the backend send what it holds back in the hope of more."""
        self._ending = True
        if self._flush is not None:
            with contextlib.suppress(Exception):
                self._flush(self._compiled)

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
        count = min(window * clients, max_queries) if len(order) else 0
        if not count:
            return 0, False
        going_round = itertools.cycle(order)
        buffer, ends = TraceBuffer(count, path), time.monotonic() + max_seconds
        sink, self.sink = self.sink, self._check
        last: Optional[float] = None
        done, settled = 0, False
        while done + count <= max_queries and not (settled or self.stopped or time.monotonic() >= ends):
            self.closed_loop(list(itertools.islice(going_round, count)), clients, buffer)
            done += count
            median = float(np.median(np.asarray(buffer.done_ns) - np.asarray(buffer.scheduled_ns)))
            settled = last is not None and abs(median - last) <= tolerance * last
            last = median
            if self.failures:
                break
        self.sink = sink
        return done, settled and not (self.failures or self.stopped)

    def closed_loop(self, order: Sequence[int], clients: int, buffer: TraceBuffer) -> None:
        """Issue the batches named by `order`, an equal share by each client; stamp into `buffer`."""
        self._adopt(buffer, order, clients)
        share = [len(order) * i // clients for i in range(clients + 1)]
        work = [self._batches[i] for i in order]
        with _no_garbage_collection():
            buffer.meta[0] = _clock()
            try:
                if clients == 1:
                    self._client(work, 0, len(order), flush_each=True)
                else:
                    self._threads(work, share)
            except BaseException:  # the caller's own interrupt, inline: no client may go on behind its back
                self.stop()
                raise
        used = next(self._chunk_slot)
        buffer.meta[3], buffer.meta[4] = min(used, buffer.chunks), max(used - buffer.chunks, 0)
        self._note_slow()

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
        self._ending = False
        self.slots = None
        if self._max_in_flight is not None and self._max_in_flight < clients:
            self.slots = Slots(self._max_in_flight)

    def _threads(self, work: Sequence[Any], share: Sequence[int]) -> None:
        ready = threading.Barrier(len(share))

        def client(first: int, last: int) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):
                ready.wait()
                self._client(work, first, last, flush_each=False)

        threads = [threading.Thread(target=client, args=pair, daemon=True) for pair in zip(share, share[1:])]
        try:
            for thread in threads:
                thread.start()
            self._meta[0] = _clock()
            ready.wait()
        except BaseException:  # too many threads for the system: those that wait must not wait for ever
            ready.abort()
            raise
        for thread in threads:
            thread.join()

    def _client(self, work: Sequence[Any], first: int, last: int, flush_each: bool) -> None:
        scheduled_ns, slots, timeout, send = self.scheduled_ns, self.slots, self._timeout, self._send
        wake = threading.Lock()
        wake.acquire()
        for query in range(first, last):
            if self.stopped:
                break
            reply = Reply(self, query, wake)
            scheduled_ns[query] = _clock()
            if slots is not None:
                slots.take(wake)
                if self.stopped:
                    slots.give()
                    break
            send(query, work[query], reply, flush_each or query == last - 1)
            if not wake.acquire(True, timeout):
                if reply.give_up(UnansweredError("query %d was not answered within %g s" % (query, timeout))):
                    self.stop()
                    break
                wake.acquire()
        self._push_out()

    def _send(self, query: int, batch: Any, reply: Reply, flush_now: bool) -> None:
        try:
            self.sent_ns[query] = _clock()
            cancel = self._submit(self._compiled, batch, reply)
            if cancel is not None:
                self._cancels[query] = cancel
                if self.stopped:
                    cancel()
            if self._flush is not None and (flush_now or self._ending):
                self._flush(self._compiled)
        except KeyboardInterrupt:  # the caller's own, inline
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a vendor's runtime raises, SystemExit too
            reply.fail(error)

    def _note_slow(self) -> None:
        """Hold blocking answers to the limit too, which nobody could cut short."""
        taken = np.asarray(self.done_ns) - np.asarray(self.sent_ns)
        slow = np.flatnonzero((np.asarray(self.status) == ANSWERED) & (taken > self._timeout * 1e9))
        if self._timeout >= 0 and len(slow):
            text = "query %d was answered after %.3g s, above the limit of %g s"
            query = int(slow[0])
            self.note_failure(query, UnansweredError(text % (query, taken[query] / 1e9, self._timeout)))

    def kept(self, query: int, outputs: Mapping[str, Any]) -> Optional[BaseException]:
        """Let the sink, if there is one, have a part of an answer; return what it has against it."""
        if self.sink is None:
            return None
        try:
            self.sink(query, outputs)
        except OSError as error:
            return HarnessError("an answer could not be kept: %s" % error)
        except Exception as error:  # noqa: BLE001 - what comes of a vendor's answer that is no answer
            return MalformedAnswerError("%s: %s" % (type(error).__name__, error))
        return None

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
        """Keep what went wrong with a query; too much, or an unanswered query, stops the run."""
        self.failures.append((query, error))
        if len(self.failures) >= MAX_FAILURES or isinstance(error, UnansweredError):
            self.stopped = True

    def note_second_end(self) -> None:
        """Count an end of a reply that had ended."""
        with self._rare:
            self.twice += 1


class _Collector:
    """Garbage collection, held off while any run of the process is in its timed part."""

    lock = threading.Lock()
    runs = 0
    was_enabled = False


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect before, hold off during; what a run leaves is freed by reference counts."""
    gc.collect()
    with _Collector.lock:
        if not _Collector.runs:
            _Collector.was_enabled = gc.isenabled()
            gc.disable()
        _Collector.runs += 1
    try:
        yield
    finally:
        with _Collector.lock:
            _Collector.runs -= 1
            if not _Collector.runs and _Collector.was_enabled:
                gc.enable()

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
import threading
import time

import numpy as np

from .arrivals import send_at_times
from .buffer import CHUNK_COLUMNS, COLUMNS, TraceBuffer
from .certain import ended_when_certain
from .clients import send_in_loops
from .order import WHOLE, Order
from .probe import probing
from .reply import ANSWERED, CallReply, HarnessError, MalformedAnswerError, Reply, UnansweredError
from .slots import Slots

if False:
    from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

    from .gathering import Gathering

MAX_FAILURES = 10
"""A run in which that many queries failed is stopped: the rest would tell nothing new."""
MOST_CALLS = 4096
"""Calls at once to each of several replicas that name no bound of their own."""

_clock = time.perf_counter_ns


class Run:
    """One series of queries: each sent when its client is free, or when it is due.

    Args:
        submit: `submit(compiled, batch, reply)`.
        flush: Called when no more queries come for now; None for blocking backends.
        compiled: What `submit` takes first.
        replicas: The same for each of several devices, in the place of `compiled`.
        batches: Prepared batches, in memory before the clock starts.
        sizes: Samples that count in each batch.
        max_in_flight: Calls that the backend takes at once, each replica; None for no bound.
        gathering: Joins prepared batches of one sample into calls; None sends each by itself.
        query_s: Seconds after which an unanswered query ends the run.
        check: `check(query, outputs)` raises for what is no answer; used in the warm-up.
        sink: `sink(query, outputs)` keeps an answer; None in timed runs, but for those of `sampled`.
        sampled: Queries whose answers the sink gets; None for all.
    """

    scheduled_ns: memoryview[int]
    sent_ns: memoryview[int]
    first_ns: memoryview[int]
    done_ns: memoryview[int]
    tokens: memoryview[int]
    client: memoryview[int]
    status: memoryview[int]
    replica: memoryview[int]
    chunk_ns: memoryview[int]
    chunk_tokens: memoryview[int]
    chunk_query: memoryview[int]

    def __init__(
        self,
        *,
        submit: Callable[..., Any],
        flush: Optional[Callable[..., Any]],
        compiled: Any = None,
        replicas: Optional[Sequence[Any]] = None,
        batches: Sequence[Any],
        sizes: Sequence[int],
        max_in_flight: Optional[int] = 1,
        gathering: Optional[Gathering] = None,
        query_s: Optional[float] = None,
        check: Optional[Callable[[int, Mapping[str, Any]], None]] = None,
        sink: Optional[Callable[[int, Mapping[str, Any]], None]] = None,
        sampled: Optional[Sequence[int]] = None,
    ) -> None:
        self._submit, self._flush = submit, flush
        self.models = list(replicas) if replicas else [compiled]
        self._batches, self._sizes = batches, sizes
        self.max_in_flight, self.gathering = max_in_flight, gathering
        self.timeout = -1 if query_s is None else min(query_s, threading.TIMEOUT_MAX)
        self._check = check
        self.sink = sink
        self._sampled = sampled
        self.keeps: Optional[bytearray] = None
        self.stopped = False
        self.ended = WHOLE
        self.started_ns = 0
        self.failures: List[Tuple[int, BaseException]] = []
        self.reported: Dict[int, Mapping[str, float]] = {}
        self.twice = 0
        self.slots: Optional[Slots] = None
        self.waiting: Optional[Dict[int, Reply]] = None
        self.work: Sequence[Any] = ()
        self.columns: Dict[str, Any] = {}
        self._cancels: Dict[int, Callable[[], None]] = {}
        self._ending = False
        self._rare = threading.Lock()

    @property
    def blocks(self) -> bool:
        """Whether a call comes back only with its answer."""
        return self._flush is None

    def stop(self) -> None:
        """Issue nothing more and ask what is in flight to end; from any thread."""
        self.stopped = True
        for cancel in list(self._cancels.values()):
            with contextlib.suppress(Exception):
                cancel()
        self.push_out()

    def push_out(self) -> None:
        """Let the backend send what it holds back in the hope of more."""
        self._ending = True
        self._flush_all()

    def _flush_all(self) -> None:
        for model in self.models if self._flush is not None else ():
            with contextlib.suppress(Exception):
                self._flush(model)  # type: ignore[misc]

    def warm_up(
        self,
        order: Sequence[int],
        clients: int,
        *,
        max_queries: int,
        window: int,
        tolerance: float,
        max_seconds: float,
        per_query: int = 1,
        path: Optional[str] = None,
    ) -> Tuple[int, bool]:
        """Run windows of queries of so many batches until their median settles; return (queries, whether it did)."""
        count = min(window * clients, max_queries) if len(order) else 0
        if not count:
            return 0, False
        going_round = itertools.cycle(order)
        buffer, ends = TraceBuffer(count * per_query, path), time.monotonic() + max_seconds
        sink, self.sink = self.sink, self._check
        sampled, self._sampled = self._sampled, None
        last: Optional[float] = None
        done, settled = 0, False
        with _no_garbage_collection():  # once for all windows
            while done + count <= max_queries and not (settled or self.stopped or time.monotonic() >= ends):
                picked = list(itertools.islice(going_round, count * per_query))
                self.issue(Order(picked, clients=clients, samples_per_query=per_query), buffer)
                done += count
                median = float(np.median(np.asarray(buffer.done_ns) - np.asarray(buffer.scheduled_ns)))
                settled = last is not None and abs(median - last) <= tolerance * last
                last = median
                if self.failures:
                    break
        self.sink, self._sampled = sink, sampled
        return done, settled and not (self.failures or self.stopped)

    def warm_up_for(self, order: Order, path: Optional[str] = None, **how: Any) -> Tuple[int, bool]:
        """Warm up in a closed loop by an order's queries, or by full calls where queries arrive by themselves."""
        per_query = order.samples_per_query
        if order.scheduled_ns is not None:
            per_query = 1 if self.gathering is None else self.gathering.size
        return self.warm_up(order.batch, order.clients, per_query=per_query, path=path, **how)

    def closed_loop(self, order: Sequence[int], clients: int, buffer: TraceBuffer) -> None:
        """Issue the batches named by `order`, an equal share by each client; stamp into `buffer`."""
        self.issue(Order(order, clients=clients), buffer)

    def issue(self, order: Order, buffer: TraceBuffer) -> None:
        """Issue an order's queries and wait for their answers; stamp into `buffer`."""
        self._adopt(buffer, order)
        send = send_in_loops if order.scheduled_ns is None else send_at_times
        certain = ended_when_certain(self, order.stop.looks, order.stop.within)
        with _no_garbage_collection(), probing(buffer), certain:
            try:
                send(self, order)
            except BaseException:  # the caller's own interrupt, inline: no client may go on behind its back
                self.stop()
                raise
        used = next(self._chunk_slot)
        buffer.meta[3], buffer.meta[4] = min(used, buffer.chunks), max(used - buffer.chunks, 0)
        buffer.meta[5], buffer.meta[6] = WHOLE if self.stopped else self.ended, order.samples_per_query
        self._note_slow()

    def start_clock(self, ahead_ns: int = 0) -> int:
        """Begin the timed part, now or a little later; return when."""
        self.started_ns = self._meta[0] = _clock() + ahead_ns
        return self.started_ns

    def _adopt(self, buffer: TraceBuffer, order: Order) -> None:
        """Fill in what is known beforehand, and keep the columns at hand."""
        for name, _ in COLUMNS + CHUNK_COLUMNS:
            column = getattr(buffer, name)
            self.columns[name] = np.asarray(column)
            self.columns[name][:] = 0
            setattr(self, name, column)
        self._chunk_room, self._chunk_slot = buffer.chunks, itertools.count()
        self._meta = buffer.meta
        buffer.meta[6] = order.samples_per_query
        picked = np.asarray(order.batch, dtype=np.uint32)
        self.columns["batch"][:] = picked
        self.columns["size"][:] = np.asarray(self._sizes, dtype=np.uint32)[picked] if len(picked) else 0
        self.work = [self._batches[i] for i in order.batch]
        self.keeps = None if self._sampled is None else _marked(self._sampled, len(picked))
        self._ending, self.ended, self.waiting, self.reported = False, WHOLE, None, {}
        self.slots = None

    def share_slots(self, callers: int) -> None:
        """Bound the calls at once where so many could exceed what the backend takes, or replicas have to be chosen."""
        replicas = len(self.models)
        if replicas > 1:
            self.slots = Slots(self.max_in_flight or MOST_CALLS, replicas)
        elif self.max_in_flight is not None and self.max_in_flight < callers:
            self.slots = Slots(self.max_in_flight)

    def send(self, query: int, batch: Any, reply: Reply, flush_now: bool, replica: int = 0) -> None:
        """Give one prepared batch to the backend."""
        try:
            self.sent_ns[query] = _clock()
            cancel = self._submit(self.models[replica], batch, reply)
            if cancel is not None:
                self._cancels[query] = cancel
                if self.stopped:
                    cancel()
            if self._flush is not None and (flush_now or self._ending):
                self._flush_all() if len(self.models) > 1 else self._flush(self.models[0])
        except KeyboardInterrupt:  # the caller's own, inline
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a vendor's runtime raises, SystemExit too
            reply.fail(error)

    def send_call(
        self, first: int, last: int, wake: Any, *, client: int = 0, flush_now: bool = False, replica: int = 0
    ) -> Reply:
        """Give the records from `first` up to `last` to the backend as one call; return its reply."""
        reply: Reply = Reply(self, first, wake) if last == first + 1 else CallReply(self, first, wake, last)
        self.client[first], self.replica[first] = client, replica
        if self.waiting is not None:
            self.waiting[first] = reply
        if self.gathering is None:
            self.send(first, self.work[first], reply, flush_now, replica)
            return reply
        self.columns["client"][first:last] = client
        self.columns["replica"][first:last] = replica
        try:
            batch = self.gathering.joined(self.work[first:last])
        except BaseException as error:  # noqa: BLE001 - such as memory that has run out
            reply.fail(HarnessError("samples could not be joined: %s: %s" % (type(error).__name__, error)))
            return reply
        self.columns["sent_ns"][first:last] = _clock()
        self.send(first, batch, reply, flush_now, replica)
        return reply

    def _note_slow(self) -> None:
        """Hold blocking answers to the limit too, which nobody could cut short."""
        taken = self.columns["done_ns"] - self.columns["sent_ns"]
        slow = np.flatnonzero((self.columns["status"] == ANSWERED) & (taken > self.timeout * 1e9))
        if self.timeout >= 0 and len(slow):
            text = "query %d was answered after %.3g s, above the limit of %g s"
            query = int(slow[0])
            self.note_failure(query, UnansweredError(text % (query, taken[query] / 1e9, self.timeout)))

    def kept(self, query: int, outputs: Mapping[str, Any]) -> Optional[BaseException]:
        """Let the sink, if there is one, have a part of an answer; return what it has against it."""
        if self.sink is None or not (self.keeps is None or self.keeps[query]):
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

    def give_up(self, query: int, reply: Reply) -> bool:
        """End a query that was not answered in time, and the run with it; whether it had not ended by itself."""
        text = "query %d was not answered within %g s" % (query, self.timeout)
        if not reply.give_up(UnansweredError(text)):
            return False
        self.stop()
        return True

    def gives_up(self, query: int, reply: Reply, wake: Any) -> bool:
        """Do as `give_up`; where the query has ended by itself, wait until all is done with its answer."""
        given_up = self.give_up(query, reply)
        if not given_up:
            wake.acquire()
        return given_up

    def note_failure(self, query: int, error: BaseException) -> None:
        """Keep what went wrong with a query; too much, or an unanswered query, stops the run."""
        self.failures.append((query, error))
        if len(self.failures) >= MAX_FAILURES or isinstance(error, UnansweredError):
            self.stopped = True

    def note_objection(self, found: Optional[Tuple[int, str]]) -> None:
        """Keep what is wrong with an answer that was taken as right before, if nothing else has failed."""
        if found is not None and not self.failures:
            self.failures.append((found[0], MalformedAnswerError(found[1])))

    def note_second_end(self) -> None:
        """Count an end of a reply that had ended."""
        with self._rare:
            self.twice += 1


def _marked(queries: Sequence[int], count: int) -> bytearray:
    """Return a byte for each of so many queries, 1 for those that are named: a look at it costs next to nothing."""
    marks = bytearray(count)
    for query in queries:
        marks[query] = 1
    return marks


class _Collector:
    """Garbage collection, held off while any run of the process is in its timed part."""

    lock = threading.Lock()
    runs = 0
    was_enabled = False


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect before, hold off during; what a run leaves is freed by reference counts.

    While another run holds it off, nothing is collected: that would stand in the middle of what is timed there.
    """
    if not _Collector.runs:
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

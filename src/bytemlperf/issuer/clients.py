"""Closed loops: clients that each wait for their last answer. Syntax of Python 3.7."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time

from .reply import Reply
from .slots import Gate, held_lock

if False:
    from typing import Callable, Iterable, Iterator, List, Tuple

    from .issue import Run
    from .order import Order

_clock = time.perf_counter_ns


def send_in_loops(run: Run, order: Order) -> None:
    """Issue all queries by the order's clients; the caller's own thread is the client where there is one."""
    alone = order.samples_per_query == 1 and run.gathering is None
    run.share_slots(order.clients * order.samples_per_query)
    loop = _one_sample_each(run, order) if alone else _all_samples_of_each(run, order)
    if order.clients == 1:
        run.start_clock()
        loop(0, True)
    else:
        together(order.clients, lambda client: loop(client, False), run.start_clock)


def together(count: int, work: Callable[[int], None], start: Callable[[], object]) -> None:
    """Do work on threads of its own that begin at the same time, just after `start` was called."""
    ready = threading.Barrier(count + 1)

    def begin(number: int) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            ready.wait()
            work(number)

    threads = [threading.Thread(target=begin, args=(number,), daemon=True) for number in range(count)]
    try:
        for thread in threads:
            thread.start()
        start()
        ready.wait()
    except BaseException:  # too many threads for the system: those that wait must not wait for ever
        ready.abort()
        raise
    for thread in threads:
        thread.join()


def _one_sample_each(run: Run, order: Order) -> Callable[[int, bool], None]:
    queries_of, stop = _sharing(run, order), order.stop

    def loop(client: int, flush_each: bool) -> None:
        scheduled_ns, sent_ns, work, early = run.scheduled_ns, run.sent_ns, run.work, stop.early
        slots, timeout, send, replica, began_ns = run.slots, run.timeout, run.send, 0, 0
        queries, last = queries_of(client)
        wake = held_lock()
        for query in queries:
            if run.stopped:
                break
            reply = Reply(run, query, wake)
            scheduled_ns[query] = _clock()
            if slots is not None:
                replica = run.replica[query] = slots.take(wake)
                if run.stopped:
                    slots.give(replica)
                    break
            send(query, work[query], reply, flush_each or query == last, replica)
            if not wake.acquire(True, timeout) and run.gives_up(query, reply, wake):
                break
            if early:  # from the first query's turn, as LoadGen has it; another client may not have stamped it yet
                began_ns = began_ns or scheduled_ns[0]
                run.ended = stop.ends(query + 1, sent_ns[query] - (began_ns or run.started_ns)) or run.ended
        run.push_out()

    return loop


def _sharing(run: Run, order: Order) -> Callable[[int], Tuple[Iterable[int], int]]:
    """Return what gives a client its queries and the last of them: a share of its own, or by turns."""
    if order.stop.early:
        turns: Iterator[int] = itertools.count()
        return lambda client: (_by_turns(run, turns, len(order), client), len(order) - 1)
    share = [len(order) * client // order.clients for client in range(order.clients + 1)]
    for client in range(order.clients):
        run.columns["client"][share[client] : share[client + 1]] = client
    return lambda client: (range(share[client], share[client + 1]), share[client + 1] - 1)


def _by_turns(run: Run, turns: Iterator[int], total: int, client: int) -> Iterator[int]:
    """Go through the queries that nobody else has taken, until there are enough."""
    while not run.ended:
        query = next(turns)
        if query >= total:
            return
        run.client[query] = client
        yield query


def _all_samples_of_each(run: Run, order: Order) -> Callable[[int, bool], None]:
    turns: Iterator[int] = itertools.count()
    samples = order.samples_per_query
    total, stop = len(order) // samples, order.stop

    def loop(client: int, flush_each: bool) -> None:
        asker = _Asker(run, client)
        while not (run.stopped or run.ended):
            query = next(turns)
            if query >= total or not asker.ask(query * samples, (query + 1) * samples, flush_each):
                break
            if stop.early:
                began_ns = run.scheduled_ns[0] or run.started_ns
                run.ended = stop.ends(query + 1, run.sent_ns[query * samples] - began_ns) or run.ended
        run.push_out()

    return loop


class _Asker:
    """Sends all samples of a query, one call after another, and waits until all are answered."""

    def __init__(self, run: Run, client: int) -> None:
        self._run, self._client = run, client
        self._wake, self._turn = held_lock(), held_lock()
        self._step = 1 if run.gathering is None else run.gathering.size

    def ask(self, first: int, last: int, flush: bool) -> bool:
        """Return whether all samples were sent and ended in time."""
        run, step = self._run, self._step
        calls = [(begin, min(begin + step, last)) for begin in range(first, last, step)]
        gate = self._wake if len(calls) == 1 else Gate(self._wake, len(calls))
        run.columns["scheduled_ns"][first:last] = _clock()
        replies, replica = [], 0
        for begin, end in calls:
            if run.slots is not None:
                replica = run.slots.take(self._turn)
                if run.stopped:
                    run.slots.give(replica)
                    return False
            flush_now = flush and end == last
            reply = run.send_call(begin, end, gate, client=self._client, flush_now=flush_now, replica=replica)
            replies.append((begin, reply))
        return self._wake.acquire(True, run.timeout) or not self._give_up_each(replies)

    def _give_up_each(self, replies: List[Tuple[int, Reply]]) -> bool:
        """End the calls that were not answered in time; whether there were any."""
        given_up = [begin for begin, reply in replies if self._run.give_up(begin, reply)]
        if not given_up:
            self._wake.acquire()
        return bool(given_up)

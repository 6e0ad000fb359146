"""Open loops: queries that are sent when they are due, whether or not the last ones are answered.

A backend that blocks is called by as many threads as it takes calls at once. Each takes the next query, waits until
it is due and sends it itself: no hand-off lies between the moment and the call. A backend that answers by itself gets
one thread that sends. Syntax of Python 3.7.
"""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np

from .clients import together
from .order import MAX_OUTSTANDING
from .reply import Reply
from .slots import Nobody, held_lock
from .waiting import wait_until

if False:
    from typing import Callable, Optional, Tuple

    from .gathering import Gathering
    from .issue import Run
    from .order import Order

MOST_SENDERS = 32
"""Threads that send to a blocking backend without a bound; a query that finds none free waits, and that counts."""
AHEAD_NS = 5_000_000
"""From the start of the threads to the first moment, so that all of them stand at their places by then."""
WRITE_NS = 10
"""What it takes at most to write down the moment of one record."""
LOOK_EVERY_S = 0.001

_clock = time.perf_counter_ns


def send_at_times(run: Run, order: Order) -> None:
    """Issue all queries at their times and wait for the answers."""
    if run.blocks:
        run.waiting = None if order.stop.max_outstanding is None else {}
        _send_by_many(run, order)
    else:
        run.waiting = {}
        _send_by_one(run, order)


def senders_of(run: Run, order: Order) -> int:
    """Count the threads that send to a blocking backend."""
    each = MOST_SENDERS if run.max_in_flight is None else run.max_in_flight
    most = each * len(run.models) if order.senders is None else order.senders
    return max(min(most, each * len(run.models), len(order)), 1)


def _schedule(run: Run, order: Order, ahead_ns: int) -> None:
    """Begin the timed part; from here on each record has its moment, which was written down before the first comes."""
    due = np.repeat(np.asarray(order.scheduled_ns, dtype=np.int64), order.samples_per_query)
    start_ns = run.start_clock(ahead_ns + len(due) * WRITE_NS)
    np.add(due, start_ns, out=run.columns["scheduled_ns"])


def _send_by_many(run: Run, order: Order) -> None:
    senders = senders_of(run, order)
    run.share_slots(1 if len(run.models) == 1 else senders)
    by_itself = run.gathering is None and run.slots is None and not order.stop.early
    work = _each_by_itself(run) if by_itself else _calls(run, order)
    if senders == 1:
        _schedule(run, order, 0)
        work(0)
    else:
        together(senders, work, lambda: _schedule(run, order, AHEAD_NS))


def _each_by_itself(run: Run) -> Callable[[int], None]:
    """Return a sender's work where each record is a call and nothing else is to be looked at: with no step too many."""
    turns, total = itertools.count(), len(run.work)

    def work(client: int) -> None:
        batches, scheduled_ns, clients, wake = run.work, run.scheduled_ns, run.client, held_lock()
        send, timeout = run.send, run.timeout
        for record in turns:
            if record >= total or run.stopped or run.ended:
                break
            if _clock() < scheduled_ns[record] and not wait_until(scheduled_ns[record], run):
                break
            reply = Reply(run, record, wake)
            clients[record] = client
            send(record, batches[record], reply, False)
            if not wake.acquire(True, timeout) and run.gives_up(record, reply, wake):
                break

    return work


def _calls(run: Run, order: Order) -> Callable[[int], None]:
    """Return a sender's work: take a call at its moment, then a slot, send, wait, and look whether it was the last."""
    rule, taking = _Rule(run, order), _takers(run)

    def work(client: int) -> None:
        slots, wake, turn, replica = run.slots, held_lock(), held_lock(), 0
        while True:
            taken = taking()
            if taken is None:
                break
            if slots is not None:
                replica = slots.take(turn)
            first, last = taken
            reply = run.send_call(first, last, wake, client=client, replica=replica)
            if not wake.acquire(True, run.timeout) and run.gives_up(first, reply, wake):
                break
            rule.look(first, last)

    return work


def _send_by_one(run: Run, order: Order) -> None:
    calls = len(order)
    run.share_slots(calls)
    rule, nobody, turn, slots, replica = _Rule(run, order), Nobody(), held_lock(), run.slots, 0
    taking = _takers(run)
    _schedule(run, order, 0)
    while True:
        taken = taking()
        if taken is None:
            break
        first, last = taken
        if slots is not None:
            replica = slots.take(turn, run.timeout)
            if replica < 0:
                _give_up_overdue(run)
                break
            if run.stopped:
                slots.give(replica)
                break
        run.send_call(first, last, nobody, flush_now=last == calls, replica=replica)
        rule.look(first, last)
        _give_up_overdue(run)
    run.push_out()
    _drain(run)


def _takers(run: Run) -> Callable[[], Optional[Tuple[int, int]]]:
    """Return what gives a sender its next call, at its moment; None where there is no more."""
    if run.gathering is None:
        return _one_by_one(run)
    return _Collector(run, run.gathering).take


def _one_by_one(run: Run) -> Callable[[], Optional[Tuple[int, int]]]:
    turns, total, scheduled_ns = itertools.count(), len(run.work), run.scheduled_ns

    def take() -> Optional[Tuple[int, int]]:
        if run.stopped or run.ended:
            return None
        record = next(turns)
        if record >= total or (_clock() < scheduled_ns[record] and not wait_until(scheduled_ns[record], run)):
            return None
        return record, record + 1

    return take


class _Collector:
    """Joins queries that wait into calls: full ones at once, others when the first of them has waited long enough.

    One thread collects at a time; the others are at the backend, or wait for their turn to collect.
    """

    def __init__(self, run: Run, gathering: Gathering) -> None:
        self._run, self._size, self._delay_ns = run, gathering.size, gathering.max_delay_ns
        self._next, self._total = 0, len(run.work)
        self._turn = threading.Lock()

    def take(self) -> Optional[Tuple[int, int]]:
        """Return the first record of a call and the one after its last."""
        with self._turn:
            first, run = self._next, self._run
            if run.stopped or run.ended or first >= self._total or not wait_until(run.scheduled_ns[first], run):
                return None
            latest_ns = run.scheduled_ns[first] + self._delay_ns
            last, end = first + 1, min(first + self._size, self._total)
            while last < end:
                due_ns = run.scheduled_ns[last]
                if due_ns > _clock():
                    if not wait_until(min(due_ns, latest_ns), run):
                        return None
                    if due_ns > latest_ns:
                        break
                last += 1
            self._next = last
            return first, last


class _Rule:
    """When to end before the queries have run out."""

    def __init__(self, run: Run, order: Order) -> None:
        self._run, self._stop, self._samples = run, order.stop, order.samples_per_query

    def look(self, first: int, last: int) -> None:
        """Look whether the call that was sent last is to be the last."""
        if not self._stop.early:
            return
        run = self._run
        run.ended = self._stop.ends(last // self._samples, run.sent_ns[first] - run.started_ns) or run.ended
        most = self._stop.max_outstanding
        if most is not None and run.waiting is not None:
            arrived = int(np.searchsorted(run.columns["scheduled_ns"], _clock(), side="right"))
            if max(arrived - last, 0) + len(run.waiting) > most:
                run.ended = MAX_OUTSTANDING


def _give_up_overdue(run: Run) -> bool:
    """End the query that was sent first of those that wait if it has waited too long; whether it had."""
    waiting = run.waiting
    if run.timeout < 0 or not waiting:
        return False
    try:
        query, reply = next(iter(waiting.items()))
    except (StopIteration, RuntimeError):  # it has ended meanwhile
        return False
    sent_ns = run.sent_ns[query]
    return bool(sent_ns) and _clock() - sent_ns > run.timeout * 1e9 and run.give_up(query, reply)


def _drain(run: Run) -> None:
    """Wait until all that was sent has ended, or does not in time."""
    while run.waiting:
        time.sleep(LOOK_EVERY_S)
        if _give_up_overdue(run):
            break

"""Open loops: when queries are sent, how they are joined, and how a run ends that goes wrong."""

import threading
import time

import numpy as np
import pytest
from tests.issuer.driving import Plain, pushing_run_of, run_of
from tests.issuer.test_issue import ANSWER, Overlaps, held_until_flush, stopped_when

from bytemlperf.issuer import issue, order
from bytemlperf.issuer.arrivals import MOST_SENDERS, senders_of
from bytemlperf.issuer.buffer import MOST_PROBES, TraceBuffer
from bytemlperf.issuer.gathering import Gathering
from bytemlperf.issuer.order import Order, Stop
from bytemlperf.issuer.slots import Gate, Slots, held_lock
from bytemlperf.issuer.verbs import blocking_submit
from bytemlperf.scenarios import Stop as PlannedStop
from bytemlperf.spec import to_json
from bytemlperf.trace import Ended, from_buffer

MS = 1_000_000


def arrived(run, due_ns, **fields):
    """Issue one batch at each time and return the trace."""
    asked = Order([0] * (len(due_ns) * fields.get("samples_per_query", 1)), scheduled_ns=np.array(due_ns), **fields)
    buffer = TraceBuffer(len(asked))
    run.issue(asked, buffer)
    return from_buffer(memoryview(buffer.map))


@pytest.mark.parametrize(
    "make", [run_of, lambda _, **given: pushing_run_of(lambda _, reply: reply.done(ANSWER), **given)]
)
@pytest.mark.parametrize("max_in_flight", [1, 3, None])
def test_no_query_is_sent_before_it_is_due(make, max_in_flight):
    due = [0, 0, 5 * MS, 5 * MS, 12 * MS]
    trace = arrived(make(lambda _: ANSWER, max_in_flight=max_in_flight), due)
    assert (trace.scheduled_ns - trace.started_ns).tolist() == due
    assert (trace.sent_ns >= trace.scheduled_ns).all()
    assert trace.answered.all()


def test_no_query_of_an_open_loop_waits_for_the_answer_of_another():
    together = threading.Barrier(3, timeout=20)
    trace = arrived(run_of(lambda _: (together.wait() and ANSWER) or ANSWER, max_in_flight=3), [0, MS, 2 * MS])
    assert trace.answered.all()
    assert len(set(trace.client)) == 3


@pytest.mark.parametrize(
    ("max_in_flight", "replicas", "asked", "queries", "expected"),
    [
        (1, 1, None, 100, 1),
        (4, 1, None, 100, 4),
        (4, 2, None, 100, 8),
        (4, 1, None, 3, 3),
        (None, 1, None, 100, MOST_SENDERS),
        (None, 1, 2, 100, 2),
        (4, 1, 9, 100, 4),
        (4, 1, None, 0, 1),
    ],
)
def test_as_many_threads_send_as_calls_are_taken(max_in_flight, replicas, asked, queries, expected):
    run = run_of(lambda _: ANSWER, max_in_flight=max_in_flight)
    run.models = [None] * replicas
    assert senders_of(run, Order([0] * queries, senders=asked)) == expected


def test_one_sender_is_the_callers_own_thread():
    threads = []
    arrived(run_of(lambda _: threads.append(threading.get_ident()) or ANSWER), [0, MS])
    assert set(threads) == {threading.get_ident()}


def test_all_samples_of_a_query_are_due_at_once():
    trace = arrived(run_of(lambda _: ANSWER), [0, 3 * MS], samples_per_query=4)
    assert trace.samples_per_query == 4
    assert (trace.scheduled_ns - trace.started_ns).tolist() == [0] * 4 + [3 * MS] * 4


def test_nothing_to_send_is_an_empty_trace():
    assert len(arrived(run_of(lambda _: ANSWER), [])) == 0
    assert len(arrived(pushing_run_of(lambda _, reply: reply.done(ANSWER)), [])) == 0


# ---------------------------------------------------------------------------------------------------------- going wrong


def test_a_reply_that_never_comes_ends_an_open_loop():
    run = pushing_run_of(lambda batch, reply: None, query_s=0.1)
    trace = arrived(run, [0, MS, 2 * MS])
    ((query, error),) = run.failures
    assert (query, type(error)) == (0, issue.UnansweredError)
    assert trace.status.tolist() == [2, 0, 0]


def test_a_reply_that_never_comes_ends_a_loop_that_waits_for_a_slot():
    run = pushing_run_of(lambda batch, reply: None, query_s=0.1, max_in_flight=1)
    assert arrived(run, [0, MS, 2 * MS]).status.tolist() == [2, 0, 0]
    assert [type(error) for _, error in run.failures] == [issue.UnansweredError]


def test_a_stop_is_seen_by_threads_that_wait_for_their_moment():
    run = run_of(lambda _: ANSWER, max_in_flight=4)
    with stopped_when(run, lambda: run.started_ns and time.perf_counter_ns() > run.started_ns + 20 * MS):
        trace = arrived(run, [0, 10**12, 10**12])
    assert trace.status.tolist() == [1, 0, 0]


def test_too_many_failures_stop_an_open_loop():
    run = run_of(lambda _: 1 / 0)
    trace = arrived(run, [each * 10_000 for each in range(100)])
    assert (trace.status == 2).sum() == issue.MAX_FAILURES
    assert trace.ended is Ended.WHOLE


def test_the_last_batch_of_a_backend_that_holds_back_is_pushed_out():
    submit, flush = held_until_flush(4)
    assert arrived(pushing_run_of(submit, flush=flush, query_s=20.0), [0] * 9).answered.all()


def test_an_interrupt_ends_an_open_loop_and_is_passed_on():
    def predict(_):
        raise KeyboardInterrupt

    run = run_of(predict)
    with pytest.raises(KeyboardInterrupt):
        arrived(run, [0, MS])
    assert run.stopped


# -------------------------------------------------------------------------------------------------------------- joining


class Sample:
    """A prepared sample: a batched input, and one that all share."""

    def __init__(self, number):
        self.inputs = {"x": np.full((1, 2), number), "table": TABLE}


TABLE = np.arange(3)


def joining_run(seen, *, size, delay_ns=0, pads=False, submit=None, **options):
    gathering = Gathering(
        size=size,
        max_delay_ns=delay_ns,
        pads=pads,
        axes={"x": 0},
        make=lambda inputs, count, padding: (inputs, count, padding),
    )

    def predict(batch):
        inputs, count, padding = batch if isinstance(batch, tuple) else (batch.inputs, 1, 0)
        assert inputs["table"] is TABLE
        seen.append((inputs["x"][:, 0].tolist(), count, padding))
        return ANSWER

    made = blocking_submit(Plain(predict), streams=False)
    return issue.Run(
        submit=submit or made,
        flush=None,
        compiled=None,
        batches=[Sample(each) for each in range(8)],
        sizes=[1] * 8,
        gathering=gathering,
        **options,
    )


def joined(run, batch, due_ns, **fields):
    asked = Order(batch, scheduled_ns=np.array(due_ns), **fields)
    buffer = TraceBuffer(len(asked))
    run.issue(asked, buffer)
    return from_buffer(memoryview(buffer.map))


def test_queries_that_wait_are_sent_together_in_order():
    seen = []
    trace = joined(joining_run(seen, size=3), [5, 1, 4, 2, 0, 7, 6], [0] * 7)
    assert seen == [([5, 1, 4], 3, 0), ([2, 0, 7], 3, 0), ([6], 1, 0)]
    assert trace.answered.all()
    assert [len(set(trace.done_ns[part])) for part in (slice(0, 3), slice(3, 6))] == [1, 1]
    assert trace.sent_ns.tolist() == np.repeat(trace.sent_ns[[0, 3, 6]], [3, 3, 1]).tolist()


def test_a_call_that_is_not_full_is_padded_for_an_engine_of_one_size():
    seen = []
    joined(joining_run(seen, size=3, pads=True), [5, 1, 4, 2], [0] * 4)
    assert seen == [([5, 1, 4], 3, 0), ([2, 2, 2], 3, 2)]


def test_a_call_waits_for_others_no_longer_than_it_may():
    seen = []
    due = [0, 2 * MS, 4 * MS, 10**9]
    trace = joined(joining_run(seen, size=8, delay_ns=500 * MS), [0, 1, 2, 3], due)
    assert [first for first, _, _ in seen] == [[0, 1, 2], [3]]
    waited = trace.sent_ns - trace.scheduled_ns
    assert waited[0] >= 500 * MS
    assert waited[3] < 500 * MS  # no more come


def test_a_full_call_does_not_wait():
    seen = []
    trace = joined(joining_run(seen, size=2, delay_ns=3600 * 10**9), [0, 1], [0, MS])
    assert [first for first, _, _ in seen] == [[0, 1]]
    assert trace.answered.all()


def test_a_call_that_fails_fails_all_its_queries():
    def submit(compiled, batch, reply):
        raise RuntimeError("no")

    run = joining_run([], size=4, submit=submit)
    assert joined(run, [0, 1, 2, 3, 4], [0] * 5).status.tolist() == [2] * 5
    assert len(run.failures) == 2


def test_samples_that_cannot_be_joined_fail_as_the_harness_own():
    run = joining_run([], size=2)
    run._batches[1].inputs["x"] = np.zeros((1, 9))
    assert joined(run, [0, 1], [0, 0]).status.tolist() == [2, 2]
    assert run.failures[0][1].code == "harness_error"


def test_many_threads_join_without_losing_a_query():
    seen = []
    trace = joined(
        joining_run(seen, size=3, max_in_flight=4), [0, 1, 2, 3] * 50, [each * 20_000 for each in range(200)]
    )
    assert trace.answered.all()
    assert sum(count for _, count, _ in seen) == 200


def test_streams_of_several_samples_are_joined_within_a_query():
    seen = []
    run = joining_run(seen, size=3)
    buffer = TraceBuffer(10)
    run.issue(Order([0, 1, 2, 3, 4, 5, 6, 7, 0, 1], samples_per_query=5), buffer)
    assert [first for first, _, _ in seen] == [[0, 1, 2], [3, 4], [5, 6, 7], [0, 1]]
    trace = from_buffer(memoryview(buffer.map))
    assert trace.done_ns[:5].max() <= trace.scheduled_ns[5:].min()


def test_a_warm_up_of_joined_queries_fills_its_calls():
    seen = []
    run = joining_run(seen, size=4)
    queries, _ = run.warm_up_for(
        Order([0, 1, 2, 3], scheduled_ns=np.zeros(4)), max_queries=6, window=3, tolerance=1e-12, max_seconds=60.0
    )
    assert queries == 6
    assert [count for _, count, _ in seen] == [4] * 6


# ---------------------------------------------------------------------------------------------------------- its pieces


def test_both_sides_number_the_reasons_alike():
    names = ("WHOLE", "ENOUGH", "MAX_DURATION", "MAX_OUTSTANDING", "CERTAIN")
    assert {name: getattr(order, name) for name in names} == {each.name: each.value for each in Ended}


@pytest.mark.parametrize(
    ("stop", "issued", "elapsed", "ends"),
    [
        (PlannedStop(), 10**6, 10**12, Ended.WHOLE),
        (PlannedStop(when_enough=True, min_queries=3, min_duration_ns=5), 3, 5, Ended.ENOUGH),
        (PlannedStop(when_enough=True, min_queries=3, min_duration_ns=5), 2, 9, Ended.WHOLE),
        (PlannedStop(when_enough=True, min_queries=3, min_duration_ns=5), 9, 4, Ended.WHOLE),
        (PlannedStop(max_duration_ns=5), 1, 5, Ended.WHOLE),
        (PlannedStop(max_duration_ns=5), 1, 6, Ended.MAX_DURATION),
    ],
)
def test_a_stop_rule(stop, issued, elapsed, ends):
    assert Stop(**to_json(stop)).ends(issued, elapsed) == ends


def test_the_replica_with_the_fewest_calls_is_given_first():
    slots, wake = Slots(2, replicas=3), held_lock()
    taken = [slots.take(wake) for _ in range(6)]
    assert sorted(taken[:3]) == sorted(taken[3:]) == [0, 1, 2]
    for replica in (2, 1, 1):
        slots.give(replica)
    assert [slots.take(wake), sorted([slots.take(wake), slots.take(wake)])] == [1, [1, 2]]


def test_a_slot_that_does_not_come_free_is_not_waited_for_longer_than_allowed():
    slots, wake = Slots(1), held_lock()
    assert slots.take(wake) == 0
    assert slots.take(wake, 0.01) == -1


def test_a_gate_opens_with_the_last_of_its_calls():
    lock = held_lock()
    gate = Gate(lock, 3)
    gate.release()
    gate.release()
    assert not lock.acquire(False)
    gate.release()
    assert lock.acquire(False)


def test_the_probe_keeps_to_its_room():
    run = run_of(Overlaps())
    buffer = TraceBuffer(20, probes=4)
    run.issue(Order([0] * 20), buffer)
    assert 0 < len(from_buffer(memoryview(buffer.map)).probe_late_ns) <= 4
    assert MOST_PROBES > 4


@pytest.mark.parametrize("together", [1, 2])
def test_a_closed_loop_lasts_from_the_turn_of_its_first_query(together):
    def answered(batch):
        time.sleep(0.001)
        return {}

    run = run_of(answered)
    begin = run.start_clock

    def begin_late(ahead_ns=0):
        begun = begin(ahead_ns)
        time.sleep(0.05)
        return begun

    run.start_clock = begin_late
    buffer = TraceBuffer(1000)
    stop = {"when_enough": True, "min_queries": 1, "min_duration_ns": 20_000_000}
    run.issue(Order([0] * 1000, samples_per_query=together, stop=stop), buffer)
    trace = from_buffer(memoryview(buffer.map))
    assert trace.sent_ns.max() - trace.scheduled_ns[0] >= 20_000_000
    assert len(trace) < 1000

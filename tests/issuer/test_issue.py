"""The issuer: who sends what when, what is stamped, and how a run ends."""

import contextlib
import gc
import threading
import time

import numpy as np
import pytest
from tests.issuer.driving import issued, pushing_run_of, run_of, streaming_run_of

from bytemlperf.issuer import issue
from bytemlperf.issuer.answers import check
from bytemlperf.issuer.buffer import TraceBuffer

ANSWER = {"y": np.zeros(1)}
WARMUP = {"max_queries": 30, "window": 5, "tolerance": 0.05, "max_seconds": 60.0}


class Overlaps:
    """Counts how many calls are in it at once; the first wait until so many have been, on a busy machine too."""

    def __init__(self, expected=1):
        self.inside, self.most, self._expected, self._changed = 0, 0, expected, threading.Condition()

    def __call__(self, batch):
        with self._changed:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self._expected, timeout=20)
        time.sleep(0.005)
        with self._changed:
            self.inside -= 1
        return ANSWER


@contextlib.contextmanager
def stopped_when(run, condition):
    """Stop a run from another thread as soon as a condition holds."""

    def look():
        while not condition():
            time.sleep(0.001)
        run.stop()

    thread = threading.Thread(target=look)
    thread.start()
    yield
    thread.join()


# ------------------------------------------------------------------------------------------------------------- stamps


@pytest.mark.parametrize("clients", [1, 2, 5])
@pytest.mark.parametrize("max_in_flight", [1, 2, None])
def test_stamps_are_in_order(clients, max_in_flight):
    before = time.perf_counter_ns()
    trace = issued(run_of(lambda batch: ANSWER, max_in_flight=max_in_flight), [0, 1, 2, 3] * 5, clients)
    assert trace.answered.all()
    assert before <= trace.started_ns
    assert (trace.started_ns <= trace.scheduled_ns).all()
    assert (trace.scheduled_ns <= trace.sent_ns).all()
    assert (trace.sent_ns <= trace.first_ns).all()
    assert (trace.first_ns <= trace.done_ns).all()
    assert (trace.done_ns <= time.perf_counter_ns()).all()


def test_a_client_sends_when_its_last_query_is_answered():
    trace = issued(run_of(lambda batch: ANSWER, max_in_flight=None), [0] * 12, clients=3)
    for client in range(3):
        own = trace.client == client
        assert (trace.done_ns[own][:-1] <= trace.scheduled_ns[own][1:]).all()


def test_a_calls_time_lies_between_its_stamps():
    trace = issued(run_of(lambda batch: time.sleep(0.01) or ANSWER), [0] * 3)
    assert (trace.done_ns - trace.sent_ns >= 10_000_000).all()


@pytest.mark.parametrize(("queries", "clients"), [(8, 2), (7, 3), (3, 3), (2, 5), (0, 1), (0, 3)])
def test_clients_share_the_queries(queries, clients):
    seen = []
    trace = issued(run_of(lambda batch: seen.append(batch) or ANSWER), [i % 4 for i in range(queries)], clients)
    assert trace.answered.all()
    assert sorted(seen) == sorted(i % 4 for i in range(queries))
    shares = np.bincount(trace.client, minlength=clients) if queries else np.zeros(clients)
    assert shares.max() - shares.min() <= 1
    assert (np.diff(trace.client.astype(int)) >= 0).all()


def test_each_client_is_a_thread_of_its_own_and_one_alone_is_the_callers():
    threads, together = [], threading.Barrier(3, timeout=20)  # an ident is free again when its thread has ended
    run = run_of(
        lambda batch: threads.append(threading.get_ident()) or together.wait() * 0 or ANSWER, max_in_flight=None
    )
    issued(run, [0] * 6, clients=3)
    assert len(set(threads)) == 3
    assert threading.get_ident() not in threads
    threads.clear()
    issued(run_of(lambda batch: threads.append(threading.get_ident()) or ANSWER), [0] * 2)
    assert set(threads) == {threading.get_ident()}


def test_batches_and_sizes_are_those_of_the_plan():
    trace = issued(run_of(lambda batch: ANSWER, sizes=[4, 4, 4, 1]), [3, 0, 3, 1])
    assert trace.batch.tolist() == [3, 0, 3, 1]
    assert trace.size.tolist() == [1, 4, 1, 4]


# -------------------------------------------------------------------------------------------------------- concurrency


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
def test_max_in_flight_is_never_exceeded(max_in_flight):
    overlaps = Overlaps(max_in_flight)
    trace = issued(run_of(overlaps, max_in_flight=max_in_flight), [0] * 24, clients=4)
    assert overlaps.most == max_in_flight
    assert trace.answered.all()
    by_time = sorted([(ns, 1) for ns in trace.sent_ns] + [(ns, -1) for ns in trace.done_ns])
    assert max(np.cumsum([step for _, step in by_time])) <= max_in_flight


def test_without_a_bound_every_client_calls():
    overlaps = Overlaps(4)
    issued(run_of(overlaps, max_in_flight=None), [0] * 24, clients=4)
    assert overlaps.most == 4


def test_what_waits_for_a_slot_waits_between_scheduled_and_sent():
    trace = issued(run_of(Overlaps(), max_in_flight=1), [0] * 12, clients=4)
    waited = trace.sent_ns - trace.scheduled_ns
    assert (waited > 4_000_000).sum() >= 6
    assert (trace.latency_ns >= waited).all()


def test_slots_go_to_clients_in_the_order_in_which_they_asked():
    trace = issued(run_of(Overlaps(), max_in_flight=1), [0] * 20, clients=4)
    in_turn = trace.client[np.argsort(trace.sent_ns)]
    gaps = [np.diff(np.flatnonzero(in_turn == client)) for client in range(4)]
    assert np.median(np.concatenate(gaps)) == 4


def test_max_in_flight_holds_for_replies_from_other_threads():
    inside, most, lock = [0], [0], threading.Lock()

    def submit(batch, reply):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])

        def answer():
            with lock:
                inside[0] -= 1
            reply.done(ANSWER)

        threading.Timer(0.002, answer).start()

    trace = issued(pushing_run_of(submit, max_in_flight=2), [0] * 16, clients=4)
    assert most[0] == 2
    assert trace.answered.all()


def test_a_failed_query_gives_its_slot_back():
    def predict(batch):
        raise RuntimeError("no")

    run = run_of(predict, max_in_flight=1)
    trace = issued(run, [0] * 8, clients=4)
    assert trace.status.tolist() == [2] * 8


# ------------------------------------------------------------------------------------------------------------ warm-up


def test_a_warm_up_ends_when_two_windows_agree():
    naps = iter([0.2] + [0.002] * 1000)
    run = run_of(lambda batch: time.sleep(next(naps)) or ANSWER)
    queries, settled = run.warm_up([0, 1, 2, 3], 1, max_queries=1000, window=1, tolerance=0.5, max_seconds=60.0)
    assert settled
    assert 2 < queries < 1000


def test_a_warm_up_that_does_not_settle_ends_at_its_bound():
    naps = iter([0.001, 0.02] * 100)
    run = run_of(lambda batch: time.sleep(next(naps)) or ANSWER)
    assert run.warm_up([0], 1, max_queries=7, window=1, tolerance=-1.0, max_seconds=60.0) == (7, False)


def test_a_warm_up_ends_when_its_time_is_used_up():
    naps = iter([0.001, 0.03] * 1000)
    run = run_of(lambda batch: time.sleep(next(naps)) or ANSWER)
    queries, settled = run.warm_up([0], 1, max_queries=2000, window=1, tolerance=-1.0, max_seconds=0.1)
    assert 1 <= queries < 2000
    assert not settled


def test_a_warm_up_goes_round_the_plans_batches():
    seen = []
    run = run_of(lambda batch: seen.append(batch) or ANSWER)
    run.warm_up([2, 0, 1], 1, max_queries=7, window=7, tolerance=-1.0, max_seconds=60.0)
    assert seen == [2, 0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(("clients", "expected"), [(8, 30), (40, 30), (3, 30), (7, 30)])
def test_many_clients_are_warmed_up_within_the_bound_too(clients, expected):
    calls = []
    run = run_of(lambda batch: calls.append(threading.get_ident()) or ANSWER, max_in_flight=None)
    queries, _ = run.warm_up([0], clients, max_queries=30, window=5, tolerance=-1.0, max_seconds=60.0)
    assert queries == len(calls) == expected


@pytest.mark.parametrize(("order", "max_queries"), [([0], 0), ([], 30)])
def test_no_warm_up_where_there_is_nothing_to_do(order, max_queries):
    assert run_of(lambda batch: 1 / 0).warm_up(order, 2, **{**WARMUP, "max_queries": max_queries}) == (0, False)


def test_nothing_of_the_warm_up_is_in_the_trace():
    seen = []
    run = run_of(lambda batch: seen.append(time.perf_counter_ns()) or ANSWER)
    queries, _ = run.warm_up([0], 1, **WARMUP)
    trace = issued(run, [0] * 5)
    assert len(seen) == queries + 5
    assert trace.started_ns >= seen[queries - 1]
    assert (trace.sent_ns <= seen[queries:]).all()


def test_a_failure_in_the_warm_up_ends_it():
    def predict(batch):
        raise RuntimeError("no")

    run = run_of(predict)
    assert run.warm_up([0], 1, **WARMUP) == (5, False)
    assert len(run.failures) == 5


@pytest.mark.parametrize("answer", [None, [np.zeros(1)], 3, {"y": 1.5}, {"y": [1]}, {"y": np.array([None])}, "text"])
def test_the_warm_up_looks_at_answers_that_nobody_keeps(answer):
    run = run_of(lambda batch: answer, check=check)
    run.warm_up([0], 1, **WARMUP)
    assert {type(error) for _, error in run.failures} == {issue.MalformedAnswerError}


def test_the_timed_part_does_not_look_at_answers():
    looked = []
    run = run_of(lambda batch: ANSWER, check=lambda query, outputs: looked.append(query))
    queries, _ = run.warm_up([0], 1, **WARMUP)
    issued(run, [0] * 5)
    assert len(looked) == queries


def test_warm_up_stamps_can_be_looked_at_from_outside(tmp_path):
    run_of(lambda batch: ANSWER).warm_up([0], 1, **WARMUP, path=str(tmp_path / "warmup"))
    assert (tmp_path / "warmup").stat().st_size > 4096


# --------------------------------------------------------------------------------------------------- garbage collector


@pytest.fixture
def _collector_as_before():
    was_enabled = gc.isenabled()
    yield
    (gc.enable if was_enabled else gc.disable)()


@pytest.mark.usefixtures("_collector_as_before")
@pytest.mark.parametrize("enabled", [True, False])
def test_no_garbage_is_collected_in_the_timed_part_and_all_is_as_before(enabled):
    (gc.enable if enabled else gc.disable)()
    seen = []
    issued(run_of(lambda batch: seen.append(gc.isenabled()) or ANSWER), [0] * 3)
    assert seen == [False] * 3
    assert gc.isenabled() is enabled


@contextlib.contextmanager
def counted_collections():
    """The generations that are collected, one entry each."""
    seen = []

    def look(phase, facts):
        if phase == "start":
            seen.append(facts["generation"])

    gc.callbacks.append(look)
    try:
        yield seen
    finally:
        gc.callbacks.remove(look)


@pytest.mark.usefixtures("_collector_as_before")
def test_a_warm_up_collects_once_and_not_between_its_windows():
    gc.disable()  # what is counted is what the run asks for
    run = run_of(lambda batch: ANSWER)
    with counted_collections() as seen:
        assert run.warm_up([0], 1, max_queries=30, window=5, tolerance=-1.0, max_seconds=60.0) == (30, False)
    assert seen == [2]


@pytest.mark.usefixtures("_collector_as_before")
def test_nothing_is_collected_in_the_middle_of_another_run():
    gc.disable()
    run = run_of(lambda batch: issued(run_of(lambda batch: ANSWER), [0, 0]) and ANSWER)
    with counted_collections() as seen:
        issued(run, [0] * 3)
    assert seen == [2]


@pytest.mark.usefixtures("_collector_as_before")
def test_the_collector_comes_back_after_an_interrupt():
    gc.enable()

    def predict(batch):
        raise KeyboardInterrupt

    run = run_of(predict)
    with pytest.raises(KeyboardInterrupt):
        issued(run, [0] * 3)
    assert gc.isenabled()
    assert run.stopped


@pytest.mark.usefixtures("_collector_as_before")
def test_runs_at_the_same_time_hold_the_collector_off_until_the_last_ends():
    gc.enable()
    seen, both = [], threading.Barrier(2)

    def short(batch):
        both.wait()
        return ANSWER

    def long(batch):
        both.wait()
        other.join()
        seen.append(gc.isenabled())
        return ANSWER

    other = threading.Thread(target=issued, args=(run_of(short), [0]))
    other.start()
    issued(run_of(long), [0])
    assert seen == [False]
    assert gc.isenabled()


# ------------------------------------------------------------------------------------------------------------- answers


def test_answers_are_kept_as_they_were_computed():
    kept = {}
    run = run_of(lambda batch: {"y": np.full(3, batch)}, sink=kept.__setitem__)
    issued(run, [3, 1, 2], clients=2)
    assert {query: answer["y"].tolist() for query, answer in kept.items()} == {0: [3] * 3, 1: [1] * 3, 2: [2] * 3}


def test_keeping_comes_after_the_stamp():
    begun = []
    run = run_of(
        lambda batch: ANSWER, sink=lambda query, outputs: begun.append(time.perf_counter_ns()) or time.sleep(0.02)
    )
    trace = issued(run, [0, 0])
    assert (trace.done_ns <= begun).all()
    assert trace.sent_ns[1] - trace.done_ns[0] >= 20_000_000


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TypeError("no array"), issue.MalformedAnswerError),
        (RuntimeError("a lazy tensor"), issue.MalformedAnswerError),
        (OSError(28, "No space left on device"), issue.HarnessError),
    ],
)
@pytest.mark.parametrize("make", [run_of, None])
def test_an_answer_that_cannot_be_kept_is_a_failure_of_its_query(error, kind, make):
    def sink(query, outputs):
        if query == 1:
            raise error

    make = make or (lambda _, **options: pushing_run_of(lambda batch, reply: reply.done(ANSWER), **options))
    run = make(lambda batch: ANSWER, sink=sink)
    trace = issued(run, [0] * 3)
    assert trace.status.tolist() == [1, 2, 1]
    assert [(query, type(each)) for query, each in run.failures] == [(1, kind)]


def test_predict_that_returns_none_has_failed_also_where_nothing_is_kept():
    run = run_of(lambda batch: None)
    assert issued(run, [0]).status.tolist() == [2]
    assert isinstance(run.failures[0][1], issue.MalformedAnswerError)


# ------------------------------------------------------------------------------------------------------------ streams


class Part:
    def __init__(self, outputs, tokens=1):
        self.outputs, self.tokens = outputs, tokens


def test_every_part_is_stamped():
    def stream(batch):
        for tokens in (0, 1, 3):
            time.sleep(0.002)
            yield Part({"tokens": np.zeros(tokens)}, tokens)

    kept = []
    run = streaming_run_of(stream, sink=lambda query, outputs: kept.append((query, len(outputs["tokens"]))))
    trace = issued(run, [0, 1], chunks=10)
    assert trace.tokens.tolist() == [4, 4]
    assert trace.chunk_tokens.tolist() == [0, 1, 3] * 2
    assert trace.chunk_query.tolist() == [0] * 3 + [1] * 3
    assert (np.diff(trace.chunk_ns) >= 2_000_000).all()
    assert trace.first_ns.tolist() == trace.chunk_ns[[1, 4]].tolist()
    assert (trace.chunk_ns[[2, 5]] <= trace.done_ns).all()
    assert kept == [(0, 0), (0, 1), (0, 3), (1, 0), (1, 1), (1, 3)]
    assert trace.chunks_lost == 0


def test_a_stream_without_a_token_has_none():
    trace = issued(streaming_run_of(lambda batch: iter([Part({}, 0)])), [0], chunks=4)
    assert trace.status.tolist() == [1]
    assert trace.tokens.tolist() == [0]
    assert trace.first_ns.tolist() == trace.done_ns.tolist()


def test_a_stream_without_a_part_is_no_answer():
    run = streaming_run_of(lambda batch: iter([]))
    assert issued(run, [0], chunks=4).status.tolist() == [2]
    assert isinstance(run.failures[0][1], issue.MalformedAnswerError)


@pytest.mark.parametrize("part", [{"y": np.zeros(1)}, None, Part({}, -1), Part({}, 1.5), Part({}, 70_000)])
def test_a_part_that_is_none_fails_its_query(part):
    run = streaming_run_of(lambda batch: iter([part, part]), sink=lambda query, outputs: None)
    assert issued(run, [0], chunks=4).status.tolist() == [2]
    assert isinstance(run.failures[0][1], issue.MalformedAnswerError)


def test_parts_beyond_their_room_are_counted():
    trace = issued(streaming_run_of(lambda batch: (Part({}) for _ in range(5))), [0, 1], chunks=7)
    assert len(trace.chunk_ns) == 7
    assert trace.chunks_lost == 3
    assert trace.tokens.tolist() == [5, 5]


def test_a_stream_that_raises_keeps_the_parts_before():
    def stream(batch):
        yield Part({})
        raise RuntimeError("broken off")

    run = streaming_run_of(stream)
    trace = issued(run, [0], chunks=4)
    assert trace.status.tolist() == [2]
    assert len(trace.chunk_ns) == 1
    assert str(run.failures[0][1]) == "broken off"


def test_a_stopped_run_closes_its_streams_and_leaves_them_unanswered():
    closed = []

    def stream(batch):
        try:
            while True:
                run.stop()
                yield Part({})
        finally:
            closed.append(batch)

    run = streaming_run_of(stream)
    assert issued(run, [0, 1], chunks=4).status.tolist() == [0, 0]
    assert closed == [0]
    assert run.failures == []


def test_parts_of_several_clients_are_not_mixed_up():
    def stream(batch):
        for _ in range(20):
            yield Part({}, batch + 1)

    trace = issued(streaming_run_of(stream, max_in_flight=None), [0, 1, 2, 3], clients=4, chunks=80)
    assert len(trace.chunk_ns) == 80
    for query in range(4):
        assert trace.chunk_tokens[trace.chunk_query == query].tolist() == [query + 1] * 20


# ------------------------------------------------------------------------------------------------ completions elsewhere


def test_a_reply_may_come_from_another_thread_after_submit_has_returned():
    def submit(batch, reply):
        threading.Timer(0.01, lambda: reply.done(ANSWER)).start()

    trace = issued(pushing_run_of(submit), [0] * 6, clients=3)
    assert trace.answered.all()
    assert (trace.done_ns - trace.sent_ns >= 10_000_000).all()


def test_a_second_end_is_counted_and_changes_nothing():
    def submit(batch, reply):
        reply.done(ANSWER)
        reply.done(ANSWER)
        reply.fail(RuntimeError("too late"))
        reply.chunk(ANSWER)

    run = pushing_run_of(submit)
    trace = issued(run, [0] * 3, chunks=8)
    assert trace.status.tolist() == [1, 1, 1]
    assert run.failures == []
    assert run.twice == 6
    assert len(trace.chunk_ns) == 0


def test_ends_from_many_threads_at_once_are_one():
    together = threading.Barrier(8)
    threads = []

    def submit(batch, reply):
        def end():
            together.wait()
            reply.done(ANSWER)

        threads[:] = [threading.Thread(target=end) for _ in range(8)]
        for thread in threads:
            thread.start()

    run = pushing_run_of(submit, sink=lambda query, outputs: time.sleep(0.01))
    trace = issued(run, [0])
    for thread in threads:
        thread.join()
    assert trace.status.tolist() == [1]
    assert run.twice == 7


def test_a_late_second_end_of_a_warm_up_query_does_not_answer_a_timed_one():
    late = []

    def submit(batch, reply):
        for earlier in late:
            earlier.done(ANSWER)
            earlier.chunk(ANSWER)
        late[:] = [reply]
        if not timed:
            reply.done(ANSWER)
        else:
            threading.Timer(0.02, lambda: reply.done(ANSWER)).start()

    timed = False
    run = pushing_run_of(submit)
    run.warm_up([0], 1, max_queries=1, window=1, tolerance=1.0, max_seconds=60.0)
    timed = True
    trace = issued(run, [0])
    assert (trace.done_ns - trace.sent_ns >= 20_000_000).all()


def test_a_submit_that_raises_after_its_reply_has_answered():
    def submit(batch, reply):
        reply.done(ANSWER)
        raise RuntimeError("afterthought")

    run = pushing_run_of(submit)
    assert issued(run, [0]).status.tolist() == [1]
    assert run.twice == 1


def test_a_reply_that_never_comes_hits_query_s_and_ends_the_run():
    run = pushing_run_of(lambda batch, reply: None if batch == 2 else reply.done(ANSWER), query_s=0.3)
    trace = issued(run, [0, 1, 2, 3])
    assert trace.status.tolist() == [1, 1, 2, 0]
    ((query, error),) = run.failures
    assert query == 2
    assert (type(error), error.code, error.limit) == (issue.UnansweredError, "time_limit", "query_s")
    assert run.stopped


def test_clients_that_wait_for_a_slot_do_not_go_on_after_a_hang():
    calls = []
    run = pushing_run_of(lambda batch, reply: calls.append(batch), query_s=0.05, max_in_flight=1)
    trace = issued(run, [0] * 8, clients=4)
    assert len(calls) == 1
    assert sorted(trace.status.tolist()) == [0] * 7 + [2]


def test_a_late_reply_after_its_limit_is_counted():
    replies = []
    run = pushing_run_of(lambda batch, reply: replies.append(reply), query_s=0.02)
    issued(run, [0])
    assert replies[0].cancelled
    replies[0].done(ANSWER)
    assert run.twice == 1


def test_a_very_long_limit_is_no_error():
    assert issued(pushing_run_of(lambda batch, reply: reply.done(ANSWER), query_s=1e300), [0]).answered.all()


def test_a_blocking_answer_beyond_the_limit_is_a_failure_and_stands():
    run = run_of(lambda batch: time.sleep(0.35 if batch == 2 else 0) or ANSWER, query_s=0.3)
    trace = issued(run, [0, 2])
    assert trace.status.tolist() == [1, 1]
    assert [(query, error.code) for query, error in run.failures] == [(1, "time_limit")]


def test_an_answer_without_a_part_is_none():
    run = pushing_run_of(lambda batch, reply: reply.done())
    assert issued(run, [0]).status.tolist() == [2]
    assert run.failures[0][1].code == "malformed_output"


def test_the_servers_own_total_is_kept_where_no_part_told_its_tokens():
    run = pushing_run_of(lambda batch, reply: reply.done(ANSWER, tokens=17, reported={"queue_ms": 1.5}))
    assert issued(run, [0]).tokens.tolist() == [17]
    assert run.reported == {0: {"queue_ms": 1.5}}


def test_what_counts_a_parts_tokens_is_called_after_its_stamp():
    counted = []

    def count():
        counted.append(time.perf_counter_ns())
        return 3

    def submit(batch, reply):
        reply.chunk(ANSWER, count)
        reply.done()
        reply.chunk(ANSWER, count)  # of an answer that has ended nothing is counted

    trace = issued(pushing_run_of(submit), [0], chunks=4)
    assert (trace.tokens.tolist(), trace.chunk_tokens.tolist(), len(counted)) == ([3], [3], 1)
    assert trace.chunk_ns[0] == trace.first_ns[0] < counted[0] < trace.done_ns[0]


@pytest.mark.parametrize("tokens", [-1, "two", 2**40, 1.5])
def test_a_count_that_is_none_fails_the_query(tokens):
    run = pushing_run_of(lambda batch, reply: reply.chunk(ANSWER, lambda: tokens), query_s=5.0)
    assert issued(run, [0], chunks=4).status.tolist() == [2]
    assert run.failures[0][1].code == "malformed_output"


@pytest.mark.parametrize("tokens", [-1, "two", 2**40, 1.5])
def test_tokens_that_are_no_count_fail_the_query(tokens):
    run = pushing_run_of(lambda batch, reply: reply.done(ANSWER, tokens=tokens), query_s=5.0)
    assert issued(run, [0]).status.tolist() == [2]
    assert run.failures[0][1].code == "malformed_output"


# -------------------------------------------------------------------------------------------------------------- flush


def held_until_flush(size):
    """A backend that answers when it has `size` queries, or is told that no more come."""
    held, lock = [], threading.Lock()

    def submit(batch, reply):
        with lock:
            held.append(reply)
            ready = held[:] if len(held) == size else []
            del held[: len(ready)]
        for each in ready:
            each.done(ANSWER)

    def flush(compiled):
        with lock:
            ready, held[:] = held[:], []
        for each in ready:
            each.done(ANSWER)

    return submit, flush


@pytest.mark.parametrize("queries", [1, 8, 9])
def test_one_client_pushes_out_each_query(queries):
    submit, flush = held_until_flush(4)
    trace = issued(pushing_run_of(submit, flush=flush, query_s=20.0), [0] * queries)
    assert trace.answered.all()


@pytest.mark.parametrize("queries", [8, 9, 11])
def test_clients_that_fill_a_batch_do_not_wait_for_ever_at_the_end(queries):
    submit, flush = held_until_flush(2)
    run = pushing_run_of(submit, flush=flush, query_s=20.0)
    assert issued(run, [0] * queries, clients=2).answered.all()
    assert run.failures == []


# --------------------------------------------------------------------------------------------------- failures and ends


def test_a_failing_query_leaves_the_others():
    run = run_of(lambda batch: ANSWER if batch != 1 else 1 / 0)
    trace = issued(run, [0, 1, 2, 3])
    assert trace.status.tolist() == [1, 2, 1, 1]
    assert [(query, type(error)) for query, error in run.failures] == [(1, ZeroDivisionError)]
    assert trace.done_ns[1] > 0


def test_too_many_failures_stop_the_run():
    run = run_of(lambda batch: 1 / 0)
    trace = issued(run, [0] * 50)
    assert (trace.status == 2).sum() == issue.MAX_FAILURES
    assert (trace.status == 0).sum() == 50 - issue.MAX_FAILURES
    assert run.stopped


def test_too_many_failures_stop_every_client():
    run = run_of(lambda batch: 1 / 0, max_in_flight=2)
    trace = issued(run, [0] * 100, clients=5)
    assert issue.MAX_FAILURES <= (trace.status == 2).sum() <= issue.MAX_FAILURES + 5


class OddError(BaseException):
    """What a vendor's binding may raise, no Exception."""


@pytest.mark.parametrize("error", [SystemExit(3), OddError("odd"), GeneratorExit()])
@pytest.mark.parametrize("clients", [1, 3])
def test_whatever_is_raised_fails_its_query_and_hangs_nobody(error, clients):
    def predict(batch):
        if batch == 1:
            raise error
        return ANSWER

    run = run_of(predict, max_in_flight=1)
    trace = issued(run, [0, 1, 2, 3, 0, 2], clients)
    assert trace.status.tolist() == [1, 2, 1, 1, 1, 1]


def test_an_interrupt_stops_the_clients_and_is_passed_on():
    calls = []

    def predict(batch):
        calls.append(batch)
        time.sleep(0.002)
        return ANSWER

    clients = []

    class Interrupted(issue.threading.Thread):
        def start(self):
            clients.append(self)
            super().start()

        def join(self, timeout=None):
            raise KeyboardInterrupt

    run = run_of(predict, max_in_flight=None)
    original, issue.threading.Thread = issue.threading.Thread, Interrupted
    try:
        with pytest.raises(KeyboardInterrupt):
            issued(run, [0] * 5000, clients=2)
    finally:
        issue.threading.Thread = original
    for client in clients:
        original.join(client, timeout=20)
        assert not client.is_alive()
    assert (len(clients), len(calls) < 5000) == (2, True)


def test_stop_ends_a_run_from_another_thread():
    calls = []
    run = run_of(lambda batch: calls.append(batch) or time.sleep(0.002) or ANSWER)
    with stopped_when(run, lambda: len(calls) > 2):
        trace = issued(run, [0] * 5000)
    assert 0 < trace.answered.sum() < 5000


def test_stop_cancels_what_is_in_flight():
    sent, cancelled = [], []

    def submit(batch, reply):
        def cancel():
            cancelled.append(batch)
            reply.fail(RuntimeError("cancelled"))

        sent.append(batch)
        return cancel

    run = pushing_run_of(submit, query_s=60.0)
    with stopped_when(run, lambda: len(sent) == 4):
        trace = issued(run, [0, 1, 2, 3], clients=4)
    assert sorted(cancelled) == [0, 1, 2, 3]
    assert trace.status.tolist() == [2, 2, 2, 2]


def test_a_query_that_is_sent_while_the_run_is_stopped_is_cancelled_too():
    def submit(batch, reply):
        run.stop()
        return lambda: reply.fail(RuntimeError("cancelled"))

    run = pushing_run_of(submit, query_s=20.0)
    assert issued(run, [0, 1]).status.tolist() == [2, 0]


def test_a_cancel_that_raises_does_not_stop_the_stop():
    sent = []

    def submit(batch, reply):
        def cancel():
            reply.done(ANSWER)
            raise RuntimeError("no")

        sent.append(batch)
        return cancel

    run = pushing_run_of(submit, query_s=60.0)
    with stopped_when(run, lambda: len(sent) == 2):
        assert issued(run, [0, 1, 2, 3], clients=2).answered.sum() == 2


def test_a_run_can_be_repeated_into_one_buffer():
    run = run_of(lambda batch: ANSWER)
    buffer = TraceBuffer(3)
    run.closed_loop([0, 1, 2], 1, buffer)
    first = list(buffer.done_ns)
    run.closed_loop([0, 1, 2], 1, buffer)
    assert min(buffer.done_ns) > max(first)


def test_an_answer_that_is_being_kept_when_its_time_is_up_counts():
    def submit(batch, reply):
        threading.Thread(target=reply.done, args=(ANSWER,)).start()

    run = pushing_run_of(submit, query_s=0.3, sink=lambda query, outputs: time.sleep(0.5))
    trace = issued(run, [0, 1])
    assert trace.answered.all()
    assert run.failures == []


def test_threads_that_cannot_be_started_do_not_leave_others_waiting(monkeypatch):
    started = []

    class Scarce(threading.Thread):
        def start(self):
            if len(started) == 2:
                raise RuntimeError("can't start new thread")
            started.append(self)
            super().start()

    monkeypatch.setattr(issue.threading, "Thread", Scarce)
    run = run_of(lambda batch: ANSWER, max_in_flight=None)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        issued(run, [0] * 8, clients=4)
    for thread in started:
        thread.join(timeout=20)
        assert not thread.is_alive()
    assert run.stopped
    assert gc.isenabled()

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bytemlperf.errors import HarnessError
from bytemlperf.metrics import (
    calls,
    latency,
    omission,
    performance,
    queries,
    queueing,
    steadiness,
    throughput,
    watching,
)
from bytemlperf.statistics import quantile_worth, samples_needed
from bytemlperf.trace import FAILED, OK

SECOND = 10**9
UNANSWERED = 0
TIMED = {"latency": latency, "throughput": throughput, "queueing": queueing, "performance": performance}


def closed_loop(make_trace, latencies, **fields):
    """One client, which sends when its last answer has come."""
    done = np.cumsum(np.asarray(latencies, np.int64))
    return make_trace(scheduled=np.concatenate([[0], done[:-1]]), done=done, **fields)


@pytest.fixture(params=sorted(TIMED))
def timed(request):
    return TIMED[request.param]


def test_percentiles_are_the_value_at_int_n_times_p(make_trace, rng):
    latencies = rng.permutation(np.arange(1, 201)) * 1000
    figures = latency(closed_loop(make_trace, latencies))
    # sorted[100], [180], [190], [198] of 1000, 2000, ..., 200000
    expected = {"p50": 101_000, "p90": 181_000, "p95": 191_000, "p99": 199_000, "min": 1000, "max": 200_000}
    assert {name: figures[f"latency/{name}"].value for name in expected} == expected
    assert figures["latency/mean"].value == 100_500
    assert {figure.n for figure in figures.values()} == {200}
    assert {figure.unit for figure in figures.values()} == {"ns"}


def test_every_figure_says_how_it_is_computed(make_trace):
    figures = performance(closed_loop(make_trace, [5, 7, 6]))
    assert all(figure.definition for figure in figures.values())
    assert "sorted[min(int(n * p), n - 1)] with p = 0.99" in figures["latency/p99"].definition
    assert "done - scheduled" in figures["latency/p99"].definition


def test_latency_counts_from_the_scheduled_time(make_trace):
    trace = make_trace(scheduled=[0, 100], sent=[50, 900], done=[60, 1000])
    assert latency(trace)["latency/max"].value == 900
    assert latency(trace)["latency/min"].value == 60


def no_neighbours_alike(latencies):
    return all(quantile_worth(latencies, p) == latencies.size for p in (0.5, 0.9, 0.95))


def test_percentile_intervals_agree_with_an_exact_quantile_test(make_trace, rng):
    latencies = next(
        each for each in rng.lognormal(15, 0.5, size=(20, 500)).astype(np.int64) if no_neighbours_alike(each)
    )
    figures = latency(closed_loop(make_trace, latencies))
    for name, p in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95)):
        oracle = stats.quantile_test(latencies, p=p, q=0).confidence_interval(0.95)
        figure = figures[f"latency/{name}"]
        assert (figure.low, figure.high) == (oracle.low, oracle.high)
        assert not figure.note


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_too_few_samples_for_a_percentile_are_told_and_its_value_is_kept(make_trace, rng, level):
    needed = samples_needed(0.99, level=level)
    latencies = rng.permutation(np.arange(1, needed))
    few = latency(closed_loop(make_trace, latencies), level=level)["latency/p99"]
    assert few.value == np.sort(latencies)[int(len(latencies) * 0.99)]
    assert few.low is not None
    assert few.high is None
    assert few.note == f"too few samples for this percentile: its interval takes {needed}"
    enough = latency(closed_loop(make_trace, np.append(latencies, needed)), level=level)["latency/p99"]
    assert (enough.high, enough.note, enough.level) == (needed, "", level)


def test_the_p99_of_a_hundred_queries_is_their_maximum_and_is_marked(make_trace, rng):
    figures = latency(closed_loop(make_trace, rng.permutation(np.arange(1, 101))))
    assert figures["latency/p99"].value == figures["latency/max"].value == 100
    assert "too few samples" in figures["latency/p99"].note
    assert not figures["latency/p50"].note


def test_the_mean_of_latencies_without_memory_has_students_interval(make_trace):
    latencies = np.tile([1000, 2000, 1200, 1900], 10)
    figure = latency(closed_loop(make_trace, latencies))["latency/mean"]
    low, high = stats.t.interval(0.95, df=39, loc=latencies.mean(), scale=stats.sem(latencies))
    assert (figure.low, figure.high) == (pytest.approx(low), pytest.approx(high))


def test_the_mean_of_drifting_latencies_has_a_wider_interval_than_the_same_shuffled(make_trace, rng):
    drifting = np.repeat(rng.integers(1000, 2000, size=10), 20)
    widths = []
    for latencies in (drifting, rng.permutation(drifting)):
        figure = latency(closed_loop(make_trace, latencies))["latency/mean"]
        widths.append(figure.high - figure.low)
    assert widths[0] > 2 * widths[1]


@given(data=st.data(), n=st.integers(2, 30))
def test_the_order_of_the_plan_changes_no_figure(data, n, make_trace):
    """Clients' queries stand one client after another in a plan, but their times interleave."""
    gaps = data.draw(st.lists(st.integers(1, 1000), min_size=n, max_size=n))
    trace = closed_loop(make_trace, gaps)
    order = np.array(data.draw(st.permutations(range(n))))
    shuffled = make_trace(scheduled=trace.scheduled_ns[order], done=trace.done_ns[order])
    assert performance(shuffled) == performance(trace)


def test_queries_without_an_answer_are_counted_and_left_out(make_trace):
    status = [OK, FAILED, UNANSWERED, OK]
    trace = make_trace(scheduled=[0, 0, 0, 0], done=[10, 99, 0, 30], status=status)
    counts = {name: figure.value for name, figure in queries(trace).items()}
    assert counts == {"queries/planned": 4, "queries/answered": 2, "queries/failed": 1, "queries/unanswered": 1}
    figures = latency(trace)
    assert (figures["latency/max"].value, figures["latency/max"].n) == (30, 2)
    assert "without 1 failed and 1 unanswered of 4 queries" in figures["latency/max"].note


def test_throughput_is_the_answered_samples_over_the_time_to_the_last_answer(make_trace):
    trace = make_trace(scheduled=[0, 0, SECOND], done=[SECOND, 2 * SECOND, 7 * SECOND], size=[8, 8, 5])
    figures = throughput(trace)
    assert figures["throughput/samples_per_s"].value == 21 / 7
    assert figures["throughput/queries_per_s"].value == pytest.approx(3 / 7, rel=1e-15)
    assert figures["throughput/samples_per_s"].unit == "samples/s"


def test_throughput_counts_from_the_start_of_the_timed_part(make_trace):
    begin = 5_000 * SECOND
    trace = make_trace(scheduled=[begin + SECOND], done=[begin + 4 * SECOND], size=8, started_ns=begin)
    assert throughput(trace)["throughput/samples_per_s"].value == 2


def test_throughput_counts_from_the_first_scheduled_query_where_no_start_is_known(make_trace):
    begin = 5_000 * SECOND
    trace = make_trace(
        scheduled=[begin, begin + SECOND, 0],
        done=[begin + 3 * SECOND, begin + 4 * SECOND, 0],
        status=[FAILED, OK, UNANSWERED],
        size=8,
    )
    assert throughput(trace)["throughput/samples_per_s"].value == 2


def test_throughput_is_not_made_from_a_rounded_latency(make_trace):
    """920.4 us at a batch of 64: the original's rounding to 0.92 ms gives 69565."""
    figures = throughput(closed_loop(make_trace, [920_400] * 100, size=64))
    assert figures["throughput/samples_per_s"].value == pytest.approx(64 / 920_400e-9, rel=1e-15)


def test_overlapping_clients_add_up(make_trace):
    both = make_trace(scheduled=[0, 100, 0, 100], done=[100, 200, 100, 200])
    one = make_trace(scheduled=[0, 100], done=[100, 200])
    ratio = throughput(both)["throughput/queries_per_s"].value / throughput(one)["throughput/queries_per_s"].value
    assert ratio == 2
    assert latency(both)["latency/mean"].value == latency(one)["latency/mean"].value


def test_throughput_has_an_interval_of_the_steady_rate(make_trace, rng):
    held = 0
    for _ in range(200):
        gaps = rng.exponential(1e6, size=400).astype(np.int64)
        figure = throughput(closed_loop(make_trace, gaps, size=4))["throughput/samples_per_s"]
        held += figure.low <= 4000 <= figure.high
    assert 200 * 0.88 <= held <= 200


def test_one_answer_has_a_rate_but_no_upper_bound(make_trace):
    figure = throughput(make_trace(scheduled=[0], done=[SECOND]))["throughput/queries_per_s"]
    assert (figure.value, figure.high) == (1, None)
    assert figure.note == "too few answers for an interval, or too uneven ones"


def test_no_time_gives_no_rate(make_trace):
    figure = throughput(make_trace(scheduled=[7, 7], done=[7, 7], started_ns=7))["throughput/samples_per_s"]
    assert figure.value is None
    assert "no time passed" in figure.note


def test_an_answer_before_the_start_is_refused(make_trace):
    trace = make_trace(scheduled=[5], done=[6], started_ns=100)
    with pytest.raises(HarnessError, match=r"before the timed part began.*got 6.*expected 100"):
        throughput(trace)


def test_lateness_is_the_time_from_scheduled_to_sent(make_trace):
    trace = make_trace(scheduled=[0, 10, 20, 30], sent=[1, 14, 22, 33], done=[100, 100, 100, 100])
    figures = queueing(trace)
    assert [figures[f"lateness/{name}"].value for name in ("p50", "p99", "max")] == [3, 4, 4]


@pytest.mark.parametrize("status", [UNANSWERED, FAILED])
@pytest.mark.parametrize("n", [0, 3])
def test_without_answers_figures_are_none_and_say_so(timed, make_trace, n, status):
    figures = timed(make_trace(scheduled=[0] * n, done=[0] * n, status=status))
    without_counts = {name: figure for name, figure in figures.items() if not name.startswith("queries/")}
    assert without_counts
    for figure in without_counts.values():
        assert (figure.value, figure.low, figure.high, figure.n) == (None, None, None, 0)
        assert "no query was answered" in figure.note
        assert figure.unit
        assert figure.definition


def test_performance_has_every_part(make_trace):
    trace = closed_loop(make_trace, [5, 7, 6])
    expected = {**queries(trace), **latency(trace), **throughput(trace), **queueing(trace)}
    assert dict(performance(trace)) == {**expected, **steadiness(trace)}


def test_a_trace_is_not_changed(make_trace, timed):
    trace = closed_loop(make_trace, [5, 7, 6])
    before = {field.name: np.copy(getattr(trace, field.name)) for field in attrs.fields(type(trace))}
    timed(trace)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(trace, name), value)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 64), st.sampled_from([0, 1, 2])),
        max_size=40,
    )
)
def test_any_trace_gives_finite_figures_within_their_intervals_or_none_with_a_note(rows, make_trace):
    scheduled, durations, sizes, status = zip(*rows, strict=True) if rows else ((), (), (), ())
    trace = make_trace(
        scheduled=scheduled, done=np.add(scheduled, durations).astype(np.int64), size=sizes, status=status
    )
    for figure in performance(trace).values():
        if figure.value is None:
            assert figure.note
        else:
            rounding = 1e-9 * abs(figure.value)
            assert figure.low is None or figure.low <= figure.value + rounding
            assert figure.high is None or figure.high >= figure.value - rounding


# ----------------------------------------------------------------------------------------- waiting, calls, late threads


def test_waiting_before_the_call_that_matters_is_told(make_trace):
    due = np.arange(100) * 1000
    told = omission(make_trace(scheduled=due, sent=due + 1_000_000, done=due + 2_000_000))
    assert told.startswith("queries waited before the call for 50 % of their latency, p99 1 ms")
    assert "a mean of 1 ms instead of 2 ms" in told


@pytest.mark.parametrize(
    ("waited_ns", "latency_ns"),
    [(0, 10), (150_000, 160_000), (1_000_000, 100_000_000)],
    ids=["none", "the harness' own", "a small share"],
)
def test_waiting_that_does_not_matter_is_not_told(make_trace, waited_ns, latency_ns):
    due = np.arange(100) * 1000
    assert omission(make_trace(scheduled=due, sent=due + waited_ns, done=due + latency_ns)) == ""


def test_samples_that_wait_for_others_of_their_query_are_not_told(make_trace):
    sent = np.arange(10) * 1_000_000
    fields = {"scheduled": [0] * 10, "sent": sent, "done": sent + 1_000_000}
    assert omission(make_trace(**fields, samples_per_query=10)) == ""
    assert omission(make_trace(**fields)) != ""
    assert omission(make_trace(**{**fields, "sent": sent + 5_000_000, "done": sent + 9_000_000}, samples_per_query=10))


def test_nothing_answered_is_nothing_to_tell(make_trace):
    assert omission(make_trace(scheduled=[0], done=[5], status=0)) == ""
    assert omission(make_trace(scheduled=[], done=[])) == ""


def test_calls_of_several_samples_are_counted(make_trace):
    trace = make_trace(scheduled=[0] * 7, sent=[5, 5, 5, 9, 9, 12, 30], done=[20] * 7)
    figure = calls(trace)["calls/samples"]
    assert (figure.value, figure.n) == (7 / 4, 4)
    assert not calls(make_trace(scheduled=[0, 1, 2], done=[5, 6, 7]))
    assert not calls(make_trace(scheduled=[], done=[]))


def test_late_threads_are_summarised(make_trace):
    trace = make_trace(scheduled=[0], done=[5], probe_late_ns=np.arange(1, 1001))
    figures = watching(trace)
    assert (figures["completion_lateness/p50"].value, figures["completion_lateness/max"].value) == (501, 1000)
    assert not watching(make_trace(scheduled=[0], done=[5]))


def test_a_query_of_several_samples_counts_once(make_trace):
    trace = make_trace(scheduled=[0] * 6, done=[10, 20, 30, 40, 50, 60], status=[1, 1, 1, 2, 1, 0], samples_per_query=2)
    figures = queries(trace)
    found = [figures[f"queries/{name}"].value for name in ("planned", "answered", "failed", "unanswered")]
    assert found == [3, 1, 1, 1]
    whole = make_trace(scheduled=[0] * 6, done=[10, 20, 30, 40, 50, 60], samples_per_query=2)
    assert throughput(whole)["throughput/queries_per_s"].value == pytest.approx(3 / 60e-9)
    assert throughput(whole)["throughput/samples_per_s"].value == pytest.approx(6 / 60e-9)

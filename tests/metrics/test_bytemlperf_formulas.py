import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bytemlperf.errors import MalformedOutputError, SpecError
from bytemlperf.metrics import bytemlperf_diff, bytemlperf_figures
from bytemlperf.trace import FAILED, OK

MS = 10**6
values = st.integers(-(10**6), 10**6).map(lambda number: number / 64) | st.sampled_from([0.0, np.nan, np.inf, -np.inf])


def calls(make_trace, durations_ns, **fields):
    """Queries that are sent 7 ns after they are due and take that long."""
    sent = np.arange(len(durations_ns)) * 10**12 + 7
    return make_trace(scheduled=sent - 7, sent=sent, done=sent + np.asarray(durations_ns), **fields)


def test_a_hand_worked_case(make_trace):
    """Mean of 1.006, 2, 3 ms is 2.002, rounded 2.00; 1000 * 8 / 2.00 = 4000; sorted[int(0.99 * 3)] is 3 ms."""
    figures = bytemlperf_figures(calls(make_trace, [3 * MS, 1_006_000, 2 * MS]), 8)
    assert figures == {"BS": 8, "QPS": 4000, "AVG Latency": 2.0, "P99 Latency": 3.0}


@given(durations=st.lists(st.integers(10_000, 10**10), min_size=1, max_size=150), batch_size=st.integers(1, 512))
def test_figures_agree_with_the_formula_in_seconds(durations, batch_size, make_trace):
    figures = bytemlperf_figures(calls(make_trace, durations), batch_size)
    average = round(sum(durations) / len(durations) / 1e9 * 1000, 2)
    assert figures["AVG Latency"] == pytest.approx(average, abs=0.011)
    assert figures["P99 Latency"] == pytest.approx(sorted(durations)[int(len(durations) * 0.99)] / MS, abs=0.0051)
    assert figures["QPS"] == int(1000 * batch_size / figures["AVG Latency"])


def test_the_call_is_timed_and_not_the_wait_before_it(make_trace):
    trace = make_trace(scheduled=[0], sent=[90 * MS], done=[100 * MS])
    assert bytemlperf_figures(trace, 1)["AVG Latency"] == 10.0


def test_an_average_that_rounds_to_zero_gives_no_qps_and_a_note(make_trace):
    figures = bytemlperf_figures(calls(make_trace, [4_900] * 3), 4)
    assert (figures["QPS"], figures["AVG Latency"]) == (None, 0.0)
    assert "divides by it" in figures["Note"]


@pytest.mark.parametrize("status", [FAILED, 0])
def test_without_an_answer_every_figure_is_none_with_a_note(make_trace, status):
    figures = bytemlperf_figures(calls(make_trace, [5, 6], status=status), 4)
    assert figures == {
        "BS": 4,
        "QPS": None,
        "AVG Latency": None,
        "P99 Latency": None,
        "Note": "no query was answered",
    }
    assert bytemlperf_figures(calls(make_trace, []), 4)["QPS"] is None


def test_failed_queries_are_left_out(make_trace):
    trace = calls(make_trace, [2 * MS, 500 * MS], status=[OK, FAILED])
    assert bytemlperf_figures(trace, 1)["AVG Latency"] == 2.0


def direct(outputs, reference):
    """The five figures by plain numpy, from all outputs at once."""
    got, right = (
        np.concatenate([np.nan_to_num(np.ravel(tensors[name]), nan=0, posinf=0, neginf=0) for name in reference])
        for tensors in (outputs, reference)
    )
    apart = abs(right - got)
    relative = abs(apart / np.where(right == 0, 1, right))
    figures = (apart.mean(), apart.std(), apart.max(), relative.max(), relative.mean())
    return dict(zip(("Mean Diff", "Std Diff", "Max Diff", "Max Rel-Diff", "Mean Rel-Diff"), figures, strict=True))


@given(data=st.data(), n=st.integers(1, 30))
def test_differences_agree_with_plain_numpy_over_all_outputs_together(data, n):
    outputs, reference = (
        {name: data.draw(hnp.arrays(np.float64, (n, 2), elements=values)) for name in ("b", "a")} for _ in range(2)
    )
    assert bytemlperf_diff(outputs, reference) == pytest.approx(direct(outputs, reference), rel=1e-9, abs=6e-6)


def test_a_hand_worked_difference():
    """|d| is 0.5, 0, 3 and relative to 2, 1 (for 0) and 4: 0.25, 0, 0.75."""
    figures = bytemlperf_diff({"y": np.array([1.5, 0.0, 1.0])}, {"y": np.array([2.0, 0.0, 4.0])})
    assert figures == {
        "Mean Diff": 1.16667,
        "Std Diff": 1.31233,
        "Max Diff": 3.0,
        "Max Rel-Diff": 0.75,
        "Mean Rel-Diff": 0.33333,
    }


def test_a_backend_of_nothing_but_nan_looks_good_by_this_formula():
    """That is why it is only shown for comparison."""
    reference = np.random.default_rng(1).normal(0, 0.01, 10_000)
    figures = bytemlperf_diff({"y": np.full(10_000, np.nan)}, {"y": reference})
    assert figures["Mean Diff"] == pytest.approx(0.008, abs=0.0005)


def test_outputs_are_matched_by_name():
    figures = bytemlperf_diff({"b": np.ones(2), "a": np.zeros(2)}, {"a": np.zeros(2), "b": np.ones(2)})
    assert figures["Max Diff"] == 0


def test_differences_beyond_the_range_of_a_double_are_left_out():
    figures = bytemlperf_diff({"y": np.array([-1.7e308])}, {"y": np.array([1.7e308])})
    assert "Max Diff" not in figures


def test_nothing_gives_no_figures():
    assert bytemlperf_diff({}, {}) == {}
    assert bytemlperf_diff({"y": np.zeros((0, 3))}, {"y": np.zeros((0, 3))}) == {}


def test_malformed_outputs_and_references_are_refused():
    with pytest.raises(MalformedOutputError, match="no output 'y'"):
        bytemlperf_diff({}, {"y": np.zeros(2)})
    with pytest.raises(MalformedOutputError, match="another shape"):
        bytemlperf_diff({"y": np.zeros(3)}, {"y": np.zeros(2)})
    with pytest.raises(SpecError, match="reference 'y' is no array"):
        bytemlperf_diff({"y": np.zeros(2)}, {"y": [0.0, 0.0]})

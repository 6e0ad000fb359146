import attrs
import numpy as np
import pytest

from bytemlperf.errors import HarnessError
from bytemlperf.metrics import phases
from bytemlperf.statistics import percentile, quantile_interval
from bytemlperf.trace import FAILED, OK

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def phased(make_trace, spans, **fields):
    """One query after another, whose phases take what a row of spans says."""
    spans = np.asarray(spans, np.int64)
    done = 1000 + np.cumsum(spans.sum(axis=1))
    sent = done - spans.sum(axis=1)
    marks = np.stack([sent + spans[:, 0], sent + spans[:, 0] + spans[:, 1]], axis=1)
    return make_trace(
        scheduled=sent,
        done=done,
        chunk_ns=marks.ravel(),
        chunk_tokens=np.zeros(marks.size, np.uint16),
        chunk_query=np.repeat(np.arange(len(spans), dtype=np.uint32), 2),
        **fields,
    )


def test_each_phase_has_percentiles_of_its_own_spans(make_trace, rng):
    spans = rng.integers(1, 10_000, size=(100, 3))
    figures = phases(phased(make_trace, spans))
    assert list(figures) == [
        f"phases/{phase}/{name}" for phase in ("prepare", "execute", "fetch") for name in PERCENTILES
    ]
    for column, phase in enumerate(("prepare", "execute", "fetch")):
        for name, p in PERCENTILES.items():
            figure = figures[f"phases/{phase}/{name}"]
            assert (figure.value, figure.unit, figure.n) == (percentile(spans[:, column], p), "ns", 100)
            assert phase in figure.definition
    interval = quantile_interval(spans[:, 1], 0.5)
    assert (figures["phases/execute/p50"].low, figures["phases/execute/p50"].high) == (interval.low, interval.high)


def test_queries_that_failed_between_phases_are_left_out_and_counted(make_trace):
    trace = phased(make_trace, [[1, 2, 3], [10, 20, 30], [100, 200, 300]], status=[OK, FAILED, OK])
    kept = np.array([0, 1, 2, 4, 5])  # the failed query was prepared, and never executed
    trace = attrs.evolve(
        trace, chunk_ns=trace.chunk_ns[kept], chunk_tokens=trace.chunk_tokens[kept], chunk_query=trace.chunk_query[kept]
    )
    figures = phases(trace)
    assert figures["phases/execute/p50"].value == 200
    assert figures["phases/execute/p50"].n == 2
    assert "1 failed of 3 queries" in figures["phases/execute/p50"].note


def test_too_few_queries_for_a_percentile_say_so(make_trace):
    figure = phases(phased(make_trace, [[1, 2, 3]]))["phases/fetch/p99"]
    assert figure.value == 3
    assert "too few samples" in figure.note


def test_no_answer_gives_no_figure(make_trace):
    figure = phases(phased(make_trace, np.ones((2, 3)), status=[FAILED, FAILED]))["phases/fetch/p50"]
    assert figure.value is None


def test_a_trace_without_phases_is_refused(make_trace):
    with pytest.raises(HarnessError, match="stamps of two phases"):
        phases(make_trace(scheduled=[0, 10], done=[5, 15]))

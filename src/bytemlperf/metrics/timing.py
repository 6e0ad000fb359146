"""Figures over the events of a run: latency, throughput, queueing in the harness, and what was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.errors import HarnessError
from bytemlperf.metrics.estimate import Estimate, Metrics, merged
from bytemlperf.metrics.quantities import NOTHING, PERCENTILES, extreme_of, mean_of, percentile_of
from bytemlperf.metrics.steadiness import in_time, steadiness
from bytemlperf.statistics import (
    percentile,
    rate_interval,
    rate_per_s,
)
from bytemlperf.trace import FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.trace import Trace

PHASES: Final[Mapping[str, str]] = {
    "prepare": "prepare, from sending to the inputs being on the device",
    "execute": "execute, from there to the device being done",
    "fetch": "fetch, from there to the answer in host memory",
}
"""Phases of a query, by the name they have in reports, and what each is."""

OMITTED_SHARE: Final = 0.05
"""Share of the latency that queries may wait before the call until it is told."""
OMITTED_NS: Final = 200_000
"""The p99 of that wait, in ns, that counts as the harness' own: twice the longest spin before a query is due."""

_LATENCY: Final = "done - scheduled of each answered query"
_LATENESS: Final = "sent - scheduled of each answered query, the time that it waited in the harness"
_WATCHED: Final = "how late a thread ran that slept until a given moment of the run"


def performance(trace: Trace, *, level: float = 0.95) -> Metrics:
    """Compute every figure of a run: `queries`, `latency`, `throughput`, `queueing`, `watching`, `steadiness` together.

    Args:
        trace: Of the timed part of one run; may be empty.
        level: Confidence of the intervals.
    """
    timed = (part(trace, level=level) for part in (latency, throughput, queueing, watching))
    return merged([queries(trace), calls(trace), *timed, steadiness(trace)])


def queries(trace: Trace) -> Metrics:
    """Count what became of the queries: `queries/planned`, `/answered`, `/failed` and `/unanswered`.

    The last are those without any end: cut off by a limit or a cancellation, or never sent. A query of several samples
    is answered when all of them are, and failed when one is.
    """
    of_queries = (len(trace) // trace.samples_per_query, trace.samples_per_query)
    answered = int(trace.answered.reshape(of_queries).all(axis=1).sum())
    failed = int((trace.status == FAILED).reshape(of_queries).any(axis=1).sum())
    planned = of_queries[0]
    counts = {
        "planned": (planned, "queries of the plan; where a rule ended the run, those that were issued"),
        "answered": (answered, "queries whose answer came"),
        "failed": (failed, "queries whose answer was an error; they count in no other figure"),
        "unanswered": (
            planned - answered - failed,
            "queries that were not sent or did not end; they count in no other figure",
        ),
    }
    return Metrics(
        {
            f"queries/{name}": Estimate(value=count, unit="queries", n=planned, definition=definition)
            for name, (count, definition) in counts.items()
        }
    )


def calls(trace: Trace) -> Metrics:
    """Tell how full calls were where the harness joined samples: `calls/samples`; nothing where it did not.

    Samples that were sent in one call have the same time of entry and the same sender.
    """
    answered = trace.answered
    each = np.stack([trace.sent_ns[answered], trace.client[answered].astype(np.int64)])
    if not answered.any() or not (np.diff(each, axis=1) == 0).all(axis=0).any():
        return Metrics()
    count = np.unique(each, axis=1).shape[1]
    definition = "answered samples / calls in which they were sent, padding left out"
    value = float(trace.size[answered].sum()) / count
    note = "a figure of this run, without an interval"
    return Metrics(
        {"calls/samples": Estimate(value=value, unit="samples/call", n=count, definition=definition, note=note)}
    )


def latency(trace: Trace, *, level: float = 0.95) -> Metrics:
    """Summarise latencies in ns, counted from the scheduled time: `latency/mean`, `/p50` to `/p99`, `/min`, `/max`.

    A percentile whose interval lacks an end keeps its value by the rule, and its note says that there are too few
    samples and how many it takes. Intervals allow for neighbours in time being alike; where the queries are worth less
    than half as many independent ones, the note says how many.

    Args:
        trace: Of the timed part of one run. Failed and unanswered queries are left out, and counted in the notes.
        level: Confidence of the intervals.

    Source:
        Counted from the scheduled time: MLPerf LoadGen, loadgen.cc (mlcommons/inference at b66003e). Percentile:
        `sorted[int(n * p)]`, its results.cc.
    """
    values = in_time(trace)  # intervals look at neighbours
    figures = {
        "mean": mean_of(values, what=_LATENCY, level=level),
        **{name: percentile_of(values, p, what=_LATENCY, level=level) for name, p in PERCENTILES.items()},
        "min": extreme_of(values, "min", what=_LATENCY),
        "max": extreme_of(values, "max", what=_LATENCY),
    }
    lost = _lost(trace)
    return Metrics({f"latency/{name}": figure.noted(lost) for name, figure in figures.items()})


def watching(trace: Trace, *, level: float = 0.95) -> Metrics:
    """Summarise in ns how late a thread of the issuing process ran: `completion_lateness/p50`, `/p99` and `/max`.

    An answer that comes on a thread of the backend is stamped as late as that thread gets a processor and the
    interpreter. A thread that slept until given moments of the run found how long this takes. Nothing is told where
    the caller's own thread sent and stamped every query.

    Args:
        trace: Of the timed part of one run.
        level: Confidence of the intervals.
    """
    values = trace.probe_late_ns
    if not values.size:
        return Metrics()
    return Metrics(
        {
            "completion_lateness/p50": percentile_of(values, 0.5, what=_WATCHED, level=level),
            "completion_lateness/p99": percentile_of(values, 0.99, what=_WATCHED, level=level),
            "completion_lateness/max": extreme_of(values, "max", what=_WATCHED),
        }
    )


def omission(trace: Trace) -> str:
    """Tell where waiting before the call is so long that a clock started at the call would hide it.

    That is told when queries spent more than `OMITTED_SHARE` of their latency between scheduled and sent, and the p99
    of that wait is above `OMITTED_NS`, which is about what the harness takes itself. Latency counts from the scheduled
    time, so nothing is hidden here: the text says by how much the two clocks differ. Of a query of several samples
    only the first one to be sent is looked at: that the others wait for it is what such a query means.

    Returns:
        One sentence; empty where there is nothing to tell.

    Source:
        Coordinated omission: Gil Tene, How NOT to Measure Latency, 2013. The two bounds are this project's own.
    """
    waited, taken = _first_of_each(trace)
    if not waited.size or not taken.sum():
        return ""
    share, p99_ns = float(waited.sum()) / float(taken.sum()), int(percentile(waited, 0.99))
    if share <= OMITTED_SHARE or p99_ns <= OMITTED_NS:
        return ""
    from_call = float((taken - waited).mean())
    return (
        f"queries waited before the call for {100 * share:.3g} % of their latency, p99 {p99_ns / 1e6:.3g} ms: a clock "
        f"started at the call would show a mean of {from_call / 1e6:.4g} ms instead of {taken.mean() / 1e6:.4g} ms "
        "(coordinated omission)"
    )


def _first_of_each(trace: Trace) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return int64[m], scheduled to sent, and int64[m], scheduled to done, of the first sample of each whole query."""
    by_query = (-1, trace.samples_per_query)
    whole = trace.answered.reshape(by_query).all(axis=1)
    waited, taken = ((ends - trace.scheduled_ns).reshape(by_query)[whole] for ends in (trace.sent_ns, trace.done_ns))
    if not len(waited):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    first = waited.argmin(axis=1)
    each = np.arange(len(waited))
    return waited[each, first], taken[each, first]


def queueing(trace: Trace, *, level: float = 0.95) -> Metrics:
    """Summarise in ns how late queries entered the backend: `lateness/p50`, `/p99` and `/max`.

    It is part of the latency, and nearly nothing where the harness keeps up.

    Args:
        trace: Of the timed part of one run.
        level: Confidence of the intervals.
    """
    asked = np.argsort(trace.scheduled_ns[trace.answered], kind="stable")
    values = (trace.sent_ns - trace.scheduled_ns)[trace.answered][asked]
    return Metrics(
        {
            "lateness/p50": percentile_of(values, 0.5, what=_LATENESS, level=level),
            "lateness/p99": percentile_of(values, 0.99, what=_LATENESS, level=level),
            "lateness/max": extreme_of(values, "max", what=_LATENESS),
        }
    )


def phases(trace: Trace, *, level: float = 0.95) -> Metrics:
    """Summarise in ns how long the phases of queries took: `phases/prepare/p50` to `phases/fetch/p99`.

    Phases are told apart by waiting for the device after each, which costs time: they are never summed.

    Args:
        trace: Of a pass by phases: two parts of each answer stand for the end of prepare and of execute.
        level: Confidence of the intervals.

    Raises:
        HarnessError: If an answered query does not have the stamps of its phases.
    """
    spans = _spans(trace)
    lost = _lost(trace)
    return Metrics(
        {
            f"phases/{phase}/{name}": percentile_of(values, p, what=PHASES[phase], level=level).noted(lost)
            for phase, values in spans.items()
            for name, p in PERCENTILES.items()
        }
    )


def _spans(trace: Trace) -> dict[str, NDArray[np.int64]]:
    """Return int64[answered], how long each phase took."""
    answered = np.flatnonzero(trace.answered)
    mine = np.isin(trace.chunk_query, answered)
    order = np.lexsort((trace.chunk_ns[mine], trace.chunk_query[mine]))
    if trace.chunk_query[mine][order].tolist() != np.repeat(answered, 2).tolist():
        raise HarnessError("a query does not have the stamps of two phases", got=int(mine.sum()))
    prepared, executed = trace.chunk_ns[mine][order].reshape(-1, 2).T
    return {
        "prepare": prepared - trace.sent_ns[answered],
        "execute": executed - prepared,
        "fetch": trace.done_ns[answered] - executed,
    }


def throughput(trace: Trace, *, level: float = 0.95) -> Metrics:
    """Divide what was answered by the time that it took: `throughput/samples_per_s` and `/queries_per_s`.

    The time goes from the start of the timed part, or where the trace tells none from the first scheduled query, to
    the last answer. Nothing is rounded, and no latency is used.

    Args:
        trace: Of the timed part of one run. Failed and unanswered queries count for nothing, but time that they took
            before the last answer does.
        level: Confidence of the intervals.

    Raises:
        HarnessError: If an answer is stamped before the timed part began.
    """
    done, sizes = trace.done_ns[trace.answered], trace.size[trace.answered]
    begin, whole = _begin_ns(trace), _whole_queries_done_ns(trace)
    return Metrics(
        {
            "throughput/samples_per_s": _rate(done, sizes, begin=begin, what="samples", level=level),
            "throughput/queries_per_s": _rate(
                whole, np.ones(len(whole), np.uint32), begin=begin, what="queries", level=level
            ),
        }
    )


def _whole_queries_done_ns(trace: Trace) -> NDArray[np.int64]:
    """Return int64[m], when each query was done of which all samples were answered."""
    if trace.samples_per_query == 1:
        return trace.done_ns[trace.answered]
    by_query = (-1, trace.samples_per_query)
    done: NDArray[np.int64] = trace.done_ns.reshape(by_query).max(axis=1)
    return done[trace.answered.reshape(by_query).all(axis=1)]


def _begin_ns(trace: Trace) -> int:
    ended = trace.status != 0  # a query that was never sent has no times
    if trace.started_ns or not ended.any():
        return trace.started_ns
    return int(trace.scheduled_ns[ended].min())


def _rate(done: NDArray[np.int64], weights: NDArray[np.uint32], *, begin: int, what: str, level: float) -> Estimate:
    figure = Estimate(
        value=None,
        unit=f"{what}/s",
        level=level,
        n=done.size,
        definition=f"{what} answered / (last done - start), never rounded; interval from the ratio of "
        "consecutive batches of completions",
    )
    if not done.size:
        return figure.noted(NOTHING)
    if done.min() < begin:
        raise HarnessError("an answer is stamped before the timed part began", got=int(done.min()), expected=str(begin))
    if done.max() == begin:
        return figure.noted("no time passed between start and last answer")
    interval = rate_interval(done, weights=weights, start_ns=begin, level=level)
    value = rate_per_s(done, weights=weights, start_ns=begin)
    too_few = "" if interval.bounded else "too few answers for an interval, or too uneven ones"
    return attrs.evolve(figure, value=value).within(interval).noted(too_few)


def _lost(trace: Trace) -> str:
    failed = int((trace.status == FAILED).sum())
    unanswered = len(trace) - failed - int(trace.answered.sum())
    parts = [f"{count} {name}" for count, name in ((failed, "failed"), (unanswered, "unanswered")) if count]
    return f"without {' and '.join(parts)} of {len(trace)} queries" if parts else ""

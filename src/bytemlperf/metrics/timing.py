"""Figures over the events of a run: latency, throughput, queueing in the harness, and what was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.errors import HarnessError
from bytemlperf.metrics.estimate import Estimate, Metrics, merged
from bytemlperf.metrics.steadiness import WORTH_TOLD, in_time, steadiness
from bytemlperf.statistics import (
    PercentileRule,
    autocorrelated_mean_interval,
    autocorrelated_quantile_interval,
    effective_sample_size,
    percentile,
    quantile_worth,
    rate_interval,
    rate_per_s,
    samples_needed,
)
from bytemlperf.trace import FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.trace import Trace

PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
"""Percentiles of latency, by the name they have in reports."""

PHASES: Final[Mapping[str, str]] = {
    "prepare": "prepare, from sending to the inputs being on the device",
    "execute": "execute, from there to the device being done",
    "fetch": "fetch, from there to the answer in host memory",
}
"""Phases of a query, by the name they have in reports, and what each is."""

_LATENCY: Final = "done - scheduled of each answered query"
_LATENESS: Final = "sent - scheduled of each answered query, the time that it waited in the harness"
_NOTHING: Final = "no query was answered"


def performance(trace: Trace, *, level: float = 0.95) -> Metrics:
    """Compute every figure of a run: `queries`, `latency`, `throughput`, `queueing` and `steadiness` together.

    Args:
        trace: Of the timed part of one run; may be empty.
        level: Confidence of the intervals.
    """
    timed = (part(trace, level=level) for part in (latency, throughput, queueing))
    return merged([queries(trace), *timed, steadiness(trace)])


def queries(trace: Trace) -> Metrics:
    """Count what became of the queries: `queries/planned`, `/answered`, `/failed` and `/unanswered`.

    The last are those without any end: cut off by a limit or a cancellation, or never sent.
    """
    answered, failed = int(trace.answered.sum()), int((trace.status == FAILED).sum())
    counts = {
        "planned": (len(trace), "queries of the plan"),
        "answered": (answered, "queries whose answer came"),
        "failed": (failed, "queries whose answer was an error; they count in no other figure"),
        "unanswered": (
            len(trace) - answered - failed,
            "queries that were not sent or did not end; they count in no other figure",
        ),
    }
    return Metrics(
        {
            f"queries/{name}": Estimate(value=count, unit="queries", n=len(trace), definition=definition)
            for name, (count, definition) in counts.items()
        }
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
        "mean": _mean(values, what=_LATENCY, level=level),
        **{name: _percentile(values, p, what=_LATENCY, level=level) for name, p in PERCENTILES.items()},
        "min": _extreme(values, "min", what=_LATENCY),
        "max": _extreme(values, "max", what=_LATENCY),
    }
    lost = _lost(trace)
    return Metrics({f"latency/{name}": figure.noted(lost) for name, figure in figures.items()})


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
            "lateness/p50": _percentile(values, 0.5, what=_LATENESS, level=level),
            "lateness/p99": _percentile(values, 0.99, what=_LATENESS, level=level),
            "lateness/max": _extreme(values, "max", what=_LATENESS),
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
            f"phases/{phase}/{name}": _percentile(values, p, what=PHASES[phase], level=level).noted(lost)
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
    begin = _begin_ns(trace)
    return Metrics(
        {
            "throughput/samples_per_s": _rate(done, sizes, begin=begin, what="samples", level=level),
            "throughput/queries_per_s": _rate(done, np.ones_like(sizes), begin=begin, what="queries", level=level),
        }
    )


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
        return figure.noted(_NOTHING)
    if done.min() < begin:
        raise HarnessError("an answer is stamped before the timed part began", got=int(done.min()), expected=str(begin))
    if done.max() == begin:
        return figure.noted("no time passed between start and last answer")
    interval = rate_interval(done, weights=weights, start_ns=begin, level=level)
    value = rate_per_s(done, weights=weights, start_ns=begin)
    too_few = "" if interval.bounded else "too few answers for an interval, or too uneven ones"
    return attrs.evolve(figure, value=value).within(interval).noted(too_few)


def _mean(values: NDArray[np.int64], *, what: str, level: float) -> Estimate:
    figure = _unmeasured(values, f"arithmetic mean of {what}; interval allows for neighbours being alike", level=level)
    if not values.size:
        return figure
    interval = autocorrelated_mean_interval(values, level=level)
    too_few = "" if interval.bounded else "too few samples for an interval of the mean"
    worth = _worth(effective_sample_size(values), values.size)
    return attrs.evolve(figure, value=float(values.mean())).within(interval).noted(too_few, worth)


def _worth(worth: float, n: int) -> str:
    """Say what a series is worth, where that is much less than its number."""
    return f"neighbours are alike: worth {worth:,.0f} independent queries" if worth < WORTH_TOLD * n else ""


def _percentile(values: NDArray[np.int64], p: float, *, what: str, level: float) -> Estimate:
    rule = PercentileRule.LOADGEN
    definition = f"{rule.definition} with p = {p:g} over {what}; interval by rank, exact where neighbours are not alike"
    figure = _unmeasured(values, definition, level=level)
    if not values.size:
        return figure
    interval = autocorrelated_quantile_interval(values, p, level=level)
    needed = samples_needed(p, level=level)
    too_few = "" if interval.bounded else f"too few samples for this percentile: its interval takes {needed}"
    worth = _worth(quantile_worth(values, p), values.size)
    return attrs.evolve(figure, value=percentile(values, p, rule=rule)).within(interval).noted(too_few, worth)


def _extreme(values: NDArray[np.int64], name: str, *, what: str) -> Estimate:
    figure = _unmeasured(values, f"{name} of {what}; of this run only, so without an interval", level=0.95)
    if not values.size:
        return figure
    return attrs.evolve(figure, value=int(values.min() if name == "min" else values.max()))


def _unmeasured(values: NDArray[np.int64], definition: str, *, level: float) -> Estimate:
    note = "" if values.size else _NOTHING
    return Estimate(value=None, unit="ns", level=level, n=values.size, definition=definition, note=note)


def _lost(trace: Trace) -> str:
    failed = int((trace.status == FAILED).sum())
    unanswered = len(trace) - failed - int(trace.answered.sum())
    parts = [f"{count} {name}" for count, name in ((failed, "failed"), (unanswered, "unanswered")) if count]
    return f"without {' and '.join(parts)} of {len(trace)} queries" if parts else ""

"""MLPerf LoadGen's own figures of a run, by its own formulas.

They stand beside ours, which are defined otherwise: LoadGen's rates leave out the first query, its mean is cut to whole
nanoseconds.

Source: results.cc l.33-42, l.560 and following, l.700 and following, mlcommons/inference at b66003e.
"""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError
from bytemlperf.metrics.estimate import Estimate, Metrics, merged
from bytemlperf.metrics.sample_times import SampleTimes
from bytemlperf.scenarios import MLPerfScenario, MultiStream, Offline, Server, SingleStream
from bytemlperf.statistics import PercentileRule, early_estimate, percentile, quantile_interval

LOADGEN_PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p97": 0.97, "p99": 0.99, "p99.9": 0.999}
"""Percentiles that LoadGen prints, by the name they have here."""

_NS_PER_S: Final = 1e9
_ALSO_P99: Final = 0.99
_OF_THIS_RUN: Final = "a figure of this run, without an interval"


def loadgen_result(scenario: MLPerfScenario, times: SampleTimes, *, level: float = 0.95) -> Metrics:
    """Compute what LoadGen would print of a run; each name begins with `loadgen/`.

    - all: `latency/...`; SingleStream and MultiStream: `early_stopping/...`
    - SingleStream: `qps_with_overhead`, `qps_without_overhead`
    - MultiStream: `query_latency/...`
    - Server: `scheduled_samples_per_s`, `completed_samples_per_s`, `over_bound`
    - Offline: `samples_per_s`
    - with tokens: `tokens_per_s` and, but for Offline, `ttft/...` and `tpot/...`

    Args:
        scenario: The load pattern of the run.
        times: Of the samples that were answered.
        level: Confidence of the intervals of percentiles.

    Raises:
        SpecError: If no sample was answered.
    """
    if not len(times):
        raise SpecError("LoadGen has no result for a run without an answer")
    parts = [_summary("latency", times.latency_ns, level=level)]
    if isinstance(scenario, MultiStream):
        parts.append(_summary("query_latency", times.query_latency_ns, level=level))
    parts += [_stopped_early(scenario, times), _rates(scenario, times), _token_figures(scenario, times, level=level)]
    return merged(parts)


def _summary(name: str, values: NDArray[np.int64], *, level: float) -> Metrics:
    figures = {
        "min": _figure(int(values.min()), "ns", len(values), f"least {name}"),
        "max": _figure(int(values.max()), "ns", len(values), f"greatest {name}"),
        "mean": _figure(int(values.sum()) // len(values), "ns", len(values), f"sum of {name} // n, in whole ns"),
    }
    for each, p in LOADGEN_PERCENTILES.items():
        rule = f"{PercentileRule.LOADGEN.definition} with p = {p:g} over {name}; interval exact, by rank"
        found = _figure(int(percentile(values, p)), "ns", len(values), rule)
        figures[each] = attrs.evolve(found, note="").within(quantile_interval(values, p, level=level))
    return Metrics({f"loadgen/{name}/{each}": figure for each, figure in figures.items()})


def _stopped_early(scenario: MLPerfScenario, times: SampleTimes) -> Metrics:
    """Estimate the percentile of a stream that is its result, and p99 as LoadGen does besides for SingleStream.

    Of a single stream of tokens it is the time to the first one.
    """
    if not isinstance(scenario, SingleStream | MultiStream):
        return Metrics()
    ttft = times.ttft_ns if isinstance(scenario, SingleStream) else None
    values = times.query_latency_ns if ttft is None else ttft
    wanted = {scenario.percentile} | ({_ALSO_P99} if isinstance(scenario, SingleStream) else set())
    figures = {}
    for p in sorted(wanted):
        found = early_estimate(values, p)
        definition = f"sorted[n - t], t the most of n queries that may be over p = {p:g} at 99 % confidence"
        note = "" if found.met else f"too few queries for early stopping: it takes {found.needed}"
        figures[f"loadgen/early_stopping/p{100 * p:g}"] = Estimate(
            value=found.value, unit="ns", level=0.99, n=len(values), definition=definition, note=note
        )
    return Metrics(figures)


def _rates(scenario: MLPerfScenario, times: SampleTimes) -> Metrics:
    if isinstance(scenario, SingleStream):
        mean_ns = int(times.latency_ns.sum()) // len(times)
        return Metrics(
            {
                "loadgen/qps_with_overhead": _after_first(times, times.sent_ns, "queries/s", "sent"),
                "loadgen/qps_without_overhead": _per_s(1, mean_ns, "queries/s", len(times), "1 / mean latency"),
            }
        )
    if isinstance(scenario, Server):
        over = int((times.latency_ns > round(scenario.bound_ms * 1e6)).sum())
        return Metrics(
            {
                "loadgen/scheduled_samples_per_s": _after_first(times, times.scheduled_ns, "samples/s", "scheduled"),
                "loadgen/completed_samples_per_s": _after_first(times, times.done_ns, "samples/s", "done"),
                "loadgen/over_bound": _figure(over, "queries", len(times), "queries whose latency is over the bound"),
            }
        )
    if isinstance(scenario, Offline):
        longest, n = int(times.latency_ns.max()), len(times)
        return Metrics({"loadgen/samples_per_s": _per_s(n, longest, "samples/s", n, "samples / greatest latency")})
    return Metrics()


def _after_first(times: SampleTimes, ends_ns: NDArray[np.int64], unit: str, event: str) -> Estimate:
    definition = f"(n - 1) / time until the last query issued was {event}"
    return _per_s(len(times) - 1, int(ends_ns[-1]), unit, len(times), definition)


def _token_figures(scenario: MLPerfScenario, times: SampleTimes, *, level: float) -> Metrics:
    ttft, tpot, tokens = times.ttft_ns, times.tpot_ns, times.tokens
    if ttft is None or tpot is None or tokens is None:
        return Metrics()
    n, total = len(times), int(tokens.sum())
    if isinstance(scenario, Offline):
        longest = int(times.latency_ns.max())
        return Metrics({"loadgen/tokens_per_s": _per_s(total, longest, "tokens/s", n, "tokens / greatest latency")})
    definition = "tokens / time until the last query issued was done"
    rate = _per_s(total, int(times.done_ns[-1]), "tokens/s", n, definition)
    parts = [_summary("tpot", tpot, level=level)] if len(tpot) else []
    return merged([_summary("ttft", ttft, level=level), *parts, Metrics({"loadgen/tokens_per_s": rate})])


def _per_s(count: int, time_ns: int, unit: str, n: int, definition: str) -> Estimate:
    if time_ns <= 0:
        return Estimate(value=None, unit=unit, n=n, definition=definition, note="no time passed")
    return _figure(count / (time_ns / _NS_PER_S), unit, n, definition)


def _figure(value: float, unit: str, n: int, definition: str) -> Estimate:
    return Estimate(value=value, unit=unit, n=n, definition=definition, note=_OF_THIS_RUN)

"""Result lines of MLPerf's log, made of the times of a run.

Source: results.cc and loadgen.cc, mlcommons/inference at b66003e; texts on early stopping and on early ends are
LoadGen's own, since MLPerf's tools look for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from bytemlperf.metrics import LOADGEN_PERCENTILES, Cause, Metrics, SampleTimes, Validity, loadgen_result
from bytemlperf.report.mlperf.settings import target_qps
from bytemlperf.scenarios import MLPerfScenario, MultiStream, Offline, Seeds, Server, SingleStream, loadgen
from bytemlperf.statistics import early_decision, early_estimate, queries_needed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bytemlperf.spec.reading import Json

EARLY: Final = frozenset({Cause.EARLY_STOPPING, Cause.TTFT_EARLY_STOPPING, Cause.TPOT_EARLY_STOPPING})
"""Causes of a run that stopped before its percentile could be claimed."""
BOUNDS: Final = frozenset({Cause.LATENCY_BOUND, Cause.TTFT_BOUND, Cause.TPOT_BOUND})
"""Causes of a run that broke a bound."""
COUNTS: Final = frozenset({Cause.MIN_QUERIES, Cause.MIN_SAMPLES})
"""Causes of a run that was too small."""

_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1e9
_P99: Final = 0.99

Pairs = Iterator[tuple[str, "Json"]]


def verdict_lines(scenario: MLPerfScenario, times: SampleTimes, verdict: Validity) -> Pairs:
    """Yield whether the run counts, and why not."""
    yield "result_validity", "VALID" if verdict.valid else "INVALID"
    if isinstance(scenario, Server):
        yield "result_perf_constraints_met", not BOUNDS & verdict.causes
    yield "result_min_duration_met", Cause.MIN_DURATION not in verdict.causes
    yield "result_min_queries_met", not COUNTS & verdict.causes
    yield "early_stopping_met", not EARLY & verdict.causes
    if not verdict.valid:
        yield "result_invalid_reason", " ".join(str(reason) for reason in verdict.reasons)
    for name, text in early_texts(scenario, times).items():
        yield name, text.replace("\n", " ")


def figure_lines(scenario: MLPerfScenario, times: SampleTimes) -> Pairs:
    """Yield LoadGen's figures.

    Raises:
        SpecError: If no sample was answered.
    """
    figures = loadgen_result(scenario, times)
    yield "result_query_count", times.queries
    yield from _of_scenario(scenario, times, figures)
    yield from _summary(figures, "latency", low="result_{}_latency_ns", percentile="result_{}_percentile_latency_ns")
    if "loadgen/ttft/p50" in figures:
        yield from _token_latencies(times, figures)
    elif "loadgen/tokens_per_s" in figures:
        yield "result_tokens_per_second", _value(figures, "tokens_per_s")


def _value(figures: Metrics, name: str) -> float | None:
    return figures[f"loadgen/{name}"].value


def _of_scenario(scenario: MLPerfScenario, times: SampleTimes, figures: Metrics) -> Pairs:
    if isinstance(scenario, SingleStream):
        yield "result_qps_with_loadgen_overhead", _value(figures, "qps_with_overhead")
        yield "result_qps_without_loadgen_overhead", _value(figures, "qps_without_overhead")
        yield "early_stopping_latency_ss", _estimate(figures, scenario.percentile)
        claimed = times.queries >= queries_needed(1, scenario.percentile)
        yield "early_stopping_latency_ms", _estimate(figures, _P99) if claimed else 0
    elif isinstance(scenario, MultiStream):
        names = {"low": "result_{}_query_latency_ns", "percentile": "result_{}_percentile_per_query_latency_ns"}
        yield from _summary(figures, "query_latency", **names)
        yield "early_stopping_latency_ms", _estimate(figures, scenario.percentile)
    elif isinstance(scenario, Server):
        yield "result_overlatency_query_count", _value(figures, "over_bound")
        yield "result_scheduled_samples_per_sec", _value(figures, "scheduled_samples_per_s")
        yield "result_completed_samples_per_sec", _value(figures, "completed_samples_per_s")
    else:
        yield "result_samples_per_second", _value(figures, "samples_per_s")


def _estimate(figures: Metrics, p: float) -> float:
    """LoadGen writes 0 where there is no estimate."""
    return _value(figures, f"early_stopping/p{100 * p:g}") or 0


def _summary(figures: Metrics, name: str, *, low: str, percentile: str) -> Pairs:
    for each in ("min", "max", "mean"):
        yield low.format(each), _value(figures, f"{name}/{each}")
    for each, p in LOADGEN_PERCENTILES.items():
        yield percentile.format(f"{100 * p:.2f}"), _value(figures, f"{name}/{each}")


def _token_latencies(times: SampleTimes, figures: Metrics) -> Pairs:
    assert times.tokens is not None
    total, latency_ns = int(times.tokens.sum()), int(times.latency_ns.sum()) // len(times) * len(times)
    names = {"low": "result_first_token_{}_latency_ns", "percentile": "result_first_token_{}_percentile_latency_ns"}
    yield from _summary(figures, "ttft", **names)
    if int(times.sent_ns[-1]) > 0:
        yield "result_token_throughput_with_loadgen_overhead", total / (int(times.sent_ns[-1]) / _NS_PER_S)
    if latency_ns > 0:
        yield "result_token_throughput", total / latency_ns  # LoadGen's own unit: tokens per ns
    if "loadgen/tpot/p50" in figures:
        for each, p in LOADGEN_PERCENTILES.items():
            yield f"result_time_per_output_token_{100 * p:.2f}_percentile_ns", _value(figures, f"tpot/{each}")
        for each in ("min", "max", "mean"):
            yield f"result_time_to_output_token_{each}", _value(figures, f"tpot/{each}")
    yield "result_completed_tokens_per_second", _value(figures, "tokens_per_s")


def early_texts(scenario: MLPerfScenario, times: SampleTimes) -> dict[str, str]:
    """Return what LoadGen says of early stopping, by key, with its line breaks."""
    ttft, tpot = times.ttft_ns, times.tpot_ns
    if isinstance(scenario, MultiStream) and ttft is not None:
        ttft = tpot = times.query_latency_ns
    if ttft is None or tpot is None:
        return {"early_stopping_result": _early_text(scenario, times.query_latency_ns, bound_ms=_bound(scenario))}
    bounds = (scenario.ttft_bound_ms, scenario.tpot_bound_ms) if isinstance(scenario, Server) else (None, None)
    return {
        "early_stopping_ttft_result": _early_text(scenario, ttft, bound_ms=bounds[0]),
        "early_stopping_tpot_result": _early_text(scenario, tpot, bound_ms=bounds[1]),
    }


def _bound(scenario: MLPerfScenario) -> float | None:
    return scenario.bound_ms if isinstance(scenario, Server) else None


def _early_text(scenario: MLPerfScenario, values: NDArray[np.int64], *, bound_ms: float | None) -> str:
    if not len(values):
        return ""
    if isinstance(scenario, Server):
        return _decided(values, scenario.percentile, bound_ms=bound_ms or 0.0)
    if isinstance(scenario, SingleStream | MultiStream):
        return _estimated(values, scenario.percentile, also_p99=isinstance(scenario, SingleStream))
    return ""


def _decided(values: NDArray[np.int64], p: float, *, bound_ms: float) -> str:
    found = early_decision(values, p, bound=round(bound_ms * _NS_PER_MS))
    if found.met:
        return " * Run successful."
    return (
        f" * Run unsuccessful.\n * Processed {found.n} queries.\n * Would need to run at least {found.missing} more "
        "queries,\n with the run being successful if every additional\n query were under latency."
    )


def _estimated(values: NDArray[np.int64], p: float, *, also_p99: bool) -> str:
    n, found = len(values), early_estimate(values, p)
    if not found.met:
        return f" * Only processed {n} queries.\n * Need to process at least {found.needed} queries for early stopping."
    text = (
        f" * Processed at least {found.needed} queries ({n}).\n * Would discard {found.discarded} highest latency "
        f"queries.\n * Early stopping {100 * p:.1f}th percentile estimate: {found.value:.0f}"
    )
    if not also_p99:
        return text
    further = early_estimate(values, _P99)
    if further.met:
        return f"{text}\n * Early stopping 99.0th percentile estimate: {further.value:.0f}"
    return (
        f"{text}\n * Not enough queries processed for 99.0th percentile\n early stopping estimate (would need to "
        f"process at\n least {further.needed} total queries)."
    )


def generated_lines(scenario: MLPerfScenario, seeds: Seeds, *, queries: int, samples_per_query: int) -> Pairs:
    """Yield what was prepared to be asked, before any rule cut it short."""
    yield "generated_query_count", queries
    yield "generated_samples_per_query", samples_per_query
    yield "generated_query_duration", _generated_ns(scenario, seeds, queries)


def _generated_ns(scenario: MLPerfScenario, seeds: Seeds, queries: int) -> int:
    """Return when the query after the last would be due."""
    if isinstance(scenario, Server):
        due = loadgen.poisson_arrivals_ns(
            scenario.target_qps, min_queries=queries + 1, min_duration_ns=0, seed=seeds.schedule
        )
        return int(due[queries])
    return queries * int(1.0 / target_qps(scenario) * _NS_PER_S)


def early_ends(scenario: MLPerfScenario, times: SampleTimes, *, generated: int, loaded: int) -> Iterator[str]:
    """Yield why a run ended before all that was prepared was asked, as LoadGen tells it: each is an error.

    Args:
        scenario: The load pattern.
        times: Of the samples that were answered.
        generated: Queries that were prepared.
        loaded: Samples in memory.
    """
    asked = times.queries + times.lost // times.samples_per_query
    yield from _lost(times)
    if isinstance(scenario, Offline) or _had_enough(scenario, times, asked, loaded):
        return
    most, longest_s = getattr(scenario, "max_queries", None), getattr(scenario, "max_duration_s", None)
    if most is not None and asked >= most:
        yield f"IssueQueryThread 0 Ending early: Max query count reached. query_count {asked}"
    elif longest_s is not None and asked < generated:
        yield f"IssueQueryThread 0 Ending early: Max test duration reached. after {longest_s:g} s"
    elif isinstance(scenario, Server) and scenario.max_outstanding is not None and asked < generated:
        yield f"IssueQueryThread 0 Ending early: Too many outstanding queries. issued {asked}"
    elif not isinstance(scenario, Server):
        yield (
            "Ending early: Ran out of generated queries to issue before the minimum query count and test duration were "
            "reached."
        )


def _lost(times: SampleTimes) -> Iterator[str]:
    if times.lost:
        yield f"{times.lost} samples failed or were not answered"


def _had_enough(scenario: MLPerfScenario, times: SampleTimes, asked: int, loaded: int) -> bool:
    """Whether a stream ended because it had enough queries in enough time."""
    if isinstance(scenario, Server) or not len(times):
        return False
    enough_time = int(times.done_ns[-1]) >= scenario.min_duration_ns
    return asked >= scenario.required_queries(loaded) and enough_time

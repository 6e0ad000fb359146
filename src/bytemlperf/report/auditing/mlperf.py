"""The audit of a detail log of MLPerf LoadGen, or of one in its form: what must hold between what it tells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from bytemlperf.metrics import LOADGEN_PERCENTILES, loadgen_result
from bytemlperf.report.auditing.finding import Finding, FindingKind, Place
from bytemlperf.report.auditing.laws import SLACK, is_maximum, needed
from bytemlperf.report.mlperf.settings import PERFORMANCE_ONLY, name_of
from bytemlperf.scenarios import Offline, Server, SingleStream
from bytemlperf.statistics import queries_needed

if TYPE_CHECKING:
    from bytemlperf.report.mlperf import DetailLog

_NS: Final = 1e-9
_DIGITS: Final = 1e-5
"""LoadGen writes six digits."""
_PARTS: Final = (
    "result_perf_constraints_met",
    "result_min_duration_met",
    "result_min_queries_met",
    "early_stopping_met",
)


def audit_mlperf(log: DetailLog, *, file: str) -> Iterator[Finding]:
    """Yield what is wrong with a log.

    Args:
        log: With its trace, if there is one: then figures and verdict are computed again.
        file: What findings call it.
    """
    place = Place(file=file, row=name_of(log.scenario))
    yield from _told(log, place)
    yield from _plan(log, place)
    if log.mode != PERFORMANCE_ONLY:
        return
    yield from _verdict(log, place)
    yield from _percentiles(log, place)
    yield from _bounds(log, place)
    yield from _flow(log, place)
    yield from _stamps(log, place)


def _told(log: DetailLog, place: Place) -> Iterator[Finding]:
    for text in log.errors:
        yield place.warning(FindingKind.LOGGED_ERROR, text)
    told = log.number("num_errors")
    if told is not None and told != len(log.errors):
        yield place.error(FindingKind.COUNTS, f"num_errors is {told:g}, and the log has {len(log.errors)} errors")


def _plan(log: DetailLog, place: Place) -> Iterator[Finding]:
    """Make the loaded set anew from the seeds, and hold what was asked against the plan."""
    if log.mode != PERFORMANCE_ONLY or any(
        log.settings.get(f"effective_performance_issue_{how}") for how in ("same", "unique")
    ):
        return
    plan = log.scenario.plan(log.setup.in_memory, log.seeds)
    assert plan.loaded is not None, "the scenarios of MLPerf name what is loaded"
    if log.loaded is not None and list(log.loaded[: len(plan.loaded)]) != plan.loaded.tolist():
        yield place.error(FindingKind.PLAN_DISAGREES, "the loaded samples are not those that the seeds give")
    if log.samples is not None:
        asked = log.samples.sample
        if asked.tolist() != plan.batch[: len(asked)].tolist():
            reason = "the samples were not asked for in the order that the seeds give"
            yield place.error(FindingKind.PLAN_DISAGREES, reason)


def _verdict(log: DetailLog, place: Place) -> Iterator[Finding]:
    if log.valid is None:
        yield place.warning(FindingKind.MISSING_FIELD, "result_validity is not told: the log may be cut short")
        return
    parts = {key: log.results[key] for key in _PARTS if key in log.results}
    if log.valid is not all(parts.values()) and not (log.errors and not log.valid):
        held = ", ".join(f"{key} {value}" for key, value in parts.items())
        yield place.error(FindingKind.VALIDITY, f"the run is called {'VALID' if log.valid else 'INVALID'}, with {held}")
    queries, least = log.number("result_query_count"), log.settings.get("effective_min_query_count")
    if queries is not None and isinstance(least, int) and log.results.get("result_min_queries_met") and queries < least:
        yield place.error(FindingKind.VALIDITY, f"{queries:g} queries are called enough, and {least} are needed")
    again = log.verdict()
    if again is not None and again.valid is not log.valid:
        yield place.error(
            FindingKind.VALIDITY,
            f"the log calls the run {'VALID' if log.valid else 'INVALID'}, and its stamps make it {again}",
        )


def _latency(log: DetailLog, name: str) -> float | None:
    percentile = LOADGEN_PERCENTILES.get(name)
    what = name if percentile is None else f"{100 * percentile:.2f}_percentile"
    return log.number(f"result_{what}_latency_ns")


def _percentiles(log: DetailLog, place: Place) -> Iterator[Finding]:
    names = ("min", *LOADGEN_PERCENTILES, "max")
    known = [(name, value) for name in names if (value := _latency(log, name)) is not None]
    for (lower, low), (upper, high) in pairwise(known):
        if low > high:
            yield place.error(
                FindingKind.PERCENTILE_ORDER, f"latency {upper} {high:g} ns is below latency {lower} {low:g} ns"
            )
    mean, ends = _latency(log, "mean"), dict(known)
    if mean is not None and not ends.get("min", mean) <= mean <= ends.get("max", mean):
        yield place.error(FindingKind.PERCENTILE_ORDER, f"the mean latency {mean:g} ns is not between min and max")
    n, p = log.number("result_query_count"), log.scenario.percentile
    if n is None or p is None:
        return
    if n < needed(p):
        yield place.warning(
            FindingKind.TOO_FEW_SAMPLES, f"p{100 * p:g} rests on {n:g} queries: {needed(p)} bound it at 99 %"
        )
    if is_maximum(int(n), p):
        yield place.warning(FindingKind.PERCENTILE_IS_MAXIMUM, f"p{100 * p:g} of {n:g} queries is the slowest of them")


def _bounds(log: DetailLog, place: Place) -> Iterator[Finding]:
    """Hold bound and early stopping of Server against the figures that decide them."""
    scenario, told = log.scenario, log.results.get("result_perf_constraints_met")
    if not isinstance(scenario, Server) or scenario.ttft_bound_ms is not None:
        return
    value, bound_ns = (
        log.number(f"result_{100 * scenario.percentile:.2f}_percentile_latency_ns"),
        scenario.bound_ms * 1e6,
    )
    if value is not None and told is (value > bound_ns):
        kept = "kept" if told else "broken"
        reason = f"the bound of {bound_ns:g} ns is called {kept}, and p{100 * scenario.percentile:g} is {value:g} ns"
        yield place.error(FindingKind.VALIDITY, reason)
    over, n = log.number("result_overlatency_query_count"), log.number("result_query_count")
    if over is None or n is None:
        return
    enough = n >= queries_needed(int(over), scenario.percentile)
    if log.results.get("early_stopping_met") is not enough:
        yield place.error(
            FindingKind.VALIDITY,
            f"{over:g} of {n:g} queries are over the bound, which is {'enough' if enough else 'too few'} to claim "
            f"p{100 * scenario.percentile:g}, and early_stopping_met is {not enough}",
        )


def _flow(log: DetailLog, place: Place) -> Iterator[Finding]:
    """Hold rates against latencies: Little's law in a stream, and the longest time in Offline."""
    mean, most, count = _latency(log, "mean"), _latency(log, "max"), log.settings.get("effective_samples_per_query")
    rate = log.number("result_qps_with_loadgen_overhead")
    if isinstance(log.scenario, SingleStream) and rate and mean and rate * mean * _NS > 1 + SLACK:
        n = log.number("result_query_count") or 1
        if rate * mean * _NS > 1 + SLACK + 1 / n:
            reason = f"{rate:g} queries/s of {mean:g} ns are {rate * mean * _NS:.2f} in flight, in a stream of one"
            yield place.error(FindingKind.LITTLES_LAW, reason)
    rate = log.number("result_samples_per_second")
    if isinstance(log.scenario, Offline) and rate and most and isinstance(count, int):
        asked = log.value("generated_samples_per_query") or count
        if isinstance(asked, int) and not math.isclose(rate, asked / (most * _NS), rel_tol=_DIGITS):
            reason = f"{rate:g} samples/s are not {asked} samples in {most * _NS:g} s"
            yield place.error(FindingKind.INCONSISTENT_THROUGHPUT, reason)


def _stamps(log: DetailLog, place: Place) -> Iterator[Finding]:
    """Compute latencies again from the trace."""
    if log.times is None:
        return
    again = loadgen_result(log.scenario, log.times)
    for name in ("min", "mean", *LOADGEN_PERCENTILES, "max"):
        told, value = _latency(log, name), again[f"loadgen/latency/{name}"].value
        if told is not None and value is not None and told != value:
            reason = f"latency {name} is {told:g} ns, and {value:g} ns by the trace"
            yield place.error(FindingKind.STAMPS_DISAGREE, reason)
    n = log.number("result_query_count")
    if n is not None and n != log.times.queries:
        yield place.error(FindingKind.COUNTS, f"{n:g} queries are told, and the trace has {log.times.queries}")

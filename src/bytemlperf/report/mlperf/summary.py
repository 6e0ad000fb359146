"""The summary that LoadGen writes for people, and that some of MLPerf's tools read line by line.

Source: `PerformanceSummary::LogSummary` in results.cc, mlcommons/inference at b66003e.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from bytemlperf.metrics import LOADGEN_PERCENTILES, Validity
from bytemlperf.report.mlperf.settings import name_of

if TYPE_CHECKING:
    from bytemlperf.report.mlperf.log import DetailLog

_RULE: Final = "=" * 48
_PARAMETERS: Final = (
    ("samples_per_query ", "samples_per_query"),
    ("target_qps ", "target_qps"),
    ("max_async_queries ", "max_async_queries"),
    ("min_duration (ms)", "min_duration_ms"),
    ("max_duration (ms)", "max_duration_ms"),
    ("min_query_count ", "min_query_count"),
    ("max_query_count ", "max_query_count"),
    ("qsl_rng_seed ", "qsl_rng_seed"),
    ("sample_index_rng_seed ", "sample_index_rng_seed"),
    ("schedule_rng_seed ", "schedule_rng_seed"),
    ("accuracy_log_rng_seed ", "accuracy_log_rng_seed"),
    ("accuracy_log_probability ", "accuracy_log_probability"),
    ("accuracy_log_sampling_target ", "accuracy_log_sampling_target"),
    ("print_timestamps ", "print_timestamps"),
    ("performance_issue_unique ", "performance_issue_unique"),
    ("performance_issue_same ", "performance_issue_same"),
    ("performance_issue_same_index ", "performance_issue_same_index"),
    ("performance_sample_count ", "performance_sample_count"),
    ("accuracy_sample_count ", "accuracy_sample_count"),
)


def summary(log: DetailLog, verdict: Validity, texts: Mapping[str, str]) -> str:
    """Write the summary of a run.

    Args:
        log: Of the run.
        verdict: Of the run, with what to do.
        texts: On early stopping, with their line breaks, by key.
    """
    lines = [*_head(log), *_verdict(log, verdict), *_early(texts), "", _RULE, "Additional Stats", _RULE]
    lines += [*_stats(log), "", _RULE, "Test Parameters Used", _RULE, *_parameters(log), "", *_errors(log)]
    return "".join(f"{line}\n" for line in lines)


def _head(log: DetailLog) -> Iterator[str]:
    yield from (_RULE, "MLPerf Results Summary", _RULE)
    yield f"SUT name : {log.value('sut_name')}"
    yield f"Scenario : {name_of(log.scenario)}"
    yield f"Mode     : {log.mode}"
    p = log.scenario.percentile
    if name_of(log.scenario) in {"SingleStream", "MultiStream"} and p is not None:
        kind = "per_query_latency" if name_of(log.scenario) == "MultiStream" else "latency"
        value = log.number(f"result_{100 * p:.2f}_percentile_{kind}_ns")
        if value is not None:  # a percentile that LoadGen does not log besides is left out
            yield f"{100 * p:.1f}th percentile latency (ns) : {value:.0f}"
    yield from _rate(log, "Completed samples per second    : ", "result_completed_samples_per_sec", ".2f")
    yield from _rate(log, "Samples per second: ", "result_samples_per_second", "g")
    yield from _rate(log, "Completed tokens per second: ", "result_completed_tokens_per_second", ".2f")
    yield from _rate(log, "Tokens per second: ", "result_tokens_per_second", "g")


def _rate(log: DetailLog, label: str, key: str, form: str) -> Iterator[str]:
    value = log.number(key)
    if value is not None:
        yield f"{label}{value:{form}}"


def _verdict(log: DetailLog, verdict: Validity) -> Iterator[str]:
    yes = {True: "Yes", False: "NO"}
    yield f"Result is : {'VALID' if log.valid else 'INVALID'}"
    told = (
        ("  Performance constraints satisfied : ", "result_perf_constraints_met"),
        ("  Min duration satisfied : ", "result_min_duration_met"),
        ("  Min queries satisfied : ", "result_min_queries_met"),
        ("  Early stopping satisfied: ", "early_stopping_met"),
    )
    yield from (f"{label}{yes[log.results[key] is True]}" for label, key in told if key in log.results)
    if not log.valid:
        yield "Recommendations:"
        yield from (f" * {reason}" for reason in verdict.reasons)


def _early(texts: Mapping[str, str]) -> Iterator[str]:
    titles = {"early_stopping_ttft_result": "TTFT ", "early_stopping_tpot_result": "TPOT "}
    for key, text in texts.items():
        if text:
            yield f"{titles.get(key, '')}Early Stopping Result:"
            yield text


def _stats(log: DetailLog) -> Iterator[str]:
    yield from _rate(log, "QPS w/ loadgen overhead         : ", "result_qps_with_loadgen_overhead", ".2f")
    yield from _rate(log, "QPS w/o loadgen overhead        : ", "result_qps_without_loadgen_overhead", ".2f")
    yield from _rate(log, "Scheduled samples per second : ", "result_scheduled_samples_per_sec", ".2f")
    if name_of(log.scenario) == "MultiStream":
        yield "Per-query latency:  "
        yield from _latencies(log, "latency", "result_{}_query_latency_ns", "result_{}_percentile_per_query_latency_ns")
    else:
        yield from _latencies(log, "latency", "result_{}_latency_ns", "result_{}_percentile_latency_ns")
    if "result_first_token_min_latency_ns" in log.results:
        yield ""
        first = ("result_first_token_{}_latency_ns", "result_first_token_{}_percentile_latency_ns")
        yield from _latencies(log, "First Token latency", *first)
        yield ""
        further = ("result_time_to_output_token_{}", "result_time_per_output_token_{}_percentile_ns")
        yield from _latencies(log, "Time per Output Token", *further)


def _latencies(log: DetailLog, what: str, low: str, percentile: str) -> Iterator[str]:
    for each in ("min", "max", "mean"):
        yield from _rate(log, f"{f'{each.capitalize()} {what} (ns)':<32}: ", low.format(each), ".0f")
    for p in LOADGEN_PERCENTILES.values():
        label = f"{100 * p:.2f} percentile {what.lower()} (ns)   : "
        yield from _rate(log, label, percentile.format(f"{100 * p:.2f}"), ".0f")


def _parameters(log: DetailLog) -> Iterator[str]:
    for label, key in _PARAMETERS:
        value = log.settings[f"effective_{key}"]
        assert isinstance(value, int | float), "a setting in this table is a number or a flag"
        yield f"{label}: {f'{value:g}' if isinstance(value, float) else int(value)}"
        if key == "target_qps":
            yield from _bounds(log)


def _bounds(log: DetailLog) -> Iterator[str]:
    ttft, tpot = (log.settings.get(f"requested_server_{name}_latency") for name in ("ttft", "tpot"))
    if ttft is None:
        yield f"target_latency (ns): {log.settings['effective_target_latency_ns']}"
    else:
        yield from (f"ttft_latency (ns): {ttft}", f"tpot_latency (ns): {tpot}")


def _errors(log: DetailLog) -> Iterator[str]:
    count = len(log.errors)
    if count:
        yield f"{count} ERROR{'S' if count > 1 else ''} encountered. See detailed log."
    else:
        yield "No errors encountered during test."

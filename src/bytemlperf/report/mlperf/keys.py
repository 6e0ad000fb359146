"""Keys of MLPerf's detail log that are known here, with the types of their values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import SpecError

if TYPE_CHECKING:
    from bytemlperf.spec.reading import Json

LEFT_OUT: Final[Mapping[str, str]] = {
    "loadgen_build_date_local": "LoadGen did not run",
    "loadgen_build_date_utc": "LoadGen did not run",
    "loadgen_git_commit_date": "LoadGen did not run",
    "loadgen_git_log_message": "LoadGen did not run",
    "loadgen_git_status_message": "LoadGen did not run",
    "loadgen_file_sha1": "LoadGen did not run",
    "get_sut_name_duration_ns": "nobody asks for the name in a timed part",
    "requested_server_find_peak_qps_decimals_of_precision": "a mode that is not there",
    "requested_server_find_peak_qps_boundary_step_size": "a mode that is not there",
    "requested_server_num_issue_query_threads": "another way of issuing",
    "generic_message": "LoadGen's narration",
    "warning_generic_message": "LoadGen's narration, mostly of its own logger",
    "logger_swap_request_slots_retry_count": "of LoadGen's own logger",
    "logger_swap_request_slots_retry_retry_count": "of LoadGen's own logger",
    "logger_swap_request_slots_retry_reencounter_count": "of LoadGen's own logger",
    "logger_start_reading_entries_retry_count": "of LoadGen's own logger",
    "logger_tls_total_log_cas_fail_count": "of LoadGen's own logger",
    "logger_tls_total_swap_buffers_slot_retry_count": "of LoadGen's own logger",
    "power_begin": "raw stamps are of a monotonic clock, which knows no date",
    "power_end": "raw stamps are of a monotonic clock, which knows no date",
}
"""Keys of LoadGen 6.0 that an exported log does not have, and why: nothing is invented."""

_NUMBER, _WHOLE, _TEXT, _FLAG = (int, float), (int,), (str,), (bool,)
_SETTINGS: Final[Mapping[str, tuple[type, ...]]] = {
    "scenario": _TEXT,
    "test_mode": _TEXT,
    "samples_per_query": _WHOLE,
    "target_qps": _NUMBER,
    "target_latency_ns": _NUMBER,
    "target_latency_percentile": _NUMBER,
    "max_async_queries": _WHOLE,
    "target_duration_ms": _NUMBER,
    "min_duration_ms": _NUMBER,
    "max_duration_ms": _NUMBER,
    "min_query_count": _WHOLE,
    "max_query_count": _WHOLE,
    "min_sample_count": _WHOLE,
    "qsl_rng_seed": _WHOLE,
    "sample_index_rng_seed": _WHOLE,
    "schedule_rng_seed": _WHOLE,
    "accuracy_log_rng_seed": _WHOLE,
    "accuracy_log_probability": _NUMBER,
    "accuracy_log_sampling_target": _WHOLE,
    "print_timestamps": _FLAG,
    "performance_issue_unique": _FLAG,
    "performance_issue_same": _FLAG,
    "performance_issue_same_index": _WHOLE,
    "performance_sample_count": _WHOLE,
    "performance_sample_count_override": _WHOLE,
    "accuracy_sample_count": _WHOLE,
    "accuracy_sample_count_override": _WHOLE,
    "sample_concatenate_permutation": _FLAG,
    "use_token_latencies": _FLAG,
    "server_ttft_latency": _NUMBER,
    "server_tpot_latency": _NUMBER,
    "single_stream_expected_latency_ns": _NUMBER,
    "single_stream_target_latency_percentile": _NUMBER,
    "multi_stream_expected_latency_ns": _NUMBER,
    "multi_stream_target_latency_percentile": _NUMBER,
    "multi_stream_samples_per_query": _WHOLE,
    "server_target_qps": _NUMBER,
    "server_target_latency_ns": _NUMBER,
    "server_target_latency_percentile": _NUMBER,
    "server_coalesce_queries": _FLAG,
    "server_max_async_queries": _WHOLE,
    "offline_expected_qps": _NUMBER,
}
_RESULTS: Final[Mapping[str, tuple[type, ...]]] = {
    "result_validity": _TEXT,
    "result_perf_constraints_met": _FLAG,
    "result_min_duration_met": _FLAG,
    "result_min_queries_met": _FLAG,
    "early_stopping_met": _FLAG,
    "result_invalid_reason": _TEXT,
    "early_stopping_result": _TEXT,
    "early_stopping_ttft_result": _TEXT,
    "early_stopping_tpot_result": _TEXT,
    "result_query_count": _WHOLE,
    "result_overlatency_query_count": _WHOLE,
    "early_stopping_latency_ss": _NUMBER,
    "early_stopping_latency_ms": _NUMBER,
    "num_errors": _WHOLE,
}
_OTHERS: Final[Mapping[str, tuple[type, ...]]] = {
    "loadgen_version": _TEXT,
    "test_datetime": _TEXT,
    "sut_name": _TEXT,
    "qsl_name": _TEXT,
    "qsl_reported_total_count": _WHOLE,
    "qsl_reported_performance_count": _WHOLE,
    "loaded_qsl_set": (list,),
    "generated_query_count": _WHOLE,
    "generated_samples_per_query": _WHOLE,
    "generated_query_duration": _NUMBER,
}
_FIGURE: Final = re.compile(
    r"result_(?:(?:first_token_|time_(?:to|per)_output_token_)?(?:min|max|mean|\d+\.\d+_percentile)?"
    r"(?:_(?:per_)?query)?(?:_latency)?(?:_ns)?|qps_with(?:out)?_loadgen_overhead|samples_per_second|tokens_per_second|"
    r"(?:scheduled|completed)_samples_per_sec|completed_tokens_per_second|token_throughput(?:_with_loadgen_overhead)?|"
    r"inferred_(?:completed_)?tokens_per_second)"
)


def kinds_of(key: str) -> tuple[type, ...] | None:
    """Return the types that a known key's value may have; None for a key that is not known.

    Example:
        >>> kinds_of("result_query_count"), kinds_of("result_99.00_percentile_latency_ns"), kinds_of("sut_colour")
        ((<class 'int'>,), (<class 'int'>, <class 'float'>), None)
    """
    prefix, _, rest = key.partition("_")
    if prefix in {"requested", "effective"} and rest in _SETTINGS:
        return _SETTINGS[rest]
    if key in _RESULTS or key in _OTHERS:
        return _RESULTS.get(key) or _OTHERS[key]
    return _NUMBER if _FIGURE.fullmatch(key) else None


def is_result(key: str) -> bool:
    """Tell whether a known key is of a result."""
    return key in _RESULTS or (key not in _OTHERS and _FIGURE.fullmatch(key) is not None)


def checked(key: str, value: Json, *, where: str) -> Json:
    """Return a value, or refuse it where it is not of its key's type. None stands for what is no number.

    LoadGen writes some whole numbers as floats, such as 1e+06: these are taken as whole.

    Raises:
        SpecError: With the file and line.
    """
    kinds = kinds_of(key)
    if kinds is None or (value is None and kinds == _NUMBER):
        return value
    if kinds == _WHOLE and isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) not in kinds or (kinds == (list,) and not _all_whole(value)):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise SpecError(f"{key} is of another type", where=where, got=value, expected=expected)
    return value


def _all_whole(value: Json) -> bool:
    return isinstance(value, list) and all(type(each) is int for each in value)

"""A scenario and seeds in the words of MLPerf's log, and back.

Source: test_settings_internal.cc, mlcommons/inference at b66003e.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.scenarios import MLPerfScenario, MultiStream, Offline, Seeds, Server, SingleStream
from bytemlperf.spec.fields import at_least

if TYPE_CHECKING:
    from bytemlperf.spec.reading import Json

KINDS: Final[Mapping[str, type[MLPerfScenario]]] = {
    "SingleStream": SingleStream,
    "MultiStream": MultiStream,
    "Server": Server,
    "Offline": Offline,
}
"""MLPerf's scenarios by the names that its logs have for them."""
PERFORMANCE_ONLY: Final = "PerformanceOnly"

_NS_PER_MS: Final = 1_000_000
_MS_PER_S: Final = 1000
_UNUSED_PERCENTILE: Final = 0.99
_PLAIN: Final = {
    "accuracy_log_rng_seed": 0,
    "accuracy_log_probability": 0,
    "accuracy_log_sampling_target": 0,
    "print_timestamps": False,
    "performance_issue_unique": False,
    "performance_issue_same": False,
    "performance_issue_same_index": 0,
}
"""Settings of LoadGen's audits and debugging: what they would change is not changed in these runs."""

Pairs = Iterator[tuple[str, "Json"]]


@attrs.frozen(kw_only=True)
class Setup:
    """What a run was set to.

    Attributes:
        scenario: The load pattern.
        seeds: Of the loaded set, the order of samples and the arrivals.
        total_samples: Samples in the data set.
        performance_samples: Samples that fit in memory.
        token_latencies: Whether answers are tokens whose times count.
    """

    scenario: MLPerfScenario
    seeds: Seeds
    total_samples: int = attrs.field(validator=at_least(1))
    performance_samples: int = attrs.field(validator=at_least(1))
    token_latencies: bool = False

    @property
    def in_memory(self) -> int:
        """Samples that were in memory."""
        return min(self.total_samples, self.performance_samples)


def requested(setup: Setup) -> Pairs:
    """Yield what was asked for, as LoadGen names it."""
    scenario, seeds = setup.scenario, setup.seeds
    yield "requested_scenario", name_of(scenario)
    yield "requested_test_mode", PERFORMANCE_ONLY
    yield from _OWN[type(scenario)](scenario)
    yield "requested_min_duration_ms", _ms(scenario.min_duration_s)
    yield "requested_max_duration_ms", _ms(_max_duration_s(scenario))
    yield "requested_min_query_count", scenario.min_queries
    yield "requested_max_query_count", getattr(scenario, "max_queries", None) or 0
    yield from ((f"requested_{name}", value) for name, value in _seeds(seeds))
    yield from ((f"requested_{name}", value) for name, value in _PLAIN.items())
    yield "requested_performance_sample_count_override", 0
    yield "requested_accuracy_sample_count_override", 0
    yield "requested_sample_concatenate_permutation", getattr(scenario, "whole_permutations", False)
    if setup.token_latencies:
        yield "requested_use_token_latencies", True
        yield from _token_bounds(scenario)


def effective(setup: Setup) -> Pairs:
    """Yield what came of it, as LoadGen names it."""
    scenario, loaded = setup.scenario, setup.in_memory
    bound_ns = round(scenario.bound_ms * _NS_PER_MS) if isinstance(scenario, Server) else 0
    queries = scenario.required_queries(loaded)
    yield "effective_scenario", name_of(scenario)
    yield "effective_test_mode", PERFORMANCE_ONLY
    yield "effective_samples_per_query", scenario.required_samples(loaded) // queries
    yield "effective_target_qps", target_qps(scenario)
    yield "effective_target_latency_ns", bound_ns
    yield "effective_target_latency_percentile", scenario.percentile or _UNUSED_PERCENTILE
    yield "effective_max_async_queries", (scenario.max_outstanding or 0) if isinstance(scenario, Server) else 1
    yield "effective_target_duration_ms", 0 if isinstance(scenario, Offline) else _ms(scenario.min_duration_s)
    yield "effective_min_duration_ms", _ms(scenario.min_duration_s)
    yield "effective_max_duration_ms", _ms(_max_duration_s(scenario))
    yield "effective_min_query_count", queries
    yield "effective_max_query_count", getattr(scenario, "max_queries", None) or 0
    yield "effective_min_sample_count", scenario.required_samples(loaded)
    yield from ((f"effective_{name}", value) for name, value in _seeds(setup.seeds))
    yield from ((f"effective_{name}", value) for name, value in _PLAIN.items())
    yield "effective_performance_sample_count", setup.performance_samples
    yield "effective_accuracy_sample_count", setup.total_samples
    yield "effective_sample_concatenate_permutation", getattr(scenario, "whole_permutations", False)


def name_of(scenario: MLPerfScenario) -> str:
    """Return MLPerf's name of a scenario."""
    return type(scenario).__name__


def target_qps(scenario: MLPerfScenario) -> float:
    """Return the rate per second that LoadGen takes a scenario to have."""
    if isinstance(scenario, Server):
        return scenario.target_qps
    if isinstance(scenario, Offline):
        return scenario.expected_qps
    assert isinstance(scenario, SingleStream | MultiStream)
    return 1e9 / _ns(scenario.expected_latency_ms)


def _ms(seconds: float) -> float:
    """LoadGen has whole milliseconds; a setting that has more is written as it is."""
    milliseconds = round(seconds * _MS_PER_S, 6)
    return int(milliseconds) if milliseconds == int(milliseconds) else milliseconds


def _ns(milliseconds: float) -> int:
    return max(round(milliseconds * _NS_PER_MS), 1)


def _max_duration_s(scenario: MLPerfScenario) -> float:
    return getattr(scenario, "max_duration_s", None) or 0.0


def _seeds(seeds: Seeds) -> tuple[tuple[str, int], ...]:
    return (
        ("qsl_rng_seed", seeds.loaded),
        ("sample_index_rng_seed", seeds.samples),
        ("schedule_rng_seed", seeds.schedule),
    )


def _token_bounds(scenario: MLPerfScenario) -> Pairs:
    if isinstance(scenario, Server) and scenario.ttft_bound_ms is not None and scenario.tpot_bound_ms is not None:
        yield "requested_server_ttft_latency", _ns(scenario.ttft_bound_ms)
        yield "requested_server_tpot_latency", _ns(scenario.tpot_bound_ms)


def _single_stream(scenario: Any) -> Pairs:  # noqa: ANN401 - of the kind that the table below tells
    yield "requested_single_stream_expected_latency_ns", _ns(scenario.expected_latency_ms)
    yield "requested_single_stream_target_latency_percentile", scenario.percentile


def _multi_stream(scenario: Any) -> Pairs:  # noqa: ANN401 - as above
    yield "requested_multi_stream_expected_latency_ns", _ns(scenario.expected_latency_ms)
    yield "requested_multi_stream_target_latency_percentile", scenario.percentile
    yield "requested_multi_stream_samples_per_query", scenario.samples_per_query


def _server(scenario: Any) -> Pairs:  # noqa: ANN401 - as above
    yield "requested_server_target_qps", scenario.target_qps
    yield "requested_server_target_latency_ns", round(scenario.bound_ms * _NS_PER_MS)
    yield "requested_server_target_latency_percentile", scenario.percentile
    yield "requested_server_coalesce_queries", False
    yield "requested_server_max_async_queries", scenario.max_outstanding or 0


def _offline(scenario: Any) -> Pairs:  # noqa: ANN401 - as above
    yield "requested_offline_expected_qps", scenario.expected_qps


_OWN: Final[Mapping[type, Callable[[Any], Pairs]]] = {
    SingleStream: _single_stream,
    MultiStream: _multi_stream,
    Server: _server,
    Offline: _offline,
}


def read_setup(values: Mapping[str, Json], *, where: str) -> Setup:
    """Return the setup that a log's settings tell.

    Args:
        values: Of the log, by key; known keys have their types.
        where: Name of the file, for messages.

    Raises:
        SpecError: If a setting is missing, or is none that a run can have.
    """
    told = _Told(values, where)
    kind = told.get("requested_scenario")
    if kind not in KINDS:
        raise SpecError(
            "no scenario of MLPerf's", where=f"{where}: requested_scenario", got=kind, expected=", ".join(KINDS)
        )
    performance = told.get("effective_performance_sample_count")
    fields = {
        "min_duration_s": told.get("requested_min_duration_ms") / _MS_PER_S,
        "min_queries": told.get("requested_min_query_count"),
        "performance_samples": performance,
        **_OWN_FIELDS[kind](told),
    }
    try:
        scenario = KINDS[kind](**fields)
    except SpecError as error:
        raise SpecError(f"the settings are no {kind}", where=where, got=str(error)) from error
    return Setup(
        scenario=scenario,
        seeds=Seeds(
            loaded=told.get("effective_qsl_rng_seed"),
            samples=told.get("effective_sample_index_rng_seed"),
            schedule=told.get("effective_schedule_rng_seed"),
        ),
        total_samples=told.get("qsl_reported_total_count"),
        performance_samples=performance or told.get("qsl_reported_total_count"),
        token_latencies=bool(values.get("requested_use_token_latencies", False)),
    )


class _Told:
    """Settings of a log; a missing one is told with its key."""

    def __init__(self, values: Mapping[str, Json], where: str) -> None:
        self.values, self._where = values, where

    def get(self, key: str) -> Any:  # noqa: ANN401 - of the type that the table of keys tells
        if key not in self.values or self.values[key] is None:
            raise SpecError("a setting is missing", where=f"{self._where}: {key}", expected="the whole detail log")
        return self.values[key]

    def unless_none(self, key: str) -> Any:  # noqa: ANN401 - as above
        """Return a setting of which 0 stands for no bound."""
        return self.get(key) or None


def _ends(told: _Told) -> dict[str, Any]:
    longest = told.unless_none("requested_max_duration_ms")
    return {
        "max_duration_s": None if longest is None else longest / _MS_PER_S,
        "max_queries": told.unless_none("requested_max_query_count"),
    }


def _permuted(told: _Told) -> dict[str, Any]:
    return {"whole_permutations": told.get("requested_sample_concatenate_permutation")}


def _single_stream_fields(told: _Told) -> dict[str, Any]:
    return {
        "expected_latency_ms": told.get("requested_single_stream_expected_latency_ns") / _NS_PER_MS,
        "percentile": told.get("requested_single_stream_target_latency_percentile"),
        **_ends(told),
        **_permuted(told),
    }


def _multi_stream_fields(told: _Told) -> dict[str, Any]:
    return {
        "expected_latency_ms": told.get("requested_multi_stream_expected_latency_ns") / _NS_PER_MS,
        "percentile": told.get("requested_multi_stream_target_latency_percentile"),
        "samples_per_query": told.get("requested_multi_stream_samples_per_query"),
        **_ends(told),
    }


def _server_fields(told: _Told) -> dict[str, Any]:
    tokens = {f"{name}_bound_ms": told.values.get(f"requested_server_{name}_latency") for name in ("ttft", "tpot")}
    return {
        "target_qps": told.get("requested_server_target_qps"),
        "bound_ms": told.get("requested_server_target_latency_ns") / _NS_PER_MS,
        "percentile": told.get("requested_server_target_latency_percentile"),
        "max_outstanding": told.unless_none("requested_server_max_async_queries"),
        **{name: value / _NS_PER_MS for name, value in tokens.items() if isinstance(value, int | float)},
        **_ends(told),
        **_permuted(told),
    }


def _offline_fields(told: _Told) -> dict[str, Any]:
    return {"expected_qps": told.get("requested_offline_expected_qps"), **_permuted(told)}


_OWN_FIELDS: Final[Mapping[str, Callable[[_Told], dict[str, Any]]]] = {
    "SingleStream": _single_stream_fields,
    "MultiStream": _multi_stream_fields,
    "Server": _server_fields,
    "Offline": _offline_fields,
}

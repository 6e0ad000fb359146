"""MLPerf LoadGen itself, run for a moment on a system that answers after known waits: the oracle of our tests."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import mlperf_loadgen as lg
import numpy as np

from bytemlperf.scenarios import MLPerfScenario, MultiStream, Offline, Seeds, Server, SingleStream


@attrs.frozen(kw_only=True, eq=False)
class Run:
    """What LoadGen did and what it says of it; times in ns, counted from when the first query was scheduled."""

    loaded: list[int]
    queries: list[list[int]]
    details: dict[str, Any]
    summary: str
    scheduled_ns: np.ndarray  # per sample, in the order of issue
    sent_ns: np.ndarray
    done_ns: np.ndarray
    query: np.ndarray
    first_ns: np.ndarray | None  # first tokens, where there are any and no two samples are due at once
    before_ns: int  # at most so long before the first query LoadGen's own clock began

    @property
    def valid(self) -> bool:
        return self.details["result_validity"] == "VALID"

    @property
    def due_ns(self) -> list[int]:
        """When each query was scheduled."""
        _, firsts = np.unique(self.query, return_index=True)
        return self.scheduled_ns[firsts].tolist()


def run(
    scenario: MLPerfScenario,
    folder: Path,
    *,
    seeds: Seeds | None = None,
    total: int = 100,
    performance: int = 64,
    waits_s: Callable[[int], float] | None = None,
    first_waits_s: float = 0.0,
    tokens: Callable[[int], int] | None = None,
    threads: bool = False,
    **settings: Any,
) -> Run:
    """Run a test.

    `waits_s` of a query's number is how long its answer takes, on a thread of its own if `threads`; further `settings`
    are LoadGen's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = lg.TestSettings()
    chosen.scenario, chosen.mode = getattr(lg.TestScenario, type(scenario).__name__), lg.TestMode.PerformanceOnly
    for name, value in (settings_of(scenario, seeds or Seeds()) | settings).items():
        assert hasattr(chosen, name), name
        setattr(chosen, name, value)
    queries: list[list[int]] = []
    loaded: list[list[int]] = []
    answering: list[threading.Thread] = []

    def answer(number: int, ids: Sequence[int]) -> None:
        if tokens is not None:
            time.sleep(first_waits_s)
            lg.FirstTokenComplete([lg.QuerySampleResponse(each, 0, 0) for each in ids])
        if waits_s is not None:
            time.sleep(waits_s(number))
        count = () if tokens is None else (tokens(number),)
        lg.QuerySamplesComplete([lg.QuerySampleResponse(each, 0, 0, *count) for each in ids])

    def issue(samples: Sequence[Any]) -> None:
        queries.append([each.index for each in samples])
        work = (len(queries) - 1, [each.id for each in samples])
        if not threads:
            answer(*work)
            return
        answering.append(threading.Thread(target=answer, args=work))
        answering[-1].start()

    sut, qsl = lg.ConstructSUT(issue, lambda: None), lg.ConstructQSL(total, performance, loaded.append, lambda _: None)
    output = lg.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    log = lg.LogSettings()
    log.log_output, log.enable_trace = output, True
    try:
        lg.StartTestWithLogSettings(sut, qsl, chosen, log, "")
    finally:
        for thread in answering:
            thread.join()
        lg.DestroyQSL(qsl)
        lg.DestroySUT(sut)
    return Run(
        loaded=loaded[0],
        queries=queries,
        details=_details((folder / "mlperf_log_detail.txt").read_text()),
        summary=(folder / "mlperf_log_summary.txt").read_text(),
        **_times((folder / "mlperf_log_trace.json").read_text()),
    )


def settings_of(scenario: MLPerfScenario, seeds: Seeds) -> dict[str, Any]:
    """Say a scenario and seeds in LoadGen's own words."""
    common = {
        "qsl_rng_seed": seeds.loaded,
        "sample_index_rng_seed": seeds.samples,
        "schedule_rng_seed": seeds.schedule,
        "min_duration_ms": round(scenario.min_duration_s * 1000),
        "min_query_count": scenario.min_queries,
        "max_duration_ms": round((getattr(scenario, "max_duration_s", None) or 0) * 1000),
        "max_query_count": getattr(scenario, "max_queries", None) or 0,
        "sample_concatenate_permutation": getattr(scenario, "whole_permutations", False),
    }
    return common | _OWN[type(scenario)](scenario)


def _server(scenario: Server) -> dict[str, Any]:
    own = {
        "server_target_qps": scenario.target_qps,
        "server_target_latency_ns": round(scenario.bound_ms * 1e6),
        "server_target_latency_percentile": scenario.percentile,
        "server_max_async_queries": scenario.max_outstanding or 0,
    }
    if scenario.ttft_bound_ms is None or scenario.tpot_bound_ms is None:
        return own
    bounds = {"ttft_latency": round(scenario.ttft_bound_ms * 1e6), "tpot_latency": round(scenario.tpot_bound_ms * 1e6)}
    return own | bounds | {"use_token_latencies": True}


_OWN: dict[type, Callable[[Any], dict[str, Any]]] = {
    SingleStream: lambda scenario: {
        "single_stream_expected_latency_ns": round(scenario.expected_latency_ms * 1e6),
        "single_stream_target_latency_percentile": scenario.percentile,
    },
    MultiStream: lambda scenario: {
        "multi_stream_expected_latency_ns": round(scenario.expected_latency_ms * 1e6),
        "multi_stream_target_latency_percentile": scenario.percentile,
        "multi_stream_samples_per_query": scenario.samples_per_query,
    },
    Server: _server,
    Offline: lambda scenario: {"offline_expected_qps": scenario.expected_qps},
}


def _details(text: str) -> dict[str, Any]:
    text = text.replace('"value": -nan', '"value": NaN').replace('"value": nan', '"value": NaN')  # of a single query
    lines = (json.loads(line.removeprefix(":::MLLOG ")) for line in text.splitlines() if line.startswith(":::MLLOG"))
    return {line["key"]: line["value"] for line in lines}


def _times(text: str) -> dict[str, Any]:
    """Read each sample's times from the trace; LoadGen writes microseconds with three places."""
    events = re.findall(
        r'"name":"Sample","cat":"default","ph":"b",.*?"ts":(\d+)\.(\d{3}),"args":\{"sample_seq":(\d+),"query_seq":(\d+),'
        r'"sample_idx":\d+,"issue_start_ns":(\d+),"complete_ns":(\d+)',
        text,
    )
    table = np.array([[_whole_ns(us, ns), *map(int, rest)] for us, ns, *rest in events], np.int64)
    due, number, query, sent, done = table[np.argsort(table[:, 1])].T
    assert (number == np.arange(len(number))).all(), "the trace lacks samples"
    begin = re.search(r'"name":"GenerateQueries".*?"ts":(\d+)\.(\d{3}),"dur":(\d+)\.(\d{3})', text)
    assert begin is not None
    ready, first = _whole_ns(*begin.groups()[:2]) + _whole_ns(*begin.groups()[2:]), int(due[0])
    return {
        "scheduled_ns": due - first,
        "sent_ns": due - first + sent,
        "done_ns": due - first + done,
        "query": query,
        "first_ns": _first_tokens(text, due, first),
        "before_ns": first - ready,
    }


def _first_tokens(text: str, due: np.ndarray, first: int) -> np.ndarray | None:
    """Read when first tokens came; of Server, LoadGen tells them only by the time when their sample was due."""
    known = re.findall(r'"name":"Token","cat":"default","ph":"b",.*?"sample_seq":(\d+),.*?"complete_ns":(\d+)', text)
    if known:
        after = {int(number): int(taken) for number, taken in known}
        return np.array([each + after[number] - first for number, each in enumerate(due.tolist())], np.int64)
    events = re.findall(
        r'"name":"Token_Latency".*?"ts":(\d+)\.(\d{3}),"args":\{ "issue_delay":(\d+),"issue_to_done":(\d+)', text
    )
    came = {_whole_ns(us, ns): int(delay) + int(rest) for us, ns, delay, rest in events}
    if len(came) != len(due):
        return None
    return np.array([each + came[each] - first for each in due.tolist()], np.int64)


def _whole_ns(microseconds: str, fraction: str) -> int:
    return int(microseconds + fraction)

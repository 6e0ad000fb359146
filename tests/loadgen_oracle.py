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

    @property
    def valid(self) -> bool:
        return self.details["result_validity"] == "VALID"

    @property
    def due_ns(self) -> list[int]:
        """When each query was scheduled."""
        _, firsts = np.unique(self.query, return_index=True)
        return self.scheduled_ns[firsts].tolist()


def run(
    scenario: str,
    folder: Path,
    *,
    total: int = 100,
    performance: int = 64,
    waits_s: Callable[[int], float] | None = None,
    first_waits_s: float = 0.0,
    tokens: Callable[[int], int] | None = None,
    threads: bool = False,
    **settings: Any,
) -> Run:
    """Run a test; `waits_s` of a query's number is how long its answer takes, on a thread of its own if `threads`."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = lg.TestSettings()
    chosen.scenario, chosen.mode = getattr(lg.TestScenario, scenario), lg.TestMode.PerformanceOnly
    for name, value in settings.items():
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


def _details(text: str) -> dict[str, Any]:
    lines = (json.loads(line.removeprefix(":::MLLOG ")) for line in text.splitlines() if line.startswith(":::MLLOG"))
    return {line["key"]: line["value"] for line in lines}


def _times(text: str) -> dict[str, np.ndarray]:
    """Read each sample's times from the trace; LoadGen writes microseconds with three places."""
    events = re.findall(
        r'"name":"Sample","cat":"default","ph":"b",.*?"ts":(\d+)\.(\d{3}),"args":\{"sample_seq":(\d+),"query_seq":(\d+),'
        r'"sample_idx":\d+,"issue_start_ns":(\d+),"complete_ns":(\d+)',
        text,
    )
    table = np.array([[int(us + ns), *map(int, rest)] for us, ns, *rest in events], np.int64)
    due, number, query, sent, done = table[np.argsort(table[:, 1])].T
    assert (number == np.arange(len(number))).all(), "the trace lacks samples"
    due = due - due[0]
    return {"scheduled_ns": due, "sent_ns": due + sent, "done_ns": due + done, "query": query}

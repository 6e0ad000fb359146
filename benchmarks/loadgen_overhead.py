"""What the harness takes beside MLPerf's LoadGen, both with a system that does nothing.

Side by side, in turn, several times:

- SingleStream and Offline: microseconds a query from the first one's time to the last one's end, and samples a second;
- Server at 1,000 queries a second: latency of a null system, which is what the load generator adds itself.

LoadGen is the wheel `mlcommons-loadgen`, driven from Python as its users drive it; the null system answers within the
call, each sample by itself as the harness asks for it. Offline is measured once more with samples answered together:
LoadGen's whole query at once, ours in calls of `TOGETHER` samples, which are copied side by side for the call.
The harness runs inline and in a worker process. Aim: not above LoadGen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import mlperf_loadgen as lg
import numpy as np

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.null import NullBackend
from bytemlperf.sample import BatchSet
from bytemlperf.scenarios import Batching, MLPerfScenario, Offline, Seeds, Server, SingleStream, Warmup
from bytemlperf.spec import DType, Format, Framework, ModelSpec, TensorSpec
from bytemlperf.trace import Trace
from bytemlperf.worker import InlineTarget, ProcessTarget, Series, Target, Watch, Worker

SAMPLES = 1024
TOGETHER = 1024
ARTIFACT = ModelArtifact(
    spec=ModelSpec(
        name="null-onnx-fp32",
        framework=Framework.ONNX,
        format=Format.ONNX,
        inputs=(TensorSpec(name="x", shape=("batch", 1), dtype=DType.FLOAT32),),
        outputs=(),
    ),
    format=Format.ONNX,
)
BATCHES = BatchSet(
    inputs={"x": np.zeros((SAMPLES, 1, 1), np.float32)},
    size=1,
    padding=np.zeros(SAMPLES, np.int64),
    samples=np.arange(SAMPLES).reshape(-1, 1),
    axes={"x": 0},
)
Figures = Mapping[str, float]


def by_loadgen(scenario: MLPerfScenario, folder: Path, *, together: bool) -> Figures:
    """Run LoadGen and take the figures of its own log."""
    settings = lg.TestSettings()
    settings.scenario = getattr(lg.TestScenario, type(scenario).__name__)
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms, settings.min_query_count = 0, scenario.min_queries
    if isinstance(scenario, Server):
        settings.server_target_qps = scenario.target_qps
    output, log = lg.LogOutputSettings(), lg.LogSettings()
    output.outdir, output.copy_summary_to_stdout, log.log_output = str(folder), False, output

    def issue(samples: list[lg.QuerySample]) -> None:
        if together:
            lg.QuerySamplesComplete([lg.QuerySampleResponse(each.id, 0, 0) for each in samples])
            return
        for each in samples:
            lg.QuerySamplesComplete([lg.QuerySampleResponse(each.id, 0, 0)])

    sut, qsl = lg.ConstructSUT(issue, lambda: None), lg.ConstructQSL(SAMPLES, SAMPLES, lambda _: None, lambda _: None)
    lg.StartTestWithLogSettings(sut, qsl, settings, log, "")
    lg.DestroyQSL(qsl)
    lg.DestroySUT(sut)
    found = details((folder / "mlperf_log_detail.txt").read_text())
    if isinstance(scenario, SingleStream):
        return {"us a query": 1e6 / found["result_qps_with_loadgen_overhead"]}
    if isinstance(scenario, Offline):
        return {"us a query": 1e6 / found["result_samples_per_second"]}
    return {
        "latency p50 us": found["result_50.00_percentile_latency_ns"] / 1e3,
        "latency p99 us": found["result_99.00_percentile_latency_ns"] / 1e3,
    }


def details(text: str) -> dict[str, float]:
    """Read the figures of LoadGen's detail log."""
    found = {}
    for line in text.splitlines():
        entry = json.loads(line.partition(":::MLLOG ")[2] or "{}")
        if isinstance(entry.get("value"), int | float):
            found[entry["key"]] = float(entry["value"])
    return found


def by_harness(target: Target, scenario: MLPerfScenario, *, together: bool) -> Figures:
    """Issue the same and take the figures from the stamps."""
    plan, batching = scenario.plan(SAMPLES, Seeds()), Batching(size=TOGETHER) if together else None
    recording = target.issue(Series(plan=plan, batches=BATCHES, batching=batching), Watch())
    assert not recording.failures, recording.failures
    return figures(scenario, recording.trace)


def figures(scenario: MLPerfScenario, trace: Trace) -> Figures:
    """Take the same figures as LoadGen's from a trace."""
    if isinstance(scenario, Server):
        p50, p99 = np.quantile(trace.latency_ns, (0.5, 0.99)) / 1e3
        return {"latency p50 us": float(p50), "latency p99 us": float(p99)}
    return {"us a query": float(trace.done_ns.max() - trace.scheduled_ns[0]) / len(trace) / 1e3}


def main() -> int:
    """Measure and print; the exit code is 1 where a median is above LoadGen's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=50_000, help="of SingleStream and Offline")
    parser.add_argument("--seconds", type=float, default=4.0, help="of Server, each round")
    chosen = parser.parse_args()
    off = Warmup(max_queries=100)
    scenarios: dict[str, MLPerfScenario] = {
        "SingleStream": SingleStream(min_queries=chosen.queries, min_duration_s=0, warmup=off),
        "Offline": Offline(min_queries=chosen.queries, min_duration_s=0, warmup=off, senders=1),
        "Offline, together": Offline(min_queries=chosen.queries, min_duration_s=0, warmup=off, senders=1),
        "Server": Server(target_qps=1000, min_queries=int(1000 * chosen.seconds), min_duration_s=0, warmup=off),
    }
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "loadgen").mkdir()
        reference = f"{NullBackend.__module__}:{NullBackend.__name__}"
        worker = ProcessTarget(reference, worker=Worker(), folder=place / "worker", watch=Watch())
        targets: dict[str, Target] = {"inline": InlineTarget(NullBackend()), "worker": worker}
        for target in targets.values():
            target.compile(ARTIFACT, {"batch_size": 1}, Watch())
        missed = 0
        for name, scenario in scenarios.items():
            together = "together" in name
            runs: dict[str, Callable[[], Figures]] = {
                "LoadGen": partial(by_loadgen, scenario, place / "loadgen", together=together),
                **{each: partial(by_harness, target, scenario, together=together) for each, target in targets.items()},
            }
            missed += told(name, in_turn(runs, chosen.rounds))
        for target in targets.values():
            target.close()
    return 1 if missed else 0


def in_turn(runs: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, list[Figures]]:
    """Do each once a round, so that what the machine does else meets all of them."""
    found: dict[str, list[Figures]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return found


def told(scenario: str, found: Mapping[str, list[Figures]]) -> int:
    """Print medians and ranges over the rounds; return how many medians are above LoadGen's."""
    missed = 0
    for figure in found["LoadGen"][0]:
        bound = statistics.median(each[figure] for each in found["LoadGen"])
        for name, rounds in found.items():
            values = [each[figure] for each in rounds]
            median = statistics.median(values)
            missed += median > bound
            above = "above LoadGen" if median > bound else ""
            print(
                f"{scenario:18} {figure:15} {name:8} {median:10.2f}   {min(values):.2f} to {max(values):.2f}  {above}"
            )
    return missed


if __name__ == "__main__":
    sys.exit(main())

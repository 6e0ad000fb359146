"""What the harness adds to a query: the null backend through the issuer, over a bare loop without stamps.

Run it alone on the machine: `python benchmarks/harness_overhead.py`. Each round runs every way once, one
after the other, so that what disturbs the machine disturbs all; the medians over the rounds are printed.
Aim: at most 3 microseconds a query, blocking and asynchronous, inline and in a worker.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.null import NullAsyncBackend, NullBackend, NullOptions
from bytemlperf.sample import BatchSet
from bytemlperf.scenarios import FixedBatch, Seeds, Warmup
from bytemlperf.spec import DType, Format, Framework, ModelSpec, TensorSpec
from bytemlperf.trace import Trace
from bytemlperf.worker import InlineTarget, ProcessTarget, Series, Target, Watch, Worker

AIM_US = 3.0

ARTIFACT = ModelArtifact(
    spec=ModelSpec(
        name="nothing-onnx-fp32",
        framework=Framework.ONNX,
        format=Format.ONNX,
        inputs=(TensorSpec(name="x", shape=("batch", 1), dtype=DType.FLOAT32),),
        outputs=(),
    ),
    format=Format.ONNX,
)
BATCHES = BatchSet(
    inputs={"x": np.zeros((1, 1, 1), np.float32)}, size=1, padding=np.zeros(1, np.int64), samples=np.zeros((1, 1), int)
)


def bare_loop(queries: int) -> Callable[[], float]:
    """Return a function that calls `predict` so often and gives the microseconds of one call."""
    backend = NullBackend()
    compiled = backend.compile(ARTIFACT, NullOptions(batch_size=1))
    batch = BATCHES.batch(0)

    def run() -> float:
        predict = backend.predict
        started = time.perf_counter_ns()
        for _ in range(queries):
            predict(compiled, batch)
        return (time.perf_counter_ns() - started) / queries / 1e3

    return run


def through(target: Target, queries: int) -> Callable[[], Trace]:
    """Return a function that issues so many queries to a target and gives their trace."""
    target.compile(ARTIFACT, {"batch_size": 1}, Watch())
    scenario = FixedBatch(iterations=queries, warmup=Warmup(max_queries=100))
    series = Series(plan=scenario.plan(len(BATCHES), Seeds()), batches=BATCHES)

    def run() -> Trace:
        recording = target.issue(series, Watch())
        assert not recording.failures, recording.failures
        return recording.trace

    return run


def microseconds_a_query(trace: Trace) -> float:
    """From the first query's time to the last one's end, over their number."""
    return float(trace.done_ns[-1] - trace.scheduled_ns[0]) / len(trace) / 1e3


def measured(queries: int, rounds: int, folder: Path) -> dict[str, list[float]]:
    """Return microseconds a query of each way, and of what the stamps themselves tell, round by round."""
    bare = bare_loop(queries)
    targets: dict[str, Target] = {
        "inline, blocking": InlineTarget(NullBackend()),
        "inline, asynchronous": InlineTarget(NullAsyncBackend()),
    }
    for name, kind in (("worker, blocking", NullBackend), ("worker, asynchronous", NullAsyncBackend)):
        reference = f"{kind.__module__}:{kind.__name__}"
        targets[name] = ProcessTarget(reference, worker=Worker(), folder=folder / kind.__name__, watch=Watch())
    runs = {name: through(target, queries) for name, target in targets.items()}
    found: dict[str, list[float]] = {"bare loop": [], **{name: [] for name in runs}}
    latency: dict[str, list[float]] = {f"{name}: stamped latency": [] for name in runs}
    for _ in range(rounds):
        found["bare loop"].append(bare())
        for name, run in runs.items():
            trace = run()
            found[name].append(microseconds_a_query(trace))
            latency[f"{name}: stamped latency"].append(float(np.median(trace.latency_ns)) / 1e3)
    for target in targets.values():
        target.close()
    return {**found, **latency}


def main() -> int:
    """Measure and print; the exit code is 1 where the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(chosen.queries, chosen.rounds, Path(folder))
    medians = {name: statistics.median(values) for name, values in found.items()}
    bare = medians["bare loop"]
    print(
        f"{chosen.queries} queries, {chosen.rounds} rounds; microseconds a query, medians and range over the rounds\n"
    )
    print(f"{'':40} {'median':>8} {'lowest':>8} {'highest':>8} {'over bare':>10} {'ratio':>7}")
    for name, values in found.items():
        over = f"{medians[name] - bare:10.2f} {medians[name] / bare:7.1f}" if "stamped" not in name else ""
        print(f"{name:40} {medians[name]:8.2f} {min(values):8.2f} {max(values):8.2f} {over}")
    worst = max(value - bare for name, value in medians.items() if "stamped" not in name)
    print(f"\nhighest cost over the bare loop: {worst:.2f} microseconds; aim: {AIM_US:.0f}")
    return 0 if worst <= AIM_US else 1


if __name__ == "__main__":
    sys.exit(main())

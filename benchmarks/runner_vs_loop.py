"""Whether the runner measures what a hand-written loop measures: ResNet-50, batch 1, random weights, on torch.

Run it alone on the machine: `python benchmarks/runner_vs_loop.py`. Loop and runner take turns in one process
on one module, in an order that changes every round; what is compared are the medians of all latencies, and the
ratio of each round's medians. Aim: within 2 percent.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from bytemlperf import zoo
from bytemlperf.backends.torch import TorchBackend, TorchOptions
from bytemlperf.runner import Runner
from bytemlperf.sample import BatchSet
from bytemlperf.scenarios import FixedBatch, Seeds, Warmup
from bytemlperf.worker import inline

AIM = 0.02


def looped(module: torch.nn.Module, images: np.ndarray, queries: int) -> list[float]:
    """Return milliseconds of each call, as anyone would measure them."""
    taken = []
    with torch.inference_mode():
        for number in range(queries):
            image = images[number % len(images)]
            started = time.perf_counter()
            module(torch.from_numpy(image)).numpy()
            taken.append((time.perf_counter() - started) * 1e3)
    return taken


class ThroughRunner:
    """The same module through backend, target, issuer and runner."""

    def __init__(self, backend: TorchBackend, compiled: object, images: np.ndarray) -> None:
        """Prepare the batches once, as a run does."""
        count = len(images)
        self._target = inline(backend, compiled)  # type: ignore[arg-type]  # compiled by this backend
        self._batches = BatchSet(
            inputs={"image": images}, size=1, padding=np.zeros(count, np.int64), samples=np.arange(count)[:, None]
        )

    def __call__(self, queries: int) -> list[float]:
        """Return milliseconds from scheduled to done of each query."""
        scenario = FixedBatch(iterations=queries, warmup=Warmup(max_queries=0))
        plan = scenario.plan(len(self._batches), Seeds())
        recording = Runner().run(self._target, plan, self._batches)
        assert not recording.failures, recording.failures
        return [float(each) / 1e6 for each in recording.trace.latency_ns]


def main() -> int:
    """Measure and print; the exit code is 1 where the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--queries", type=int, default=10, help="of each way in a round")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        artifact = zoo.resolve(zoo.get("resnet50-torch-fp32"), weights="random")
        backend = TorchBackend()
        compiled = backend.compile(artifact, TorchOptions(batch_size=1, work_dir=Path(folder)))
    images = np.random.default_rng(0).standard_normal((4, 1, 3, 224, 224), dtype=np.float32)
    module = compiled.handle.call
    assert isinstance(module, torch.nn.Module)
    through_runner = ThroughRunner(backend, compiled, images)
    looped(module, images, 5)
    by_loop: list[float] = []
    by_runner: list[float] = []
    ratios = []
    for number in range(chosen.rounds):
        first = through_runner(chosen.queries) if number % 2 else None
        loop = looped(module, images, chosen.queries)
        runner = first or through_runner(chosen.queries)
        ratios.append(statistics.median(runner) / statistics.median(loop))
        by_loop += loop
        by_runner += runner
    medians = statistics.median(by_loop), statistics.median(by_runner)
    ratio = medians[1] / medians[0]
    print(f"{len(by_loop)} queries each way, in {chosen.rounds} rounds, {torch.get_num_threads()} threads")
    print(f"median by loop    {medians[0]:8.3f} ms")
    print(f"median by runner  {medians[1]:8.3f} ms")
    print(f"runner over loop  {ratio:8.4f}    aim: within {AIM:.0%}")
    quarters = statistics.quantiles(ratios, n=4)
    print(f"rounds' ratios    {statistics.median(ratios):8.4f}    quartiles {quarters[0]:.4f} to {quarters[2]:.4f}")
    return 0 if abs(ratio - 1) <= AIM else 1


if __name__ == "__main__":
    sys.exit(main())

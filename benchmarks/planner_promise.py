"""Whether the run that follows keeps what the plan promised: simulated, and on a real backend.

python benchmarks/planner_promise.py [simulated pairs] [real pairs]
"""

from __future__ import annotations

import sys

import numpy as np

from bytemlperf import FixedBatch, plan, run
from bytemlperf.statistics import autocorrelated_quantile_interval, percentile, queries_for_width

TASK = "digits-resnet-onnx-fp32"
WIDTH = 0.25


def main(simulated: int, real: int) -> None:
    """Print the share of promises that were kept; nine in ten are promised."""
    rng = np.random.default_rng(7)
    for p, width, pilot in ((0.5, 0.05, 300), (0.9, 0.1, 300), (0.99, 0.3, 2000)):
        kept, asked = [], []
        for seed in range(simulated):
            queries = queries_for_width(rng.lognormal(0, 0.3, pilot), p, width=width, seed=seed)
            if queries is not None:
                values = rng.lognormal(0, 0.3, queries)
                kept.append(autocorrelated_quantile_interval(values, p).width / percentile(values, p) <= width)
                asked.append(queries)
        median = int(np.median(asked))
        print(f"p{100 * p:g} within {width:g} of lognormal values, pilot of {pilot}: ", end="")
        print(f"kept by {sum(kept)} of {len(kept)}, {median} queries", flush=True)
    print("\nreal: p50 of digits on onnxruntime, one thread, batch 8")
    kept = [_real(number) for number in range(real)]
    print(f"kept by {sum(kept)} of {real}")


def _real(number: int) -> bool:
    trial = plan(
        TASK,
        backend="onnxruntime",
        options={"threads": 1},
        checks=["performance"],
        batch_sizes=[8],
        scenarios=[FixedBatch(iterations=400)],
        pilot=True,
        width=WIDTH,
        seed=number,
    )
    (row,) = (each for each in trial.rows if each.needed)
    (median,) = (each for each in row.needed if each.p == 0.5)  # noqa: PLR2004 - the median
    (claimed,) = (each for each in row.claims if each.p == 0.5)  # noqa: PLR2004 - the median
    queries = max(median.for_width or 0, 100)
    report = run(
        TASK,
        backend="onnxruntime",
        options={"threads": 1},
        checks=["performance"],
        batch_sizes=[8],
        scenarios=[FixedBatch(iterations=queries)],
        seed=number,
    )
    figure = report.metrics["latency/p50"]
    if figure.value is None or figure.low is None or figure.high is None:
        return False
    found = (figure.high - figure.low) / figure.value
    promised = "" if claimed.width is None else f", 400 queries were promised {100 * claimed.width:.1f} %"
    print(f"{queries} queries for {100 * WIDTH:g} %: interval {100 * found:.1f} %{promised}", flush=True)
    return found <= WIDTH


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 300, int(sys.argv[2]) if sys.argv[2:] else 12)

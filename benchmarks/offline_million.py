"""A run of a million samples in one query: what its stamps take, and how long its figures take to compute.

Aim: at most 48 bytes a sample in the trace, and under 5 s for all figures of the row.
"""

from __future__ import annotations

import argparse
import sys
import time

import attrs
from loadgen_overhead import ARTIFACT, BATCHES

from bytemlperf.backends.null import NullBackend
from bytemlperf.issuer.buffer import TraceBuffer
from bytemlperf.metrics import loadgen_result, merged, omission, performance, sample_times, validity
from bytemlperf.scenarios import Offline, Seeds, Warmup
from bytemlperf.trace import Trace
from bytemlperf.worker import InlineTarget, Series, Watch

AIM_BYTES, AIM_S = 48, 5.0


def bytes_per_sample(trace: Trace) -> float:
    """Count the bytes of the columns that have a record a sample."""
    columns = (getattr(trace, field.name) for field in attrs.fields(Trace))
    return sum(each.nbytes for each in columns if getattr(each, "shape", None) == (len(trace),)) / len(trace)


def main() -> int:
    """Measure and print; the exit code is 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    chosen = parser.parse_args()
    scenario = Offline(min_queries=chosen.samples, min_duration_s=0, senders=1, warmup=Warmup(max_queries=10))
    started = time.perf_counter()
    plan = scenario.plan(len(BATCHES), Seeds())
    planned = time.perf_counter()
    target = InlineTarget(NullBackend())
    target.compile(ARTIFACT, {"batch_size": 1}, Watch())
    trace = target.issue(Series(plan=plan, batches=BATCHES), Watch()).trace
    issued = time.perf_counter()
    times = sample_times(trace)
    figures = merged([performance(trace), loadgen_result(scenario, times)])
    verdict, waited = validity(scenario, times, loaded=len(BATCHES)), omission(trace)
    analysed_s = time.perf_counter() - issued
    held = len(TraceBuffer(chosen.samples).map) / chosen.samples
    print(f"{len(trace):,} samples, {len(figures)} figures, {verdict}{waited}")
    print(
        f"plan {planned - started:.2f} s, run {issued - planned:.2f} s, analysis {analysed_s:.2f} s (aim {AIM_S:.0f})"
    )
    print(f"{bytes_per_sample(trace):.0f} bytes a sample, {held:.2f} in the file with its header (aim {AIM_BYTES})")
    return 0 if analysed_s < AIM_S and bytes_per_sample(trace) <= AIM_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())

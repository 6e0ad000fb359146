"""The one verb of a measurement: run a plan over prepared batches on a target."""

from __future__ import annotations

import time

from bytemlperf.errors import SpecError
from bytemlperf.sample import BatchSet
from bytemlperf.scenarios import Batching, Plan
from bytemlperf.worker import Cancelled, Progress, Recording, Series, Target, Watch
from bytemlperf.workload import Limits


class Runner:
    """Runs plans within limits.

    Args:
        limits: Time and memory for each run.
        cancel: The caller's wish to stop; anything with `is_set()`.
        progress: Hears `(answered, planned)`, never from the timed region.

    Example:
        Latency of one piece, without a report::

            recording = Runner().run(inline(backend, compiled), FixedBatch().plan(len(batches), Seeds()), batches)
            print(metrics.latency(recording.trace)["latency/p99"])
    """

    def __init__(
        self, *, limits: Limits | None = None, cancel: Cancelled | None = None, progress: Progress | None = None
    ) -> None:
        """Keep what every run is watched by."""
        limits = limits or Limits()
        ends_s = None if limits.total_s is None else time.monotonic() + limits.total_s
        self.watch = Watch(limits=limits, cancel=cancel, progress=progress, ends_s=ends_s)

    def run(
        self,
        target: Target,
        plan: Plan,
        batches: BatchSet,
        *,
        batching: Batching | None = None,
        keep: bool = False,
        step: str = "run",
    ) -> Recording:
        """Issue a plan's queries and return what was stamped.

        Args:
            target: Holds the compiled model.
            plan: Which batches, when, by how many clients.
            batches: What is asked; loaded in memory before the clock starts.
            batching: Joins queries of one sample into calls, for engines that take batches.
            keep: Keep the answers; they are copied after the stamp, so such a run is not timed for a figure.
            step: Name of this run in failures.

        Raises:
            SpecError: If the plan asks for a batch that is not there, or its queries cannot be joined.
        """
        missing = plan.batch[(plan.batch < 0) | (plan.batch >= len(batches))]
        if len(missing):
            there = f"0 to {len(batches) - 1}" if len(batches) else "none, for there is no batch"
            raise SpecError("a plan asks for a batch that is not there", got=int(missing[0]), expected=there)
        return target.issue(Series(plan=plan, batches=batches, batching=batching, keep=keep, step=step), self.watch)

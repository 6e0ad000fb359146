"""What one evaluation needs besides its job: things that are no data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import AnyBackend
from bytemlperf.datasets import DatasetLoader
from bytemlperf.errors import SpecError
from bytemlperf.evaluation.events import Event
from bytemlperf.spec import ModelSpec
from bytemlperf.worker import Cancelled, Worker
from bytemlperf.workload import Check, Job


@attrs.frozen(kw_only=True, eq=False)
class Request:
    """A job and what belongs to the caller.

    Attributes:
        job: What to evaluate.
        spec: The model, found in the catalog or given.
        reference: `package.module:Class` of the backend.
        backend_name: The backend's name, for reports before it could be asked.
        artifact: A model that the caller has resolved already.
        loader: A data set that the caller has opened already.
        instance: A backend of the caller, run in this process.
        worker: How to start workers; None for this interpreter.
        out: Where the report and raw stamps go; None keeps only what is returned.
        plots: Also draw what the rows show; only where there is a folder.
        resume: Keep rows in `out` that the same job measured in the same environment.
        on_event: Hears what happens.
        cancel: The caller's wish to stop.
    """

    job: Job
    spec: ModelSpec
    reference: str
    backend_name: str
    artifact: ModelArtifact | None = None
    loader: DatasetLoader | None = None
    instance: AnyBackend | None = None
    worker: Worker | None = None
    out: Path | None = None
    plots: bool = True
    resume: bool = False
    on_event: Callable[[Event], None] | None = None
    cancel: Cancelled | None = None


def check_time(job: Job) -> None:
    """Refuse load patterns that cannot end within their limits.

    Raises:
        SpecError: Saying how long they take at least.
    """
    for number, scenario in enumerate(job.scenarios):
        if scenario.least_duration_s > job.limits.step_s:
            raise SpecError(
                "a load pattern takes longer than the limit of a step",
                where=f"$.scenarios[{number}]",
                got=f"{scenario.least_duration_s:g} s",
                expected=f"at most {job.limits.step_s:g} s",
                remedy="raise limits.step_s, or lower the duration",
            )
    rows = len(job.batch_sizes or (1,)) * job.repeats
    least_s = rows * sum(scenario.least_duration_s for scenario in job.scenarios)
    if Check.PERFORMANCE in job.checks and job.limits.total_s is not None and least_s > job.limits.total_s:
        raise SpecError(
            "the load patterns together take longer than the limit of the job",
            where="$.scenarios",
            got=f"{least_s:g} s in {rows * len(job.scenarios)} runs",
            expected=f"at most {job.limits.total_s:g} s",
            remedy="raise limits.total_s, or lower durations",
        )

"""What one evaluation needs besides its job: things that are no data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import AnyBackend
from bytemlperf.datasets import DatasetLoader
from bytemlperf.evaluation.events import Event
from bytemlperf.spec import ModelSpec
from bytemlperf.worker import Cancelled, Worker
from bytemlperf.workload import Job


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

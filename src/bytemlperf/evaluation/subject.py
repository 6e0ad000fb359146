"""What a job measures, made ready: the model in a format the backend takes, its data, its bench."""

from __future__ import annotations

import json

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.evaluation.data import Data
from bytemlperf.evaluation.session import Session
from bytemlperf.evaluation.workbench import Opener, Workbench
from bytemlperf.spec import DType
from bytemlperf.worker import BackendDescription, Tuning
from bytemlperf.workload import Asked


@attrs.frozen(kw_only=True, eq=False)
class Subject:
    """A job's model, data and backend.

    Attributes:
        session: The job while it runs.
        original: The model as the zoo gave it.
        artifact: The model as the backend gets it.
        convert_ns: What its conversion took; 0 where none was needed.
        data: Samples.
        opener: Makes further targets of the same backend.
        description: What the backend says of itself.
        options: Fields of the backend's options, without the batch size.
        vendor_sizes: Batch sizes that only the backend chose; their rows say so.
        tuned: What the backend has chosen among its options so far, by the batch size that is compiled.
    """

    session: Session
    original: ModelArtifact
    artifact: ModelArtifact
    convert_ns: int
    data: Data
    opener: Opener
    description: BackendDescription
    options: dict[str, object]
    vendor_sizes: tuple[int, ...] = ()
    tuned: dict[int | None, Tuning] = attrs.field(factory=dict)

    @property
    def precision(self) -> DType:
        """What is asked of the compiler, or else the model's own."""
        return self.session.job.precision or self.original.spec.precision

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The job's batch sizes, or else the model's; then those that the backend chose."""
        return (*own_sizes(self.session, self.original), *self.vendor_sizes)

    @property
    def takes_every_batch(self) -> bool:
        """Whether one compiled model takes every batch size."""
        return self.description.takes_every_batch(self.artifact.format)

    def labels(self, batch_size: int) -> dict[str, str | int | float | bool | None]:
        """Return what a row of this batch size must say of where it comes from."""
        chosen = {"vendor_chosen": True} if batch_size in self.vendor_sizes else {}
        found = self.tuned.get(self.compiled_size(batch_size))
        tuned = {} if found is None else {"tuned": json.dumps(found.changed, sort_keys=True)}
        return {"isolation": str(self.opener.isolation), **chosen, **tuned}

    def compiled_size(self, batch_size: int) -> int | None:
        """Return what is compiled for a batch size; None where one model takes them all."""
        return None if self.takes_every_batch else batch_size

    def key(self, what: str, batch_size: int) -> str:
        """Return a row's stable name, such as `performance/fixed_batch/clients=2/batch=8/fp32/devices=1`."""
        return row_key(what, batch_size, self.precision, self.session.job.devices)

    def bench(self) -> Workbench:
        """Return a new bench of the same backend and model."""
        session = self.session
        return Workbench(
            self.opener,
            artifact=self.artifact,
            options=self.options,
            watch=session.watch,
            on_trouble=lambda problem: session.warn("crash_at_exit", problem),
            max_crashes=session.job.limits.max_crashes,
            tuned=self.tuned,
        )


def row_key(what: str, batch_size: int, precision: DType, devices: tuple[str, ...]) -> str:
    """Return a row's stable name, as `Subject.key`."""
    return f"{what}/batch={batch_size}/{precision.short}/devices={max(1, len(devices))}"


def own_sizes(session: Session, artifact: ModelArtifact) -> tuple[int, ...]:
    """Return the batch sizes that are measured whatever the backend would choose."""
    if session.job.asked is not Asked.FORWARD:  # a prompt, or a text that is scored, is a query by itself
        return (1,)
    return session.job.batch_sizes or artifact.spec.batch_sizes

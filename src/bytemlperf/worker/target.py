"""What can be compiled for and issued to, wherever it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Self, TypeAlias, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import CompileInfo
from bytemlperf.errors import SpecError
from bytemlperf.issuer.buffer import MOST_PROBES
from bytemlperf.sample import BatchSet
from bytemlperf.scenarios import Batching, Plan
from bytemlperf.spec import TensorSpec
from bytemlperf.spec.fields import at_least
from bytemlperf.worker.description import BackendDescription
from bytemlperf.worker.recording import Recording
from bytemlperf.worker.watch import Watch

T = TypeVar("T")


class Isolation(StrEnum):
    """Whether a backend shares the harness' process; a crash there takes all along."""

    INLINE = "inline"
    """In the harness' own process: a crash would have taken the report with it."""
    WORKER = "worker"
    """In a process of its own."""


@attrs.frozen(kw_only=True)
class Conversion:
    """A backend's own rewriting of an artifact, timed from outside."""

    artifact: ModelArtifact
    duration_ns: int


Prepare: TypeAlias = Callable[[tuple[TensorSpec, ...] | None], BatchSet]
"""Makes batches for an engine that takes these inputs; None stands for the model's own."""


@attrs.frozen(kw_only=True)
class Tuning:
    """What a backend chose among its own options, timed from outside.

    Attributes:
        changed: Fields that it chose otherwise, as JSON data.
        duration_ns: Of the call, without the preparing of inputs.
        measurements: Choices that were measured for it.
    """

    changed: Mapping[str, Any]
    duration_ns: int
    measurements: int


@attrs.frozen(kw_only=True)
class VendorFigures:
    """What a vendor's own tool tells; nothing of it was measured here.

    Attributes:
        figures: Finite numbers by the tool's own names.
        refused: Why each other entry is none, by name.
    """

    figures: Mapping[str, float]
    refused: Mapping[str, str]


@attrs.frozen(kw_only=True)
class Compilation:
    """A compile, timed from outside.

    Attributes:
        info: What the compiler says it did.
        duration_ns: Of the call.
        peak_rss_bytes: Highest resident memory of the process so far.
    """

    info: CompileInfo
    duration_ns: int
    peak_rss_bytes: int


def _gathers_right(series: Series, _: object, batching: Batching | None) -> None:
    if batching is None:
        return
    plan, batches = series.plan, series.batches
    wrong = None
    if batches.size != 1:
        wrong = f"batches of {batches.size} samples", "samples that were prepared one by one"
    elif plan.scheduled_ns is None and plan.clients > 1:
        wrong = f"a closed loop of {plan.clients} clients", "queries that arrive by themselves, or one client"
    elif series.phased:
        wrong = "a pass by phases", "calls of predict or submit"
    if wrong is not None:
        raise SpecError("these queries cannot be joined into calls", where="batching", got=wrong[0], expected=wrong[1])


@attrs.frozen(kw_only=True, eq=False)
class Series:
    """A series of queries to issue.

    Attributes:
        plan: Which batches, when, by whom, after what warm-up.
        batches: What is asked.
        batching: Joins queries of one sample into calls; None sends each prepared batch by itself.
        keep: Whether the answers are kept; never in a timed run. That of a call of several queries is kept whole, under
            the first of them.
        sampled: int64[k], queries whose answers are kept though the run is timed: copied after the stamp, written when
            the run is over.
        replica: The only one of several replicas of the model that is asked; None for whichever is free.
        phased: Ask by prepare, execute and fetch, and stamp the end of the first two as empty parts of the answer;
            only of a backend that has phases.
        chunks_per_query: Room for stamps of parts of answers, for each record of the plan; those beyond are counted.
        step: Name for failures.

    Raises:
        SpecError: If the queries cannot be joined into calls.
    """

    plan: Plan
    batches: BatchSet
    batching: Batching | None = attrs.field(default=None, validator=_gathers_right)
    keep: bool = False
    sampled: NDArray[np.int64] | None = None
    replica: int | None = None
    phased: bool = False
    chunks_per_query: int = attrs.field(default=4, validator=at_least(0))
    step: str = "run"


def options_of_replicas(description: BackendDescription, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the options of each compile: one for all devices, or one a device where the backend does not span them."""
    devices = list(options.get("devices") or ())
    if replicas_of(description, devices) == 1:
        return [dict(options)]
    return [{**options, "devices": [device]} for device in devices]


def replicas_of(description: BackendDescription, devices: Sequence[str]) -> int:
    """Return how many replicas of a model there are: one for each device where the backend does not span them."""
    return 1 if description.spans_devices else max(1, len(devices))


def asked_replicas(replicas: Sequence[T], series: Series) -> list[T]:
    """Return the replicas that a series asks: all, or the one that it names."""
    return list(replicas) if series.replica is None else [replicas[series.replica]]


def joined(replicas: Sequence[Compilation]) -> Compilation:
    """Tell of the replicas of one model as of one compile: they are made one after another."""
    first = replicas[0]
    devices = tuple(device for each in replicas for device in each.info.devices)
    return Compilation(
        info=attrs.evolve(first.info, devices=devices, instances=sum(each.info.instances for each in replicas)),
        duration_ns=sum(each.duration_ns for each in replicas),
        peak_rss_bytes=max(each.peak_rss_bytes for each in replicas),
    )


def room_for(description: BackendDescription, series: Series) -> dict[str, int]:
    """Return the room that a series' stamps need beside those of its queries, as `TraceBuffer` takes it."""
    streams = series.phased or description.streams or description.asynchronous
    watched = series.plan.scheduled_ns is not None or series.plan.clients > 1 or description.asynchronous
    return {
        "chunks": len(series.plan.batch) * series.chunks_per_query if streams else 0,
        "probes": MOST_PROBES if watched else 0,
    }


class Target(ABC):
    """One backend, holding at most one compiled model."""

    isolation: ClassVar[Isolation]

    @property
    @abstractmethod
    def description(self) -> BackendDescription:
        """What the backend says of itself."""

    @abstractmethod
    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise SpecError if the backend's options class refuses these values."""

    @abstractmethod
    def convert(self, artifact: ModelArtifact, options: Mapping[str, Any], watch: Watch) -> Conversion:
        """Let the backend rewrite the artifact.

        Raises:
            BenchmarkError: Typed by what went wrong.
        """

    @abstractmethod
    def best_batch_sizes(self, artifact: ModelArtifact, watch: Watch) -> tuple[int, ...]:
        """Return the batch sizes that the backend would choose; empty for no opinion.

        Raises:
            BenchmarkError: Typed by what went wrong.
        """

    @abstractmethod
    def tune(self, artifact: ModelArtifact, options: Mapping[str, Any], prepare: Prepare, watch: Watch) -> Tuning:
        """Let the backend choose among its options; what was compiled before is released.

        Args:
            artifact: In a format that the backend takes.
            options: Fields of the backend's options class, as JSON data.
            prepare: Makes what is asked when a choice is measured.
            watch: What may end it early.

        Raises:
            BenchmarkError: Typed by what went wrong.
        """

    @abstractmethod
    def compile(self, artifact: ModelArtifact, options: Mapping[str, Any], watch: Watch) -> Compilation:
        """Compile; what was compiled before is released.

        Args:
            artifact: In a format that the backend takes.
            options: Fields of the backend's options class, as JSON data.
            watch: What may end it early.

        Raises:
            BenchmarkError: Typed by what went wrong.
        """

    @abstractmethod
    def issue(self, series: Series, watch: Watch) -> Recording:
        """Issue a series; what went wrong is in the recording, with all that was stamped before."""

    @abstractmethod
    def vendor_benchmark(self, batches: BatchSet, watch: Watch) -> VendorFigures:
        """Have the vendor's own tool measure what is compiled.

        Raises:
            BenchmarkError: Typed by what went wrong.
        """

    @abstractmethod
    def release(self) -> None:
        """Give back the compiled model. What the backend raises there is told by `close`; figures stand.

        Raises:
            ProcessError: If its process did not survive it.
        """

    @abstractmethod
    def close(self) -> str | None:
        """End the target; return what went wrong at its end, if anything did. Twice is harmless."""

    def __enter__(self) -> Self:
        """Use the target in a `with` block that closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

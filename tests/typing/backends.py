"""What a type checker says to authors of backends, datasets and metrics. Only type-checked, never run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_type

import attrs
from numpy.typing import NDArray

from bytemlperf import (
    AsyncBackend,
    Backend,
    Batch,
    Chunk,
    CompiledModel,
    CompileInfo,
    CompileOptions,
    DatasetLoader,
    DType,
    Estimate,
    Metrics,
    ModelArtifact,
    Outputs,
    Phased,
    Reply,
)
from bytemlperf.backends import AnyBackend
from bytemlperf.metrics import SampleMetric


@attrs.frozen(kw_only=True)
class ChipOptions(CompileOptions):
    """A vendor's own option."""

    cores: int = 1


class Session:
    """A vendor's handle."""


class Chip(Backend[ChipOptions, Session]):
    """A right one."""

    def compile(self, artifact: ModelArtifact, options: ChipOptions) -> CompiledModel[Session]:
        """Compile."""
        assert_type(options.batch_size, int | None)
        return CompiledModel(Session(), CompileInfo(precision="fp32"))

    def predict(self, compiled: CompiledModel[Session], batch: Batch) -> Outputs:
        """Predict."""
        return dict(batch.inputs)


class HalfDone(Backend[ChipOptions, Session]):
    """One that lacks predict."""

    def compile(self, artifact: ModelArtifact, options: ChipOptions) -> CompiledModel[Session]:
        """Compile."""
        return CompiledModel(Session(), CompileInfo(precision=DType.FLOAT16))


class Wrong(Backend[ChipOptions, Session]):
    """One whose methods do not fit what it says of itself."""

    def compile(self, artifact: ModelArtifact, options: ChipOptions) -> CompiledModel[int]:  # type: ignore[override]  # another handle
        """Compile."""
        return CompiledModel(3, CompileInfo(precision="fp32"))

    def predict(self, compiled: CompiledModel[Session], batch: Batch) -> list[float]:  # type: ignore[override]  # outputs have names
        """Predict."""
        return [1.0]


class NoOptions(Backend[int, Session]):  # type: ignore[type-var]  # options subclass CompileOptions
    """One whose options are none."""


class Pushing(AsyncBackend[ChipOptions, Session]):
    """One that completes later; what `predict` does is derived."""

    def compile(self, artifact: ModelArtifact, options: ChipOptions) -> CompiledModel[Session]:
        """Compile."""
        return CompiledModel(Session(), CompileInfo(precision="fp32", max_in_flight=None))

    def submit(self, compiled: CompiledModel[Session], batch: Batch, reply: Reply) -> None:
        """Answer at once, in two parts."""
        reply.chunk(dict(batch.inputs), tokens=2)
        reply.done(dict(batch.inputs), reported={"fps": 3.0})
        reply.done([1.0])  # type: ignore[arg-type]  # outputs have names

    def predict(self, compiled: CompiledModel[Session], batch: Batch) -> Outputs:  # type: ignore[misc]  # final
        """Not to be overridden."""
        return {}


class InPhases(Chip, Phased[Session, bytes]):
    """One that tells phases apart."""

    def prepare(self, compiled: CompiledModel[Session], batch: Batch) -> bytes:
        """Copy in."""
        return b""

    def execute(self, compiled: CompiledModel[Session], inputs: bytes) -> bytes:
        """Compute."""
        return inputs

    def fetch(self, compiled: CompiledModel[Session], outputs: str) -> Outputs:  # type: ignore[override]  # bytes were promised
        """Copy out."""
        return {}


class Images(DatasetLoader):
    """A loader that lacks `open` and `fingerprint`."""

    def __len__(self) -> int:
        """Count."""
        return 1

    def load(self, indices: Sequence[int]) -> Mapping[str, NDArray[float]]:  # type: ignore[type-var]  # no numpy type
        """Load."""
        return {}

    def labels(self, indices: Sequence[int]) -> None:
        """Have none."""


class Nothing:
    """A metric of nothing; no class to derive from."""

    name = "nothing"
    higher_is_better = True

    def initial(self) -> int:
        """Begin."""
        return 0

    def update(self, state: int, outputs: Mapping[str, NDArray[object]], labels: NDArray[object]) -> int:  # type: ignore[type-var]  # no numpy type
        """Go on."""
        return state + len(labels)

    def compute(self, state: int) -> Metrics:
        """End."""
        return Metrics({"nothing": Estimate(value=None, unit="1", n=state, note="nothing was asked")})


def _uses() -> None:
    taken: list[AnyBackend] = [Chip(), Pushing()]
    assert_type(taken[0].version(), str)
    HalfDone()  # type: ignore[abstract]  # predict is missing
    Images()  # type: ignore[abstract]  # open and fingerprint are missing
    metric: SampleMetric = Nothing()
    assert_type(metric.higher_is_better, bool)
    Chunk()  # type: ignore[call-arg]  # a part has outputs
    CompileInfo()  # type: ignore[call-arg]  # the precision that is used is always told
    CompileInfo(precision=16)  # type: ignore[arg-type]  # no type of numbers
    ChipOptions().cores = 2  # type: ignore[misc]  # options are frozen

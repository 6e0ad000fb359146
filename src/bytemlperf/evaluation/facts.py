"""What a report says besides rows: filled in as the steps learn it."""

from __future__ import annotations

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import CompileInfo
from bytemlperf.environment import Environment, NoiseCertificate
from bytemlperf.metrics import Metrics
from bytemlperf.report import DatasetFacts
from bytemlperf.worker import BackendDescription, Isolation


@attrs.define(kw_only=True, eq=False)
class Facts:
    """Facts of one evaluation; None where a step did not come so far.

    Attributes:
        environment: Machine and software.
        isolation: Whether the backend shared this process.
        artifact: The model as the zoo gave it.
        given: The model as the backend got it.
        dataset: The samples.
        backend: What the backend says of itself.
        compiles: What the compiler said it did, by the key of the compile row.
        harness: What the harness itself costs.
        noise: How quiet the machine was before anything was timed.
    """

    environment: Environment
    isolation: Isolation = Isolation.WORKER
    artifact: ModelArtifact | None = None
    given: ModelArtifact | None = None
    dataset: DatasetFacts | None = None
    backend: BackendDescription | None = None
    compiles: dict[str, CompileInfo] = attrs.field(factory=dict)
    harness: Metrics = attrs.field(factory=Metrics)
    noise: NoiseCertificate | None = None

"""What a backend's outputs are compared with: something that is not that backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.datasets import DatasetLoader, batches
from bytemlperf.errors import HarnessError
from bytemlperf.evaluation.answers import ask_once, over_samples
from bytemlperf.evaluation.session import Session
from bytemlperf.evaluation.workbench import Opener, Workbench
from bytemlperf.registry import backends
from bytemlperf.sample import Array
from bytemlperf.spec import DType, Format
from bytemlperf.zoo import get as get_model
from bytemlperf.zoo import resolve

REFERENCE_BATCH: Final = 8
"""Samples that the reference is asked for at a time."""


@attrs.frozen(kw_only=True, eq=False)
class Reference:
    """How the right outputs are made.

    Attributes:
        name: What it is, for the report.
        artifact: The model that is run.
        backend: Registered name of the backend that runs it.
        precision: In which precision; None for the model's own.
        independent: False where the backend under test would be compared with itself.
    """

    name: str
    artifact: ModelArtifact
    backend: str
    precision: DType | None = None
    independent: bool = True


def choose_reference(session: Session, artifact: ModelArtifact, *, backend: str) -> Reference:
    """Find an independent reference for an artifact as the zoo gave it.

    In this order: the model's torch definition, or that of its twin with the same weights, in
    float64; ONNX's reference evaluator; else the same runtime, which gives no verdict.

    Args:
        session: For the job's weights.
        artifact: Before any conversion.
        backend: `package.module:Class` of the backend under test.

    Raises:
        BenchmarkError: If a twin's weights cannot be had.
    """
    if artifact.format in {Format.TORCH, Format.TORCH_MODULE}:
        name = f"{artifact.name} in torch, float64"
        return Reference(name=name, artifact=artifact, backend="torch", precision=DType.FLOAT64)
    twin = _torch_twin(session, artifact)
    if twin is not None:
        name = f"{twin.name} (the same weights) in torch, float64"
        return Reference(name=name, artifact=twin, backend="torch", precision=DType.FLOAT64)
    if artifact.format is Format.ONNX:
        return Reference(name="ONNX's reference evaluator", artifact=artifact, backend="onnx-reference")
    same = {backends.find(name).reference for name in ("cpu", "tensorflow")}
    return Reference(
        name="tensorflow on the CPU" + ("" if backend not in same else ", the runtime under test itself"),
        artifact=artifact,
        backend="cpu",
        independent=backend not in same,
    )


def _torch_twin(session: Session, artifact: ModelArtifact) -> ModelArtifact | None:
    if session.request.artifact is not None or artifact.spec.twin is None:
        return None
    twin = get_model(artifact.spec.twin)
    if twin.format is not Format.TORCH:
        return None
    return resolve(twin, weights=session.job.weights, seed=session.job.seed)


def reference_answers(session: Session, reference: Reference, loader: DatasetLoader, count: int) -> Mapping[str, Array]:
    """Run the reference over the first `count` samples, in a worker of its own where it can be.

    Returns:
        Each output over the samples, by canonical name.

    Raises:
        BenchmarkError: Typed by what went wrong.
    """
    spec = reference.artifact.spec
    options = {"precision": reference.precision, "work_dir": str(session.scratch / "reference-work")}
    size = min(REFERENCE_BATCH, count)
    with Workbench(
        _opener(session, reference),
        artifact=reference.artifact,
        options=options,
        watch=session.watch,
        on_trouble=lambda problem: session.warn("crash_at_exit", f"the reference's worker: {problem}"),
        max_crashes=0,
    ) as bench:
        info = bench.compile(size).info
        asked = batches(loader, spec.inputs, range(count), batch_size=size, engine_inputs=info.inputs)
        recording = ask_once(bench, asked, step="reference")
        if recording.failures:
            raise HarnessError(f"the reference failed: {recording.failures[0].message}")
        return over_samples(recording.answers, asked, spec.outputs)


def _opener(session: Session, reference: Reference) -> Opener:
    """A live module cannot leave this process, so its reference stays here too."""
    plugin = backends.find(reference.backend)
    live = reference.artifact.format is Format.TORCH_MODULE
    instance = backends.get(reference.backend)() if live else None
    return Opener(reference=plugin.reference, instance=instance, folder=session.scratch / "reference")

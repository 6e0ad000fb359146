"""What a backend's outputs are compared with: something that is not that backend."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.datasets import DatasetLoader, batches
from bytemlperf.errors import (
    ArtifactError,
    BackendUnavailableError,
    BenchmarkError,
    CancelledError,
    HarnessError,
    RequestError,
    error_of,
)
from bytemlperf.evaluation.answers import ask_once, over_samples
from bytemlperf.evaluation.session import Session
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Opener, Workbench
from bytemlperf.registry import backends
from bytemlperf.sample import Array
from bytemlperf.spec import DType, Format
from bytemlperf.zoo import get as get_model
from bytemlperf.zoo import resolve
from bytemlperf.zoo.twins import torch_twin

logger = logging.getLogger(__name__)

REFERENCE_BATCH: Final = 8
"""Samples that the reference is asked for at a time."""

_TORCH: Final = (Format.TORCH, Format.TORCH_MODULE)
_RUNTIMES: Final = {
    Format.TORCH: "torch",
    Format.TORCH_MODULE: "torch",
    Format.TORCHSCRIPT: "torch",
    Format.SAVED_MODEL: "tensorflow",
}
"""Registered backend of each format's own framework, where that can be a reference."""


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


def choose_reference(subject: Subject) -> Reference:
    """Find an independent reference for a job's model as the zoo gave it.

    In this order: the model's torch definition, or that of its twin (named by its spec, or beside
    its architecture) with the same weights, in float64; ONNX's reference evaluator; else the
    framework that the model's file is made for. What turns out to be the backend under test itself
    gives no verdict.

    Raises:
        HarnessError: If nothing here can run a model of this format.
    """
    artifact = subject.original
    if artifact.format in _TORCH:
        return _in_float64(subject, artifact, f"{artifact.name} in torch, float64")
    twin = _torch_twin(subject)
    if twin is not None:
        return _in_float64(subject, twin, f"{twin.name} (the same weights) in torch, float64")
    if artifact.format is Format.ONNX:
        return _as_it_is(subject, "ONNX's reference evaluator", "onnx-reference")
    if artifact.format not in _RUNTIMES:
        raise HarnessError(
            "there is no reference for this format", got=str(artifact.format), remedy="leave out the check 'numeric'"
        )
    runtime = _RUNTIMES[artifact.format]
    return _as_it_is(subject, f"{runtime} on the CPU", runtime)


def _in_float64(subject: Subject, artifact: ModelArtifact, name: str) -> Reference:
    same = subject.precision is DType.FLOAT64 and _is_under_test(subject, "torch")
    return Reference(
        name=_named(name, same=same),
        artifact=artifact,
        backend="torch",
        precision=DType.FLOAT64,
        independent=not same,
    )


def _as_it_is(subject: Subject, name: str, backend: str) -> Reference:
    same = _is_under_test(subject, backend)
    return Reference(name=_named(name, same=same), artifact=subject.original, backend=backend, independent=not same)


def _named(name: str, *, same: bool) -> str:
    return f"{name}, the runtime under test itself" if same else name


def _is_under_test(subject: Subject, backend: str) -> bool:
    """Whether a registered backend is the one that is evaluated, by itself or behind `cpu`."""
    behind_cpu = ("cpu",) if _RUNTIMES.get(subject.original.format) == backend else ()
    return subject.opener.reference in {backends.find(name).reference for name in (backend, *behind_cpu)}


def _torch_twin(subject: Subject) -> ModelArtifact | None:
    """Return the same weights in torch; None where there is no such twin, or its weights cannot be had so."""
    session, spec = subject.session, subject.original.spec
    if session.request.artifact is not None:
        return None
    try:
        twin = torch_twin(spec) if spec.twin is None else get_model(spec.twin)
        if twin is None or twin.format is not Format.TORCH:
            return None
        return resolve(twin, weights=session.job.weights, seed=session.job.seed)
    except (ArtifactError, BackendUnavailableError, RequestError) as error:  # such as a path to an ONNX file
        logger.info("no twin of %s as a reference: %s", spec.name, error)
        return None


def reference_answers(session: Session, reference: Reference, loader: DatasetLoader, count: int) -> Mapping[str, Array]:
    """Run the reference over the first `count` samples, in a worker of its own where it can be.

    Returns:
        Each output over the samples, by canonical name.

    Raises:
        HarnessError: If it fails: that is no failure of the backend under test.
        CancelledError: If the caller asks to stop.
        TimeLimitError: If the whole job's time is used up.
    """
    try:
        return _answers(session, reference, loader, count)
    except BenchmarkError as error:
        if isinstance(error, CancelledError) or error.limit == "total_s":
            raise
        failed = HarnessError(f"the reference ({reference.name}) failed", got=f"{error.code}: {error}")
        failed.log_tail = error.log_tail
        raise failed from error


def _answers(session: Session, reference: Reference, loader: DatasetLoader, count: int) -> Mapping[str, Array]:
    spec = reference.artifact.spec
    options = {"precision": reference.precision, "work_dir": str(session.scratch / "reference-work")}
    size = min(REFERENCE_BATCH, count)
    with Workbench(
        _opener(session, reference),
        artifact=reference.artifact,
        options=options,
        watch=session.own_watch,
        on_trouble=lambda problem: session.warn("crash_at_exit", f"the reference's worker: {problem}"),
        max_crashes=0,
    ) as bench:
        info = bench.compile(size).info
        asked = batches(loader, spec.inputs, range(count), batch_size=size, engine_inputs=info.inputs)
        recording = ask_once(bench, asked, step="reference")
        if recording.failures:
            raise error_of(recording.failures[0])
        return over_samples(recording.answers, asked, spec.outputs)


def _opener(session: Session, reference: Reference) -> Opener:
    """A live module cannot leave this process, so its reference stays here too."""
    plugin = backends.find(reference.backend)
    live = reference.artifact.format is Format.TORCH_MODULE
    instance = backends.get(reference.backend)() if live else None
    return Opener(reference=plugin.reference, instance=instance, folder=session.scratch / "reference")

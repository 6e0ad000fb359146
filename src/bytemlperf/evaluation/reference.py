"""What a backend's outputs are compared with: something that is not that backend."""

from __future__ import annotations

import logging
import math
from typing import Final

import attrs
import numpy as np
import psutil

from bytemlperf.artifact import ModelArtifact
from bytemlperf.conversion.weight_files import weight_shapes
from bytemlperf.errors import ArtifactError, BackendUnavailableError, HarnessError, RequestError
from bytemlperf.evaluation.subject import Subject
from bytemlperf.registry import backends
from bytemlperf.spec import DType, Format
from bytemlperf.zoo import get as get_model
from bytemlperf.zoo import resolve
from bytemlperf.zoo.twins import torch_twin

logger = logging.getLogger(__name__)

SHARE_OF_MEMORY: Final = 0.5
"""Of what is free, or of the job's limit: a reference whose weights would take more is run layer by layer."""
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
        layers_at_a_time: Whether only one layer's weights are in memory at a time, where the model is too large.
    """

    name: str
    artifact: ModelArtifact
    backend: str
    precision: DType | None = None
    independent: bool = True
    layers_at_a_time: bool = False


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
    twin = twin_in_torch(subject)
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
    layered = _is_too_large(artifact, subject.session.job.limits.memory_bytes)
    return Reference(
        name=_named(f"{name}, layer by layer" if layered else name, same=same),
        artifact=artifact,
        backend="torch",
        precision=DType.FLOAT64,
        independent=not same,
        layers_at_a_time=layered,
    )


def _is_too_large(artifact: ModelArtifact, limit_bytes: int | None) -> bool:
    """Whether the weights in float64, of all files together, would take more than half of the memory that there is."""
    if artifact.format is not Format.TORCH or artifact.path is None or not artifact.path.exists():
        return False
    try:
        values = sum(math.prod(shape) for shape in weight_shapes(artifact.path).values())
    except ArtifactError:  # whoever loads them says what is wrong
        return False
    free: int = psutil.virtual_memory().available
    available = free if limit_bytes is None else min(free, limit_bytes)
    return values * np.dtype(np.float64).itemsize > available * SHARE_OF_MEMORY


def _as_it_is(subject: Subject, name: str, backend: str) -> Reference:
    same = _is_under_test(subject, backend)
    return Reference(name=_named(name, same=same), artifact=subject.original, backend=backend, independent=not same)


def _named(name: str, *, same: bool) -> str:
    return f"{name}, the runtime under test itself" if same else name


def _is_under_test(subject: Subject, backend: str) -> bool:
    """Whether a registered backend is the one that is evaluated, by itself or behind `cpu`."""
    behind_cpu = ("cpu",) if _RUNTIMES.get(subject.original.format) == backend else ()
    return subject.opener.reference in {backends.find(name).reference for name in (backend, *behind_cpu)}


def twin_in_torch(subject: Subject) -> ModelArtifact | None:
    """Return a job's weights in the model's torch twin; None without one, or where its weights cannot be had so."""
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

"""The one composition: `run` turns a task and a backend into a report; `plan` says before what it would give."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import AnyBackend, Backend
from bytemlperf.conversion.weight_files import artifact_digest
from bytemlperf.datasets import DatasetLoader
from bytemlperf.errors import ArtifactError, SpecError
from bytemlperf.evaluation import Event, JobPlan, Request, Wish, evaluate, plan_job
from bytemlperf.evaluation.request import check_time
from bytemlperf.registry import backends, datasets, generation
from bytemlperf.report import Report
from bytemlperf.scenarios import Scenario, Seeds
from bytemlperf.spec import DType, ModelSpec
from bytemlperf.spec.recipe import ConfigValue
from bytemlperf.worker import Cancelled, Worker
from bytemlperf.workload import (
    Acceptance,
    Asked,
    Check,
    DatasetRequest,
    Integrity,
    Job,
    Lengths,
    Limits,
    TokenBounds,
    Workload,
)
from bytemlperf.zoo import get as get_model

BackendLike: TypeAlias = str | type[AnyBackend] | AnyBackend
"""A registered name, `"package.module:Class"`, a class, or an instance (which runs in this process)."""
TaskLike: TypeAlias = str | ModelSpec | ModelArtifact | Workload
"""A task's name, a model of the caller's own, a resolved one, a workload, or a whole job."""


def run(
    task: TaskLike,
    *,
    backend: BackendLike | None = None,
    precision: str | DType | None = None,
    weights: str | None = None,
    dataset: str | DatasetRequest | DatasetLoader | None = None,
    checks: Iterable[str | Check] | None = None,
    batch_sizes: Iterable[int] | None = None,
    scenarios: Iterable[Scenario] | None = None,
    asks: str | Asked | None = None,
    prompts: Lengths | None = None,
    bounds: TokenBounds | None = None,
    repeats: int | None = None,
    numeric_samples: int | None = None,
    integrity: Iterable[str | Integrity] | None = None,
    devices: Iterable[str] | None = None,
    options: Mapping[str, ConfigValue] | None = None,
    seed: int | None = None,
    seeds: Seeds | None = None,
    acceptance: Acceptance | None = None,
    limits: Limits | None = None,
    labels: Mapping[str, str] | None = None,
    out: Path | str | None = None,
    worker: Worker | None = None,
    resume: bool = False,
    on_event: Callable[[Event], None] | None = None,
    cancel: Cancelled | None = None,
) -> Report:
    """Evaluate a model on a backend: accuracy, numerics, performance and compilation in one report.

    May be called from several threads at once; nothing global is changed.

    Args:
        task: Task name (`resnet50-torch-fp32`), spec, artifact, workload or job. What is given by
            keyword takes the place of a workload's or job's own field.
        backend: What runs it; the reference on the CPU where none is named. A name or an importable
            class runs in a worker process, an instance or a class that cannot be imported elsewhere in this one.
        precision: What is asked of the compiler (`fp16`); the model's own where not given.
        weights: `pinned` (the catalog's), `random`, or a path.
        dataset: Name, request or open loader; the model's own where not given.
        checks: Of `compile`, `accuracy`, `numeric`, `performance`; all where not given.
        batch_sizes: What the engine is compiled for, a row each; the model's own where not given. A query of
            `FixedBatch` and `ClosedLoop` is such a batch; other load patterns ask for samples, which are joined.
        scenarios: Load patterns, a row each; `FixedBatch()` where not given.
        asks: `forward`, `generate` or `score`; `generate` where there are prompts, else `forward`. Tokens and scores
            are asked of the backend that is registered for them (`torch`) or one that has them itself (`openai`).
        prompts: Lengths of prompts and answers of a language model that is asked to generate.
        bounds: What users would put up with, by which good answers of tokens are counted (goodput).
        repeats: Independent processes for each performance row.
        numeric_samples: Samples whose outputs are compared with the reference.
        integrity: Of `accuracy_in_performance`, `caching`, `token_count`: tests of whether what is measured is what
            it seems to be, a row each; none where not given.
        devices: Device ids in the framework's own words.
        options: Fields of the backend's options class.
        seed: Of random weights, synthetic data, arrivals and sample order.
        seeds: Of each stream of the load apart, such as `MLPERF_SEEDS`; derived from `seed` where not given.
        acceptance: What accuracy and numerics must hold: targets, tolerance, samples that are judged in pairs.
        limits: Time and memory.
        labels: Free text that goes into the report and not into the job's key.
        out: Folder for the report, raw stamps, plots and events; nothing is kept on disk without it.
        worker: How to start workers, such as another interpreter.
        resume: Keep rows in `out` that the same job measured in the same environment.
        on_event: Hears what happens, on the calling thread; what it raises is logged.
        cancel: Anything with `is_set()`; stops within `limits.grace_s` and a second.

    Returns:
        A report, whatever went wrong; `report.raise_for_status()` raises what failed.

    Raises:
        RequestError: Only for a request that cannot be: an unknown name, a wrong value. Nothing has been written then.

    Example:
        Three lines::

            from bytemlperf import run
            report = run("digits-resnet-onnx-fp32", backend="onnxruntime")
            print(report)
    """
    _check_own(out=out, worker=worker, on_event=on_event, cancel=cancel)
    fields = {
        "precision": precision,
        "weights": weights,
        "checks": checks,
        "batch_sizes": batch_sizes,
        "scenarios": scenarios,
        "asks": asks,
        "prompts": prompts,
        "bounds": bounds,
        "repeats": repeats,
        "numeric_samples": numeric_samples,
        "integrity": integrity,
        "devices": devices,
        "options": options,
        "seed": seed,
        "seeds": seeds,
        "acceptance": acceptance,
        "limits": limits,
        "labels": labels,
    }
    request = make_request(task, backend=backend, dataset=dataset, worker=worker, fields=fields)
    if resume and out is None:
        raise SpecError("there is nothing to resume without a folder", where="resume", remedy="give out=...")
    folder = None if out is None else Path(out)
    return evaluate(attrs.evolve(request, out=folder, resume=resume, on_event=on_event, cancel=cancel))


def make_request(
    task: TaskLike,
    *,
    backend: BackendLike | None,
    dataset: str | DatasetRequest | DatasetLoader | None,
    worker: Worker | None,
    fields: Mapping[str, object],
) -> Request:
    """Turn what a caller says into what is evaluated: the same for one run, a plan and a study of several.

    Args:
        task: As `run`.
        backend: As `run`.
        dataset: As `run`.
        worker: As `run`.
        fields: Further fields of the job by name; None for what was not given.

    Raises:
        RequestError: As `run`.
    """
    loader = dataset if isinstance(dataset, DatasetLoader) else None
    base, spec, artifact = _model_of(task)
    asked = {**fields, "dataset": None if loader is not None else dataset}
    given = {name: value for name, value in asked.items() if value is not None}
    engine = _job(base, given).asked is not Asked.FORWARD
    chosen = _backend_of(backend, base, worker, engine=engine)
    job = _job(base, {**given, "backend": chosen.name, **_identity(artifact, loader)})
    _check_names(job, loader)
    return Request(
        job=job,
        spec=spec,
        reference=chosen.reference,
        backend_name=chosen.name,
        artifact=artifact,
        loader=loader,
        instance=chosen.instance,
        worker=worker,
    )


def plan(
    task: TaskLike,
    *,
    backend: BackendLike | None = None,
    precision: str | DType | None = None,
    weights: str | None = None,
    dataset: str | DatasetRequest | DatasetLoader | None = None,
    checks: Iterable[str | Check] | None = None,
    batch_sizes: Iterable[int] | None = None,
    scenarios: Iterable[Scenario] | None = None,
    asks: str | Asked | None = None,
    prompts: Lengths | None = None,
    bounds: TokenBounds | None = None,
    repeats: int | None = None,
    numeric_samples: int | None = None,
    devices: Iterable[str] | None = None,
    options: Mapping[str, ConfigValue] | None = None,
    seed: int | None = None,
    seeds: Seeds | None = None,
    acceptance: Acceptance | None = None,
    worker: Worker | None = None,
    pilot: bool = False,
    expected_latency_ms: float | None = None,
    minutes: float | None = None,
    width: float = 0.05,
    difference: float = 0.05,
    level: float = 0.95,
) -> JobPlan:
    """Say what a run would give before it is made: rows, minutes, disk, and what can be claimed.

    The backend is loaded and asked what it is, so that what `run` would refuse is refused here. Nothing is timed
    without a pilot: then minutes are known only where the load itself says them, or the expected latency.

    Args:
        task: As `run`; a job says all the rest.
        backend: As `run`.
        precision: As `run`.
        weights: As `run`.
        dataset: As `run`.
        checks: As `run`.
        batch_sizes: As `run`.
        scenarios: As `run`.
        asks: As `run`.
        prompts: As `run`.
        bounds: As `run`.
        repeats: As `run`.
        numeric_samples: As `run`.
        devices: As `run`.
        options: As `run`.
        seed: As `run`.
        seeds: As `run`.
        acceptance: As `run`.
        worker: As `run`.
        pilot: Run the job once with few queries, and plan from what it took.
        expected_latency_ms: About how long a query takes, where there is no pilot.
        minutes: How long each timed row may take, to be told what it can claim then.
        width: Interval over percentile that is wanted.
        difference: Share by which another run may be slower and is to be told apart.
        level: Confidence of the claims.

    Returns:
        The plan; what went wrong in a pilot is among its notes.

    Raises:
        RequestError: As `run`.
    """
    fields = {
        "precision": precision,
        "weights": weights,
        "checks": checks,
        "batch_sizes": batch_sizes,
        "scenarios": scenarios,
        "asks": asks,
        "prompts": prompts,
        "bounds": bounds,
        "repeats": repeats,
        "numeric_samples": numeric_samples,
        "devices": devices,
        "options": options,
        "seed": seed,
        "seeds": seeds,
        "acceptance": acceptance,
    }
    request = make_request(task, backend=backend, dataset=dataset, worker=worker, fields=fields)
    asked = Wish(
        expected_latency_ms=expected_latency_ms, minutes=minutes, width=width, difference=difference, level=level
    )
    return plan_job(request, asked, pilot=pilot)


def _check_own(*, out: object, worker: object, on_event: object, cancel: object) -> None:
    """Refuse what no value class looks at."""
    wrong = (
        ("out", out, isinstance(out, str | Path), "a path"),
        ("worker", worker, isinstance(worker, Worker), "a Worker"),
        ("on_event", on_event, callable(on_event), "a function of an event"),
        ("cancel", cancel, hasattr(cancel, "is_set"), "anything with is_set(), such as threading.Event()"),
    )
    for name, value, fits, expected in wrong:
        if value is not None and not fits:
            raise SpecError("wrong type", where=name, got=value, expected=expected)


def _model_of(task: TaskLike) -> tuple[Workload, ModelSpec, ModelArtifact | None]:
    """Return what is asked for as a workload, its model, and the artifact where it is resolved already."""
    if isinstance(task, ModelArtifact):
        return Workload(task=task.name, model=task.spec), task.spec, task
    if isinstance(task, ModelSpec):
        return Workload(task=task.name, model=task), task, None
    if isinstance(task, Workload):
        return task, task.model or get_model(task.task), None
    if isinstance(task, str):
        return Workload(task=task), get_model(task), None
    raise SpecError("a task is none", got=task, expected="a task's name, a ModelSpec, ModelArtifact, Workload or Job")


@attrs.frozen(kw_only=True)
class _Chosen:
    """A backend as it is going to be run."""

    name: str
    reference: str
    instance: AnyBackend | None = None


def _backend_of(backend: BackendLike | None, base: Workload, worker: Worker | None, *, engine: bool) -> _Chosen:
    asked: BackendLike = backend if backend is not None else base.backend if isinstance(base, Job) else "cpu"
    if isinstance(asked, str):
        registry = generation if engine and asked in generation.names() else backends
        return _Chosen(name=asked, reference=asked if ":" in asked else registry.find(asked).reference)
    if isinstance(asked, Backend):
        return _in_this_process(asked, worker)
    if not (inspect.isclass(asked) and issubclass(asked, Backend)):
        raise SpecError(
            "a backend is none", got=asked, expected="a name, 'package.module:Class', a class or an instance"
        )
    if "<locals>" in asked.__qualname__ or asked.__module__ == "__main__":
        return _in_this_process(_made(asked), worker)
    reference = f"{asked.__module__}:{asked.__qualname__}"
    return _Chosen(name=reference, reference=reference)


def _made(kind: type[AnyBackend]) -> AnyBackend:
    """Return an instance of a class that no other process could import."""
    try:
        return kind()
    except Exception as error:  # the plug-in edge: an abstract class, or whatever an SDK raises
        raise SpecError(
            "a local backend class cannot be made", where=kind.__qualname__, got=f"{type(error).__name__}: {error}"
        ) from error


def _in_this_process(instance: AnyBackend, worker: Worker | None) -> _Chosen:
    kind = type(instance)
    if worker is not None:
        raise SpecError(
            "an instance or a local class cannot be run in a worker",
            got=kind.__qualname__,
            remedy="give a name, 'package.module:Class' or an importable class, or leave out worker=",
        )
    reference = f"{kind.__module__}:{kind.__qualname__}"
    return _Chosen(name=reference, reference=reference, instance=instance)


def _identity(artifact: ModelArtifact | None, loader: DatasetLoader | None) -> dict[str, object]:
    """What of the caller's own things goes into the job's key."""
    fields: dict[str, object] = {}
    if artifact is not None:
        fields["weights"] = f"sha256:{artifact.sha256 or _digest(artifact)}"
    if loader is not None:
        fields["dataset"] = DatasetRequest(name=f"sha256:{loader.fingerprint()}")
    return fields


def _digest(artifact: ModelArtifact) -> str:
    if artifact.path is None:
        raise SpecError(
            "an artifact without a file has no digest by which rows could be told apart",
            where="$.artifact.sha256",
            remedy="make it by zoo.from_module, or set sha256",
        )
    try:
        return artifact_digest(artifact.path)
    except ArtifactError as error:
        raise SpecError(error.what, where="$.artifact.path", got=str(artifact.path)) from error


def _job(base: Workload, fields: Mapping[str, Any]) -> Job:
    own = {field.name: getattr(base, field.name) for field in attrs.fields(type(base))}
    return Job(**{**own, **fields})


def _check_names(job: Job, loader: DatasetLoader | None) -> None:
    """Refuse what cannot be before anything is started."""
    if loader is None and job.dataset is not None:
        datasets.find(job.dataset.name)
    check_time(job)
    if job.weights.startswith("sha256:") and job.model is None:
        raise SpecError(
            "a job of a caller's own artifact needs that artifact", where="$.weights", remedy="run(artifact)"
        )

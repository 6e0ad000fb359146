"""From a request to a subject: backend described, model resolved, data opened, artifact converted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs

from bytemlperf.artifact import ModelArtifact, Provenance
from bytemlperf.errors import SpecError
from bytemlperf.evaluation.aside import aside
from bytemlperf.evaluation.calibration import NEEDS_CALIBRATION, calibration_set
from bytemlperf.evaluation.compiling import Converted, convert_for
from bytemlperf.evaluation.data import Data, choose_data
from bytemlperf.evaluation.facts import Facts
from bytemlperf.evaluation.fetching import resolved
from bytemlperf.evaluation.rowstore import RowStore
from bytemlperf.evaluation.session import Session
from bytemlperf.evaluation.subject import Subject, own_sizes
from bytemlperf.evaluation.workbench import Opener, refusals
from bytemlperf.report import Part, new_part_id
from bytemlperf.spec import Format, digest, to_json
from bytemlperf.worker import BackendDescription, Isolation
from bytemlperf.workload import Asked, Lengths
from bytemlperf.zoo import graph_change


def make_ready(session: Session, facts: Facts, opener: Opener) -> Subject | None:
    """Prepare what is measured; None where a step failed, with the failure noted.

    Args:
        session: The job.
        facts: Filled in.
        opener: Of the backend under test.

    Raises:
        RequestError: If what was asked for cannot be; nothing has been written then.
    """
    facts.isolation = opener.isolation
    options = options_of(session)
    facts.backend = session.attempt("load backend", partial(describe, session, opener))
    data = None
    if facts.backend is not None:  # weights may be large, and would be fetched in vain
        facts.artifact = session.attempt("resolve model", partial(artifact_for, session, facts.backend))
    if facts.artifact is not None:
        data = session.attempt("open data", partial(choose_data, session, facts.artifact))
    facts.dataset = None if data is None else data.facts
    _begin(session, facts)
    if facts.backend is None or facts.artifact is None or data is None:
        return None
    calibration = session.attempt("calibration", partial(_calibration, session, data))
    if calibration is None:
        return None
    options.update(calibration)
    converted = session.attempt(
        "convert", partial(converted_for, session, facts.backend, facts.artifact, opener, options)
    )
    if converted is None:
        return None
    facts.given = converted.artifact
    return Subject(
        session=session,
        original=facts.artifact,
        artifact=converted.artifact,
        convert_ns=converted.duration_ns,
        data=data,
        opener=opener,
        description=facts.backend,
        options=options,
        vendor_sizes=session.attempt("compile/batch sizes", partial(_vendor_sizes, session, opener, converted.artifact))
        or (),
    )


def opener_of(session: Session) -> Opener:
    """Return what makes targets of the backend under test; nothing is started yet."""
    request = session.request
    return Opener(
        reference=request.reference,
        instance=request.instance,
        worker=request.worker,
        folder=session.scratch / "workers",
    )


def options_of(session: Session) -> dict[str, Any]:
    """Return what a job asks of the backend's compiler, without the batch size."""
    job = session.job
    return {
        **job.options,
        "precision": job.precision,
        "devices": list(job.devices),
        "seed": job.seed,
        "work_dir": str(session.scratch / "work"),
    }


def describe(session: Session, opener: Opener) -> BackendDescription:
    """Load the backend, ask it what it is, and have it check the job's options and what the job asks.

    Raises:
        BenchmarkError: If it cannot be loaded, or does not answer that; RequestError if an option is wrong.
    """
    description = load(session, opener)
    _settle_asked(session, description)
    description.check_asked(str(session.job.asked))
    return description


def _settle_asked(session: Session, description: BackendDescription) -> None:
    """Ask for tokens where nothing was said and the backend has no outputs to give, such as a server of tokens."""
    job = session.job
    if job.asks is not None or job.prompts is not None or Asked.FORWARD in description.asks:
        return
    if Asked.GENERATE in description.asks:
        prompts = Lengths()
        session.job = attrs.evolve(job, prompts=prompts)
        lengths = f"{prompts.output[0]} tokens after prompts of {prompts.input[0]}"
        session.warn("asked_for_tokens", f"{description.name!r} gives no outputs, so it is asked for {lengths}")


def load(session: Session, opener: Opener) -> BackendDescription:
    """Load the backend, ask it what it is, and have it check the job's options.

    Raises:
        BenchmarkError: If it cannot be loaded; RequestError if an option is wrong.
    """
    (session.scratch / "work").mkdir(exist_ok=True)
    target = opener.spare(session.watch)
    target.description.check_options(session.job.options)
    target.check_options(options_of(session))
    return target.description


def artifact_for(session: Session, description: BackendDescription) -> ModelArtifact:
    """Return the job's model; of one whose weights a server has, what stands in for it, for they are not known.

    Raises:
        BenchmarkError: If it cannot be resolved.
    """
    request, spec = session.request, session.request.spec
    if description.remote:
        return ModelArtifact(spec=spec, format=spec.format, provenance=Provenance.VENDOR, origin="what the server has")
    artifact = request.artifact or resolved(session, spec, step="resolve model")
    change = aside(lambda: graph_change(artifact), session.watch, "the comparison with the recorded graph")
    if change is not None:
        session.warn("graph_changed", change)
    return artifact


def _calibration(session: Session, data: Data) -> dict[str, Any]:
    precision, loader = session.job.precision, data.loader
    made = calibration_set(loader, precision, session.scratch / "calibration")
    if made is None and precision in NEEDS_CALIBRATION:
        text = f"{precision} is asked for, and data set {loader.name} has no samples for calibration"
        session.warn("no_calibration", f"{text}: a compiler finds its scales without, or from what it is scored on")
    return {"calibration": None if made is None else to_json(made)}


def converted_for(
    session: Session,
    description: BackendDescription,
    artifact: ModelArtifact,
    opener: Opener,
    options: Mapping[str, Any],
) -> Converted:
    """Bring the artifact to the backend's format and let the backend rewrite it; both count as conversion.

    Raises:
        BenchmarkError: If no conversion leads there, or the backend refuses it.
    """
    formats = frozenset(description.formats)
    if opener.isolation is Isolation.WORKER:
        formats -= {Format.TORCH_MODULE}  # a live module cannot leave this process
    folder = session.scratch / "converted"
    converted = aside(lambda: convert_for(formats, artifact, folder), session.watch, "the conversion")
    if artifact.format is Format.TORCH_MODULE and converted.artifact.format is not artifact.format:
        session.warn("exported", f"the live module was exported to {converted.artifact.format} for the worker")
    with refusals():
        rewritten = opener.spare(session.watch).convert(converted.artifact, options, session.watch)
    return Converted(artifact=rewritten.artifact, duration_ns=converted.duration_ns + rewritten.duration_ns)


def _vendor_sizes(session: Session, opener: Opener, artifact: ModelArtifact) -> tuple[int, ...]:
    """Return what the backend would add to the batch sizes that are measured anyway."""
    own = own_sizes(session, artifact)
    with refusals():
        found = opener.spare(session.watch).best_batch_sizes(artifact, session.watch)
    return tuple(size for size in dict.fromkeys(found) if size > 0 and size not in own)


def _begin(session: Session, facts: Facts) -> None:
    fingerprint = digest(
        {
            "environment": facts.environment.fingerprint,
            "backend": None if facts.backend is None else facts.backend.version,
            "artifact": None if facts.artifact is None else facts.artifact.sha256,
            "dataset": None if facts.dataset is None else facts.dataset.fingerprint,
        }
    )
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    part = Part(id=new_part_id(), started_utc=now, fingerprint=fingerprint)
    request = session.request
    if request.out is None:
        session.begin(part, None)
        return
    try:
        request.out.mkdir(parents=True, exist_ok=True)
        store = RowStore(request.out / "rows", job=session.job.key, fingerprint=fingerprint, resume=request.resume)
    except OSError as error:
        raise SpecError("the folder for the report cannot be made", where="out", got=str(error)) from error
    session.begin(part, store)

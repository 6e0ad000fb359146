"""Which samples a job is measured on, and what to say where they are not the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from bytemlperf.artifact import ModelArtifact, Provenance
from bytemlperf.datasets import DatasetLoader, Prompts, open_dataset
from bytemlperf.errors import BackendUnavailableError, DatasetError, failure_of
from bytemlperf.evaluation.aside import aside
from bytemlperf.evaluation.session import Session
from bytemlperf.metrics import SampleMetric, sample_metrics
from bytemlperf.report import DatasetFacts
from bytemlperf.spec import ModelSpec
from bytemlperf.workload import Check, DatasetRequest, Lengths

SYNTHETIC: Final = "synthetic"


@attrs.frozen(kw_only=True, eq=False)
class Data:
    """Samples for a job.

    Attributes:
        loader: Where they come from.
        facts: Which data these are.
        metrics: The accuracy metrics, by name; empty where accuracy is not measured.
    """

    loader: DatasetLoader
    facts: DatasetFacts
    metrics: Mapping[str, SampleMetric] = attrs.field(factory=dict)


def choose_data(session: Session, artifact: ModelArtifact) -> Data:
    """Open what the job asks for, else the model's own data, else seeded synthetic tensors.

    Accuracy is measured only on labelled data with weights that were trained; whatever stands
    against it is noted.

    Raises:
        RequestError: If the name of the data set or of a metric, or an option is wrong.
        DatasetError: If even synthetic samples cannot be made.
    """
    if session.job.prompts is not None:
        return _prompts(session, session.job.prompts, artifact.spec)
    asked = session.job.dataset if session.request.loader is None else session.request.loader
    loader = _opened(session, asked, artifact.spec) if asked is not None else _own_data(session, artifact)
    facts = aside(lambda: _facts(loader), session.watch, "the reading of the samples")
    if loader.skipped:
        text = f"{len(loader.skipped)} records of {loader.name} cannot be read and are left out: {loader.skipped[0]}"
        session.warn("samples_skipped", text)
    reason = _why_no_accuracy(artifact, loader)
    if reason is not None:
        if Check.ACCURACY in session.job.checks:
            session.skip(Check.ACCURACY, reason)
        return Data(loader=loader, facts=facts)
    try:
        metrics = sample_metrics(_metrics(artifact.spec, loader))
    except BackendUnavailableError as error:  # a metric that cannot be had costs the accuracy, not the job
        session.fail(failure_of(error, step="accuracy/metric"))
        return Data(loader=loader, facts=facts)
    return Data(loader=loader, facts=facts, metrics=metrics)


def _metrics(spec: ModelSpec, loader: DatasetLoader) -> tuple[str | object, ...]:
    """Return what a model is scored by: its own choice on its own data, else what the labels are for."""
    own = loader.name == spec.dataset
    return (spec.metrics or loader.metrics) if own else (loader.metrics or spec.metrics)


def _prompts(session: Session, lengths: Lengths, spec: ModelSpec) -> Data:
    """Draw the prompts of timed runs; what has no right answer is scored by nothing."""
    loader = Prompts.of(lengths, spec, seed=session.job.seed)
    for check in (Check.ACCURACY, Check.NUMERIC):
        if check in session.job.checks:
            session.skip(check, "seeded prompts have no right answer; run the task without prompts for its outputs")
    return Data(loader=loader, facts=_facts(loader))


def _own_data(session: Session, artifact: ModelArtifact) -> DatasetLoader:
    spec = artifact.spec
    if spec.dataset is not None and artifact.provenance is not Provenance.RANDOM:
        try:
            return _opened(session, DatasetRequest(name=spec.dataset), spec)
        except DatasetError as error:
            session.fail(failure_of(error, step="accuracy/data"))
            session.warn(
                "synthetic_data", f"{spec.dataset} is not there: performance and numerics use synthetic samples"
            )
    return open_dataset(DatasetRequest(name=SYNTHETIC, options={"seed": session.job.seed}), spec)


def _opened(session: Session, asked: DatasetRequest | DatasetLoader, spec: ModelSpec) -> DatasetLoader:
    return aside(lambda: open_dataset(asked, spec), session.watch, "the opening of the samples")


def _facts(loader: DatasetLoader) -> DatasetFacts:
    return DatasetFacts(
        name=loader.name,
        fingerprint=loader.fingerprint(),
        samples=len(loader),
        preprocessing=loader.preprocessing,
    )


def _why_no_accuracy(artifact: ModelArtifact, loader: DatasetLoader) -> str | None:
    if artifact.provenance is Provenance.RANDOM:
        return "the weights are random: an accuracy would say nothing"
    if loader.labels(range(min(1, len(loader)))) is None:
        return f"the samples ({loader.name}) have no labels"
    if not _metrics(artifact.spec, loader):
        return "neither the model nor the data set names an accuracy metric"
    return None

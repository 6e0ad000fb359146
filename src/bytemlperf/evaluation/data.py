"""Which samples a job is measured on, and what to say where they are not the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from bytemlperf.artifact import ModelArtifact, Provenance
from bytemlperf.datasets import DatasetLoader, Prompts, TextPrompts, open_dataset
from bytemlperf.errors import BackendUnavailableError, DatasetError, SpecError
from bytemlperf.evaluation.aside import aside
from bytemlperf.evaluation.session import Session
from bytemlperf.failure import failure_of
from bytemlperf.metrics import SampleMetric, sample_metrics
from bytemlperf.report import DatasetFacts
from bytemlperf.spec import ModelSpec
from bytemlperf.workload import Asked, Check, DatasetRequest, Lengths

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
    asked = session.job.dataset if session.request.loader is None else session.request.loader
    if session.job.prompts is not None:
        return _prompts(session, session.job.prompts, asked, artifact.spec)
    loader = _opened(session, asked, artifact.spec) if asked is not None else _own_data(session, artifact)
    _check_scored(session, loader)
    facts = aside(lambda: _facts(loader), session.watch, "the reading of the samples")
    if loader.skipped:
        text = f"{len(loader.skipped)} records of {loader.name} cannot be used and are left out: {loader.skipped[0]}"
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


def _prompts(session: Session, lengths: Lengths, asked: DatasetRequest | DatasetLoader | None, spec: ModelSpec) -> Data:
    """Draw the prompts, or take a data set's texts; what is generated has no right answer, and is scored by nothing."""
    loader: Prompts | TextPrompts
    if asked is None:
        loader = Prompts.of(lengths, spec, seed=session.job.seed)
    else:
        loader = TextPrompts(_opened(session, asked, spec), lengths, seed=session.job.seed)
    if Check.ACCURACY in session.job.checks:
        session.skip(
            Check.ACCURACY, "what is generated has no right answer; ask for scores or outputs of labelled data"
        )
    return Data(loader=loader, facts=_facts(loader))


def _check_scored(session: Session, loader: DatasetLoader) -> None:
    """Refuse data that cannot be asked how likely they are, where that is asked.

    Raises:
        SpecError: If the job asks for scores of samples that are no texts.
    """
    if session.job.asked is Asked.SCORE and loader.scored(range(min(1, len(loader)))) is None:
        raise SpecError(
            f"the samples of data set {loader.name!r} cannot be scored",
            where="$.dataset",
            expected="a data set of texts, such as 'text' or 'multiple-choice'",
        )


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
    if session.job.asked is Asked.SCORE:
        return Prompts.of(Lengths(input=_row_length(spec)), spec, seed=session.job.seed)
    return open_dataset(DatasetRequest(name=SYNTHETIC, options={"seed": session.job.seed}), spec)


def _row_length(spec: ModelSpec) -> int:
    """Return the tokens of a row that the model's spec has; two at least, for the second is what is scored."""
    lengths = [axis for tensor in spec.inputs for axis in tensor.shape if isinstance(axis, int)]
    return max([2, *lengths])


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

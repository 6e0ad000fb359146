"""Accuracy held against its targets: what was published, what is stated, and the reference on the same samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np

from bytemlperf.evaluation.subject import Subject
from bytemlperf.metrics import (
    Basis,
    Estimate,
    Figure,
    Judgement,
    Mean,
    Requirement,
    SampleMetric,
    Units,
    figures_in_pairs,
    judge_paired,
    judge_published,
)
from bytemlperf.spec import AccuracyTarget, DType

SHARE_OF_REFERENCE: Final = 0.99
"""What must be held where nobody states a target: what MLPerf asks of most of its models, which this is none of."""
_DEFAULT: Final = "stated by bytemlperf: 99 %, where neither job nor model states a target"


def judgements(
    subject: Subject,
    metrics: Mapping[str, SampleMetric],
    figures: Mapping[str, Mapping[str, Estimate]],
    units: Mapping[str, Units],
    reference_units: Mapping[str, Units],
) -> tuple[Judgement, ...]:
    """Judge every accuracy figure by what there is to hold it against.

    Args:
        subject: What is evaluated, with the job's policy, the model's targets and what was published.
        metrics: By name.
        figures: What each metric gave, by its name.
        units: What each unit brought to each metric.
        reference_units: The same by the reference's answers, for the first samples.
    """
    return (
        *_of_published(subject, metrics, figures, units),
        *_of_pairs(subject, metrics, units, reference_units),
    )


def accepted(found: tuple[Judgement, ...], *, targeted: AbstractSet[str]) -> bool | None:
    """Join judgements: one that fails fails all; of each figure one that passes is enough, and figures must agree.

    A share of a published figure that too few samples can tell is no objection where the reference's own answers to
    the same samples decide.

    Args:
        found: The judgements.
        targeted: Figures that have a target of their own: these must be decided, and what was published; where there is
            neither, every figure of pairs.
    """
    if any(each.passed is False for each in found):
        return False
    wanted = targeted | {each.figure for each in found if each.basis is Basis.PUBLISHED}
    held = [any(each.passed for each in found if each.figure == figure) for figure in wanted or _figures(found)]
    return True if held and all(held) else None


def _figures(found: tuple[Judgement, ...]) -> AbstractSet[str]:
    return {each.figure for each in found}


def targeted(subject: Subject, figures: Iterable[str]) -> AbstractSet[str]:
    """Return those of some figures for which the job or the model states a target."""
    return {f"accuracy/{target.metric}" for target in _targets(subject)}.intersection(figures)


def _of_published(
    subject: Subject,
    metrics: Mapping[str, SampleMetric],
    figures: Mapping[str, Mapping[str, Estimate]],
    units: Mapping[str, Units],
) -> Iterator[Judgement]:
    published = _published(subject)
    makers = {figure: name for name, each in figures.items() for figure in each}
    for name in dict.fromkeys((*published, *(target.metric for target in _targets(subject)))):
        figure = f"accuracy/{name}"
        if figure not in makers:
            continue
        maker = makers[figure]
        metric, estimate, of = metrics[maker], figures[maker][figure], units.get(maker)
        found = judge_published(
            figure,
            estimate,
            _requirement(subject, name, metric),
            reference=published.get(name),
            whole=_whole(figures_in_pairs(metric).get(figure), of),
            noun=of.noun if of is not None and of.count == estimate.n else "observations",
        )
        if found is not None:
            yield found


def _whole(figure: Figure | None, units: Units | None) -> float | None:
    """Return what a figure is if all units are right; None if it is no share of right ones."""
    if units is None or not isinstance(figure, Mean) or not np.isin(units.values[:, figure.column], (0.0, 1.0)).all():
        return None
    return figure.scale


def _of_pairs(
    subject: Subject,
    metrics: Mapping[str, SampleMetric],
    units: Mapping[str, Units],
    reference_units: Mapping[str, Units],
) -> Iterator[Judgement]:
    seed = subject.session.job.seed
    for maker, right in reference_units.items():
        metric = metrics[maker]
        for name, figure in figures_in_pairs(metric).items():
            requirement = _requirement(subject, name.removeprefix("accuracy/"), metric)
            found = judge_paired(name, units[maker], right, requirement, figure=figure, seed=seed)
            if found is not None:
                yield found


def _published(subject: Subject) -> dict[str, float]:
    """Return what was published for the checkpoint and the data that it is measured on."""
    spec = subject.original.spec
    own = subject.data.loader.name == spec.dataset
    return {each.metric: each.value for each in spec.reference_accuracy} if own else {}


def _targets(subject: Subject) -> tuple[AccuracyTarget, ...]:
    """Return what the job and the model state for this precision."""
    every = (*subject.session.job.acceptance.targets, *subject.original.spec.accuracy_targets)
    return tuple(each for each in every if each.precision in {None, subject.precision})


def _requirement(subject: Subject, name: str, metric: SampleMetric) -> Requirement:
    """Return what a figure must hold: the job's word, then the model's, each first for the precision alone."""
    acceptance, spec = subject.session.job.acceptance, subject.original.spec
    target = _chosen(acceptance.targets, name, subject.precision) or _chosen(
        spec.accuracy_targets, name, subject.precision
    )
    better = metric.higher_is_better
    if target is None:
        return Requirement(share=SHARE_OF_REFERENCE, higher_is_better=better, level=acceptance.level, source=_DEFAULT)
    return Requirement(
        share=target.share,
        bound=target.bound,
        higher_is_better=better,
        level=acceptance.level,
        source=target.source or ("stated by the job" if target in acceptance.targets else "stated by the model"),
    )


def _chosen(targets: tuple[AccuracyTarget, ...], name: str, precision: DType) -> AccuracyTarget | None:
    mine = [each for each in targets if each.metric == name and each.precision in {None, precision}]
    return next((each for each in mine if each.precision is precision), mine[0] if mine else None)

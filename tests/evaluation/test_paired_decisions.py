"""Decisions in pairs through `run`, for every data set and figure: pass, fail, and how many more samples would tell."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation.memories import loader_of, memory, oracle_options
from tests.published_layouts import MAKERS

from bytemlperf import Acceptance, AccuracyTarget, DatasetRequest, run
from bytemlperf.metrics import Basis, Requirement, Units, figures_in_pairs, judge_paired, sample_metrics
from bytemlperf.report.files import read_samples
from bytemlperf.testing import OracleBackend

REFERENCE = 0.2
"""Share of errors of every reference here."""
TRIES = 30


class Evaluated:
    """A data set on disk, and a model that answers it as an oracle with a fifth of errors does."""

    def __init__(self, name, folder):
        self.published = MAKERS[name](folder / "data", np.random.default_rng(11))
        self.folder, self.artifact = folder, memory(folder / "memory.onnx", self.published, REFERENCE)
        self.metrics = sample_metrics(self.published.spec.metrics or loader_of(self.published).metrics)
        self.figures = {
            figure.removeprefix("accuracy/"): (maker, how)
            for maker, metric in self.metrics.items()
            for figure, how in figures_in_pairs(metric).items()
        }

    def row(self, rate, *, shares, artifact=None, out=None):
        """Return the accuracy row of an oracle with such a share of errors, and its judgements in pairs by figure."""
        targets = [AccuracyTarget(metric=figure, share=share) for figure, share in shares.items()]
        report = run(
            artifact or self.artifact,
            backend=OracleBackend(),
            dataset=DatasetRequest(name=self.published.dataset, options=self.published.options),
            options=oracle_options(self.published, rate),
            checks=["accuracy"],
            batch_sizes=[8],
            acceptance=Acceptance(targets=targets, paired_samples=0 if artifact else 10_000),
            out=out,
        )
        (row,) = report.rows_of("accuracy")
        found = {each.figure.removeprefix("accuracy/"): each for each in row.acceptance if each.basis is Basis.PAIRED}
        return row, found

    def units(self, rate):
        """Return what units bring to each metric with such a share of errors, as the report keeps it."""
        out = self.folder / f"out-{rate}"
        row, _ = self.row(rate, shares={}, artifact=self.published.artifact, out=out)
        (path,) = [each for each in row.files if each.startswith("samples/")]
        return read_samples(out / path)


@pytest.fixture(params=sorted(MAKERS))
def evaluated(request, tmp_path):
    return Evaluated(request.param, tmp_path)


@pytest.mark.slow
def test_equal_answers_pass_and_a_planted_drop_fails(evaluated):
    shares = dict.fromkeys(evaluated.figures, 0.8)
    row, found = evaluated.row(REFERENCE, shares=shares)
    assert {figure: each.passed for figure, each in found.items()} == dict.fromkeys(shares, True)
    assert row.passed is True
    row, found = evaluated.row(0.8, shares=shares)
    assert {figure: each.passed for figure, each in found.items()} == dict.fromkeys(shares, False)
    assert row.passed is False


@pytest.mark.slow
def test_what_too_few_samples_cannot_tell_is_told_by_as_many_as_the_report_says(evaluated):
    """The target lies half of the distance to the bound below what is measured.

    Of new samples from the same population as many as are said decide in some every second try, as it should be where
    the interval then just clears the bound; three times as many decide in most; and right.
    """
    _, found = evaluated.row(0.4, shares=dict.fromkeys(evaluated.figures, 0.8))
    better = {figure: evaluated.metrics[maker].higher_is_better for figure, (maker, _) in evaluated.figures.items()}
    shares = {figure: halfway(each, higher_is_better=better[figure]) for figure, each in found.items()}
    row, found = evaluated.row(0.4, shares=shares)
    assert set(found) == set(evaluated.figures)
    assert row.passed is None
    kept = [evaluated.units(rate) for rate in (0.4, REFERENCE)]
    for figure, each in found.items():
        assert each.passed is None, figure
        assert each.n < each.n_needed < 12 * each.n, figure
        assert f"about {each.n_needed - each.n:,} more " in each.text
        maker, how = evaluated.figures[figure]
        target = Requirement(share=shares[figure], higher_is_better=better[figure])
        both = [samples.of(maker) for samples in kept]
        enough, plenty = (outcomes(both, how, target, n) for n in (each.n_needed, 3 * each.n_needed))
        assert enough.count(True) >= 0.2 * len(enough), (figure, enough)
        assert plenty.count(True) >= 0.7 * len(plenty), (figure, plenty)
        assert (enough + plenty).count(False) <= 1, figure


def halfway(judgement, *, higher_is_better):
    """Return the share at which the target lies halfway between a figure and its bound, as a share of 0.8 gave it."""
    distance = judgement.value - judgement.bound
    if higher_is_better:
        return (judgement.value - (distance - judgement.low) / 2) / (judgement.bound / 0.8)
    return 0.8 * judgement.bound / (judgement.value + (judgement.high - distance) / 2)


def outcomes(both, how, target, n):
    """Judge so many units, drawn again in pairs, several times."""
    rng, ids = np.random.default_rng(5), np.unique(both[0].ids)
    rows = [{each: np.flatnonzero(units.ids == each) for each in ids.tolist()} for units in both]
    found = []
    for seed in range(TRIES if len(both[0].ids) == len(ids) else TRIES // 3):  # many rows a unit take their time
        chosen = rng.choice(ids, n).tolist()
        drawn = [again(units, [of[each] for each in chosen]) for units, of in zip(both, rows, strict=True)]
        found.append(judge_paired("f", *drawn, target, figure=how, seed=seed).passed)
    return found


def again(units, rows):
    numbers = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
    return Units(ids=numbers, values=units.values[np.concatenate(rows)])

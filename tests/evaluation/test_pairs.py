"""Accuracy judged in pairs with a reference, from files on disk through `run`, for every data set and metric."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from tests.datasets import small_vocabularies as small
from tests.evaluation.memories import loader_of, memory, oracle_options
from tests.published_layouts import MAKERS, squad

from bytemlperf import Acceptance, DatasetRequest, run
from bytemlperf.metrics import Basis, figures_in_pairs, sample_metrics
from bytemlperf.report import Basis as Compared
from bytemlperf.report import Report, compare
from bytemlperf.spec import ReferenceAccuracy
from bytemlperf.testing import OracleBackend

QUESTIONS, WINDOWS = 600, 170


def judged(published, artifact, rate, **fields):
    """Run an oracle with such a share of errors; return the accuracy row, and its judgements by figure and basis."""
    report = run(
        artifact,
        backend=OracleBackend(),
        dataset=DatasetRequest(name=published.dataset, options=published.options),
        options=oracle_options(published, rate),
        checks=["accuracy"],
        batch_sizes=[8],
        seed=0,
        **{"acceptance": Acceptance(paired_samples=10_000), **fields},
    )
    assert [each.code for each in report.failures] in ([], ["accuracy_below_target"]), report.failures
    (row,) = report.rows_of("accuracy")
    return row, {(each.figure.removeprefix("accuracy/"), each.basis): each for each in row.acceptance}


def with_published(artifact, published, **values):
    """Return an artifact for whose checkpoint somebody has published these figures."""
    figures = [ReferenceAccuracy(metric=name, value=value, source="a test") for name, value in values.items()]
    spec = attrs.evolve(artifact.spec, dataset=published.dataset, reference_accuracy=figures)
    return attrs.evolve(artifact, spec=spec)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_every_figure_of_every_data_set_is_held_against_the_references_own_answers(name, tmp_path):
    published = MAKERS[name](tmp_path / "data", np.random.default_rng(11))
    row, found = judged(published, memory(tmp_path / "memory.onnx", published, 0.2), 0.2)
    metrics = sample_metrics(published.spec.metrics or loader_of(published).metrics)
    wanted = {figure.removeprefix("accuracy/") for each in metrics.values() for figure in figures_in_pairs(each)}
    assert {figure for figure, basis in found if basis is Basis.PAIRED} == wanted
    for (figure, _), each in found.items():
        assert each.value == pytest.approx(row.metrics[f"accuracy/{figure}"].value, rel=1e-6), figure
        assert each.bound == pytest.approx(
            each.value * (0.99 if figure not in {"perplexity", "log_loss"} else 1 / 0.99)
        )
        assert each.passed is not False


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """SQuAD's layout with 600 questions."""
    folder = tmp_path_factory.mktemp("squad")
    published = squad(folder / "data", np.random.default_rng(11))
    rng = np.random.default_rng(12)
    words = [word for text in small.paragraphs(count=10, words=90) for word in text.split() if word.isalpha()]
    texts = [" ".join(rng.permutation(words)[:90]) for _ in range(60)]
    small.write_squad(folder / "data" / "dev-v1.1.json", texts, questions=10, question_words=4)
    return attrs.evolve(published, units=QUESTIONS)


def test_pairs_decide_on_f1_where_an_interval_alone_cannot(questions, tmp_path):
    """80 % are published, 79.2 % wanted: 600 questions alone cannot tell 80 % or 78 % from that, but pairs can."""
    artifact = with_published(memory(tmp_path / "m.onnx", questions, 0.2), questions, f1=80.0)
    for rate, passed in ((0.2, True), (0.22, False)):
        row, found = judged(questions, artifact, rate)
        alone, pairs = found["f1", Basis.PUBLISHED], found["f1", Basis.PAIRED]
        assert (alone.passed, alone.n, alone.value) == (None, QUESTIONS, pytest.approx(100 * (1 - rate)))
        assert (pairs.passed, pairs.n, pairs.bound) == (passed, QUESTIONS, pytest.approx(79.2))
        assert pairs.high - pairs.low < (alone.high - alone.low) / 2
        assert row.passed is passed
        assert f"on the same {QUESTIONS} questions" in pairs.text


def test_answers_that_are_right_in_part_are_paired_by_their_f1(questions, tmp_path):
    """The reference gives one word too many to every tenth question, and has their F1 in part."""
    labels = loader_of(questions).labels(range(len(loader_of(questions))))

    def longer(index, row):
        if int(labels[index].question_id.split("-")[1]) % 10:
            return row
        return {**row, "end_logits": np.roll(row["end_logits"], 1, axis=1)}

    artifact = with_published(memory(tmp_path / "m.onnx", questions, 0.2, changed=longer), questions, f1=80.0)
    _, found = judged(questions, artifact, 0.21)
    pairs = found["f1", Basis.PAIRED]
    assert "paired bootstrap" in pairs.text
    assert pairs.passed is True
    assert 76 < pairs.bound / 0.99 < 80
    assert found["f1", Basis.PUBLISHED].passed is None
    assert "right only by the reference" in found["em", Basis.PAIRED].text


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A text of some 170 windows."""
    folder = tmp_path_factory.mktemp("text")
    paragraphs = small.paragraphs(count=40)
    small.bpe(folder, paragraphs, ("<|endoftext|>",), size=340)
    published = MAKERS["text"](folder / "data", np.random.default_rng(11))
    (folder / "data" / "wiki.test.txt").write_text(" ".join(paragraphs)[:21_000], encoding="utf-8")
    return published


def test_pairs_decide_on_perplexity_where_an_interval_alone_cannot(text, tmp_path):
    plain = memory(tmp_path / "m.onnx", text, 0.2)
    value = judged(text, plain, 0.2)[0].metrics["accuracy/perplexity"].value
    artifact = with_published(plain, text, perplexity=value)
    for rate, passed in ((0.2, True), (0.205, False)):
        row, found = judged(text, artifact, rate)
        alone, pairs = found["perplexity", Basis.PUBLISHED], found["perplexity", Basis.PAIRED]
        assert (alone.passed, pairs.passed, row.passed) == (None, passed, passed)
        assert pairs.n == len(loader_of(text)) > 150
        assert f"on the same {pairs.n} windows (paired bootstrap)" in pairs.text
        assert pairs.high - pairs.low < (alone.high - alone.low) / 2


@pytest.mark.parametrize(("name", "figure"), [("squad-1.1", "f1"), ("text", "perplexity"), ("coco", "map50")])
def test_two_reports_are_compared_by_what_the_same_units_brought(name, figure, tmp_path):
    published = MAKERS[name](tmp_path / "data", np.random.default_rng(11))
    for folder, rate in (("a", 0.1), ("b", 0.1), ("c", 0.6)):
        judged(published, published.artifact, rate, out=tmp_path / folder, acceptance=Acceptance(paired_samples=0))
    a, b, c = (Report.load(tmp_path / each) for each in "abc")
    same, worse = (compare(a, each, figures=[f"accuracy/{figure}"]).find(f"accuracy/{figure}") for each in (b, c))
    assert (same.basis, same.change, worse.basis) == (Compared.PAIRED_SAMPLES, 0, Compared.PAIRED_SAMPLES)
    assert (str(worse.decision), same.n_a) == ("worse", worse.n_b)
    assert str(same.decision) == ("undecided" if figure == "f1" else "equivalent")  # of 40 questions three may be lost

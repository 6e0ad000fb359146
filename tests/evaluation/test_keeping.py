"""What units brought to figures: written beside a report, and paired in a comparison."""

import numpy as np
import pytest

from bytemlperf import run
from bytemlperf.errors import SpecError
from bytemlperf.evaluation.keeping import save_samples
from bytemlperf.metrics import RightOrWrong, Units, get
from bytemlperf.report import Basis, Report, RowKind, compare
from bytemlperf.report.files import KeptSamples, read_samples, samples_path, write_samples

LOGITS = np.array([[0.1, 0.9], [0.8, 0.2], [np.nan, 0.7], [0.5, 0.5]])


def test_top1_tells_which_samples_are_right():
    metric = get("top1")()
    assert isinstance(metric, RightOrWrong)
    right = metric.right({"logits": LOGITS}, np.array([1, 1, 1, 0]))
    assert right.tolist() == [True, False, False, True]
    state = metric.update(metric.initial(), {"logits": LOGITS}, np.array([1, 1, 1, 0]))
    assert metric.compute(state)["accuracy/top1"].value == right.mean()


METRICS = {"top1": get("top1")(), "squad": get("squad")()}
RIGHT = Units.of_samples(np.array([True, False, True]))
QUESTIONS = Units(ids=np.array(["a", "b"]), values=np.array([[1.0, 1.0], [0.0, 0.4]]), noun="questions")


def test_right_samples_and_other_units_are_kept_and_read_again(tmp_path):
    units = {"top1": RIGHT, "squad": QUESTIONS}
    (path,) = save_samples(tmp_path, "accuracy/fp32", METRICS, units, count=3)
    found = read_samples(tmp_path / path)
    assert path == samples_path("accuracy/fp32") == "samples/accuracy-fp32.npz"
    assert found.sample.tolist() == [0, 1, 2]
    assert {name: each.tolist() for name, each in found.right.items()} == {"top1": [True, False, True]}
    assert list(found.units) == ["squad"]
    kept = found.of("squad")
    assert (kept.ids.tolist(), kept.values.tolist(), kept.noun) == (["a", "b"], [[1, 1], [0, 0.4]], "questions")
    assert found.of("top1").values[:, 0].tolist() == [1, 0, 1]
    assert found.of("other") is None


def test_of_more_samples_than_are_kept_the_first_ones_have_numbers(tmp_path):
    (path,) = save_samples(tmp_path, "accuracy", METRICS, {"top1": RIGHT}, count=9)
    found = read_samples(tmp_path / path)
    assert (found.right, found.of("top1").ids.tolist()) == ({}, [0, 1, 2])


def test_without_a_folder_a_sample_or_a_metric_that_can_tell_nothing_is_written(tmp_path):
    assert save_samples(tmp_path, "accuracy", METRICS, {"top1": RIGHT}, count=0) == ()
    assert save_samples(None, "accuracy", METRICS, {"top1": RIGHT}, count=3) == ()
    assert save_samples(tmp_path, "accuracy", METRICS, {}, count=3) == ()
    assert not (tmp_path / "samples").exists()


@pytest.mark.parametrize("content", [b"", b"PK none", None])
def test_a_file_that_tells_no_samples_is_refused(tmp_path, content):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError, match="does not tell which samples"):
        read_samples(path)


@pytest.mark.parametrize("right", [np.ones(3), np.ones(2, np.bool_)])
def test_not_one_truth_value_for_each_sample_is_refused(tmp_path, right):
    path = write_samples(tmp_path / "x.npz", KeptSamples(sample=np.arange(3), right={"top1": right}))
    with pytest.raises(SpecError, match="truth value"):
        read_samples(path)


def test_units_that_are_none_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, **{"sample": np.arange(3), "ids/f1": np.arange(3), "values/f1": np.ones(3), "noun/f1": "samples"})
    with pytest.raises(SpecError, match="does not tell which samples"):
        read_samples(path)


def test_two_evaluations_are_compared_on_the_same_samples(tmp_path):
    for name in ("a", "b"):
        run(
            "digits-resnet-onnx-fp32",
            backend="onnxruntime",
            checks=["accuracy"],
            batch_sizes=[32],
            out=tmp_path / name,
        )
    a, b = (Report.load(tmp_path / name) for name in ("a", "b"))
    (row,) = a.rows_of(RowKind.ACCURACY)
    (file,) = row.files
    assert set(row.sha256) == {file}
    assert read_samples(tmp_path / "a" / file).right["top1"].mean() == row.metrics["accuracy/top1"].value
    figure = compare(a, b).find("accuracy/top1")
    assert (figure.basis, figure.n_a, figure.change) == (Basis.PAIRED_SAMPLES, 360, 0)

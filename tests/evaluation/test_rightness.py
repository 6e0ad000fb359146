"""Which samples were right: gathered over waves, written beside a report, and paired in a comparison."""

import numpy as np
import pytest

from bytemlperf import run
from bytemlperf.errors import SpecError
from bytemlperf.evaluation.rightness import RightOnes
from bytemlperf.metrics import RightOrWrong, get
from bytemlperf.report import Basis, Report, RowKind, compare
from bytemlperf.report.files import RightSamples, read_samples, samples_path, write_samples


class Loss:
    """A metric that has no right and wrong."""

    name = "loss"
    higher_is_better = False

    def initial(self):
        return 0

    def update(self, state, outputs, labels):
        return state

    def compute(self, state):
        return {}


LOGITS = np.array([[0.1, 0.9], [0.8, 0.2], [np.nan, 0.7], [0.5, 0.5]])


def test_top1_tells_which_samples_are_right():
    metric = get("top1")()
    assert isinstance(metric, RightOrWrong)
    right = metric.right({"logits": LOGITS}, np.array([1, 1, 1, 0]))
    assert right.tolist() == [True, False, False, True]
    state = metric.update(metric.initial(), {"logits": LOGITS}, np.array([1, 1, 1, 0]))
    assert metric.compute(state)["accuracy/top1"].value == right.mean()


def test_waves_are_joined_in_order(tmp_path):
    told = RightOnes({"top1": get("top1")(), "loss": Loss()})
    told.add([5, 3], {"logits": LOGITS[:2]}, np.array([1, 1]))
    told.add([9], {"logits": LOGITS[3:]}, np.array([0]))
    (path,) = told.save(tmp_path, "accuracy/fp32")
    found = read_samples(tmp_path / path)
    assert path == samples_path("accuracy/fp32") == "samples/accuracy-fp32.npz"
    assert found.sample.tolist() == [5, 3, 9]
    assert {name: each.tolist() for name, each in found.right.items()} == {"top1": [True, False, True]}


def test_scores_are_kept_of_as_many_samples_as_are_paired(tmp_path):
    metrics = {"log_loss": get("log_loss")(), "binary_accuracy": get("binary_accuracy")()}
    probability, labels = np.linspace(0.1, 0.9, 9), np.arange(9) % 2
    whole, some, none = RightOnes(metrics), RightOnes(metrics, paired=5), RightOnes(metrics, paired=0)
    for told in (whole, some, none):
        for start in range(0, 9, 3):
            rows = slice(start, start + 3)
            told.add([start, start + 1, start + 2], {"p": probability[rows]}, labels[rows])
    for name, scores in whole.scores.items():
        assert len(scores) == 9
        assert some.scores[name].tolist() == scores[:5].tolist()
        assert len(none.scores.get(name, ())) == 0
    (path,) = some.save(tmp_path, "accuracy")
    found = read_samples(tmp_path / path)
    assert found.sample.tolist() == list(range(9))
    assert found.right["binary_accuracy"].tolist() == whole.scores["binary_accuracy"].astype(bool).tolist()


def test_without_a_folder_a_sample_or_a_metric_that_can_tell_nothing_is_written(tmp_path):
    told = RightOnes({"top1": get("top1")()})
    assert told.save(tmp_path, "accuracy") == ()
    told.add([0], {"logits": LOGITS[:1]}, np.array([1]))
    assert told.save(None, "accuracy") == ()
    deaf = RightOnes({"loss": Loss()})
    deaf.add([0], {"logits": LOGITS[:1]}, np.array([1]))
    assert deaf.save(tmp_path, "accuracy") == ()
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
    path = write_samples(tmp_path / "x.npz", RightSamples(sample=np.arange(3), right={"top1": right}))
    with pytest.raises(SpecError, match="truth value"):
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

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.metrics import accuracy_score

from bytemlperf import metrics
from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics.top1 import Top1


def score(logits, labels, **options):
    metric = Top1(**options)
    return metric.compute(metric.update(metric.initial(), {"logits": np.asarray(logits)}, np.asarray(labels)))


def test_it_is_reached_by_its_registered_name():
    assert metrics.get("top1") is Top1
    assert "top1" in metrics.names()
    assert (Top1().name, Top1().higher_is_better) == ("top1", True)


@given(data=st.data(), n=st.integers(1, 40), classes=st.integers(1, 12))
def test_it_agrees_with_scikit_learn_and_an_exact_binomial_test(data, n, classes):
    logits = data.draw(hnp.arrays(np.float32, (n, classes), elements=st.floats(-8, 8, width=16)))
    labels = data.draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    figure = score(logits, labels)["accuracy/top1"]
    predicted = [max(range(classes), key=row.__getitem__) for row in logits.tolist()]
    assert figure.value == pytest.approx(accuracy_score(labels, predicted))
    right = int(accuracy_score(labels, predicted, normalize=False))
    oracle = stats.binomtest(right, n).proportion_ci(0.95, method="exact")
    assert (figure.low, figure.high) == (pytest.approx(oracle.low, abs=1e-12), pytest.approx(oracle.high, abs=1e-12))
    assert (figure.n, figure.unit) == (n, "1")


@given(cuts=st.lists(st.integers(0, 60), max_size=5))
def test_batches_add_up_to_the_whole(cuts):
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(60, 4)), rng.integers(0, 4, size=60)
    metric = Top1()
    state = metric.initial()
    for rows in np.split(np.arange(60), sorted(cuts)):
        state = metric.update(state, {"logits": logits[rows]}, labels[rows])
    assert metric.compute(state) == score(logits, labels)


def test_of_equal_logits_the_first_counts():
    assert score([[1.0, 1.0], [1.0, 1.0]], [0, 1])["accuracy/top1"].value == 0.5


def test_a_sample_with_nan_is_never_right_and_is_told():
    """Plain argmax would take the NaN for the largest, and count three of these as right."""
    nan = np.nan
    figure = score([[nan, 0.0], [0.0, nan], [9.0, nan], [1.0, 0.0]], [0, 1, 0, 0])["accuracy/top1"]
    assert figure.value == 0.25
    assert figure.note == "3 samples have NaN among their logits and count as wrong"


def test_infinite_logits_are_compared():
    assert score([[-np.inf, 0.0], [np.inf, 0.0]], [1, 0])["accuracy/top1"].value == 1


def test_no_samples_give_no_figure_and_a_note():
    for figure in score(np.zeros((0, 3)), np.zeros(0, np.int64)).values():
        assert (figure.value, figure.low, figure.n, figure.note) == (None, None, 0, "no samples")
    assert Top1().compute(Top1().initial())["accuracy/top1"].value is None


def test_a_single_output_of_any_name_is_taken():
    metric = Top1()
    state = metric.update(metric.initial(), {"probabilities": np.array([[0.1, 0.9]])}, np.array([1]))
    assert metric.compute(state)["accuracy/top1"].value == 1


def test_logits_are_found_by_name_among_several_outputs():
    metric = Top1()
    outputs = {"hidden": np.zeros((1, 2)), "logits": np.array([[0.1, 0.9]])}
    assert metric.update(metric.initial(), outputs, np.array([1])).right == 1


def test_bfloat16_logits_are_read():
    logits = np.array([[1.0, -2.0], [0.5, 0.75]], ml_dtypes.bfloat16)
    assert score(logits, [0, 1])["accuracy/top1"].value == 1


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "no output 'logits'"),
        ({"a": np.zeros((2, 3)), "b": np.zeros((2, 3))}, "no output 'logits'; got \\['a', 'b'\\]"),
        ({"logits": np.zeros((3, 3))}, r"wrong shape; got \(3, 3\); expected \[2, classes\]"),
        ({"logits": np.zeros((2, 3, 1))}, "wrong shape"),
        ({"logits": np.zeros(2)}, "wrong shape"),
        ({"logits": np.zeros((2, 0))}, "wrong shape"),
        ({"logits": np.array([["a", "b"]] * 2)}, "no array of real numbers"),
        ({"logits": None}, "no array of real numbers; got <class 'NoneType'>"),
    ],
)
def test_malformed_outputs_are_refused(outputs, message):
    metric = Top1()
    with pytest.raises(MalformedOutputError, match=message):
        metric.update(metric.initial(), outputs, np.array([0, 1]))


@pytest.mark.parametrize("labels", [[0.0, 1.0], [[0], [1]], ["a", "b"], [True, False]])
def test_labels_that_are_no_class_indices_are_refused(labels):
    with pytest.raises(DatasetError, match="no class indices"):
        score(np.zeros((2, 3)), np.array(labels))


@pytest.mark.parametrize("labels", [[0, 1000], [-1, 5]])
def test_labels_outside_the_classes_are_refused(labels):
    with pytest.raises(DatasetError, match=r"outside the model's classes.*expected 0 to 999.*nothing is shifted"):
        score(np.zeros((2, 1000)), labels)


def test_a_model_with_a_background_class_is_refused_where_the_number_of_classes_is_known():
    with pytest.raises(MalformedOutputError, match=r"got \(2, 1001\); expected \[2, 1000\]; a model with a background"):
        score(np.zeros((2, 1001)), [0, 999], classes=1000)


def test_the_number_of_classes_must_not_change_between_batches():
    metric = Top1()
    state = metric.update(metric.initial(), {"logits": np.zeros((1, 1000))}, np.array([0]))
    with pytest.raises(MalformedOutputError, match=r"expected \[1, 1000\]"):
        metric.update(state, {"logits": np.zeros((1, 1001))}, np.array([0]))


def test_bytemlperfs_formula_counts_samples_without_a_positive_logit_as_wrong():
    """Worked by hand: [-2, -1] and [0, -1] have their largest logit at the label, but none above the inserted 0."""
    figures = score([[-2.0, -1.0], [0.0, -1.0], [3.0, 1.0], [1.0, 2.0]], [1, 0, 0, 0])
    assert figures["accuracy/top1"].value == 0.75
    original = figures["accuracy/top1.bytemlperf"]
    assert original.value == 0.25
    assert "ByteMLPerf's formula" in original.definition
    oracle = stats.binomtest(1, 4).proportion_ci(0.95, method="exact")
    assert (original.low, original.high) == (pytest.approx(oracle.low), pytest.approx(oracle.high))


@given(data=st.data())
def test_bytemlperfs_formula_agrees_with_a_loop_over_the_samples(data):
    logits = data.draw(hnp.arrays(np.float64, (6, 3), elements=st.floats(-2, 2) | st.just(np.nan)))
    labels = data.draw(hnp.arrays(np.int64, 6, elements=st.integers(0, 2)))
    good = sum(np.argmax([0.0, *row]) == label + 1 for row, label in zip(logits, labels, strict=True))
    assert score(logits, labels)["accuracy/top1.bytemlperf"].value == round(good / 6, 5)

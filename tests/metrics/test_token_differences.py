"""Tokens against a reference's logits, on cases that are worked by hand."""

import numpy as np
import pytest

from bytemlperf.errors import MalformedOutputError
from bytemlperf.metrics import TokenDifferences
from bytemlperf.spec import DType

LOGITS = np.array([[0.0, 4.0, 1.0], [8.0, 0.0, 7.999], [2.0, 1.0, 10.0]])


def compared(*answers, precision=DType.FLOAT32, **options):
    metric = TokenDifferences(precision=precision, **options)
    state = metric.initial()
    for tokens in answers:
        state = metric.update(state, np.array(tokens), LOGITS[: len(tokens)])
    return metric, state, {name: each.value for name, each in metric.compute(state).items()}


def test_equal_answers_agree():
    metric, state, figures = compared([1, 0, 2], [1])
    assert metric.passed(state) is True
    assert figures["tokens/agreement"] == figures["tokens/answers_equal"] == 1
    assert (figures["tokens/first_difference"], figures["tokens/largest_gap"]) == (None, 0)


def test_a_token_whose_logit_is_almost_the_largest_is_a_tie():
    metric, state, figures = compared([1, 2, 2], [1])  # 8 - 7.999 of 8 is 1.25e-4, below 2e-4
    assert metric.passed(state) is True
    assert figures["tokens/ties"] == 1
    assert figures["tokens/agreement"] == pytest.approx(3 / 4)
    assert figures["tokens/answers_equal"] == 1 / 2
    assert figures["tokens/first_difference"] == 1
    assert figures["tokens/largest_gap"] == pytest.approx(1.25e-4)
    strict, state, _ = compared([1, 2, 2], tolerance=1e-5)
    assert strict.passed(state) is False


def test_another_token_is_a_difference():
    metric, state, figures = compared([1, 0, 2], [1, 0, 0], [1, 1])
    assert metric.passed(state) is False
    assert figures["tokens/first_difference"] == 1
    assert figures["tokens/largest_gap"] == 1
    assert figures["tokens/agreement"] == pytest.approx(6 / 8)


def test_without_a_bound_there_is_no_verdict():
    metric, state, _ = compared([1, 2], precision=DType.INT8)
    assert metric.tie is None
    assert metric.passed(state) is None
    assert TokenDifferences(precision=DType.FLOAT32).passed(metric.initial()) is None


@pytest.mark.parametrize("tokens", [[], [3], [-1]])
def test_unknown_tokens_are_refused(tokens):
    with pytest.raises(MalformedOutputError):
        compared(tokens)


def test_largest_logits_are_compared_place_by_place_where_the_backend_gives_them():
    metric = TokenDifferences(precision=DType.FLOAT32)
    own = LOGITS + np.array([[0.0, 0.5, 0.0], [-9.0, 8.25, 0.0], [0.0, 0.0, -0.125]])  # largest: 4.5, 8.25, 9.875
    state = metric.update(metric.initial(), np.array([1, 0, 2]), LOGITS, own)
    figure = metric.compute(state)["tokens/largest_logit_difference"]
    assert (figure.value, figure.n) == (0.5, 3)
    assert metric.compute(metric.update(state, np.array([1]), LOGITS[:1]))["tokens/largest_logit_difference"] == figure
    assert "tokens/largest_logit_difference" not in compared([1, 0, 2])[2]
    lost = metric.update(state, np.array([1]), LOGITS[:1], np.full((1, 3), np.nan))
    again = metric.update(lost, np.array([1]), LOGITS[:1], LOGITS[:1])
    assert metric.compute(again)["tokens/largest_logit_difference"].value is None

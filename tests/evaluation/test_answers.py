"""What is held of one answer: its names, its shapes, its kinds of numbers and how wide they are."""

from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.errors import MalformedOutputError
from bytemlperf.evaluation.answers import check_answer
from bytemlperf.spec import DType, TensorSpec

OUTPUTS = (
    TensorSpec(name="logits", shape=("batch", 3), dtype="fp32"),
    TensorSpec(name="labels", shape=("batch",), dtype="int64"),
)


def answer(dtype=np.float32, **more):
    return {"logits": np.zeros((2, 3), dtype), "labels": np.zeros(2, np.int32), **more}


def refusal(given, **fields):
    with pytest.raises(MalformedOutputError) as caught:
        check_answer(given, OUTPUTS, 2, **fields)
    return caught.value


@pytest.mark.parametrize(
    ("dtype", "precision", "narrower"),
    [
        (np.float16, DType.FLOAT32, True),
        (np.float16, DType.FLOAT64, True),
        (np.float16, DType.FLOAT16, False),
        (np.float16, DType.BFLOAT16, False),
        (np.float16, DType.INT8, False),
        (np.float16, None, False),
        (np.float32, DType.FLOAT32, False),
        (np.float64, DType.FLOAT32, False),
    ],
)
def test_floats_are_as_wide_as_the_output_and_the_precision_say(dtype, precision, narrower):
    if not narrower:
        check_answer(answer(dtype), OUTPUTS, 2, precision=precision)
        return
    error = refusal(answer(dtype), precision=precision)
    assert error.tensor == "logits"
    assert f"'float16'; expected float32, as the backend says that it computes in {precision}" in str(error)


@pytest.mark.parametrize(
    ("given", "tensor"),
    [
        ({"logits": answer()["logits"]}, "labels"),
        (answer(debug=np.zeros(2)), "debug"),
        ({"logits:0": answer()["logits"], "labels": answer()["labels"]}, "logits"),
        ({}, "labels"),
    ],
)
def test_of_wrong_names_the_first_that_is_missing_is_told_or_else_one_that_is_too_much(given, tensor):
    assert refusal(given).tensor == tensor


@pytest.mark.parametrize(
    ("given", "words"),
    [(np.zeros((2, 2), np.float32), "the wrong shape"), (np.zeros((2, 3), np.int64), "numbers of another kind")],
)
def test_of_a_wrong_output_its_name_is_told(given, words):
    error = refusal(answer(logits=given))
    assert (error.tensor, words in str(error)) == ("logits", True)

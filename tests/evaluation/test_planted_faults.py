"""Faults planted by someone who had not read the checks: each fails, by the check and for the reason that it should.

What should be said was written down before the first of them was run. What a fair evaluator lets pass is here too.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation import planted, planted_graphs, planted_pushing
from tests.evaluation.planted import Planted
from tests.evaluation.planted_graphs import Edited
from tests.waves import codes, load

from bytemlperf import Acceptance, Limits, run
from bytemlperf.report import Outcome

DIGITS = "digits-resnet-onnx-fp32"


def judge(backend, task=DIGITS, **fields):
    chosen = {
        "checks": ["accuracy", "numeric", "performance"],
        "batch_sizes": [1, 8],
        "scenarios": [load(iterations=30), load(clients=2, iterations=30)],
        "acceptance": Acceptance(locate=False),
        **fields,
    }
    return run(task, backend=backend, **chosen)


def first(report, code):
    """The first failure of a code; the verdict is a failure."""
    assert report.verdict.outcome is Outcome.FAIL
    return next(failure for failure in report.failures if failure.code == code)


FAULTS = {
    # name: (backend, code, step of the first such failure, words of its message)
    "nan every 50th call": (
        lambda: Planted(planted.nan_every_50th_call),
        "non_finite",
        "accuracy/batch=1",
        "answers that were scored hold NaN or infinity: logits: ",
    ),
    "nan for some samples": (
        lambda: Planted(planted.nan_for_some_samples),
        "non_finite",
        "accuracy/batch=1",
        "the first in sample 38; all that digits-resnet-torch-fp32",
    ),
    "infinite": (lambda: Planted(planted.infinite), "non_finite", "accuracy/batch=1", "values in 360 of 360 samples"),
    "nan while two clients ask": (
        lambda: planted.Crowded(planted.infinite),
        "non_finite",
        "accuracy/batch=1",
        "answers that were scored hold NaN or infinity: logits: ",
    ),
    "rows in reverse": (lambda: Planted(planted.rows_in_reverse), "numeric_mismatch", "numeric/batch=8", "logits: "),
    "first row only": (planted.FirstRowOnly, "numeric_mismatch", "numeric/batch=8", ""),
    "cached by the first row": (planted.ByFirstRow, "numeric_mismatch", "numeric/batch=8", ""),
    "one row short": (lambda: Planted(planted.one_row_short), "malformed_output", "compile/batch=8", "the wrong shape"),
    "padding left out": (
        lambda: Planted(planted.padding_left_out, dynamic=False),
        "malformed_output",
        "numeric/batch=8",
        "got (7, 10); expected (8, 10)",
    ),
    "padding that bleeds": (
        lambda: Planted(planted.padding_that_bleeds, dynamic=False),
        "numeric_mismatch",
        "numeric/batch=8",
        "",
    ),
    "one buffer": (lambda: Planted(planted.buffers(1)), "malformed_output", "accuracy/batch=1", "was changed after"),
    "two buffers": (lambda: Planted(planted.buffers(2)), "malformed_output", "accuracy/batch=1", "was changed after"),
    "late": (lambda: Planted(planted.late), "malformed_output", "accuracy/batch=1", "is whole when predict returns"),
    "constant": (lambda: Planted(planted.constant()), "numeric_mismatch", "numeric/batch=1", ""),
    "zeros": (lambda: Planted(planted.times(0)), "accuracy_below_target", "accuracy/batch=1", ""),
    "computing 100 times": (
        lambda: Planted(planted.computing_100_times()),
        "accuracy_below_target",
        "accuracy/batch=1",
        "",
    ),
    "drifting": (lambda: Planted(planted.drifting), "numeric_mismatch", "numeric/batch=1", ""),
    "scratch shared by clients": (planted.OneScratch, "numeric_mismatch", "numeric/clients=2/batch=1", ""),
    "inputs overwritten": (planted.Overwriting, "predict_error", "compile/batch=1", "read-only"),
    "height for width": (
        lambda: planted.Inputs(lambda _, array: np.swapaxes(array, 2, 3)),
        "numeric_mismatch",
        "numeric/batch=1",
        "",
    ),
    "answers in float16": (
        lambda: Planted(planted.every(lambda array: array.astype(np.float16))),
        "malformed_output",
        "compile/batch=1",
        "has a narrower type; got 'float16'; expected float32, as the backend says that it computes in float32",
    ),
    "through float16": (lambda: Planted(planted.through(np.float16)), "numeric_mismatch", "numeric/batch=1", ""),
    "in bfloat16": (lambda: Planted(planted.in_bfloat16), "numeric_mismatch", "numeric/batch=1", ""),
    "in hundredths": (lambda: Planted(planted.in_hundredths), "numeric_mismatch", "numeric/batch=1", ""),
    "clipped": (lambda: Planted(planted.clipped), "numeric_mismatch", "numeric/batch=1", ""),
    "weights in float16": (lambda: weights(planted_graphs.in_float16), "numeric_mismatch", "numeric/batch=1", ""),
    "weights in tf32": (lambda: weights(planted_graphs.in_tf32), "numeric_mismatch", "numeric/batch=1", ""),
    "weights in int8": (lambda: weights(planted_graphs.in_int8), "numeric_mismatch", "numeric/batch=1", ""),
    "weights pruned": (lambda: weights(planted_graphs.pruned), "numeric_mismatch", "numeric/batch=1", ""),
    "byte-swapped": (lambda: Planted(planted.byte_swapped), "accuracy_below_target", "accuracy/batch=1", ""),
    "bool": (lambda: Planted(planted.every(lambda array: array > 0)), "malformed_output", "compile/batch=1", "bool"),
    "objects": (
        lambda: Planted(planted.every(lambda array: array.astype(object))),
        "malformed_output",
        "compile/batch=1",
        "logits: an output has dtype object",
    ),
    "lists": (
        lambda: Planted(planted.every(lambda array: array.tolist())),
        "malformed_output",
        "compile/batch=1",
        "logits: an output is no numpy array but list",
    ),
    "torch tensors": (lambda: Planted(planted.torch_tensor), "malformed_output", "compile/batch=1", "but Tensor"),
    "tuple": (lambda: Planted(lambda outputs, *_: tuple(outputs)), "malformed_output", "compile/batch=1", "but tuple"),
    "one more": (lambda: Planted(planted.one_more), "malformed_output", "compile/batch=1", "the outputs' names"),
    "renamed": (lambda: Planted(planted.renamed), "malformed_output", "compile/batch=1", "the outputs' names"),
    "flat": (lambda: Planted(planted.every(np.ravel)), "malformed_output", "compile/batch=1", "the wrong shape"),
    "transposed": (
        lambda: Planted(planted.every(lambda array: array.T.copy().reshape(array.shape))),
        "numeric_mismatch",
        "numeric/batch=8",
        "",
    ),
    "softmaxed": (lambda: Planted(planted.softmaxed), "numeric_mismatch", "numeric/batch=1", ""),
    "one-hot": (lambda: Planted(planted.one_hot), "numeric_mismatch", "numeric/batch=1", ""),
    "1 % too large": (lambda: Planted(planted.times(1.01)), "numeric_mismatch", "numeric/batch=1", ""),
    "noise of 2 %": (lambda: Planted(planted.noisy(0.02)), "numeric_mismatch", "numeric/batch=1", ""),
    "pushed too early": (
        lambda: planted_pushing.Pushing(planted_pushing.zeros_every_25th),
        "numeric_mismatch",
        "numeric/batch=1",
        "",
    ),
    "pushed in halves": (
        lambda: planted_pushing.Pushing(planted_pushing.in_halves),
        "malformed_output",
        "compile/batch=1",
        "",
    ),
    "pushed crosswise": (
        lambda: planted_pushing.Pushing(planted_pushing.crossed()),
        "numeric_mismatch",
        "numeric/clients=2/batch=1",
        "",
    ),
}


def weights(function):
    return Edited(planted_graphs.all_weights(function))


QUICK = {
    "nan every 50th call",
    "rows in reverse",
    "first row only",
    "padding left out",
    "one buffer",
    "computing 100 times",
    "answers in float16",
    "in bfloat16",
    "right",
    "nan in padding",
    "lent",
}
"""The others are slow: seconds each, and some 60 of them."""


def some(names):
    return [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in names]


@pytest.mark.parametrize("fault", some(FAULTS))
def test_a_planted_fault_fails_by_the_right_check_and_for_the_right_reason(fault):
    backend, code, step, words = FAULTS[fault]
    failure = first(judge(backend()), code)
    assert failure.step.startswith(f"{step}/") or failure.step == step
    assert words in failure.message


@pytest.mark.parametrize("fault", ["renamed", "one more", "answers in float16"])
def test_of_a_malformed_answer_the_output_is_named(fault):
    report = judge(FAULTS[fault][0](), checks=["numeric"], batch_sizes=[1])
    assert report.failures[0].tensor == {"one more": "debug"}.get(fault, "logits")


SOUND = {
    "right": Planted,
    "nan in padding": lambda: Planted(planted.nan_in_padding, dynamic=False),
    "float64": lambda: Planted(planted.every(lambda array: array.astype(np.float64))),
    "big-endian": lambda: Planted(planted.every(lambda array: array.astype(">f4"))),
    "strided": lambda: Planted(planted.strided),
    "read-only": lambda: Planted(planted.read_only),
    "denormals flushed": lambda: Planted(planted.without_denormals),
    "rounded otherwise each time": lambda: Planted(planted.noisy(3e-7)),
    "half a bound away": lambda: Planted(planted.times(1 + 5e-5)),
    "scratch for one call": lambda: planted.OneScratch(max_in_flight=1),
    "lent": lambda: planted_pushing.Pushing(planted_pushing.lent),
    "answered twice": lambda: planted_pushing.Pushing(planted_pushing.twice),
}


@pytest.mark.parametrize("name", some(SOUND))
def test_what_is_sound_passes(name):
    report = judge(SOUND[name](), batch_sizes=[1, 7])
    assert codes(report) == []
    assert report.verdict.outcome is Outcome.PASS
    assert {row.passed for row in report.rows if row.kind in {"accuracy", "numeric"}} == {True}


def test_a_query_without_an_answer_ends_its_row():
    backend = planted_pushing.Pushing(planted_pushing.lost_every_15th)
    failure = first(judge(backend, checks=["numeric"], batch_sizes=[1], limits=Limits(query_s=0.5)), "time_limit")
    assert "was not answered within 0.5 s" in failure.message


def test_rows_behind_the_last_whole_group_are_compared_too():
    failure = first(judge(Planted(planted.in_groups_of_4), batch_sizes=[4, 6]), "numeric_mismatch")
    assert failure.step.startswith("numeric/batch=6/")


@pytest.mark.parametrize("claims", [{"precision": "int8", "weights": "quantized"}, {"precision": "int4"}])
def test_a_precision_without_a_bound_is_shown_and_leaves_the_verdict_open(claims):
    report = judge(Planted(planted.times(1.5), **claims), batch_sizes=[1])
    assert (codes(report), report.verdict.outcome) == ([], Outcome.UNDECIDED)
    assert {str(row.precision) for row in report.rows} == {claims["precision"]}

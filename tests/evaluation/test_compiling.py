"""What a compile claims, and a warm start that answers otherwise than the cold one."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from tests.evaluation import wrong
from tests.residual import residual
from tests.waves import codes

from bytemlperf import ArrayLoader, run
from bytemlperf.backends import CompiledModel, Device
from bytemlperf.evaluation import compiling
from bytemlperf.report import Outcome, RowKind


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return residual(tmp_path_factory.mktemp("residual"), blocks=1)


def judge(model, backend, **fields):
    image = np.random.default_rng(6).standard_normal((16, 1, 8, 8)).astype(np.float32)
    chosen = {"checks": ["compile", "numeric"], "batch_sizes": [4], **fields}
    return run(model, backend=backend, dataset=ArrayLoader(image=image), **chosen)


class Claiming(wrong.Right):
    """Right, and says of itself what it is told to; lists one device."""

    def __init__(self, **claims):
        self.claims = claims

    def compile(self, artifact, options):
        compiled = super().compile(artifact, options)
        return CompiledModel(compiled.handle, attrs.evolve(compiled.info, **self.claims))

    def devices(self):
        return (Device(id="cpu", name="the only one"),)


@pytest.mark.parametrize(
    ("claims", "fields", "code", "text"),
    [
        (
            {"precision": "fp16"},
            {},
            "other_precision",
            "the model is in fp32, and the backend says that it computes in fp16",
        ),
        (
            {"precision": "fp32"},
            {"precision": "fp16"},
            "other_precision",
            "fp16 was asked for, and the backend says that it computes in fp32",
        ),
        (
            {"devices": ("cpu", "npu:0")},
            {},
            "unknown_device",
            "the backend says that it runs on npu:0, which is none of its devices: cpu",
        ),
        ({"devices": ("npu:0",)}, {"devices": ["npu:0"]}, None, None),
    ],
)
def test_what_a_compiler_claims_against_expectation_is_told(model, claims, fields, code, text):
    report = judge(model, Claiming(**claims), batch_sizes=[1, 8], **fields)
    told = [(each.code, each.message) for each in report.warnings if each.code in {"other_precision", "unknown_device"}]
    assert told == ([] if code is None else [(code, text)])
    assert codes(report) == []


WARM = "tests.evaluation.wrong:WarmIsWrong"


def test_a_warm_start_that_answers_otherwise_than_the_cold_one_fails(model):
    report = judge(model, WARM)
    assert report.verdict.outcome is Outcome.FAIL
    (failure,) = report.failures
    assert (failure.code, failure.step, failure.tensor) == ("numeric_mismatch", "compile/warm/batch=4", "logits")
    assert failure.message.startswith("the first answer of a warm start does not agree with that of the cold one: ")
    assert [row.passed for row in report.rows_of(RowKind.NUMERIC)] == [True]


def test_a_warm_start_that_answers_as_the_cold_one_did_is_right(model):
    assert codes(judge(model, "tests.evaluation.wrong:Right")) == []


def test_of_a_large_answer_some_samples_are_kept_for_that(model, monkeypatch):
    monkeypatch.setattr(compiling, "KEPT_BYTES", 50)
    assert [each.step for each in judge(model, WARM).failures] == ["compile/warm/batch=4"]

"""MLPerf's TEST06 on answers that end as they should, and on others."""

import numpy as np
import pytest
from tests.evaluation.test_generating import SMALL

from bytemlperf import AsyncBackend, CompiledModel, CompileInfo, Lengths, run
from bytemlperf.scenarios import ClosedLoop
from bytemlperf.spec import Format

STOP = 2


class Scripted(AsyncBackend):
    """Answers every prompt by the same tokens, one a part, and tells times of its own for some."""

    name = "scripted"
    formats = frozenset({Format.TORCH})
    dynamic_batch = True

    def __init__(self, tokens):
        self._tokens, self._asked = tokens, 0

    def compile(self, artifact, options):
        return CompiledModel(object(), CompileInfo(precision="fp32"))

    def submit(self, compiled, batch, reply):
        for token in self._tokens:
            reply.chunk({"tokens": np.array([[token]])}, 1)
        self._asked += 1
        told = {"queue_ms": 2.5, "label": "no number"} if self._asked % 2 else None
        reply.done(tokens=len(self._tokens), reported=told)


def asked(tokens, *, checks=(), **lengths):
    report = run(
        SMALL, backend=Scripted(tokens), weights="random", checks=checks, integrity=["token_count"],
        prompts=Lengths(input=4, samples=3, **lengths), scenarios=[ClosedLoop(queries=10)],
    )  # fmt: skip
    assert report.failures == ()
    return report


UP_TO_FOUR = {"output": (1, 4), "stop": (STOP, 9)}


@pytest.mark.parametrize(
    ("tokens", "lengths"),
    [
        ([5, STOP], UP_TO_FOUR),
        ([9], UP_TO_FOUR),
        ([5, 6, 7, 8], UP_TO_FOUR),
        ([5, 6, 7, STOP], UP_TO_FOUR),
        ([STOP, 5, STOP], {"output": (3, 4), "stop": (STOP,)}),  # before the least number it ends nothing
        ([5, STOP, 7], {"output": 3}),
    ],
)
def test_answers_that_end_rightly_pass(tokens, lengths):
    (row,) = asked(tokens, **lengths).rows_of("integrity")
    assert row.passed, row.note


@pytest.mark.parametrize(
    ("tokens", "lengths", "words"),
    [
        ([5, STOP, STOP], UP_TO_FOUR, "go on after their end"),
        ([5, STOP, 7], UP_TO_FOUR, "go on after their end"),
        ([5, 6], UP_TO_FOUR, "another length"),
        ([5, 6, 7, 8, 5], UP_TO_FOUR, "another length"),
        ([5, 6], {"output": 3}, "another length"),
    ],
)
def test_answers_that_end_otherwise_fail(tokens, lengths, words):
    (row,) = asked(tokens, **lengths).rows_of("integrity")
    assert row.passed is False
    assert f"3 answers {'that ' if 'go on' in words else 'of '}{words}" in row.note


def test_what_the_engine_tells_itself_is_kept_apart():
    (row,) = asked([5, 6, 7], checks=["performance"], output=3).rows_of("performance")
    told = row.metrics["vendor_reported/queue_ms/mean"]
    assert (told.value, told.n, told.unit) == (2.5, 5, "")
    assert "not measured by the harness" in told.definition
    assert not [name for name in row.metrics if "label" in name]

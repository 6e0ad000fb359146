"""The null backends answer anything at once, and what they answer fits where zeros are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tiny_models import model_spec, spec_of_conv, wide_and_deep_spec

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import Batch
from bytemlperf.backends.null import NullAsyncBackend, NullBackend, NullOptions
from bytemlperf.errors import CompileError
from bytemlperf.spec import DType, Format

BOTH = pytest.mark.parametrize("backend", [NullBackend(), NullAsyncBackend()], ids=lambda backend: backend.name)


def _artifact(spec=None, form=Format.STABLEHLO):
    return ModelArtifact(spec=spec or spec_of_conv(), format=form, path="/nowhere")


@BOTH
def test_the_answer_is_empty(backend):
    compiled = backend.compile(_artifact(), NullOptions())
    assert backend.predict(compiled, Batch(inputs={}, size=4)) == {}


@BOTH
def test_zeros_fit_the_spec_at_every_batch_size(backend):
    compiled = backend.compile(_artifact(wide_and_deep_spec()), NullOptions(zeros=True, batch_size=2))
    for size in (2, 5, 2):
        answer = backend.predict(compiled, Batch(inputs={}, size=size))
        assert [(name, each.shape, each.dtype.name) for name, each in answer.items()] == [
            ("score", (size,), "float32"),
            ("kept", (size,), "int64"),
            ("is_long", (size,), "bool"),
        ]
        assert not any(each.any() for each in answer.values())


def test_nobody_can_change_a_prepared_answer():
    backend = NullBackend()
    compiled = backend.compile(_artifact(), NullOptions(zeros=True))
    with pytest.raises(ValueError, match="read-only"):
        backend.predict(compiled, Batch(inputs={}, size=1))["logits"][:] = 1


def test_zeros_are_made_once_for_each_batch_size():
    backend = NullBackend()
    compiled = backend.compile(_artifact(), NullOptions(zeros=True))
    first, again = (backend.predict(compiled, Batch(inputs={}, size=3)) for _ in range(2))
    assert first is again


@BOTH
def test_any_format_and_precision_is_taken(backend):
    assert backend.formats == frozenset(Format)
    compiled = backend.compile(_artifact(), NullOptions(precision="int4"))
    assert compiled.info.precision is DType.INT4
    assert compiled.info.coverage is None
    assert compiled.info.max_in_flight is None
    assert backend.version() == "none"
    backend.release(compiled)


@BOTH
@pytest.mark.parametrize(("dtype", "made"), [(DType.BFLOAT16, np.float32), (DType.FLOAT8, None)])
def test_zeros_of_types_that_numpy_lacks(backend, dtype, made):
    artifact = _artifact(model_spec({}, {"y": ("batch",)}, dtype=dtype))
    if made is None:
        with pytest.raises(CompileError, match="'y' has no zeros"):
            backend.compile(artifact, NullOptions(zeros=True))
    else:
        compiled = backend.compile(artifact, NullOptions(zeros=True))
        assert backend.predict(compiled, Batch(inputs={}, size=1))["y"].dtype == made


def test_the_asynchronous_one_replies_before_submit_returns():
    class Kept:
        cancelled = False
        outputs = None

        def done(self, outputs=None, tokens=None, reported=None):
            self.outputs = outputs

    backend, reply = NullAsyncBackend(), Kept()
    compiled = backend.compile(_artifact(), NullOptions(zeros=True))
    assert backend.submit(compiled, Batch(inputs={}, size=2), reply) is None
    assert reply.outputs["logits"].shape == (2, 10)

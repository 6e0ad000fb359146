"""What tests ask of a worker: a model that is only a name, and a few numbers."""

from __future__ import annotations

import numpy as np

from bytemlperf.artifact import ModelArtifact
from bytemlperf.sample import BatchSet
from bytemlperf.scenarios import Plan, Warmup
from bytemlperf.spec import DType, Format, Framework, ModelSpec, TensorSpec
from bytemlperf.worker import Series, Watch
from bytemlperf.workload import Limits

NO_WARMUP = Warmup(max_queries=0)

SPEC = ModelSpec(
    name="doubling-onnx-fp32",
    framework=Framework.ONNX,
    format=Format.ONNX,
    inputs=(TensorSpec(name="x", shape=("batch", 3), dtype=DType.FLOAT32),),
    outputs=(TensorSpec(name="y", shape=("batch", 3), dtype=DType.FLOAT32),),
)
ARTIFACT = ModelArtifact(spec=SPEC, format=Format.ONNX, path="model.onnx")


def batches(count=4, size=2, **inputs):
    """`count` batches with `x` from 0 up, in memory."""
    x = np.arange(count * size * 3, dtype=np.float32).reshape(count, size, 3)
    samples = np.arange(count * size).reshape(count, size)
    return BatchSet(inputs={"x": x, **inputs}, size=size, padding=np.zeros(count, np.int64), samples=samples)


def series(queries=8, *, clients=1, warmup=NO_WARMUP, keep=False, asked=None):
    asked = asked or batches()
    plan = Plan(batch=np.arange(queries) % len(asked), clients=clients, warmup=warmup)
    return Series(plan=plan, batches=asked, keep=keep, step="test")


def watch(*, cancel=None, progress=None, ends_s=None, **limits):
    """Limits that a loaded machine does not reach, but for those that are given."""
    return Watch(limits=Limits(**limits), cancel=cancel, progress=progress, ends_s=ends_s)

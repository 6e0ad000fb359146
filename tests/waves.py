"""A model whose answers anyone can compute, `y[j] = cos(sum(x) + j / 10)`, and jobs of it that take little time.

The backends of `bytemlperf.testing` answer exactly that; the file is a real ONNX model.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from bytemlperf import ArrayLoader, FixedBatch, Limits, Warmup, run, zoo

FAULTY = "bytemlperf.testing:FaultyBackend"
ECHO = "bytemlperf.testing:EchoBackend"
SLEEP = "bytemlperf.testing:SleepBackend"
ITERATIONS = 20


def wave_model(path, *, operator="Cos", domain=""):
    """Write the model, its last operator perhaps another one; its first axis is the batch's."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["total"], keepdims=1),
        helper.make_node("Add", ["total", "steps"], ["shifted"]),
        helper.make_node(operator, ["shifted"], ["y"], domain=domain),
    ]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("x", "y")]
    weights = [
        helper.make_tensor("axes", TensorProto.INT64, (1,), [1]),
        helper.make_tensor("steps", TensorProto.FLOAT, (1, 3), [0.0, 0.1, 0.2]),
    ]
    graph = helper.make_graph(nodes, "waves", tensors[:1], tensors[1:], weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.chip", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def waves(folder):
    """An artifact of the model."""
    return zoo.from_onnx(wave_model(folder / "waves.onnx"))


def samples(count=12):
    """Inputs, and what the model says of them."""
    x = np.random.default_rng(5).standard_normal((count, 3)).astype(np.float32)
    return x, np.cos(x.sum(axis=1, keepdims=True) + np.array([0, 0.1, 0.2]))


def labelled(count=12, *, wrong=0):
    """The samples with the class that the model gives them, but for the first `wrong`."""
    x, y = samples(count)
    labels = y.argmax(axis=1)
    labels[:wrong] = (labels[:wrong] + 1) % 3
    return ArrayLoader(x=x, labels=labels, metric="top1")


def load(*, clients=1, iterations=ITERATIONS, warmup=0):
    return FixedBatch(clients=clients, iterations=iterations, warmup=Warmup(max_queries=warmup))


def evaluate(artifact, backend=FAULTY, **fields):
    """Run a job that only times, two batch sizes, unless it is told otherwise."""
    limits = fields.pop("limits", Limits(grace_s=10.0))
    chosen = {"checks": ["performance"], "batch_sizes": [1, 4], "scenarios": [load()], **fields}
    return run(artifact, backend=backend, limits=limits, **chosen)


def codes(report):
    return [str(failure.code) for failure in report.failures]


def keys(report, kind="performance"):
    """Batch sizes of the rows of one kind."""
    return [row.batch_size for row in report.rows if row.kind == kind]

"""Models that know the answers to every sample of a data set by heart: references whose figures are known.

A sample is recognised by a weighted sum of one of its inputs; what is answered lies in a table.
"""

from __future__ import annotations

import json

import attrs
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bytemlperf.artifact import digest_of
from bytemlperf.datasets import open_dataset
from bytemlperf.datasets.axes import sample_shape, split_samples
from bytemlperf.testing import OracleBackend, OracleOptions
from bytemlperf.workload import DatasetRequest

TELLING = {"image", "images", "input_ids", "input_token", "numbers"}
"""Inputs that differ from sample to sample."""
FINE = 1000.0
"""Steps of 1 in which inputs that are no whole numbers are told apart."""


def oracle_options(published, rate):
    """What an oracle is told that plants errors in such a share of the units; more of them are among fewer's others."""
    return {
        "dataset": published.dataset, "dataset_options": json.dumps(published.options), "error_rate": rate,
    }  # fmt: skip


def loader_of(published):
    return open_dataset(DatasetRequest(name=published.dataset, options=published.options), published.spec)


def memory(path, published, rate, *, changed=None):
    """Return an ONNX model that answers as an oracle with such a share of errors does.

    Args:
        path: Of the file that is written.
        published: Data on disk.
        rate: Share of errors.
        changed: Takes the number of a sample and its outputs by name, and returns others.
    """
    loader, spec = loader_of(published), published.spec
    options = OracleOptions(seed=0, **oracle_options(published, rate))
    answers = OracleBackend().compile(published.artifact, options).handle.answers
    rows = [answers.of(index) for index in range(len(loader))]
    rows = rows if changed is None else [changed(index, row) for index, row in enumerate(rows)]
    known = next(each for each in spec.inputs if each.name in TELLING)
    samples = split_samples(np.asarray(loader.load(range(len(loader)))[known.name]), known, samples=len(loader))
    weights = np.random.default_rng(1).integers(1, 1 << 40, samples[0].size)
    keys = _whole(samples.reshape(len(loader), -1)) @ weights
    model = helper.make_model(
        helper.make_graph(_nodes(known, spec.outputs), "memory", *_ends(spec), _constants(weights, keys, spec, rows)),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, path)
    return attrs.evolve(published.artifact, path=path, sha256=digest_of(path))


def _whole(rows):
    return (
        rows.astype(np.int64) if rows.dtype.kind in "iu" else np.floor(rows.astype(np.float32) * FINE).astype(np.int64)
    )


def _nodes(known, outputs):
    whole = [helper.make_node("Cast", [known.name], ["whole"], to=TensorProto.INT64)]
    if known.dtype.is_float:
        whole = [
            helper.make_node("Mul", [known.name, "fine"], ["scaled"]),
            helper.make_node("Floor", ["scaled"], ["floor"]),
            helper.make_node("Cast", ["floor"], ["whole"], to=TensorProto.INT64),
        ]
    found = [
        helper.make_node("Flatten", ["whole"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["key"]),
        helper.make_node("Equal", ["key", "keys"], ["same"]),
        helper.make_node("Cast", ["same"], ["matching"], to=TensorProto.INT32),
        helper.make_node("ArgMax", ["matching"], ["place"], axis=1, keepdims=0),
    ]
    given = []
    for each in outputs:
        if each.batch_axis == 0:
            given.append(helper.make_node("Gather", [f"table {each.name}", "place"], [each.name], axis=0))
        else:  # samples are on the last axis
            given.append(helper.make_node("Gather", [f"table {each.name}", "place"], [f"{each.name} of each"], axis=0))
            given.append(helper.make_node("Transpose", [f"{each.name} of each"], [each.name], perm=[1, 0]))
    return [*whole, *found, *given]


def _ends(spec):
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    return tuple(
        [helper.make_tensor_value_info(each.name, kinds[str(each.dtype)], list(map(str, each.shape))) for each in side]
        for side in (spec.inputs, spec.outputs)
    )


def _constants(weights, keys, spec, rows):
    arrays = {"weights": weights[:, np.newaxis], "keys": keys[np.newaxis], "fine": np.array(FINE, np.float32)}
    for each in spec.outputs:
        empty = np.zeros(sample_shape(each))
        arrays[f"table {each.name}"] = np.concatenate([row.get(each.name, empty) for row in rows]).astype(np.float32)
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]

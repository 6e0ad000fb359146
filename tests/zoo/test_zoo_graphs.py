"""Exported graphs are the recorded ones: no upgrade of a library changes a benchmark unseen."""

from __future__ import annotations

import re

import onnx
import pytest
import torch

from bytemlperf import zoo
from bytemlperf.conversion.onnx_digest import graph_digest
from bytemlperf.conversion.torch_onnx import export_onnx
from bytemlperf.registry import load
from bytemlperf.spec import Framework
from bytemlperf.zoo.graphs import recorded_graphs

QUICK = ("conv-group-128x56-onnx-fp32", "digits-resnet-onnx-fp32", "transformer-encoder-64-onnx-fp32")
OURS = [name for name in recorded_graphs() if zoo.get(name).framework is Framework.ONNX]


def exported(spec, path):
    torch.manual_seed(1)  # the weights' values are no part of the graph
    export_onnx(load(spec.recipe.architecture)(**spec.recipe.config), spec, path)
    return path


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in recorded_graphs()]
)
def test_the_exported_graph_is_the_recorded_one(name, tmp_path):
    spec, recorded = zoo.get(name), recorded_graphs()[name]

    assert graph_digest(exported(spec, tmp_path / "model.onnx")) == recorded.sha256
    assert spec.recipe.version == recorded.version


def test_every_onnx_model_of_these_is_recorded():
    expected = {name for name in zoo.names(framework="onnx") if not name.startswith(("good", "my"))}

    assert expected == set(recorded_graphs())
    assert all(re.fullmatch("[0-9a-f]{64}", each.sha256) for each in recorded_graphs().values())


def test_weights_do_not_count_and_operators_do(tmp_path):
    spec = zoo.get("digits-resnet-onnx-fp32")
    path = exported(spec, tmp_path / "model.onnx")
    before, model = graph_digest(path), onnx.load(path)

    weight = next(each for each in model.graph.initializer if len(each.dims) == 4)
    weight.raw_data = bytes(len(weight.raw_data))
    onnx.save(model, path)
    assert graph_digest(path) == before

    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Sigmoid"
    onnx.save(model, path)
    assert graph_digest(path) != before

"""Work, operators and bytes of a model, counted from its graph, against torch's counter and published figures."""

from __future__ import annotations

import attrs
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch.utils.flop_counter import FlopCounterMode

from bytemlperf import graph, zoo
from bytemlperf.artifact import ModelArtifact
from bytemlperf.conversion import convert
from bytemlperf.errors import ArtifactError, SpecError
from bytemlperf.registry import load
from bytemlperf.spec import Format, Framework, ModelSpec, TensorSpec

# Published: He et al. and torchvision for ResNet-50 (4.09 GMACs), arXiv:2103.14030 for Swin-L at 384 (103.9), the
# documentation of YOLOv5 for YOLOv5s (16.5 GFLOPs).
PUBLISHED_GMACS = {"resnet50-torch-fp32": 4.09, "swin-large-torch-fp32": 103.9, "yolov5-onnx-fp32": 16.5 / 2}
SMALL = {
    "yolov5-onnx-fp32": {"depth": 0.33, "width": 0.25, "num_classes": 80},
    "gru-128x64-onnx-fp32": {"input_size": 128, "hidden_size": 128},
    "lstm-128x64-onnx-fp32": {"input_size": 128, "hidden_size": 128},
    "transformer-decoder-64-onnx-fp32": {"channels": 768, "heads": 12, "inner": 96},
    "conv-group-1024x7-onnx-fp32": {"in_channels": 1024, "channels": 1024, "kernel": 3, "groups": 32},
    "conv-depthwise-960x7-onnx-fp32": {"in_channels": 960, "channels": 960, "kernel": 3, "groups": 960},
}


def counted_by_torch(spec: ModelSpec, batch_size: int) -> float:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = load(spec.recipe.architecture)(**spec.recipe.config)
        module(*(torch.empty(each.sized(batch_size), dtype=getattr(torch, each.dtype)) for each in spec.inputs))
    return counter.get_total_flops()


def onnx_artifact(path, nodes, inputs, outputs, weights=()) -> ModelArtifact:
    def declared(shapes):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    tensors = [helper.make_tensor(name, TensorProto.FLOAT, shape, [0.5] * size) for name, shape, size in weights]
    made = helper.make_graph(nodes, "g", declared(inputs), declared(outputs), initializer=tensors)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)]), path)
    spec = ModelSpec(
        name="made-onnx-fp32",
        framework=Framework.ONNX,
        format=Format.ONNX,
        inputs=tuple(TensorSpec(name=name, shape=shape, dtype="float32") for name, shape in inputs.items()),
        outputs=tuple(TensorSpec(name=name, shape=shape, dtype="float32") for name, shape in outputs.items()),
    )
    return ModelArtifact(spec=spec, format=Format.ONNX, path=path)


@pytest.mark.parametrize("name", PUBLISHED_GMACS)
def test_the_work_of_a_recipe_is_the_published_one(name):
    spec = zoo.get(name)

    cost = graph.recipe_cost(spec)

    assert cost.macs / 1e9 == pytest.approx(PUBLISHED_GMACS[name], rel=0.015)
    assert cost.weight_bytes == 4 * spec.parameters


QUICK = ("conv-group-1024x7-onnx-fp32", "transformer-decoder-64-onnx-fp32")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]
)
def test_an_exported_graph_has_the_work_that_torch_counts(name, tmp_path):
    spec = zoo.get(name)
    spec = attrs.evolve(spec, recipe=attrs.evolve(spec.recipe, config=SMALL[name]), parameters=None)
    artifact = zoo.resolve(spec, weights="random", cache=tmp_path)

    for batch_size in (1, 3):
        cost = graph.cost(artifact, batch_size=batch_size)
        if "x64" in name and name.startswith(("gru", "lstm")):  # torch counts no recurrent layer
            gates, size, steps = {"gru": 3, "lstm": 4}[name.split("-")[0]], 128, 64
            assert cost.macs == batch_size * steps * gates * 2 * size * size
        else:
            assert cost.flops == counted_by_torch(spec, batch_size)
        assert cost.batch_size == batch_size


def test_a_torch_artifact_is_counted_as_its_recipe(tmp_path):
    artifact = zoo.resolve("digits-resnet-torch-fp32", cache=tmp_path)

    assert graph.cost(artifact, batch_size=4) == graph.recipe_cost(artifact.spec, batch_size=4)
    exported = convert(artifact, frozenset({Format.ONNX}), folder=tmp_path / "converted")
    assert graph.cost(exported, batch_size=4).macs == graph.cost(artifact, batch_size=4).macs


def test_operators_bytes_and_weights_are_those_of_a_graph_worked_out_by_hand(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "filters"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Relu", ["r"], ["y"]),
    ]
    artifact = onnx_artifact(
        tmp_path / "m.onnx",
        nodes,
        {"x": ("batch", 3, 5, 4)},
        {"y": ("batch", 2, 5, 4)},
        [("filters", (2, 3, 3, 3), 54)],
    )

    cost = graph.cost(artifact, batch_size=2)

    assert cost.layers == {"Conv": 1, "Relu": 2}
    assert cost.macs == (2 * 2 * 5 * 4) * (3 * 3 * 3)
    assert cost.flops == 2 * cost.macs
    assert cost.weight_bytes == 4 * 54
    by_kind = {each.kind: each for each in cost.operators}
    assert by_kind["Conv"].bytes == 4 * (2 * 3 * 5 * 4 + 54 + 2 * 2 * 5 * 4)
    assert by_kind["Relu"].bytes == 2 * 4 * 2 * (2 * 2 * 5 * 4)
    assert cost.bytes == sum(each.bytes for each in cost.operators)


@pytest.mark.parametrize(
    ("node", "inputs", "output", "macs"),
    [
        (helper.make_node("MatMul", ["a", "b"], ["y"]), {"a": ("batch", 3, 4), "b": ("batch", 4, 5)}, (3, 5), 60),
        (helper.make_node("Gemm", ["a", "b"], ["y"], transA=1), {"a": (4, 3), "b": (4, 5)}, (5,), 60),
        (helper.make_node("ConvTranspose", ["a", "b"], ["y"]), {"a": ("batch", 3, 4, 4), "b": (3, 2, 3, 3)}, (2,), 864),
        (helper.make_node("Add", ["a", "b"], ["y"]), {"a": ("batch", 3), "b": ("batch", 3)}, (3,), 0),
    ],
    ids=["MatMul", "Gemm", "ConvTranspose", "Add"],
)
def test_each_formula_gives_what_is_worked_out_by_hand(node, inputs, output, macs, tmp_path):
    artifact = onnx_artifact(tmp_path / "m.onnx", [node], inputs, {"y": ("batch", *output)})

    assert graph.cost(artifact).macs == macs


def test_a_graph_within_an_operator_is_named_as_uncounted(tmp_path):
    inner = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["t"])],
        "i",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)],
    )
    condition = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("v", TensorProto.BOOL, [], [True]))
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    artifact = onnx_artifact(tmp_path / "m.onnx", [condition, node], {"x": ("batch", 3)}, {"y": ("batch", 3)})

    cost = graph.cost(artifact)

    assert cost.uncounted == ("If",)
    assert cost.layers == {"If": 1}


def test_what_cannot_be_counted_is_refused(tmp_path):
    spec = zoo.get("digits-resnet-torch-fp32")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")

    with pytest.raises(ArtifactError, match="cannot be counted"):
        graph.cost(ModelArtifact(spec=spec, format=Format.SAVED_MODEL, path=tmp_path))
    with pytest.raises(ArtifactError, match="cannot be read"):
        graph.cost(ModelArtifact(spec=spec, format=Format.ONNX, path=broken))
    with pytest.raises(SpecError, match="batch size"):
        graph.recipe_cost(spec, batch_size=0)
    with pytest.raises(SpecError, match="no recipe"):
        graph.recipe_cost(attrs.evolve(spec, recipe=None))
    with pytest.raises(ArtifactError, match="cannot be counted"):
        graph.recipe_cost(attrs.evolve(spec, inputs=()))

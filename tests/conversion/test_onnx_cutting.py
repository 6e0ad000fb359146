"""A model cut into prefixes: each gives what the whole model has inside, and takes only the weights that it needs."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tests.residual import residual
from tests.tiny_models import conv_artifact

from bytemlperf import zoo
from bytemlperf.conversion.onnx_cutting import OnnxCuts
from bytemlperf.errors import ConversionError

IMAGE = np.random.default_rng(3).standard_normal((2, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return residual(tmp_path_factory.mktemp("residual"))


@pytest.fixture(scope="module")
def inside(model):
    """Every tensor of the whole model, by an independent way: all of them as outputs of one session."""
    whole = onnx.load(model.path)
    del whole.graph.output[:]
    names = [name for node in whole.graph.node for name in node.output]
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(None, {"image": IMAGE}), strict=True))


def answers(artifact):
    session = onnxruntime.InferenceSession(str(artifact.path), providers=["CPUExecutionProvider"])
    names = [tensor.file_name for tensor in artifact.spec.outputs]
    return dict(zip(names, session.run(names, {"image": IMAGE}), strict=True))


def test_every_cut_gives_what_the_whole_model_has_there(model, inside, tmp_path):
    cuts = OnnxCuts(model, batch_size=2)
    for count in range(1, len(cuts.operators) + 1):
        tensors = cuts.live_after(count)
        cut = cuts.cut(tensors, tmp_path / str(count))
        onnx.checker.check_model(str(cut.path), full_check=True)
        found = answers(cut)
        for spec, name in zip(cut.spec.outputs, tensors, strict=True):
            np.testing.assert_allclose(found[name], inside[name], rtol=1e-4, atol=1e-5)
            assert spec.shape == found[name].shape
        assert cut.spec.inputs == model.spec.inputs


def test_a_shortcut_stays_alive_beside_the_branch(model):
    cuts = OnnxCuts(model, batch_size=2)
    place = [operator.outputs[0] for operator in cuts.operators].index("block1_relu") + 1
    assert cuts.live_after(place) == ("block0_out", "block1_relu")
    assert cuts.live_after(len(cuts.operators)) == ("logits",)


def test_weights_that_a_prefix_does_not_need_go(model, tmp_path):
    cut = OnnxCuts(model, batch_size=2).cut(["stem_relu"], tmp_path)
    assert {each.name for each in onnx.load(cut.path).graph.initializer} == {"scale", "stem.w"}
    assert cut.derived_from == model.sha256
    assert cut.sha256 not in {"", model.sha256}


def test_operators_are_named_as_the_file_names_them(model):
    first, second, *_ = OnnxCuts(model, batch_size=2).operators
    assert (str(first), str(second)) == ("Mul '/scaled/Mul'", "Conv '/stem/Conv'")
    assert (second.inputs, second.outputs) == (("scaled",), ("stem",))


def test_weights_in_another_file_go_along(tmp_path, inside):
    model = residual(tmp_path, external=True)
    cut = OnnxCuts(model, batch_size=2).cut(["block0_out"], tmp_path / "cut")
    np.testing.assert_allclose(answers(cut)["block0_out"], inside["block0_out"], rtol=1e-4, atol=1e-5)
    assert (tmp_path / "cut" / "weights.bin").is_file()


def branching(path):
    """What does not depend on the input, a branch that looks outside itself, and a sequence."""
    value = helper.make_tensor_value_info
    then = helper.make_graph(
        [helper.make_node("Add", ["twice", "x"], ["inner"])], "then", [], [value("inner", TensorProto.FLOAT, None)]
    )
    otherwise = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["other"])], "else", [], [value("other", TensorProto.FLOAT, None)]
    )
    nodes = [
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Sqrt", ["two"], ["root"]),
        helper.make_node("Mul", ["x", "root"], ["twice"]),
        helper.make_node("SequenceConstruct", ["twice", "x"], ["both"]),
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "root"], ["large"]),
        helper.make_node("If", ["large"], ["chosen"], then_branch=then, else_branch=otherwise),
        helper.make_node("ConcatFromSequence", ["both"], ["joined"], axis=0),
        helper.make_node("Concat", ["chosen", "joined"], ["y"], axis=0),
    ]
    graph = helper.make_graph(
        nodes, "branching", [value("x", TensorProto.FLOAT, [2, 3])], [value("y", TensorProto.FLOAT, [6, 3])]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return zoo.from_onnx(path, batch_axis=None)


def test_constants_branches_and_sequences_are_understood(tmp_path):
    cuts = OnnxCuts(branching(tmp_path / "branching.onnx"), batch_size=1)
    kinds = [operator.kind for operator in cuts.operators]
    assert kinds == ["Mul", "SequenceConstruct", "ReduceSum", "Greater", "If", "ConcatFromSequence", "Concat"]
    assert set(cuts.operators[4].inputs) == {"large", "twice", "x"}
    assert cuts.live_after(2) == ("twice",)  # the sequence is no array
    cut = cuts.cut(["chosen"], tmp_path / "cut")
    x = np.ones((2, 3), np.float32)
    session = onnxruntime.InferenceSession(str(cut.path), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["chosen"], {"x": x})[0], x * (1 + 2**0.5), rtol=1e-6)


def test_an_input_is_handed_on_as_it_is(model, tmp_path):
    cut = OnnxCuts(model, batch_size=2).cut(["image"], tmp_path / "cut")
    (found,) = answers(cut).values()
    assert np.array_equal(found, IMAGE)
    assert cut.spec.outputs[0].name == "t0"
    onnx.checker.check_model(onnx.load(cut.path), full_check=True)
    assert not onnx.load(cut.path).graph.initializer


def test_what_cannot_be_cut_is_refused(model, tmp_path):
    with pytest.raises(ConversionError, match="what no operator makes"):
        OnnxCuts(model, batch_size=2).cut(["nothing"], tmp_path)
    with pytest.raises(ConversionError, match="cannot be cut"):
        OnnxCuts(conv_artifact(tmp_path), batch_size=2)

"""Faults planted in the middle of a model by someone who had not read the checks: the right operator is named.

Or none, where the fault lies beside the model. What should be said was written down before the first of them was run.
"""

from __future__ import annotations

import attrs
import numpy as np
import onnx
import pytest
from tests.evaluation import planted, planted_graphs
from tests.evaluation.planted import Planted
from tests.evaluation.planted_graphs import Edited, Kernels
from tests.evaluation.test_planted_faults import DIGITS, FAULTS, first, judge
from tests.waves import codes

from bytemlperf import Acceptance, Format, ModelSpec, Recipe, TensorSpec, zoo
from bytemlperf.conversion import convert
from bytemlperf.report import Outcome
from bytemlperf.spec import Framework


def takes(weight):
    """The operator that takes a weight, as a failure names it."""
    artifact = zoo.resolve(zoo.get(DIGITS))
    (node,) = [node for node in onnx.load(artifact.path).graph.node if weight in node.input]
    return f"{node.op_type} {node.name!r}"


def nth(kind, number):
    nodes = [node for node in onnx.load(zoo.resolve(zoo.get(DIGITS)).path).graph.node if node.op_type == kind]
    return f"{kind} {nodes[number].name!r}"


GRAPHS = {
    # name: (edit, code, the operator that is to be named)
    "bias of a convolution": (
        planted_graphs.bias("layer2.0.conv2"),
        "numeric_mismatch",
        lambda: takes("layer2.0.conv2.weight"),
    ),
    "channels of the first convolution": (
        planted_graphs.channels("conv1"),
        "numeric_mismatch",
        lambda: takes("conv1.weight"),
    ),
    "channels that a convolution takes": (
        planted_graphs.channels_taken("layer2.1.conv2"),
        "numeric_mismatch",
        lambda: takes("layer2.1.conv2.weight"),
    ),
    "channels of a side branch": (
        planted_graphs.channels("layer2.0.downsample.0"),
        "numeric_mismatch",
        lambda: takes("layer2.0.downsample.0.weight"),
    ),
    "classes of the head": (planted_graphs.channels("fc"), "numeric_mismatch", lambda: takes("fc.weight")),
    "one weight": (
        planted_graphs.one_weight("layer2.0.conv1"),
        "numeric_mismatch",
        lambda: takes("layer2.0.conv1.weight"),
    ),
    "two convolutions": (
        planted_graphs.both(planted_graphs.channels("layer2.1.conv1"), planted_graphs.channels("layer1.1.conv2")),
        "numeric_mismatch",
        lambda: takes("layer1.1.conv2.weight"),
    ),
    "a shortcut": (planted_graphs.turned_shortcut, "numeric_mismatch", lambda: nth("Add", 1)),
    "a fusion": (planted_graphs.wrongly_fused, "numeric_mismatch", lambda: nth("Relu", 4)),
    "kept in float16": (planted_graphs.through_half(scale=1), "numeric_mismatch", lambda: nth("Conv", 2)),
    "saturated": (
        planted_graphs.through_half(scale=4e4, saturates=True),
        "numeric_mismatch",
        lambda: nth("Conv", 2),
    ),
    "overflowing": (planted_graphs.through_half(scale=3e5), "non_finite", lambda: nth("Conv", 2)),
    "weights in float16": (
        planted_graphs.all_weights(planted_graphs.in_float16),
        "numeric_mismatch",
        lambda: takes("conv1.weight"),
    ),
    "seen in the whole graph alone": (
        planted_graphs.of_the_whole(planted_graphs.channels("layer1.1.conv1")),
        "numeric_mismatch",
        lambda: None,
    ),
}
QUICK = ("bias of a convolution", "channels of the first convolution", "a shortcut")


@pytest.mark.parametrize(
    "fault", [pytest.param(each, marks=[pytest.mark.slow] * (each not in QUICK)) for each in GRAPHS]
)
def test_of_a_fault_in_the_graph_the_operator_is_named(fault):
    edit, code, operator = GRAPHS[fault]
    report = judge(Edited(edit), checks=["numeric"], batch_sizes=[4], acceptance=Acceptance())
    failure = first(report, code)
    assert failure.operator == operator()
    assert failure.step.startswith("numeric/batch=4/")


@pytest.mark.parametrize(
    "fault",
    ["1 % too large", pytest.param("drifting", marks=pytest.mark.slow), pytest.param("late", marks=pytest.mark.slow)],
)
def test_of_a_fault_beside_the_graph_no_operator_is_named(fault):
    report = judge(
        FAULTS[fault][0](), checks=["numeric"], batch_sizes=[2], acceptance=Acceptance(), numeric_samples=360
    )
    assert report.verdict.outcome is Outcome.FAIL
    assert [failure.operator for failure in report.failures] == [None] * len(report.failures)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "operator"),
    [
        (planted_graphs.swapped_convolution, "Conv2d 'layer2.0.conv1'"),
        (planted_graphs.products_in_bfloat16, "Conv2d 'conv1'"),
    ],
)
def test_of_a_kernel_of_torch_the_submodule_is_named(kernel, operator):
    report = judge(
        Kernels(kernel), "digits-resnet-torch-fp32", checks=["numeric"], batch_sizes=[4], acceptance=Acceptance()
    )
    assert first(report, "numeric_mismatch").operator == operator


LENGTH, MASK = 12, "attention_mask"
CONFIG = {
    "vocab_size": 600,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}


def tokens(name, high, valid=None):
    return TensorSpec(name=name, shape=("batch", LENGTH), dtype="int64", high=high, valid=valid)


BERT = ModelSpec(
    name="small-bert-torch-fp32",
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=(tokens("input_ids", 600, MASK), tokens(MASK, 2), tokens("token_type_ids", 2, MASK)),
    outputs=tuple(
        TensorSpec(name=f"{end}_logits", shape=("batch", LENGTH), dtype="fp32", valid=MASK) for end in ("start", "end")
    ),
    recipe=Recipe(architecture="bytemlperf.zoo.architectures.bert_torch:build", config=CONFIG),
)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A BERT of two layers in ONNX, as spec and path."""
    folder = tmp_path_factory.mktemp("bert")
    made = convert(zoo.resolve(BERT, weights="random"), frozenset({Format.ONNX}), folder=folder)
    spec = attrs.evolve(BERT, name="small-bert-onnx-fp32", framework=Framework.ONNX, format=Format.ONNX, recipe=None)
    return spec, str(made.path)


def answer(bert, backend, **fields):
    spec, path = bert
    chosen = {"checks": ["numeric", "performance"], "batch_sizes": [4], "weights": path, **fields}
    return judge(backend, spec, **chosen)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(lambda: planted.Inputs(lambda name, array: array * 0 + 1 if name == MASK else array), id="mask"),
        pytest.param(lambda: planted.Inputs(lambda name, array: array * (name != "token_type_ids")), id="types"),
        pytest.param(lambda: planted.Inputs(lambda _, array: array & 255), id="ids in 8 bits"),
        pytest.param(lambda: Planted(planted.every(lambda array: np.roll(array, -1, axis=1))), id="shifted"),
        pytest.param(lambda: Planted(planted.exchanged), id="start for end"),
    ],
)
def test_what_a_language_model_loses_is_seen_and_no_operator_is_blamed(bert, backend):
    failure = first(answer(bert, backend(), acceptance=Acceptance()), "numeric_mismatch")
    assert failure.step.startswith("numeric/batch=4/")
    assert failure.operator is None
    told = ("in how inputs are handed in or answers out", "answers right", "a prefix of the model could not be run")
    assert any(words in failure.message for words in told)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [planted.nan_where_masked, planted.in_another_order])
def test_what_counts_for_nothing_in_a_language_model_passes(bert, fault):
    report = answer(bert, Planted(fault))
    assert codes(report) == []


@pytest.mark.slow
def test_of_two_heads_in_the_wrong_order_the_operator_is_named(bert):
    report = answer(bert, Edited(planted_graphs.heads), acceptance=Acceptance())
    failure = first(report, "numeric_mismatch")
    nodes = onnx.load(bert[1]).graph.node
    joins = [node.name for node in nodes if node.op_type == "Transpose" and "attention" in node.input[0]]
    assert failure.operator == f"Transpose {joins[1]!r}"


@pytest.mark.slow
def test_of_two_heads_in_the_wrong_order_in_torch_the_attention_is_named():
    report = judge(
        Kernels(planted_graphs.swapped_heads),
        BERT,
        weights="random",
        checks=["numeric"],
        batch_sizes=[4],
        acceptance=Acceptance(),
    )
    failure = first(report, "numeric_mismatch")
    assert failure.operator.startswith("scaled_dot_product_attention 'bert.encoder.layer.1.attention.self")

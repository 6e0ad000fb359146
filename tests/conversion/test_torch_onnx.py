"""The exported graph is the module, under the original's names, at every batch size."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from tests.tiny_models import model_spec, spec_of_conv, trained_conv, wide_and_deep, wide_and_deep_spec
from torch import nn

from bytemlperf.conversion.examples import example_inputs
from bytemlperf.conversion.torch_module import torch_artifact_module
from bytemlperf.conversion.torch_onnx import OPSET, export_onnx
from bytemlperf.errors import ConversionError


@pytest.fixture(scope="module")
def conv(tmp_path_factory):
    path = tmp_path_factory.mktemp("conv") / "model.onnx"
    export_onnx(trained_conv(), spec_of_conv(), path)
    return path


@pytest.fixture(scope="module")
def widedeep(tmp_path_factory):
    path = tmp_path_factory.mktemp("widedeep") / "model.onnx"
    export_onnx(torch_artifact_module(wide_and_deep()), wide_and_deep_spec(), path)
    return path


def _axes(value):
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def _run(path, feed):
    graph = onnx.load(path).graph
    answers = ReferenceEvaluator(str(path)).run(None, feed)
    return {value.name: answer for value, answer in zip(graph.output, answers, strict=True)}


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_reference_evaluator_agrees_with_the_module_at_any_batch_size(conv, rng, size):
    image = rng.standard_normal((size, 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = trained_conv()(torch.tensor(image)).numpy()
    np.testing.assert_allclose(_run(conv, {"image": image})["out.logits:0"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_axes_that_are_multiples_of_the_batch_stay_dynamic(widedeep, size):
    spec = wide_and_deep_spec()
    inputs = example_inputs(spec, size, seed=size)
    with torch.no_grad():
        expected = torch_artifact_module(wide_and_deep())(*(torch.tensor(array) for array in inputs.values()))
    found = _run(widedeep, {tensor.file_name: inputs[tensor.name] for tensor in spec.inputs})
    np.testing.assert_allclose(found["score:0"], expected["score:0"].numpy(), rtol=1e-5)
    assert np.array_equal(found["kept:0"], expected["kept:0"].numpy())
    assert np.array_equal(found["is_long"], expected["is_long"].numpy())


def test_tensors_have_the_originals_names_and_the_specs_axes(widedeep):
    graph = onnx.load(widedeep).graph
    assert {value.name: _axes(value) for value in graph.input} == {
        "new_categorical:0": ["26*batch", 2],
        "mask": ["batch", 7],
        "scale": [5],
    }
    assert {value.name: _axes(value) for value in graph.output} == {
        "score:0": ["batch"],
        "kept:0": ["batch"],
        "is_long": ["batch"],
    }


def test_weights_keep_their_names(conv, widedeep):
    assert {"conv.weight", "head.weight", "head.bias"} <= {each.name for each in onnx.load(conv).graph.initializer}
    assert {"table.weight", "head.weight"} <= {each.name for each in onnx.load(widedeep).graph.initializer}


def test_the_operators_version_is_fixed(conv):
    assert [(each.domain, each.version) for each in onnx.load(conv).opset_import] == [("", OPSET)]


def test_nothing_in_the_file_tells_where_it_was_made(conv):
    model = onnx.load(conv)
    noted = [model, model.graph, *model.graph.node, *model.graph.input, *model.graph.value_info, *model.graph.output]
    assert all(not each.doc_string and not each.metadata_props for each in noted)
    assert b"tiny_models" not in conv.read_bytes()


def test_the_same_module_gives_the_same_bytes(conv, tmp_path):
    export_onnx(trained_conv(), spec_of_conv(), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == conv.read_bytes()


def test_exporting_says_nothing(tmp_path, capfd, caplog, recwarn):
    before = logging.getLogger("torch.onnx").level
    export_onnx(trained_conv(), spec_of_conv(), tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")
    assert [each for each in caplog.records if each.levelno > logging.DEBUG] == []
    assert not recwarn.list
    assert logging.getLogger("torch.onnx").level == before


def test_large_weights_go_into_a_file_beside_the_graph(tmp_path, rng):
    path = tmp_path / "model.onnx"
    export_onnx(trained_conv(), spec_of_conv(), path, external_from_bytes=1)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    image = rng.standard_normal((3, 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = trained_conv()(torch.tensor(image)).numpy()
    np.testing.assert_allclose(_run(path, {"image": image})["out.logits:0"], expected, rtol=1e-4, atol=1e-5)


def test_a_half_precision_module_is_exported_in_half_precision(tmp_path):
    export_onnx(trained_conv().half(), spec_of_conv(), tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    kinds = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert kinds == {onnx.TensorProto.FLOAT16}


class _Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(2, 3) * 2


class _Constant(nn.Module):
    def forward(self, x):
        return x + torch.ones(2, 3)


class _BranchingOnLength(nn.Module):
    def forward(self, x):
        return x * 2 if len(x) == 2 else x


class _Branching(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class _Raising(nn.Module):
    def forward(self, x):
        raise IndexError("row 7 of 3")


SQUARE = model_spec({"x": ("batch", 3)}, {"y": ("batch", 3)})


@pytest.mark.parametrize("module", [_Fixed(), _Constant(), _BranchingOnLength()], ids=type)
def test_a_module_that_holds_for_one_batch_size_only_is_refused(tmp_path, module):
    with pytest.raises(ConversionError, match="one batch size only") as caught:
        export_onnx(module, SQUARE, tmp_path / "model.onnx")
    assert caught.value.tensor == "x"
    assert not list(tmp_path.iterdir())


def test_a_module_that_branches_on_values_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="cannot be exported"):
        export_onnx(_Branching(), SQUARE, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_module_that_raises_is_told_with_its_own_words(tmp_path):
    with pytest.raises(ConversionError, match="row 7 of 3") as caught:
        export_onnx(_Raising(), SQUARE, tmp_path / "model.onnx")
    assert isinstance(caught.value.__cause__, IndexError)


def test_an_output_of_another_shape_than_declared_is_refused(tmp_path):
    spec = model_spec({"x": ("batch", 3)}, {"y": ("batch", 4)})
    with pytest.raises(ConversionError, match=r"'y'.*\[2, 3\].*\[2, 4\]") as caught:
        export_onnx(nn.Identity(), spec, tmp_path / "model.onnx")
    assert caught.value.tensor == "y"


def test_a_module_with_fewer_outputs_than_declared_is_refused(tmp_path):
    spec = model_spec({"x": ("batch", 3)}, {"y": ("batch", 3), "z": ("batch", 3)})
    with pytest.raises(ConversionError, match="does not fit its spec"):
        export_onnx(nn.Linear(3, 3), spec, tmp_path / "model.onnx")


def test_several_threads_may_export_at_once(conv, tmp_path):
    paths = [tmp_path / f"{number}.onnx" for number in range(3)]
    modules = [trained_conv() for _ in paths]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda module, path: export_onnx(module, spec_of_conv(), path), modules, paths))
    assert {path.read_bytes() for path in paths} == {conv.read_bytes()}

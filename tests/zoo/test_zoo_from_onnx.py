"""An ONNX file becomes an artifact whose spec was read off the file."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bytemlperf import zoo
from bytemlperf.artifact import Provenance, digest_of
from bytemlperf.errors import ArtifactError, SpecError, UnknownNameError
from bytemlperf.spec import Axis, DType, Format, Framework, Purpose, TensorSpec


def _value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def _save(path, nodes, inputs, outputs, weights=(), **options):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], **options)
    model.ir_version = 9
    onnx.save(model, path)
    return path


def _linear(path, rows="N", *, declared=("N", 4), name="x"):
    weight = numpy_helper.from_array(np.ones((3, 4), np.float32), "w")
    node = helper.make_node("MatMul", [name, "w"], ["y"])
    return _save(path, [node], [_value(name, [rows, 3])], [_value("y", declared)], [weight])


def test_the_spec_is_read_off_the_file(tmp_path):
    artifact = zoo.from_onnx(_linear(tmp_path / "my model.onnx"))
    spec = artifact.spec
    assert spec.name == artifact.name == "my-model"
    assert spec.inputs == (TensorSpec(name="x", shape=("batch", 3), dtype="fp32"),)
    assert spec.outputs == (TensorSpec(name="y", shape=("batch", 4), dtype="fp32"),)
    assert (spec.framework, spec.format, spec.purpose) == (Framework.ONNX, Format.ONNX, Purpose.CUSTOM)
    assert spec.precision is DType.FLOAT32


def test_the_artifact_says_where_the_weights_come_from(tmp_path):
    file = _linear(tmp_path / "m.onnx")
    artifact = zoo.from_onnx(file, name="mine")
    assert (artifact.name, artifact.format, artifact.path) == ("mine", Format.ONNX, file)
    assert artifact.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (artifact.provenance, artifact.origin) == (Provenance.LOCAL, "m.onnx")


def test_a_relative_path_becomes_absolute(tmp_path, monkeypatch):
    _linear(tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)
    assert zoo.from_onnx("m.onnx").path == tmp_path / "m.onnx"


def test_a_fixed_batch_stays_a_number_and_is_the_only_batch_size(tmp_path):
    spec = zoo.from_onnx(_linear(tmp_path / "m.onnx", 5, declared=(5, 4))).spec
    assert (spec.inputs[0].shape, spec.outputs[0].shape, spec.batch_sizes) == ((5, 3), (5, 4), (5,))


def test_a_fixed_length_may_be_called_the_batchs(tmp_path):
    file = _linear(tmp_path / "m.onnx", 5, declared=(5, 4))
    spec = zoo.from_onnx(file, shapes={"x": ["batch", 3]}).spec
    assert (spec.inputs[0].shape, spec.outputs[0].shape, spec.batch_sizes) == ((Axis(), 3), (Axis(), 4), (5,))


def test_an_output_is_inferred_and_not_believed(tmp_path):
    spec = zoo.from_onnx(_linear(tmp_path / "m.onnx", declared=("what", "ever"))).spec
    assert spec.outputs[0].shape == (Axis(), 4)


def test_an_output_of_no_declared_shape_is_inferred(tmp_path):
    file = _linear(tmp_path / "m.onnx", declared=None)
    assert zoo.from_onnx(file).spec.outputs[0].shape == (Axis(), 4)


def test_an_axis_may_be_a_multiple_of_the_batch(tmp_path):
    shape = numpy_helper.from_array(np.array([-1, 2], np.int64), "shape")
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    file = _save(tmp_path / "m.onnx", [node], [_value("x", ["N", 26, 2])], [_value("y", ["M", 2])], [shape])
    assert zoo.from_onnx(file).spec.outputs[0].shape == (Axis("batch", 26), 2)


def test_an_input_may_be_a_multiple_of_the_batch(tmp_path):
    shape = numpy_helper.from_array(np.array([-1, 52], np.int64), "shape")
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    file = _save(tmp_path / "m.onnx", [node], [_value("x", ["N", 2])], [_value("y", ["M", 52])], [shape])
    spec = zoo.from_onnx(file, shapes={"x": ["26*batch", 2]}).spec
    assert spec.inputs[0].shape == (Axis("batch", 26), 2)
    assert spec.outputs[0].shape == (Axis(), 52)


def test_several_inputs_may_be_batched_or_not_and_are_named_as_in_the_file(tmp_path):
    inputs = [
        _value("image:0", ["N", 3]),
        _value("input_1.1", ["other", 3]),
        _value("7", [3]),
        _value("class", [], TensorProto.INT64),
    ]
    nodes = [
        helper.make_node("Add", ["image:0", "input_1.1"], ["a"]),
        helper.make_node("Mul", ["a", "7"], ["softmax_tensor:0"]),
        helper.make_node("Identity", ["class"], ["same"]),
    ]
    outputs = [_value("softmax_tensor:0", ["N", 3]), _value("same", [], TensorProto.INT64)]
    spec = zoo.from_onnx(_save(tmp_path / "m.onnx", nodes, inputs, outputs)).spec
    assert [(each.name, each.file_name, each.shape) for each in (*spec.inputs, *spec.outputs)] == [
        ("image", "image:0", (Axis(), 3)),
        ("input_1_1", "input_1.1", (Axis(), 3)),
        ("tensor_7", "7", (3,)),
        ("class_", "class", ()),
        ("softmax_tensor", "softmax_tensor:0", (Axis(), 3)),
        ("same", "same", ()),
    ]
    assert spec.inputs[3].dtype is DType.INT64


def test_initialisers_that_are_listed_as_inputs_are_weights(tmp_path):
    weight = numpy_helper.from_array(np.ones((3, 4), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    file = _save(
        tmp_path / "m.onnx", [node], [_value("w", [3, 4]), _value("x", ["N", 3])], [_value("y", ["N", 4])], [weight]
    )
    assert [each.name for each in zoo.from_onnx(file).spec.inputs] == ["x"]


def test_the_precision_is_that_of_most_weights(tmp_path):
    weights = [
        numpy_helper.from_array(np.ones((3, 4), np.float16), "w"),
        numpy_helper.from_array(np.ones(1, np.float32), "s"),
    ]
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    outputs = [_value("y", ["N", 4], TensorProto.FLOAT16)]
    artifact = zoo.from_onnx(_save(tmp_path / "m.onnx", nodes, [_value("x", ["N", 3])], outputs, weights))
    assert artifact.spec.precision is DType.FLOAT16


def test_several_free_lengths_are_asked_for(tmp_path):
    node = helper.make_node("Relu", ["tokens"], ["y"])
    file = _save(tmp_path / "m.onnx", [node], [_value("tokens", ["N", "L"])], [_value("y", ["N", "L"])])
    with pytest.raises(SpecError, match=r'shapes=\{"tokens": \["batch", 128\]\}') as caught:
        zoo.from_onnx(file)
    assert caught.value.tensor == "tokens"
    spec = zoo.from_onnx(file, shapes={"tokens": ["batch", 64]}).spec
    assert (spec.inputs[0].shape, spec.outputs[0].shape) == ((Axis(), 64), (Axis(), 64))


def test_without_a_batch_axis_every_free_length_is_asked_for(tmp_path):
    with pytest.raises(SpecError, match='"x"'):
        zoo.from_onnx(_linear(tmp_path / "m.onnx"), batch_axis=None)


def test_without_a_batch_axis_given_shapes_are_enough(tmp_path):
    spec = zoo.from_onnx(_linear(tmp_path / "m.onnx"), batch_axis=None, shapes={"x": [6, 3]}).spec
    assert (spec.inputs[0].shape, spec.outputs[0].shape) == ((6, 3), (6, 4))


def test_an_output_of_data_dependent_length_is_asked_for(tmp_path):
    node = helper.make_node("NonZero", ["x"], ["places"])
    outputs = [_value("places", [2, "found"], TensorProto.INT64)]
    file = _save(tmp_path / "m.onnx", [node], [_value("x", ["N", 3])], outputs)
    with pytest.raises(SpecError, match='"places"') as caught:
        zoo.from_onnx(file)
    assert caught.value.tensor == "places"


def test_an_output_that_grows_otherwise_than_the_batch_is_refused(tmp_path):
    node = helper.make_node("Concat", ["x", "w"], ["y"], axis=0)
    weight = numpy_helper.from_array(np.ones((1, 3), np.float32), "w")
    file = _save(tmp_path / "m.onnx", [node], [_value("x", ["N", 3])], [_value("y", ["M", 3])], [weight])
    with pytest.raises(SpecError, match="grows with the batch in a way that no spec can say"):
        zoo.from_onnx(file)


def test_operators_that_onnx_does_not_know_leave_what_the_file_says(tmp_path):
    node = helper.make_node("Mystery", ["x"], ["y"], domain="some.vendor")
    file = _save(tmp_path / "m.onnx", [node], [_value("x", ["N", 3])], [_value("y", ["N", 9])])
    assert zoo.from_onnx(file).spec.outputs[0].shape == (Axis(), 9)


def test_a_given_output_that_onnx_contradicts_is_refused(tmp_path):
    with pytest.raises(SpecError, match="contradicts what the model gives"):
        zoo.from_onnx(_linear(tmp_path / "m.onnx"), shapes={"y": ["2*batch", 4]})


@pytest.mark.parametrize("length", ["found", None])
def test_a_free_length_that_may_be_no_batch_is_asked_for(tmp_path, length):
    node = helper.make_node("FindBoxes", ["x"], ["boxes"], domain="some.vendor")
    file = _save(tmp_path / "m.onnx", [node], [_value("x", ["N", 3])], [_value("boxes", [length, 4])])
    with pytest.raises(SpecError, match="may be another than the batch") as caught:
        zoo.from_onnx(file)
    assert caught.value.tensor == "boxes"
    assert zoo.from_onnx(file, shapes={"boxes": ["100*batch", 4]}).spec.outputs[0].shape == (Axis("batch", 100), 4)


def test_an_output_of_unknown_rank_is_asked_for(tmp_path):
    node = helper.make_node("Mystery", ["x"], ["y"], domain="some.vendor")
    file = _save(tmp_path / "m.onnx", [node], [_value("x", ["N", 3])], [_value("y", None)])
    with pytest.raises(SpecError, match="'y' has no declared shape"):
        zoo.from_onnx(file)
    assert zoo.from_onnx(file, shapes={"y": ["batch", 2]}).spec.outputs[0].shape == (Axis(), 2)


def test_shapes_may_be_given_by_canonical_name(tmp_path):
    file = _linear(tmp_path / "m.onnx", name="input_1.1")
    assert zoo.from_onnx(file, shapes={"input_1_1": ["2*batch", 3]}).spec.inputs[0].shape == (Axis("batch", 2), 3)


def test_a_shape_of_an_unknown_tensor_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="'z'"):
        zoo.from_onnx(_linear(tmp_path / "m.onnx"), shapes={"z": ["batch", 3]})


def test_shapes_of_different_batch_sizes_are_refused(tmp_path):
    node = helper.make_node("Concat", ["a", "b"], ["y"], axis=0)
    file = _save(tmp_path / "m.onnx", [node], [_value("a", [2, 3]), _value("b", [3, 3])], [_value("y", [5, 3])])
    with pytest.raises(SpecError, match="different batch sizes"):
        zoo.from_onnx(file, shapes={"a": ["batch", 3], "b": ["batch", 3]})


def test_large_weights_do_not_matter_to_shapes(tmp_path):
    weight = numpy_helper.from_array(np.ones((3, 5000), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    file = _save(tmp_path / "m.onnx", [node], [_value("x", ["N", 3])], [_value("y", None)], [weight])
    assert zoo.from_onnx(file).spec.outputs[0].shape == (Axis(), 5000)


def _external(tmp_path):
    weight = numpy_helper.from_array(np.ones((3, 400), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [_value("x", ["N", 3])], [_value("y", ["N", 400])], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    folder = tmp_path / "external"
    folder.mkdir()
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    return folder / "m.onnx"


def test_external_weights_count_in_the_digest(tmp_path):
    file = _external(tmp_path)
    artifact = zoo.from_onnx(file)
    assert artifact.sha256 == digest_of(file.parent)
    assert artifact.spec.precision is DType.FLOAT32
    (file.parent / "m.data").write_bytes(b"\0" * 4800)
    assert zoo.from_onnx(file).sha256 != artifact.sha256


def test_missing_external_weights_are_told(tmp_path):
    file = _external(tmp_path)
    (file.parent / "m.data").unlink()
    with pytest.raises(ArtifactError, match="external weights is missing") as caught:
        zoo.from_onnx(file)
    assert caught.value.where == str(file.parent / "m.data")


def test_external_weights_outside_the_folder_are_refused(tmp_path):
    file = _external(tmp_path)
    model = onnx.load(file, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../secret"
    onnx.save(model, file)
    with pytest.raises(ArtifactError, match="outside its folder"):
        zoo.from_onnx(file)


@pytest.mark.parametrize("content", [b"", b"no protobuf at all", b"\x08\x09", b"\xff" * 64])
def test_a_file_that_is_no_model_is_told(tmp_path, content):
    file = tmp_path / "m.onnx"
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match="no ONNX model") as caught:
        zoo.from_onnx(file)
    assert caught.value.where == str(file)


def test_a_truncated_file_is_told(tmp_path):
    file = _linear(tmp_path / "m.onnx")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match="no ONNX model"):
        zoo.from_onnx(file)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        zoo.from_onnx(tmp_path / "none.onnx")


def test_an_input_that_is_no_tensor_is_refused(tmp_path):
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, ["N"])
    node = helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0)
    with pytest.raises(SpecError, match="'s' is no tensor") as caught:
        zoo.from_onnx(_save(tmp_path / "m.onnx", [node], [sequence], [_value("y", ["N"])]))
    assert caught.value.tensor == "s"


def test_a_type_that_no_spec_can_name_is_refused(tmp_path):
    node = helper.make_node("Identity", ["x"], ["y"])
    kind = TensorProto.COMPLEX64
    with pytest.raises(SpecError, match="COMPLEX64"):
        zoo.from_onnx(_save(tmp_path / "m.onnx", [node], [_value("x", ["N"], kind)], [_value("y", ["N"], kind)]))


def test_a_bad_task_name_is_refused(tmp_path):
    with pytest.raises(SpecError, match="task's name"):
        zoo.from_onnx(_linear(tmp_path / "m.onnx"), name="a/b")

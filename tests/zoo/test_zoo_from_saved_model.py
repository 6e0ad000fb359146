"""A SavedModel becomes an artifact whose spec was read off its signature."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from bytemlperf import zoo
from bytemlperf.artifact import Provenance, digest_of
from bytemlperf.conversion.tf_saved_model import signature_of, write_saved_model
from bytemlperf.errors import ArtifactError, SpecError, UnknownNameError
from bytemlperf.spec import Axis, DType, Format, Framework, TensorSpec


class Scoring(tf.Module):
    """Two inputs, one of them unbatched, two outputs; and a signature of its own for the features."""

    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(np.arange(12, dtype=np.float32).reshape(3, 4))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 3], tf.float32, name="image"),
            tf.TensorSpec([4], tf.float32, name="bias"),
        ]
    )
    def serve(self, image, bias):
        logits = image @ self.weight + bias
        return {"logits": logits, "best": tf.argmax(logits, axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="image")])
    def features(self, image):
        return {"features": image @ self.weight}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="tokens")])
    def free(self, tokens):
        return {"out": tokens * 2}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("tf") / "my scorer"
    module = Scoring()
    signatures = {"serving_default": module.serve, "features": module.features, "free": module.free}
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


def test_the_spec_is_read_off_the_signature(saved):
    spec = zoo.from_saved_model(saved).spec
    assert spec.name == "my-scorer"
    assert spec.inputs == (
        TensorSpec(name="bias", shape=(4,), dtype="float32"),
        TensorSpec(name="image", shape=("batch", 3), dtype="float32"),
    )
    assert spec.outputs == (
        TensorSpec(name="best", shape=("batch",), dtype="int64"),
        TensorSpec(name="logits", shape=("batch", 4), dtype="float32"),
    )
    assert (spec.framework, spec.format, spec.precision) == (Framework.TENSORFLOW, Format.SAVED_MODEL, DType.FLOAT32)


def test_the_artifact_says_where_the_weights_come_from(saved):
    artifact = zoo.from_saved_model(saved, name="mine")
    assert (artifact.name, artifact.path, artifact.sha256) == ("mine", saved, digest_of(saved))
    assert (artifact.provenance, artifact.origin) == (Provenance.LOCAL, "my scorer")


def test_another_signature_can_be_taken(saved):
    artifact = zoo.from_saved_model(saved, signature="features")
    assert [each.name for each in artifact.spec.outputs] == ["features"]
    assert signature_of(saved, artifact.spec) == "features"


def test_an_unknown_signature_is_told_with_those_there_are(saved):
    with pytest.raises(UnknownNameError, match="features, free, serving_default"):
        zoo.from_saved_model(saved, signature="serve")


def test_a_signature_that_cannot_be_told_from_another_is_refused(tmp_path):
    module = Scoring()
    tf.saved_model.save(
        module, str(tmp_path / "m"), signatures={"serving_default": module.features, "again": module.features}
    )
    with pytest.raises(SpecError, match="'serving_default', which backends would take"):
        zoo.from_saved_model(tmp_path / "m", signature="again")


def test_several_free_lengths_are_asked_for(saved):
    with pytest.raises(SpecError, match=r'shapes=\{"tokens"') as caught:
        zoo.from_saved_model(saved, signature="free")
    assert caught.value.tensor == "tokens"
    shapes = {"tokens": ["batch", 8], "out": ["batch", 8]}
    spec = zoo.from_saved_model(saved, signature="free", shapes=shapes).spec
    assert spec.inputs[0].shape == spec.outputs[0].shape == (Axis(), 8)


def test_an_input_of_a_type_that_no_spec_can_name_is_refused(tmp_path):
    module = tf.Module()
    signature = [tf.TensorSpec([None], tf.complex64, name="x")]
    module.serve = tf.function(lambda x: {"y": tf.abs(x)}, input_signature=signature)
    write_saved_model(module, tmp_path / "m")
    with pytest.raises(SpecError, match="'x' is of a type that no spec can name; got 'complex64'"):
        zoo.from_saved_model(tmp_path / "m")


def test_an_input_that_is_no_plain_tensor_is_refused(tmp_path):
    document = saved_model_pb2.SavedModel()
    graph = document.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    graph.signature_def["serving_default"].inputs["x"].coo_sparse.values_tensor_name = "values:0"
    (tmp_path / "saved_model.pb").write_bytes(document.SerializeToString())
    with pytest.raises(SpecError, match="'x' is no plain tensor; got 'coo_sparse'") as caught:
        zoo.from_saved_model(tmp_path)
    assert caught.value.tensor == "x"


def test_an_output_of_unknown_rank_is_asked_for(tmp_path):
    module = tf.Module()
    signature = [tf.TensorSpec([None, 3], tf.float32, name="x"), tf.TensorSpec(None, tf.float32, name="y")]
    module.serve = tf.function(lambda x, y: {"z": x}, input_signature=signature)
    write_saved_model(module, tmp_path / "m")
    with pytest.raises(SpecError, match="'y' has no declared shape"):
        zoo.from_saved_model(tmp_path / "m")
    assert zoo.from_saved_model(tmp_path / "m", shapes={"y": [5]}).spec.inputs[1].shape == (5,)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        zoo.from_saved_model(tmp_path / "none")


def test_a_folder_that_is_no_saved_model_is_told(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"no protobuf at all")
    with pytest.raises(ArtifactError, match="no SavedModel"):
        zoo.from_saved_model(tmp_path)


def test_a_saved_model_without_a_graph_for_serving_is_told(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ArtifactError, match="no graph for serving"):
        zoo.from_saved_model(tmp_path)


def test_no_signature_fits_a_spec_of_other_names(saved):
    spec = zoo.get("digits-resnet-tf-fp32")
    with pytest.raises(ArtifactError, match="no signature of the SavedModel takes and gives"):
        signature_of(saved, spec)


def test_what_is_written_is_read_again(tmp_path):
    write_saved_model(Scoring(), tmp_path / "m")
    assert [each.name for each in zoo.from_saved_model(tmp_path / "m").spec.inputs] == ["bias", "image"]

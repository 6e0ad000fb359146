"""One set of weights in three frameworks and ONNX's own evaluator: nobody computes anything else."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import torch
from onnx.reference import ReferenceEvaluator
from tests.tiny_models import conv_artifact, trained_conv

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import Batch, get
from bytemlperf.conversion import convert
from bytemlperf.spec import Format


class _Conv(tf.Module):
    """The twin of `tiny_models.Conv`, written from its description and not from its code."""

    def __init__(self, module):
        super().__init__()
        self.tensors = {name: tf.constant(value.numpy()) for name, value in module.state_dict().items()}

    @tf.function(input_signature=[tf.TensorSpec([None, 1, 8, 8], tf.float32, name="image")])
    def serve(self, image):
        given = self.tensors
        kernel = tf.transpose(given["conv.weight"], [2, 3, 1, 0])
        features = tf.nn.conv2d(tf.transpose(image, [0, 2, 3, 1]), kernel, 1, "SAME")
        scale = given["bn.weight"] / tf.sqrt(given["bn.running_var"] + 1e-5)
        features = tf.nn.relu((features - given["bn.running_mean"]) * scale + given["bn.bias"])
        pooled = tf.reduce_mean(features, [1, 2])
        return {"out.logits": pooled @ tf.transpose(given["head.weight"]) + given["head.bias"]}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agreement")
    recipe = conv_artifact(folder)
    twin = _Conv(trained_conv())
    tf.saved_model.save(twin, folder / "saved", signatures={"serving_default": twin.serve})
    return {
        "torch": recipe,
        "onnxruntime": convert(recipe, frozenset({Format.ONNX}), folder=folder),
        "tensorflow": ModelArtifact(spec=recipe.spec, format=Format.SAVED_MODEL, path=folder / "saved"),
    }


def _answer(name, artifact, batch):
    backend = get(name)()
    compiled = backend.compile(artifact, backend.options_type())
    try:
        return backend.predict(compiled, batch)["logits"]
    finally:
        backend.release(compiled)


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("name", ["torch", "onnxruntime", "tensorflow"])
@pytest.mark.parametrize("through", ["itself", "cpu"])
def test_every_framework_gives_what_float64_gives(artifacts, rng, name, size, through):
    batch, expected = _question(rng, size)
    found = _answer(name if through == "itself" else "cpu", artifacts[name], batch)
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5


def test_onnxs_own_evaluator_gives_what_float64_gives(artifacts, rng):
    batch, expected = _question(rng, 3)
    found = ReferenceEvaluator(str(artifacts["onnxruntime"].path)).run(["out.logits:0"], dict(batch.inputs))[0]
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5


def _question(rng, size):
    batch = Batch(inputs={"image": rng.standard_normal((size, 1, 8, 8)).astype(np.float32)}, size=size)
    with torch.no_grad():
        expected = trained_conv().double()(torch.tensor(batch.inputs["image"]).double()).numpy()
    return batch, expected

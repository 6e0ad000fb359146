"""Evaluate a TensorFlow SavedModel of your own: inputs and outputs are read from its signature."""

import tempfile

import numpy as np
import tensorflow as tf

from bytemlperf import ArrayLoader, FixedBatch, run, zoo


class Classifier(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """Stands in for the model that you have saved."""

    def __init__(self) -> None:
        """Make the weights."""
        super().__init__()
        self.weight = tf.Variable(np.ones((16, 4), np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 16], tf.float32, name="features")])  # type: ignore[untyped-decorator]
    def serve(self, features: object) -> dict[str, object]:
        """Answer a batch."""
        return {"logits": tf.matmul(features, self.weight)}


with tempfile.TemporaryDirectory() as folder:
    model = Classifier()
    tf.saved_model.save(model, folder, signatures=model.serve)
    artifact = zoo.from_saved_model(folder, name="my-classifier")
    print(artifact.spec.inputs[0].name, list(map(str, artifact.spec.inputs[0].shape)))
    report = run(
        artifact,
        backend="tensorflow",
        dataset=ArrayLoader(features=np.eye(16, dtype=np.float32)),
        checks=["numeric", "performance"],
        batch_sizes=[8],
        scenarios=[FixedBatch(iterations=20)],
    )
for reason in report.verdict.reasons:
    print(reason.check, reason.outcome, "-", reason.text)
report.raise_for_status()

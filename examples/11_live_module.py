"""Evaluate a live torch module: what a spec needs is derived by running it."""

import numpy as np
import torch

from bytemlperf import ArrayLoader, FixedBatch, run, zoo


class Classifier(torch.nn.Module):
    """One layer of your own."""

    def __init__(self) -> None:
        """Make the layer."""
        super().__init__()
        self.layer = torch.nn.Linear(16, 4)

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """Name inputs by the arguments, and outputs by the keys."""
        return {"logits": self.layer(features)}


artifact = zoo.from_module(Classifier(), torch.zeros(2, 16))
print(artifact.spec.inputs[0].name, list(map(str, artifact.spec.inputs[0].shape)))
features = np.random.default_rng(0).standard_normal((64, 16), dtype=np.float32)
report = run(
    artifact,
    backend="onnxruntime",  # takes ONNX: the module is exported, and the report says so
    dataset=ArrayLoader(features=features),
    batch_sizes=[8],
    scenarios=[FixedBatch(iterations=20)],
)
for reason in report.verdict.reasons:
    print(reason.check, reason.outcome, "-", reason.text)
for warning in report.warnings:
    print("warning:", warning.message)
report.raise_for_status()

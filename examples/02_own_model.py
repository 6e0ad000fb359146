"""Evaluate a model and data of your own: nothing has to be in a catalog."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from bytemlperf import ArrayLoader, Estimate, FixedBatch, run, zoo


def exported(folder: Path) -> Path:
    """Stand in for the file that you have: a classifier of 16 features into 4 classes."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)).eval()
    torch.onnx.export(
        model,
        (torch.zeros(2, 16),),
        folder / "classifier.onnx",
        input_names=["features"],
        output_names=["logits"],
        dynamic_shapes=({0: "batch"},),
        dynamo=True,
        verbose=False,
    )
    return folder / "classifier.onnx"


with tempfile.TemporaryDirectory() as folder:
    artifact = zoo.from_onnx(exported(Path(folder)), batch_axis=0)
    features = np.random.default_rng(0).standard_normal((200, 16), dtype=np.float32)
    labels = np.arange(200) % 4
    report = run(
        artifact,
        backend="onnxruntime",
        dataset=ArrayLoader(features=features, labels=labels, metric="top1"),
        batch_sizes=[1, 16],
        scenarios=[FixedBatch(iterations=50), FixedBatch(clients=2, iterations=50)],
    )
accuracy: Estimate = report.metrics["accuracy/top1"]
print(report)
print("an untrained classifier of 4 classes is right by chance:", accuracy)
report.raise_for_status()

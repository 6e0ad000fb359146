"""Evaluate a trained model on real images: accuracy, numerics, performance, compilation."""

from bytemlperf import run

report = run("digits-resnet-onnx-fp32", backend="onnxruntime")
print(report)

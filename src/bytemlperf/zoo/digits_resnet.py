"""A small residual network for 8x8 images of handwritten digits: one set of weights in three frameworks."""

from __future__ import annotations

from typing import Final

import attrs

from bytemlperf.spec import (
    Domain,
    Format,
    Framework,
    ModelSpec,
    Purpose,
    Recipe,
    ReferenceAccuracy,
    Source,
    SourceKind,
    TensorSpec,
)
from bytemlperf.zoo.targets import DIGITS

WEIGHTS: Final = Source(
    kind=SourceKind.PACKAGE,
    location="bytemlperf:zoo/weights/digits-resnet.safetensors",
    sha256={"digits-resnet.safetensors": "9064dff383fb4657c0dea61356a70c9eff2f9a05018fe2b8622f86de5c67b2a1"},
    licence="Apache-2.0",
    verified=True,
)
"""Trained by training/train_digits_resnet.py; shipped with the package."""

TORCH_FP32: Final = ModelSpec(
    name="digits-resnet-torch-fp32",
    model="digits-resnet",
    domain=Domain.CV,
    purpose=Purpose.CUSTOM,
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=(TensorSpec(name="image", shape=("batch", 1, 8, 8), dtype="float32"),),
    outputs=(TensorSpec(name="logits", shape=("batch", 10), dtype="float32"),),
    dataset="digits",
    metrics=("top1",),
    preprocessing="digits/v1",
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.digits_resnet_torch:build",
        version="1",
        config={"width": 24, "blocks": 2},
    ),
    twin="digits-resnet-onnx-fp32",
    sources=(WEIGHTS,),
    batch_sizes=(1, 8, 32),
    parameters=95_890,
    reference_accuracy=(
        ReferenceAccuracy(
            metric="top1",
            value=357 / 360,
            source="training/train_digits_resnet.py: the last 360 images of the digits, held out of training",
        ),
    ),
    accuracy_targets=DIGITS,
    description="Classify 8x8 images of handwritten digits; small enough to try every step in seconds.",
)

ONNX_FP32: Final = attrs.evolve(
    TORCH_FP32,
    name="digits-resnet-onnx-fp32",
    framework=Framework.ONNX,
    format=Format.ONNX,
    twin="digits-resnet-torch-fp32",
)

TF_FP32: Final = attrs.evolve(
    TORCH_FP32,
    name="digits-resnet-tf-fp32",
    framework=Framework.TENSORFLOW,
    format=Format.SAVED_MODEL,
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.digits_resnet_tf:build",
        version="1",
        config={"width": 24, "blocks": 2},
    ),
    twin="digits-resnet-torch-fp32",
)

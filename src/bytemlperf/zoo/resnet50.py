"""ResNet-50 v1.5 on ImageNet: ByteMLPerf's first regular model."""

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
from bytemlperf.zoo.targets import RESNET50

TORCH_FP32: Final = ModelSpec(
    name="resnet50-torch-fp32",
    model="resnet50",
    domain=Domain.CV,
    purpose=Purpose.REGULAR,
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=(TensorSpec(name="image", original_name="input_1.1", shape=("batch", 3, 224, 224), dtype="float32"),),
    outputs=(
        # ByteMLPerf's name; what comes are logits all the same.
        TensorSpec(name="logits", original_name="softmax_tensor:0", shape=("batch", 1000), dtype="float32"),
    ),
    dataset="imagenet2012",
    metrics=("top1",),
    # Resize the shorter side to 256 (bilinear, antialiased), centre crop 224, ImageNet's mean and deviation.
    preprocessing="imagenet-resnet/v1",
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.resnet_torch:build",
        version="1",
        config={"depths": (3, 4, 6, 3), "num_classes": 1000},
    ),
    sources=(
        Source(
            kind=SourceKind.HUB,
            location="timm/resnet50.tv_in1k",  # torchvision's first weights (IMAGENET1K_V1) under their own names
            files=("model.safetensors",),
            licence="BSD-3-Clause",
            verified=False,
        ),
    ),
    batch_sizes=(4, 8, 16, 32, 64),
    parameters=25_557_032,
    reference_accuracy=(
        ReferenceAccuracy(
            metric="top1",
            value=0.7613,
            source="torchvision, ResNet50_Weights.IMAGENET1K_V1: 76.130 % on the 50,000 validation images",
        ),
    ),
    accuracy_targets=RESNET50,
    description="Classify 224x224 images into ImageNet's 1,000 classes.",
)

TF_FP32: Final = attrs.evolve(
    TORCH_FP32,
    name="resnet50-tf-fp32",
    framework=Framework.TENSORFLOW,
    format=Format.SAVED_MODEL,
    inputs=(TensorSpec(name="image", original_name="input_tensor:0", shape=("batch", 224, 224, 3), dtype="float32"),),
    # The original's file has 1,001 classes, VGG's preprocessing and TensorFlow's one-sided padding. This one has the
    # torch twin's checkpoint, and so its 1,000 classes, its preprocessing and its padding on both sides.
    outputs=(
        TensorSpec(name="probabilities", original_name="softmax_tensor:0", shape=("batch", 1000), dtype="float32"),
    ),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.resnet_tf:build",
        version="1",
        config={"depths": (3, 4, 6, 3), "num_classes": 1000, "channels_last": True, "probabilities": True},
    ),
    description="Classify 224x224 images, channels last, into ImageNet's 1,000 classes.",
)

STABLEHLO_FP32: Final = attrs.evolve(
    TORCH_FP32,
    name="resnet50-stablehlo-fp32",
    framework=Framework.STABLEHLO,
    format=Format.STABLEHLO,
    twin=TORCH_FP32.name,
    description="Classify 224x224 images into ImageNet's 1,000 classes, as a module of StableHLO.",
)

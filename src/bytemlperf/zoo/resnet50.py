"""ResNet-50 v1.5 on ImageNet: ByteMLPerf's first regular model."""

from __future__ import annotations

from typing import Final

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
    description="Classify 224x224 images into ImageNet's 1,000 classes.",
)

"""Swin-L on ImageNet, at 384 x 384 pixels."""

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
    TensorSpec,
)
from bytemlperf.zoo.hub_sources import checkpoint
from bytemlperf.zoo.targets import IMAGES

LARGE_TORCH_FP32: Final = ModelSpec(
    name="swin-large-torch-fp32",
    model="swin-large",
    domain=Domain.CV,
    purpose=Purpose.POPULAR,
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=(TensorSpec(name="image", original_name="pixel_values.1", shape=("batch", 3, 384, 384), dtype="float32"),),
    outputs=(TensorSpec(name="logits", shape=("batch", 1000), dtype="float32"),),
    dataset="imagenet2012",
    metrics=("top1",),
    # The checkpoint's own: resize to 384 x 384 (bicubic), ImageNet's mean and deviation. The original resizes the
    # shorter side to 256 and crops 384 of it, so that the image has a black frame.
    preprocessing="imagenet-swin/v1",
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.swin_torch:build",
        version="1",
        config={
            "image_size": 384,
            "patch_size": 4,
            "embed_dim": 192,
            "depths": (2, 2, 18, 2),
            "num_heads": (6, 12, 24, 48),
            "window_size": 12,
        },
    ),
    # The original's file takes `pixel_values`, the name of this checkpoint's own framework.
    sources=checkpoint("microsoft/swin-large-patch4-window12-384", licence="Apache-2.0"),
    batch_sizes=(2, 4, 8, 16, 24),
    parameters=196_735_516,
    reference_accuracy=(
        ReferenceAccuracy(
            metric="top1",
            value=0.873,
            source="arXiv:2103.14030, table 1b: Swin-L, ImageNet-22K pre-trained, 384 x 384, 87.3 % top-1",
        ),
    ),
    accuracy_targets=IMAGES,
    description="Classify 384x384 images into ImageNet's 1,000 classes by shifted windows of attention.",
)

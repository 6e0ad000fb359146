"""ByteMLPerf's "videobert": CLIP ViT-B/32, which tells the classes of CIFAR-100 apart by their names."""

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
from bytemlperf.zoo.targets import ZERO_SHOT

ONNX_FP32: Final = ModelSpec(
    name="videobert-onnx-fp32",
    model="videobert",
    domain=Domain.MM,
    purpose=Purpose.POPULAR,
    framework=Framework.ONNX,
    format=Format.ONNX,
    inputs=(
        TensorSpec(name="image", shape=("batch", 3, 224, 224), dtype="float32"),
        # One text for each class, the same for every image.
        TensorSpec(name="text", shape=(100, 77), dtype="int64", high=49_408),
    ),
    # The original's model file declares one output "output"; its graph had these two.
    outputs=(
        TensorSpec(name="logits_per_image", shape=("batch", 100), dtype="float32"),
        TensorSpec(name="logits_per_text", shape=(100, "batch"), dtype="float32"),
    ),
    dataset="cifar100",
    metrics=("zero_shot_top1",),
    # Resize to 224 (bicubic), centre crop 224, CLIP's own mean and deviation.
    preprocessing="clip/v1",
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.clip_torch:build",
        version="1",
        config={"image_size": 224, "patch_size": 32},
    ),
    sources=checkpoint("openai/clip-vit-base-patch32", licence="MIT", beside=("vocab.json", "merges.txt")),
    batch_sizes=(4, 8, 16, 24),
    parameters=151_277_313,
    reference_accuracy=(
        ReferenceAccuracy(
            metric="zero_shot_top1",
            value=0.651,
            source="arXiv:2103.00020, table 11: zero-shot ViT-B/32 on CIFAR-100, 65.1 %, an ensemble of prompts",
        ),
    ),
    accuracy_targets=ZERO_SHOT,
    description="Compare an image with one text for each of CIFAR-100's classes (CLIP ViT-B/32).",
)

"""YOLOv5s at 640 x 640 pixels."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import Domain, Format, Framework, ModelSpec, Purpose, Recipe, TensorSpec
from bytemlperf.zoo.targets import BOXES

ONNX_FP32: Final = ModelSpec(
    name="yolov5-onnx-fp32",
    model="yolov5",
    domain=Domain.CV,
    purpose=Purpose.POPULAR,
    framework=Framework.ONNX,
    format=Format.ONNX,
    inputs=(TensorSpec(name="images", shape=("batch", 3, 640, 640), dtype="float32"),),
    outputs=(
        TensorSpec(name="predictions", original_name="output", shape=("batch", 25_200, 85), dtype="float32"),
        # Numbers of nodes in the file that the original was exported to.
        TensorSpec(name="fine", original_name="345", shape=("batch", 3, 80, 80, 85), dtype="float32"),
        TensorSpec(name="middle", original_name="403", shape=("batch", 3, 40, 40, 85), dtype="float32"),
        TensorSpec(name="coarse", original_name="461", shape=("batch", 3, 20, 20, 85), dtype="float32"),
    ),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.yolov5_torch:build",
        version="1",
        config={"depth": 0.33, "width": 0.5, "num_classes": 80},
    ),
    # The published checkpoint (yolov5s.pt, AGPL-3.0) is a pickle of its authors' classes, which is not read: weights
    # are random, a state dict or safetensors file of it at a path, or those of a mirror added with their digest.
    sources=(),
    batch_sizes=(4, 8, 16, 32),
    parameters=7_235_389,
    accuracy_targets=BOXES,
    description="Detect objects of 80 kinds in images of 640x640 (YOLOv5s)."
    " The published checkpoint is a pickle of its authors' classes, which is not read.",
)
"""Published: 7,225,885 parameters with each batch norm folded into its convolution, as an exported graph has it."""

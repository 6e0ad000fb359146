"""A Conformer encoder over 128 steps, of the paper's large size."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import Domain, Format, Framework, ModelSpec, Purpose, Recipe, TensorSpec

ENCODER_ONNX_FP32: Final = ModelSpec(
    name="conformer-encoder-onnx-fp32",
    model="conformer-encoder",
    domain=Domain.NLP,
    purpose=Purpose.POPULAR,
    framework=Framework.ONNX,
    format=Format.ONNX,
    inputs=(
        TensorSpec(name="src", shape=("batch", 3, 64, 512), dtype="float32"),
        # True where a step is padding, as PyTorch's transformers have it.
        TensorSpec(name="src_pad_mask", shape=("batch", 128), dtype="bool"),
    ),
    # The original's length of a step's encoding is not public.
    outputs=(TensorSpec(name="memory", shape=("batch", 128, 512), dtype="float32"),),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.conformer_torch:build",
        version="1",
        config={
            "in_channels": 3,
            "height": 64,
            "steps": 128,
            "channels": 512,
            "heads": 8,
            "layers": 17,
            "kernel": 32,
        },
    ),
    # The original's definition and checkpoint were only in its own archive, whose host is gone: weights are random,
    # at a path, or those of a mirror that is added as a source with its digest.
    sources=(),
    batch_sizes=(4, 8, 16, 32, 64),
    parameters=114_045_952,
    description="Encode an image of a sequence in 128 steps (Conformer of the paper's large size)."
    " Its checkpoint was published in ByteMLPerf's own archive only, which is gone.",
)

"""GPT-2, the smallest: the logits of a text of 384 tokens."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import Domain, Format, Framework, ModelSpec, Purpose, Recipe, Source, SourceKind, TensorSpec
from bytemlperf.zoo.targets import LANGUAGE

LENGTH: Final = 384

TORCH_FP32: Final = ModelSpec(
    name="gpt2-torch-fp32",
    model="gpt2",
    domain=Domain.NLP,
    purpose=Purpose.SOTA,
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=(TensorSpec(name="input_ids", shape=("batch", LENGTH), dtype="int64", high=50_257),),
    outputs=(TensorSpec(name="logits", original_name="outputs", shape=("batch", LENGTH, 50_257), dtype="float32"),),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.gpt2_torch:build",
        version="1",
        config={
            "vocab_size": 50_257,
            "n_positions": 1_024,
            "n_embd": 768,
            "n_layer": 12,
            "n_head": 12,
            "layer_norm_epsilon": 1e-5,
        },
    ),
    sources=(
        Source(
            kind=SourceKind.HUB,
            location="openai-community/gpt2",
            files=("model.safetensors", "tokenizer.json"),
            licence="MIT",
            verified=False,
        ),
    ),
    batch_sizes=(4, 8, 16, 32),
    parameters=124_439_808,  # published as 124M
    accuracy_targets=LANGUAGE,
    description="Predict the next token at each place of a text of 384 tokens (GPT-2, 124M).",
)

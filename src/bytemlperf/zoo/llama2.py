"""LLaMA 2 with 7 billion parameters: the logits of a text of 128 tokens."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import Domain, Format, Framework, ModelSpec, Purpose, Recipe, Source, SourceKind, TensorSpec
from bytemlperf.zoo.targets import LANGUAGE

LENGTH: Final = 128
"""Ours: the original's model file names no inputs."""

TORCH_FP16: Final = ModelSpec(
    name="llama2-7b-torch-fp16",
    model="llama2-7b",
    domain=Domain.NLP,
    purpose=Purpose.SOTA,
    framework=Framework.TORCH,
    format=Format.TORCH,
    precision="float16",
    inputs=(TensorSpec(name="input_ids", shape=("batch", LENGTH), dtype="int64", high=32_000),),
    outputs=(TensorSpec(name="logits", shape=("batch", LENGTH, 32_000), dtype="float16"),),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.llama_torch:build",
        version="1",
        config={
            "vocab_size": 32_000,
            "hidden_size": 4_096,
            "intermediate_size": 11_008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "max_position_embeddings": 4_096,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10_000.0,
            "dtype": "float16",
        },
    ),
    sources=(
        Source(
            kind=SourceKind.HUB,
            location="meta-llama/Llama-2-7b-hf",  # gated: the licence is accepted on the hub, and a token is needed
            files=("model.safetensors.index.json", "tokenizer.model"),
            licence="Llama-2-Community",
            verified=False,
        ),
    ),
    batch_sizes=(1, 4, 8, 16, 24),
    parameters=6_738_415_616,  # as the hub counts it
    accuracy_targets=LANGUAGE,
    description="Predict the next token at each place of a text of 128 tokens (LLaMA 2, 7B).",
)

"""ChatGLM2 with 6 billion parameters: the logits of a text of 128 tokens."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import Domain, Format, Framework, ModelSpec, Purpose, Recipe, TensorSpec
from bytemlperf.zoo.hub_sources import checkpoint
from bytemlperf.zoo.targets import LANGUAGE

LENGTH: Final = 128
"""Ours: the original's model file names no inputs."""

TORCH_FP16: Final = ModelSpec(
    name="chatglm2-6b-torch-fp16",
    model="chatglm2-6b",
    domain=Domain.NLP,
    purpose=Purpose.SOTA,
    framework=Framework.TORCH,
    format=Format.TORCH,
    precision="float16",
    inputs=(TensorSpec(name="input_ids", shape=("batch", LENGTH), dtype="int64", high=65_024),),
    outputs=(TensorSpec(name="logits", shape=("batch", LENGTH, 65_024), dtype="float16"),),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.chatglm2_torch:build",
        version="1",
        config={
            "padded_vocab_size": 65_024,
            "hidden_size": 4_096,
            "ffn_hidden_size": 13_696,
            "num_layers": 28,
            "num_attention_heads": 32,
            "multi_query_group_num": 2,
            "kv_channels": 128,
            "seq_length": 32_768,
            "layernorm_epsilon": 1e-5,
            "rope_ratio": 1.0,
            "dtype": "float16",
        },
    ),
    # The licence is the model's own; the repository's code is Apache-2.0.
    sources=checkpoint("THUDM/chatglm2-6b", licence="ChatGLM2-6B", beside=("tokenizer.model",), sharded=True),
    batch_sizes=(1, 4, 8, 16, 24),
    parameters=6_243_584_000,  # as the hub counts it
    accuracy_targets=LANGUAGE,
    description="Predict the next token at each place of a text of 128 tokens (ChatGLM2, 6B).",
)

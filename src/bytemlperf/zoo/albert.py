"""ALBERT base, version 2, on SQuAD 1.1."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import Domain, Format, Framework, ModelSpec, Purpose, Recipe
from bytemlperf.zoo.hub_sources import checkpoint
from bytemlperf.zoo.question_answering import DATASET, METRICS, inputs, outputs
from bytemlperf.zoo.targets import QUESTIONS

TORCH_FP32: Final = ModelSpec(
    name="albert-torch-fp32",
    model="albert",
    domain=Domain.NLP,
    purpose=Purpose.POPULAR,
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=inputs(vocabulary=30_000, types=2),
    outputs=outputs(),
    dataset=DATASET,
    metrics=METRICS,
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.albert_torch:build",
        version="1",
        config={
            "vocab_size": 30000,
            "embedding_size": 128,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "num_hidden_groups": 1,
            "inner_group_num": 1,
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
            "layer_norm_eps": 1e-12,
            "hidden_act": "gelu_new",
        },
    ),
    # The repository whose tokenizer the original's loader names.
    sources=checkpoint("madlag/albert-base-v2-squad", licence="unknown", beside=("spiece.model",)),
    batch_sizes=(1, 4, 8, 16, 24),
    parameters=11_094_530,  # albert/albert-base-v2 less its pooler, and the head of 1,538
    accuracy_targets=QUESTIONS,
    description="Find the answer to a question within a text of 384 tokens (ALBERT base, version 2).",
)

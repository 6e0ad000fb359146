"""DeBERTa base, the first version, on SQuAD 1.1."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import Domain, Format, Framework, ModelSpec, Purpose, Recipe
from bytemlperf.zoo.hub_sources import checkpoint
from bytemlperf.zoo.question_answering import DATASET, METRICS, inputs, outputs
from bytemlperf.zoo.targets import QUESTIONS

TORCH_FP32: Final = ModelSpec(
    name="deberta-torch-fp32",
    model="deberta",
    domain=Domain.NLP,
    purpose=Purpose.POPULAR,
    framework=Framework.TORCH,
    format=Format.TORCH,
    # The model has no token types; they are taken, as in the original, and have no effect.
    inputs=inputs(vocabulary=50_265, types=2),
    outputs=outputs(),
    dataset=DATASET,
    metrics=METRICS,
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.deberta_torch:build",
        version="1",
        config={
            "vocab_size": 50265,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "max_relative_positions": 512,
            "type_vocab_size": 0,
            "layer_norm_eps": 1e-07,
            "hidden_act": "gelu",
        },
    ),
    # The repository whose tokenizer the original's loader names.
    sources=checkpoint("Palak/microsoft_deberta-base_squad", licence="unknown", beside=("vocab.json", "merges.txt")),
    batch_sizes=(1, 4, 8, 16, 24),
    parameters=138_603_266,  # microsoft/deberta-base, and the head of 1,538
    accuracy_targets=QUESTIONS,
    description="Find the answer to a question within a text of 384 tokens (DeBERTa base).",
)

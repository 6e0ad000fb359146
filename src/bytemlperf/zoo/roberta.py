"""RoBERTa base on SQuAD 1.1."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import Domain, Format, Framework, ModelSpec, Purpose, Recipe, ReferenceAccuracy
from bytemlperf.zoo.hub_sources import checkpoint
from bytemlperf.zoo.question_answering import DATASET, METRICS, inputs, outputs
from bytemlperf.zoo.targets import QUESTIONS

TORCH_FP32: Final = ModelSpec(
    name="roberta-torch-fp32",
    model="roberta",
    domain=Domain.NLP,
    purpose=Purpose.POPULAR,
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=inputs(vocabulary=50_265, types=1),
    outputs=outputs(),
    dataset=DATASET,
    metrics=METRICS,
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.roberta_torch:build",
        version="1",
        config={
            "vocab_size": 50265,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-05,
            "hidden_act": "gelu",
            "pad_token_id": 1,
        },
    ),
    # The repository whose tokenizer the original's loader names.
    sources=checkpoint("csarron/roberta-base-squad-v1", licence="MIT", beside=("vocab.json", "merges.txt")),
    batch_sizes=(1, 4, 8, 16, 24),
    parameters=124_056_578,  # FacebookAI/roberta-base less its pooler, and the head of 1,538
    reference_accuracy=(
        ReferenceAccuracy(
            metric="em", value=83.0, source="the model's card: SQuAD 1.1 dev, evaluated with windows of 320 tokens"
        ),
        ReferenceAccuracy(
            metric="f1", value=90.4, source="the model's card: SQuAD 1.1 dev, evaluated with windows of 320 tokens"
        ),
    ),
    accuracy_targets=QUESTIONS,
    description="Find the answer to a question within a text of 384 tokens (RoBERTa base).",
)

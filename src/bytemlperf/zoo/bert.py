"""BERT base on SQuAD 1.1, in PyTorch and in TensorFlow over the same checkpoint."""

from __future__ import annotations

from typing import Final

import attrs

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
from bytemlperf.zoo.question_answering import DATASET, LENGTH, METRICS, inputs, outputs
from bytemlperf.zoo.targets import QUESTIONS

_CONFIG: Final = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}

TORCH_FP32: Final = ModelSpec(
    name="bert-torch-fp32",
    model="bert",
    domain=Domain.NLP,
    purpose=Purpose.REGULAR,
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=inputs(vocabulary=30_522, types=2),
    outputs=outputs(),
    dataset=DATASET,
    metrics=METRICS,
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.bert_torch:build",
        version="1",
        config=_CONFIG,
    ),
    # The original's file was bert-base-uncased-squad-v1.pt.
    sources=checkpoint("csarron/bert-base-uncased-squad-v1", licence="MIT", beside=("vocab.txt",)),
    batch_sizes=(1, 4, 8, 16, 24),
    parameters=108_893_186,  # google-bert/bert-base-uncased less its pooler, and the head of 1,538
    reference_accuracy=(
        ReferenceAccuracy(
            metric="em", value=80.9, source="the model's card: SQuAD 1.1 dev, evaluated with windows of 320 tokens"
        ),
        ReferenceAccuracy(
            metric="f1", value=88.2, source="the model's card: SQuAD 1.1 dev, evaluated with windows of 320 tokens"
        ),
    ),
    accuracy_targets=QUESTIONS,
    description="Find the answer to a question within a text of 384 tokens (BERT base, uncased).",
)

TF_FP32: Final = attrs.evolve(
    TORCH_FP32,
    name="bert-tf-fp32",
    framework=Framework.TENSORFLOW,
    format=Format.SAVED_MODEL,
    inputs=(
        TensorSpec(
            name="input_ids",
            original_name="input_ids:0",
            shape=("batch", LENGTH),
            dtype="int32",
            high=30_522,
            valid="attention_mask",
        ),
        TensorSpec(name="attention_mask", original_name="input_mask:0", shape=("batch", LENGTH), dtype="int32", high=2),
        TensorSpec(
            name="token_type_ids",
            original_name="segment_ids:0",
            shape=("batch", LENGTH),
            dtype="int32",
            high=2,
            valid="attention_mask",
        ),
    ),
    outputs=(
        TensorSpec(
            name="logits",
            original_name="logits:0",
            shape=("batch", LENGTH, 2),
            dtype="float32",
            valid="attention_mask",
        ),
    ),
    # The original's file was a checkpoint of its own, which is gone; this one shares the torch twin's.
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.bert_tf:build",
        version="1",
        config={**_CONFIG, "split_logits": False},
    ),
    batch_sizes=(4, 8, 16, 24),
)

STABLEHLO_FP32: Final = attrs.evolve(
    TORCH_FP32,
    name="bert-stablehlo-fp32",
    framework=Framework.STABLEHLO,
    format=Format.STABLEHLO,
    twin=TORCH_FP32.name,
    description="Find the answer to a question within a text of 384 tokens (BERT base), as a module of StableHLO.",
)

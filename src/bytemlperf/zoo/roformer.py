"""RoFormer on CAIL2019-SCM: which of two cases is more like a third."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import Domain, Format, Framework, ModelSpec, Purpose, Recipe, TensorSpec
from bytemlperf.zoo.targets import TRIPLETS

LENGTH: Final = 1_024

TF_FP32: Final = ModelSpec(
    name="roformer-tf-fp32",
    model="roformer",
    domain=Domain.NLP,
    purpose=Purpose.POPULAR,
    framework=Framework.TENSORFLOW,
    format=Format.SAVED_MODEL,
    inputs=(
        # Whole numbers as float32, as in the original.
        TensorSpec(
            name="input_segment", original_name="input_segment:0", shape=("batch", LENGTH), dtype="float32", high=2
        ),
        TensorSpec(
            name="input_token", original_name="input_token:0", shape=("batch", LENGTH), dtype="float32", high=50_000
        ),
    ),
    outputs=(TensorSpec(name="score", original_name="Identity:0", shape=("batch", 1), dtype="float32"),),
    dataset="cail2019",
    metrics=("triplet_accuracy",),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.roformer_tf:build",
        version="1",
        config={
            "vocab_size": 50_000,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3_072,
            "type_vocab_size": 2,
            "layer_norm_eps": 1e-12,
            "hidden_act": "gelu",
        },
    ),
    # The trained head was published in the original's own archive only, which is gone; the encoder's start is
    # junnyu/roformer_chinese_base on the hub (Apache-2.0). So: weights=PATH, or random ones.
    sources=(),
    batch_sizes=(2, 4, 8, 16, 32, 64),
    parameters=123_458_305,  # counted; not published
    accuracy_targets=TRIPLETS,
    description="Score how alike two legal cases of 1,024 tokens together are (RoFormer base, Chinese)."
    " Its checkpoint was published in ByteMLPerf's own archive only, which is gone.",
)

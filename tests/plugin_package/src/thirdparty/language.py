"""Three models of known architectures: nothing but configurations."""

from bytemlperf import Format, ModelSpec, Recipe, TensorSpec
from bytemlperf.spec import Framework

LLAMA = ModelSpec(
    name="thirdparty-llama-torch-fp32",
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=(TensorSpec(name="input_ids", shape=("batch", 16), dtype="int64", high=120),),
    outputs=(TensorSpec(name="logits", shape=("batch", 16, 120), dtype="float32"),),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.llama_torch:build",
        config={
            "vocab_size": 120,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "rope_theta": 500_000.0,
            "tie_word_embeddings": True,
        },
    ),
    batch_sizes=(1, 3),
)

BERT = ModelSpec(
    name="thirdparty-bert-torch-fp32",
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=(
        TensorSpec(name="input_ids", shape=("batch", 16), dtype="int64", high=120, valid="attention_mask"),
        TensorSpec(name="attention_mask", shape=("batch", 16), dtype="int64", high=2),
        TensorSpec(name="token_type_ids", shape=("batch", 16), dtype="int64", high=2, valid="attention_mask"),
    ),
    outputs=(TensorSpec(name="logits", shape=("batch", 4), dtype="float32"),),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.bert_torch:build",
        config={
            "vocab_size": 120,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "num_labels": 4,
        },
    ),
    batch_sizes=(1, 3),
)

GLM = ModelSpec(
    name="thirdparty-glm-torch-fp32",
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=(TensorSpec(name="input_ids", shape=("batch", 16), dtype="int64", high=110),),
    outputs=(TensorSpec(name="logits", shape=("batch", 16, 110), dtype="float32"),),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.chatglm2_torch:build",
        config={
            "padded_vocab_size": 110,
            "hidden_size": 48,
            "ffn_hidden_size": 80,
            "num_layers": 2,
            "num_attention_heads": 6,
            "multi_query_group_num": 3,
            "kv_channels": 8,
            "rope_ratio": 50.0,
            "add_qkv_bias": False,
        },
    ),
    batch_sizes=(1, 3),
)

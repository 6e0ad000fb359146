"""Divide a language model among two processes, each with half of the heads and half of the weights."""

from bytemlperf import Lengths, ModelSpec, Recipe, TensorSpec, run
from bytemlperf.scenarios import ClosedLoop

VOCABULARY = 512

SMALL = ModelSpec(
    name="small-llama-torch-fp16",
    framework="torch",
    format="torch",
    precision="fp16",
    inputs=(TensorSpec(name="tokens", shape=("batch", 16), dtype="int64", high=VOCABULARY),),
    outputs=(TensorSpec(name="logits", shape=("batch", 16, VOCABULARY), dtype="float16"),),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.llama_torch:build",
        config={
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "dtype": "float16",
        },
    ),
)

if __name__ == "__main__":
    lengths = Lengths(input=(8, 32), output=8)
    report = run(
        SMALL,
        backend="torch",
        weights="random",
        scenarios=[ClosedLoop(clients=2, queries=10)],
        prompts=lengths,
        checks=["performance"],
        options={"tensor_parallel": 2},
    )
    (row,) = report.rows_of("performance")
    print(f"tp_size={row.labels['tp_size']} {report.status}: {row.metrics['tpot/p50']}")
    for name, value in row.labels.items():
        if name.startswith("rank_"):
            print(f"  {name} {value:,}")
    refused = run(SMALL, backend="torch", weights="random", prompts=lengths, options={"tensor_parallel": 3})
    print(refused.failures[0].message)

"""Measure a language model on the reference engine, and a server that speaks OpenAI's API, by the same report."""

from bytemlperf import Lengths, ModelSpec, Recipe, TensorSpec, TokenBounds, run
from bytemlperf.scenarios import ClosedLoop, Server
from bytemlperf.testing.token_server import Script, TokenServer

VOCABULARY = 512

# A LLaMA of another size needs its configuration and no code; the catalog's is llama2-7b-torch-fp16.
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

FIGURES = (
    "ttft/p50",
    "tpot/p50",
    "itl/chunk_gap/p50",
    "itl/request_mean/p50",
    "throughput/output_tokens_per_s",
    "throughput/total_tokens_per_s",
    "goodput/share",
)

if __name__ == "__main__":
    lengths = Lengths(input=(8, 32), output=8)
    bounds = TokenBounds(ttft_ms=500, tpot_ms=100)  # what users would put up with: goodput counts who got it
    load = ClosedLoop(clients=4, queries=40)
    engine = run(
        SMALL, backend="torch", weights="random", scenarios=[load], prompts=lengths, bounds=bounds, numeric_samples=4
    )
    with TokenServer(Script(first_s=0.02, gap_s=0.005, tokens=(0, 1, 1, 1, 1))) as server:
        served = run(
            SMALL,
            backend="openai",
            options={"url": server.url},
            scenarios=[Server(target_qps=50, ttft_bound_ms=500, tpot_bound_ms=100, min_queries=40, min_duration_s=0.8)],
            prompts=lengths,
            bounds=bounds,
        )
    for report in (engine, served):
        (row,) = report.rows_of("performance")
        print(report.job.backend, report.status, row.scenario)
        for name in FIGURES:
            print(f"  {name:31} {row.metrics[name]}")
            print(f"    {row.metrics[name].definition}")
    (compared,) = engine.rows_of("numeric")  # the same tokens as torch's in float64?
    print("tokens that are the reference's choice:", compared.metrics["tokens/agreement"], "- passed:", compared.passed)

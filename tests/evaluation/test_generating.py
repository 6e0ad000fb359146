"""Whole evaluations that ask for tokens, on the engine and on a server."""

import os
import subprocess
import sys
import time

import attrs
import psutil
import pytest

from bytemlperf import Lengths, Limits, ModelSpec, Recipe, Sampling, TensorSpec, plan, run
from bytemlperf.errors import SpecError
from bytemlperf.scenarios import ClosedLoop, ConstantRate, FixedBatch, Server, Warmup
from bytemlperf.testing.token_server import Script, ServerFault, TokenServer

CONFIGS = {
    "llama": {
        "vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
        "max_position_embeddings": 64,
    },
    "gpt2": {"vocab_size": 64, "n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2},
    "chatglm2": {
        "padded_vocab_size": 64, "hidden_size": 16, "ffn_hidden_size": 24, "num_layers": 1, "num_attention_heads": 2,
        "kv_channels": 8, "multi_query_group_num": 1, "seq_length": 64,
    },
}  # fmt: skip


def small(kind, precision="fp32"):
    config = CONFIGS[kind] if precision == "fp32" else {**CONFIGS[kind], "dtype": "float16"}
    return ModelSpec(
        name=f"small-{kind}-torch-{precision}",
        framework="torch",
        format="torch",
        precision=precision,
        inputs=(TensorSpec(name="tokens", shape=("batch", 8), dtype="int64", high=64),),
        outputs=(TensorSpec(name="logits", shape=("batch", 8, 64), dtype=precision),),
        recipe=Recipe(architecture=f"bytemlperf.zoo.architectures.{kind}_torch:build", config=config),
    )


SMALL = small("llama")
LENGTHS = Lengths(input=(4, 12), output=5, samples=16)


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("precision", ["fp32", pytest.param("fp16", marks=pytest.mark.slow)])
def test_the_reference_engine_generates_in_a_worker_the_tokens_of_its_reference(kind, precision):
    report = run(
        small(kind, precision), backend="torch", weights="random", prompts=LENGTHS, checks=["performance", "numeric"],
        scenarios=[ClosedLoop(clients=3, queries=24), FixedBatch(iterations=4)], numeric_samples=6,
    )  # fmt: skip
    assert report.failures == ()
    (numeric,) = report.rows_of("numeric")
    assert (numeric.passed, numeric.metrics["tokens/agreement"].n) == (True, 6 * 5)
    for row, queries in zip(report.rows_of("performance"), (24, 4), strict=True):
        assert row.metrics["queries/answered"].value == queries
        assert row.metrics["tokens/output"].value == 5 * queries
        assert row.metrics["itl/chunk_gap/p50"].n == 4 * queries
        assert row.metrics["ttft/p50"].value < row.metrics["latency/p50"].value
        assert row.metrics["tokens/output"].note == ""


def test_the_lengths_of_a_file_of_requests_are_asked_in_order(tmp_path):
    lengths = [(7, 3), (2, 1), (11, 6), (4, 2)]
    rows = [f"2024-05-10 00:00:0{second},{asked},{answered}" for second, (asked, answered) in enumerate(lengths)]
    trace = tmp_path / "azure.csv"
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))
    with TokenServer(Script(tokens=(1,))) as server:
        run(
            SMALL, backend="openai", options={"url": server.url}, prompts=Lengths(file=trace),
            scenarios=[FixedBatch(iterations=12, warmup=Warmup(max_queries=0))], checks=["performance"],
        )  # fmt: skip
    sent = [(len(each.body["prompt"]), each.body["max_tokens"]) for each in server.served]
    assert set(sent) == set(lengths)
    assert sent[-12:] == lengths * 3
    report = run(
        SMALL, backend="torch", weights="random", prompts=Lengths(file=trace), checks=["performance"],
        scenarios=[FixedBatch(iterations=12)],
    )  # fmt: skip
    (row,) = report.rows_of("performance")
    assert row.metrics["tokens/output"].value == 3 * sum(answered for _, answered in lengths)
    asked = sum(asked for asked, _ in lengths)
    rates = [row.metrics[f"throughput/{name}_tokens_per_s"].value for name in ("output", "total")]
    assert rates[1] / rates[0] == pytest.approx(1 + asked / sum(answered for _, answered in lengths))


def test_a_server_is_measured_and_needs_no_weights():
    with TokenServer(Script(tokens=(0, 1, 2, 2), token_ids=True)) as server:
        report = run(
            SMALL, backend="openai", options={"url": server.url}, prompts=LENGTHS,
            scenarios=[ConstantRate(target_qps=100, min_queries=20, min_duration_s=0.2)],
        )  # fmt: skip
    assert report.failures == ()
    (row,) = report.rows_of("performance")
    assert row.metrics["tokens/output"].value == 5 * row.metrics["queries/answered"].value >= 5 * 20
    assert row.metrics["tokens/output"].note == ""
    assert {len(each.body["prompt"]) for each in server.served} <= set(range(4, 13))
    assert report.artifact.origin == "what the server has"
    assert {each.check for each in report.not_measured} == {"accuracy", "numeric"}


BEFORE = 3  # requests before the timed ones: the first predict, and the warm-up
FAULTS = {
    ServerFault.DROP: ("predict_error", "closed the connection"),
    ServerFault.GARBAGE: ("malformed_output", "cannot be read"),
    ServerFault.NOT_HTTP: ("malformed_output", "no HTTP"),
    ServerFault.STATUS_500: ("predict_error", "status 500"),
    ServerFault.ERROR_EVENT: ("predict_error", "the engine died"),
    ServerFault.CUT: ("malformed_output", "without a reason to finish"),
}


def served(fault, place, **fields):
    """Run two patterns against a server that fails once; return the report and how many requests it saw."""
    scenarios = [
        ClosedLoop(queries=20, warmup=Warmup(max_queries=2)),
        FixedBatch(iterations=4, warmup=Warmup(max_queries=0)),
    ]
    asked = {"backend": "openai", "prompts": LENGTHS, "checks": ["performance"], "scenarios": scenarios}
    with TokenServer(Script(faults=(ServerFault.NONE,) * place + (fault,))) as server:
        return run(SMALL, options={"url": server.url}, **asked, **fields), len(server.served)


def queries(row):
    return [int(row.metrics[f"queries/{name}"].value) for name in ("planned", "answered", "failed", "unanswered")]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_query_that_the_server_fails_is_a_typed_failure_and_the_others_are_measured(fault):
    code, words = FAULTS[fault]
    report, _ = served(fault, BEFORE + 9)
    (failure,) = report.failures
    assert (failure.code, failure.step.startswith("performance/closed_loop")) == (code, True)
    assert words in failure.message
    first, second = report.rows_of("performance")
    assert (queries(first), queries(second)) == ([20, 19, 1, 0], [4, 4, 0, 0])
    assert first.metrics["ttft/p50"].n == 19
    assert first.passed is None
    assert "only 19 of 20" in first.note


@pytest.mark.parametrize("fault", [ServerFault.DROP, ServerFault.GARBAGE, ServerFault.STATUS_500])
def test_a_failure_in_the_warm_up_costs_its_row_and_no_other(fault):
    code, words = FAULTS[fault]
    report, seen = served(fault, BEFORE - 1)
    (failure,) = report.failures
    assert (failure.code, failure.step.startswith("performance/closed_loop")) == (code, True)
    assert words in failure.message
    (row,) = report.rows_of("performance")
    assert (row.scenario, queries(row)) == ("fixed_batch/clients=1", [4, 4, 0, 0])
    assert seen == BEFORE + 4


@pytest.mark.parametrize(("place", "timed"), [(BEFORE - 1, False), (BEFORE + 9, True)])
def test_a_server_that_stalls_ends_the_row_at_the_limit_of_a_query(place, timed):
    began = time.monotonic()
    report, _ = served(ServerFault.STALL, place, limits=Limits(query_s=1))
    (failure,) = report.failures
    assert (failure.code, failure.limit) == ("time_limit", "query_s")
    assert "not answered within 1 s" in failure.message
    *stalled, whole = report.rows_of("performance")
    assert queries(whole) == [4, 4, 0, 0]
    assert [queries(row) for row in stalled] == ([[20, 9, 1, 10]] if timed else [])
    assert time.monotonic() - began < 60


KEYED = """
import logging, os, sys
from pathlib import Path
from bytemlperf import Worker, run
from bytemlperf.testing.token_server import Script, ServerFault, TokenServer
from tests.evaluation.test_generating import BEFORE, LENGTHS, SMALL, ClosedLoop, Warmup

logging.basicConfig(level=logging.DEBUG)
key, folder = sys.stdin.readline().strip(), Path(sys.argv[1])
with TokenServer(Script(faults=[ServerFault.NONE] * BEFORE + [ServerFault.STATUS_401, ServerFault.GARBAGE])) as server:
    report = run(
        SMALL, backend="openai", options={"url": server.url, "key_env": "THE_KEY"}, prompts=LENGTHS,
        scenarios=[ClosedLoop(queries=20, warmup=Warmup(max_queries=2))], out=folder / "run",
        worker=Worker(env={"THE_KEY": key}),
    )
    assert {each.headers["authorization"] for each in server.served} == {f"Bearer {key}"}
assert [each.code for each in report.failures][:1] == ["predict_error"]
report.save(folder / "saved")
print(report, report.failures, report.to_dict())
"""


def test_the_key_stands_in_no_byte_of_what_is_written(tmp_path):
    key = "k3y-that-nobody-may-see"
    ended = subprocess.run(
        [sys.executable, "-c", KEYED, str(tmp_path)], input=key + "\n", capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "incorrect key: Bearer (the key)" in ended.stdout
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"report.json", "events.jsonl"} <= {path.name for path in written}
    assert [path for path in written if key.encode() in path.read_bytes()] == []
    assert key not in ended.stdout + ended.stderr


def test_a_server_of_tokens_is_asked_for_tokens_where_nothing_is_said():
    with TokenServer(Script(tokens=(1,) * 32, first_s=0, gap_s=0)) as server:
        report = run(
            SMALL, backend="openai", options={"url": server.url},
            scenarios=[Server(target_qps=100, min_queries=20, min_duration_s=0.1)],
        )  # fmt: skip
    assert report.failures == ()
    assert {(len(each.body["prompt"]), each.body["max_tokens"]) for each in server.served} == {(128, 32)}
    assert (report.job.prompts, report.job.asked) == (Lengths(), "generate")
    assert [each.message for each in report.warnings if each.code == "asked_for_tokens"] == [
        "'openai' gives no outputs, so it is asked for 32 tokens after prompts of 128"
    ]
    (row,) = report.rows_of("performance")
    assert row.metrics["tokens/output"].value == 32 * row.metrics["queries/answered"].value


def test_a_plan_of_it_says_so_too():
    with TokenServer() as server:
        found = plan(SMALL, backend="openai", options={"url": server.url}, scenarios=[Server(target_qps=2)])
    assert found.job.prompts == Lengths()
    assert "asked for 32 tokens" in found.notes[0]
    assert [row.key for row in found.rows if row.key.startswith("performance")] == [
        "performance/server/target_qps=2/batch=1/fp32/devices=1"
    ]


def test_outputs_that_a_server_cannot_give_are_refused_with_what_it_can():
    report = run(SMALL, backend="openai", options={"url": "http://127.0.0.1:1/v1"}, asks="forward")
    assert [each.code for each in report.failures] == ["unsupported_ask"]
    assert "give prompts=Lengths(...) or give asks='score'" in report.failures[0].message


def test_draws_are_asked_of_a_server_and_judged_by_no_reference():
    warm = Sampling(temperature=0.8, top_k=3, top_p=0.5, seed=7)
    asked = attrs.evolve(LENGTHS, sampling=warm)
    with TokenServer(Script(tokens=(1,) * 5)) as server:
        run(SMALL, backend="openai", options={"url": server.url}, prompts=asked, scenarios=[ClosedLoop(queries=8)])
    sent = [(each.body["temperature"], each.body["top_k"], each.body["top_p"]) for each in server.served]
    assert set(sent) == {(0.8, 3, 0.5)}
    assert len({each.body["seed"] for each in server.served}) == 8


def test_prompts_are_asked_of_models_that_take_them():
    with pytest.raises(SpecError, match="takes no prompts"):
        run("digits-resnet-torch-fp32", backend="torch", prompts=LENGTHS)


def ranks():
    """Processes of ranks that this one's workers have started."""
    found = psutil.Process().children(recursive=True)
    return [each for each in found if any("torch_generation.rank" in part for part in each.cmdline())]


@pytest.mark.slow
def test_a_rank_that_is_killed_costs_one_row_and_leaves_nothing():
    killed = []

    def kill_once(event):
        if event.kind == "step_progress" and event.step.startswith("performance/closed_loop") and not killed:
            killed.extend(ranks())
            for each in killed:
                each.kill()

    report = run(
        SMALL, backend="torch", weights="random", prompts=LENGTHS, checks=["performance"], on_event=kill_once,
        scenarios=[ClosedLoop(clients=3, queries=3_000), FixedBatch(iterations=4)], options={"tensor_parallel": 2},
    )  # fmt: skip
    assert len(killed) == 1
    failure = report.failures[0]
    assert (failure.code, failure.signal) == ("crash", "SIGKILL")
    assert "rank 1 of 2 was ended by SIGKILL" in failure.message
    whole = report.rows_of("performance")[-1]
    assert (whole.scenario, whole.metrics["queries/answered"].value) == ("fixed_batch/clients=1", 4)
    assert whole.labels["tp_size"] == 2
    assert not ranks()

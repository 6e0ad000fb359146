"""Whole evaluations that ask for scores: perplexity and multiple choice through the engine, against torch alone."""

import math
from types import SimpleNamespace

import attrs
import numpy as np
import psutil
import pytest
import torch
from tests.datasets import small_vocabularies as small
from tests.zoo.architectures.language import filled

from bytemlperf import Acceptance, Lengths, ModelSpec, Recipe, TensorSpec, run
from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.torch import TorchBackend
from bytemlperf.backends.torch_generation.backend import TorchGenerationBackend
from bytemlperf.datasets import ArrayLoader, open_dataset
from bytemlperf.errors import SpecError
from bytemlperf.evaluation.references import References
from bytemlperf.report.bytemlperf_llm import to_language_report
from bytemlperf.scenarios import ClosedLoop
from bytemlperf.spec import DType
from bytemlperf.worker import Watch
from bytemlperf.workload import Asked, DatasetRequest, Limits, Workload, read_language_workload
from bytemlperf.zoo.architectures import chatglm2_torch, gpt2_torch, llama_torch

VOCABULARY, LENGTH = 340, 24
KINDS = {
    "gpt2": (gpt2_torch, {"vocab_size": VOCABULARY, "n_positions": 96, "n_embd": 16, "n_layer": 1, "n_head": 2}),
    "llama": (
        llama_torch,
        {
            "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 96,
        },
    ),
    "chatglm2": (
        chatglm2_torch,
        {
            "padded_vocab_size": VOCABULARY, "hidden_size": 16, "ffn_hidden_size": 24, "num_layers": 2,
            "num_attention_heads": 4, "kv_channels": 4, "multi_query_group_num": 2, "seq_length": 96,
        },
    ),
}  # fmt: skip


def spec_of(kind, length=LENGTH):
    module, config = KINDS[kind]
    return ModelSpec(
        name=f"small-{kind}",
        framework="torch",
        format="torch",
        inputs=(TensorSpec(name="input_ids", shape=("batch", length), dtype="int64", high=VOCABULARY),),
        outputs=(TensorSpec(name="logits", shape=("batch", length, VOCABULARY), dtype="float32"),),
        recipe=Recipe(architecture=f"{module.__name__}:build", config=config),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A text, questions, and a vocabulary for both."""
    path = tmp_path_factory.mktemp("texts")
    paragraphs = small.paragraphs(count=3)
    letters = "Answer: A Answer: B Answer: C Answer: D " * 500
    small.bpe(path, [*paragraphs, letters], ("<|endoftext|>",), size=VOCABULARY)
    (path / "wiki.txt").write_text(" ".join(paragraphs)[:600], encoding="utf-8")
    rows = [f'{n},"what, {n}?",a,b,c,d,{"ABCD"[n * 7 % 4]}' for n in range(9)]
    (path / "val").mkdir()
    (path / "val" / "history_val.csv").write_text("\n".join(["id,question,A,B,C,D,answer", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Makes a small model with its weights in a file; returns the module in float64, and the file."""
    from safetensors.torch import save_file

    def made(kind):
        architecture, config = KINDS[kind]
        module = filled(architecture.build(**config)).eval()
        path = tmp_path_factory.mktemp(kind) / "model.safetensors"
        save_file({name: each.clone().contiguous() for name, each in module.state_dict().items()}, path)
        return module.double(), path

    return made


def perplexity(module, loader, only=None):
    """By torch's own cross entropy over the windows' logits, in float64; and how many tokens it is of."""
    total, count = 0.0, 0
    for index in only or range(len(loader)):
        ids, label = loader.load([index])["input_ids"], loader.labels([index])
        with torch.no_grad():
            logits = module(torch.tensor(ids))[0]
        total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(label)[0], reduction="sum"))
        count += int((label >= 0).sum())
    return math.exp(total / count), count


@torch.no_grad()
def rightly_chosen(module, loader):
    """Share of questions whose right letter torch's log softmax in float64 finds likeliest."""
    right = 0
    for index in range(len(loader)):
        prompt, label = loader.texts([index])[0], loader.labels([index])[0]
        likely = module(torch.tensor(prompt)[None])[0, -1].log_softmax(0)
        right += int(likely[torch.tensor(label["choices"])].argmax()) == label["answer"]
    return right / len(loader)


TEXT = {"stride": 16}
ALONE = Acceptance(paired_samples=0)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_scores_of_the_engine_are_torchs_cross_entropy(kind, weights, folder):
    module, path = weights(kind)
    spec, questions = spec_of(kind), spec_of(kind, length=64)
    text = DatasetRequest(name="text", options={"path": str(folder / "wiki.txt"), **TEXT})
    choices = DatasetRequest(name="multiple-choice", options={"path": str(folder / "val"), "tokenizer": str(folder)})
    asked = {"weights": str(path), "asks": "score", "checks": ["accuracy"], "acceptance": ALONE}
    scored = run(spec, backend=TorchGenerationBackend(), dataset=text, **asked)
    chosen = run(questions, backend=TorchGenerationBackend(), dataset=choices, **asked)
    assert scored.failures == chosen.failures == ()
    figure = scored.rows_of("accuracy")[0].metrics["accuracy/perplexity"]
    expected, count = perplexity(module, open_dataset(text, spec))
    assert figure.n == count
    assert figure.value == pytest.approx(expected, rel=1e-6)
    found = chosen.rows_of("accuracy")[0].metrics["accuracy/multiple_choice"]
    assert found.value == rightly_chosen(module, open_dataset(choices, questions))


def test_scores_are_compared_judged_and_timed_in_a_worker(weights, folder):
    _, path = weights("llama")
    request = DatasetRequest(name="multiple-choice", options={"path": str(folder / "val"), "tokenizer": str(folder)})
    report = run(
        spec_of("llama", length=64), backend="torch", weights=str(path), asks="score", dataset=request,
        checks=["accuracy", "numeric", "performance"], scenarios=[ClosedLoop(clients=2, queries=12)], numeric_samples=3,
    )  # fmt: skip
    assert report.failures == ()
    assert report.rows_of("accuracy")[0].acceptance  # in pairs with the reference, which was asked for its outputs
    (numeric,) = report.rows_of("numeric")
    assert numeric.passed
    assert numeric.metrics["numeric/log_likelihood/max_rel"].value < 1e-6
    (timed,) = report.rows_of("performance")
    assert timed.metrics["throughput/scored_tokens_per_s"].n == 12
    assert timed.metrics["vendor_reported/queue_ms/mean"].n == 12


def test_the_perplexity_of_scores_is_judged_in_pairs_by_windows(weights, folder):
    _, path = weights("gpt2")
    request = DatasetRequest(name="text", options={"path": str(folder / "wiki.txt"), "stride": 6})
    report = run(
        spec_of("gpt2"), backend=TorchGenerationBackend(), weights=str(path), asks="score", dataset=request,
        checks=["accuracy"],
    )  # fmt: skip
    assert report.failures == ()
    (found,) = report.rows_of("accuracy")[0].acceptance
    assert (found.figure, found.basis, found.passed) == ("accuracy/perplexity", "paired", True)
    assert found.value == pytest.approx(found.bound * 0.99, rel=1e-5)
    assert f"on the same {found.n} windows" in found.text


QUESTIONS = {
    "model": "small-llama", "test_accuracy": True, "test_perf": False, "min_tp_size": 1,
    "accuracy_config": {"dataset": "merged_52_test.csv", "min_new_tokens": 2, "max_new_tokens": 5},
    "perf_config": {"tp_sizes": [1], "batch_sizes": [1], "input_tokens": [8], "output_tokens": 4, "perf_time": 1},
}  # fmt: skip


def test_the_originals_questions_are_asked_and_their_tokens_compared(weights, folder):
    module, path = weights("llama")
    rows = [f"{n},who is {n}?,a,b,c,d" for n in range(5)]
    (folder / "merged_52_test.csv").write_text("\n".join(["id,question,A,B,C,D", *rows]) + "\n")
    asked = read_language_workload(QUESTIONS).workload
    job = asked.question_job(str(folder / "merged_52_test.csv"), weights=str(path), stop=tuple(range(0, VOCABULARY, 2)))
    report = run(attrs.evolve(job, model=spec_of("llama", length=64)), backend=TorchGenerationBackend())
    assert report.failures == ()
    (row,) = report.rows_of("numeric")
    assert row.passed
    assert row.metrics["tokens/answers_equal"].n == 5
    assert 5 * 2 <= row.metrics["tokens/agreement"].n <= 5 * 5  # half of all tokens end an answer
    assert row.metrics["tokens/agreement"].value == 1
    scored = run(
        attrs.evolve(
            asked.perplexity_job(str(folder / "merged_52_test.csv"), weights=str(path)),
            model=spec_of("llama", length=64),
        ),
        backend=TorchGenerationBackend(),
    )
    assert scored.failures == ()
    written = to_language_report([report, scored])
    assert written["Accuracy"]["Token Diff"]["Prompt Num"] == 5
    questions = open_dataset(scored.job.dataset, spec_of("llama", length=64))
    expected = [perplexity(module, questions, only=[index])[0] for index in range(5)]
    assert written["Accuracy"]["PPL"] == pytest.approx(expected, rel=1e-6)
    together, count = perplexity(module, questions)
    figure = scored.rows_of("accuracy")[0].metrics["accuracy/perplexity"]
    assert (figure.n, figure.value) == (count, pytest.approx(together, rel=1e-6))
    assert (written["Min New Tokens"], written["Max New Tokens"]) == (2, 5)


@pytest.fixture
def no_memory(monkeypatch):
    """A machine that has no memory to spare, as it looks to whoever chooses a reference."""
    real = psutil.virtual_memory
    monkeypatch.setattr(psutil, "virtual_memory", lambda: real()._replace(available=1))


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_reference_that_is_run_layer_by_layer_judges_tokens_and_scores(kind, weights, folder):
    _, path = weights(kind)
    asked = {"backend": TorchGenerationBackend(), "weights": str(path), "checks": ["numeric"], "numeric_samples": 7}
    generated = run(spec_of(kind), prompts=Lengths(input=(3, 9), output=5, samples=16), **asked)
    text = DatasetRequest(name="text", options={"path": str(folder / "wiki.txt"), **TEXT})
    scored = run(spec_of(kind), asks="score", dataset=text, **asked)
    for report in (generated, scored):
        assert report.failures == ()
        (row,) = report.rows_of("numeric")
        assert "layer by layer" in row.note
        assert row.passed
    (row,) = generated.rows_of("numeric")
    assert (row.metrics["tokens/agreement"].value, row.metrics["tokens/agreement"].n) == (1, 7 * 5)
    assert row.metrics["numeric/logits/max_rel"].value < 1e-5


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("rows_at_a_time", [1, 3, 16])
def test_logits_by_layers_of_several_rows_are_those_of_the_whole_model(kind, rows_at_a_time, weights, tmp_path):
    module, path = weights(kind)
    rows = [np.random.default_rng(length).integers(0, VOCABULARY, length) for length in (5, 9, 2, 9, 7, 3, 8)]
    artifact = ModelArtifact(spec=spec_of(kind), format="torch", path=path)
    job = SimpleNamespace(limits=Limits(memory_bytes=1))
    watch = SimpleNamespace(own_watch=Watch(limits=Limits()), warn=pytest.fail, scratch=tmp_path, job=job)
    subject = SimpleNamespace(
        original=artifact, precision=DType.FLOAT32, session=watch, opener=SimpleNamespace(reference="vendor:Backend")
    )
    asked = References(subject, logits_bytes=rows_at_a_time * 9 * VOCABULARY * 8)
    assert asked.reference.layers_at_a_time
    for row, found in zip(rows, asked.logits(rows), strict=True):
        with torch.no_grad():
            expected = module(torch.tensor(row)[None])[0].numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_a_backend_that_does_not_score_is_told_so(folder):
    request = DatasetRequest(name="text", options={"path": str(folder / "wiki.txt")}, samples=1)
    report = run(spec_of("gpt2"), backend=TorchBackend(), weights="random", asks="score", dataset=request)
    assert [failure.code for failure in report.failures] == ["unsupported_ask"]
    assert "'torch' does not answer what is asked" in report.failures[0].message


def test_what_is_asked_has_to_be_told_rightly():
    assert Workload(task="t").asked is Asked.FORWARD
    assert Workload(task="t", prompts=Lengths()).asked is Asked.GENERATE
    with pytest.raises(SpecError, match="asked for by prompts"):
        Workload(task="t", asks="generate")
    with pytest.raises(SpecError, match="something else is asked"):
        Workload(task="t", asks="score", prompts=Lengths())
    with pytest.raises(SpecError, match="not batched"):
        Workload(task="t", asks="score", batch_sizes=(4,))
    with pytest.raises(SpecError, match="did you mean 'score'"):
        Workload(task="t", asks="scores")
    loader = ArrayLoader({"input_ids": np.zeros((2, LENGTH), np.int64)})
    with pytest.raises(SpecError, match="cannot be scored"):
        run(spec_of("gpt2"), backend="torch", weights="random", asks="score", dataset=loader)

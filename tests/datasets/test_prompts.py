"""Seeded prompts: exact lengths, within the vocabulary, distinct, the same for the same seed."""

import re

import numpy as np
import pytest

from bytemlperf.datasets import Prompts, TextPrompts
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError
from bytemlperf.sample import Generation
from bytemlperf.spec import Format, Framework, ModelSpec, TensorSpec, from_json, to_json
from bytemlperf.workload import Lengths, Sampling, Workload


def spec(high=50):
    return ModelSpec(
        name="m",
        framework=Framework.TORCH,
        format=Format.TORCH,
        inputs=(TensorSpec(name="tokens", shape=("batch", 4), dtype="int64", high=high),),
        outputs=(TensorSpec(name="logits", shape=("batch", 4, 50), dtype="float32"),),
    )


def test_each_prompt_has_its_own_length_and_asks_for_its_own():
    prompts = Prompts.of(Lengths(input=(3, 9), output=(2, 5), samples=40), spec(), seed=1)
    queries = prompts.queries(30)
    assert (len(prompts), len(queries)) == (40, 30)
    batches = [queries.batch(i) for i in range(30)]
    lengths = [batch.inputs["tokens"].shape for batch in batches]
    assert {shape[0] for shape in lengths} == {1}
    assert {shape[1] for shape in lengths} == set(range(3, 10))
    asks = [batch.ask for batch in batches]
    assert all(isinstance(ask, Generation) and ask.min_new_tokens == ask.max_new_tokens for ask in asks)
    assert {ask.max_new_tokens for ask in asks} == {2, 3, 4, 5}
    tokens = np.concatenate([batch.inputs["tokens"][0] for batch in batches])
    assert (tokens.min(), tokens.max()) == (0, 49)
    assert len({batch.inputs["tokens"].tobytes() for batch in batches}) == 30


def test_the_seed_decides_and_more_prompts_leave_the_first():
    few = Prompts.of(Lengths(input=6, samples=4), spec(), seed=1)
    more = Prompts.of(Lengths(input=6, samples=9), spec(), seed=1)
    other = Prompts.of(Lengths(input=6, samples=4), spec(), seed=2)
    np.testing.assert_array_equal(few.load(range(4))["tokens"], more.load(range(4))["tokens"])
    assert (few.load([0])["tokens"] != other.load([0])["tokens"]).any()
    assert len({each.fingerprint() for each in (few, more, other)}) == 3
    assert few.labels([0]) is None


@pytest.mark.parametrize(
    "header",
    ["input_tokens,output_tokens", "TIMESTAMP,ContextTokens,GeneratedTokens", "Request tokens,Response tokens"],
)
def test_lengths_of_a_file_are_taken_in_order(tmp_path, header):
    rows = [["x"] * (header.count(",") - 1) + ["5", "2"], ["x"] * (header.count(",") - 1) + ["7", "3"]]
    path = tmp_path / "trace.csv"
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]))
    queries = Prompts.of(Lengths(file=path), spec(), seed=0).queries(9)
    assert queries.lengths.tolist() == [5, 7]
    assert [ask.max_new_tokens for ask in queries.asks] == [2, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2", "other columns"),
        ("", "empty file"),
        ("input_tokens,output_tokens\n", "no row"),
        ("input_tokens,output_tokens\n1,two", "no whole number.*:2"),
        ("input_tokens,output_tokens\n1,2\n0,2", "below 1.*:3"),
        ("input_tokens,output_tokens\n1", "no whole number"),
    ],
)
def test_a_file_that_is_wrong_names_the_line(tmp_path, text, words):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(DatasetError) as caught:
        Prompts.of(Lengths(file=str(path)), spec(), seed=0)
    assert re.search(words, str(caught.value).replace("\n", " "))


def test_what_takes_no_prompts_and_files_that_are_not_there(tmp_path):
    with pytest.raises(SpecError, match="takes no prompts"):
        Prompts.of(Lengths(), spec(high=None), seed=0)
    with pytest.raises(DatasetUnavailableError):
        Prompts.of(Lengths(file=str(tmp_path / "none.csv")), spec(), seed=0)


@pytest.mark.parametrize("value", [0, (3, 2), (1, 2.5), True])
def test_lengths_that_cannot_be(value):
    with pytest.raises(SpecError, match="lengths cannot be"):
        Lengths(input=value)


def test_a_workload_with_prompts_is_data_and_is_not_batched():
    workload = Workload(task="t", prompts=Lengths(input=(1, 4), output=2))
    assert from_json(Workload, to_json(workload)) == workload
    with pytest.raises(SpecError, match="not batched"):
        Workload(task="t", prompts=Lengths(), batch_sizes=(2,))


WARM = Sampling(temperature=0.7, top_k=5, top_p=0.9)


def texts(lengths, seed):
    return TextPrompts(Prompts.of(Lengths(samples=4), spec(), seed=0), lengths, seed=seed)


@pytest.mark.parametrize("make", [lambda lengths, seed: Prompts.of(lengths, spec(), seed=seed), texts])
def test_draws_are_asked_as_the_job_says_with_a_stream_for_each_prompt(make):
    def asks(job, **sampling):
        loader = make(Lengths(input=4, output=3, samples=4, sampling=Sampling(temperature=0.7, **sampling)), job)
        return [loader.queries(4).batch(index).ask for index in range(4)], loader.fingerprint()

    found, fingerprint = asks(1, top_k=5, top_p=0.9)
    assert {(each.temperature, each.top_k, each.top_p) for each in found} == {(0.7, 5, 0.9)}
    assert len({each.seed for each in found}) == 4
    assert asks(1, top_k=5, top_p=0.9) == (found, fingerprint)
    assert [each.seed for each in asks(2)[0]] != [each.seed for each in asks(1)[0]]
    assert [each.seed for each in asks(2, seed=9)[0]] == [each.seed for each in asks(3, seed=9)[0]]
    greedy = make(Lengths(input=4, output=3, samples=4), 1)
    assert greedy.asked(0) == Generation(max_new_tokens=3, min_new_tokens=3)
    assert greedy.fingerprint() != fingerprint


@pytest.mark.parametrize(
    "fields", [{"temperature": -1}, {"temperature": 1, "top_p": 0}, {"temperature": 1, "seed": -1}]
)
def test_draws_that_cannot_be_are_refused(fields):
    with pytest.raises(SpecError, match="out of range"):
        Sampling(**fields)


@pytest.mark.parametrize("fields", [{"top_k": 5}, {"top_p": 0.5}, {"seed": 1}])
def test_draws_without_a_temperature_are_refused(fields):
    with pytest.raises(SpecError, match=r"nothing is drawn.*give a temperature"):
        Sampling(**fields)


def test_draws_are_part_of_a_job():
    workload = Workload(task="m", prompts=Lengths(sampling=WARM))
    assert from_json(Workload, to_json(workload)) == workload

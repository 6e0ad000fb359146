"""Arguments that may come from a command line."""

import gc
import json

import psutil
import pytest
from tests.lm_eval.twins import asked

from bytemlperf import ModelSpec, TensorSpec
from bytemlperf.errors import SpecError
from bytemlperf.lm_eval import BackendLM
from bytemlperf.lm_eval.opening import limits_of, task_of, worker_of
from bytemlperf.spec import to_json
from bytemlperf.worker import Worker
from bytemlperf.workload import Job, Limits

SPEC = ModelSpec(
    name="own", framework="torch", format="torch",
    inputs=(TensorSpec(name="tokens", shape=("batch", 4), dtype="int64", high=9),),
    outputs=(TensorSpec(name="logits", shape=("batch", 4, 9), dtype="float32"),),
)  # fmt: skip


def test_a_model_is_a_name_a_value_or_the_file_of_a_job(tmp_path):
    assert task_of("gpt2-torch-fp32") == "gpt2-torch-fp32"
    assert task_of(SPEC) is SPEC
    job = Job(task="own", model=SPEC, weights="random", seed=7)
    path = tmp_path / "job.json"
    path.write_text(json.dumps(to_json(job)), encoding="utf-8")
    assert task_of(str(path)) == job
    with pytest.raises(SpecError, match=r"cannot be read .*none\.json"):
        task_of(str(tmp_path / "none.json"))


def test_limits_may_be_given_by_their_fields():
    assert limits_of(None) is None
    assert limits_of(Limits(query_s=3)) == limits_of({"query_s": 3}) == Limits(query_s=3)
    with pytest.raises(SpecError, match="limits"):
        limits_of({"query_s": -1})


def test_environment_variables_are_handed_to_the_worker_by_name(monkeypatch):
    monkeypatch.setenv("OF_MINE", "1")
    assert worker_of(None, ()) is None
    assert worker_of(None, "OF_MINE") == Worker(env={"OF_MINE": "1"})
    given = Worker(command=("python3",), env={"OTHER": "2"})
    assert worker_of(given, ()) is given
    assert worker_of(given, ["OF_MINE"]) == Worker(command=("python3",), env={"OTHER": "2", "OF_MINE": "1"})


def workers():
    return {each.pid for each in psutil.Process().children(recursive=True)}


def test_a_model_that_nobody_holds_leaves_no_worker_behind(plain):
    before = workers()
    model = BackendLM(**plain.ours, backend="tests.lm_eval.vendors:Table")
    model.loglikelihood(asked("loglikelihood", ("a", " b")))
    assert workers() - before
    del model
    gc.collect()
    assert not workers() - before

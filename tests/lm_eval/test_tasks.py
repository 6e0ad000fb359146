"""Whole tasks of lm-evaluation-harness, from local files, by our backends and by its own model."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from lm_eval import simple_evaluate
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager
from tests.lm_eval import small_tasks
from tests.lm_eval.twins import CONTEXT
from tests.lm_eval.vendors import Table

from bytemlperf.backends.torch_generation.backend import TorchGenerationBackend
from bytemlperf.lm_eval import BackendLM
from bytemlperf.spec import to_json
from bytemlperf.workload import Job


@pytest.fixture(name="evaluated")
def _evaluated(tmp_path):
    """Evaluates the small tasks with a model; each time from the beginning."""
    index = TaskManager(include_defaults=False)

    def evaluated(model, **settings):
        tasks = small_tasks.tasks(tmp_path)
        return simple_evaluate(
            model=model, tasks=tasks, task_manager=index, bootstrap_iters=0, confirm_run_unsafe_code=False, **settings
        )

    return evaluated


def figures(results):
    return {
        (task, name): value
        for task, told in results["results"].items()
        for name, value in told.items()
        if isinstance(value, float)
    }


def test_results_of_whole_tasks_are_those_of_transformers(pair, evaluated):
    with BackendLM(**pair.ours, backend=TorchGenerationBackend()) as model:
        found = evaluated(model)
    expected = evaluated(pair.theirs)
    assert {name for _, name in figures(found)} >= {
        "acc,none",
        "acc_norm,none",
        "word_perplexity,none",
        "exact_match,none",
    }
    assert figures(found) == pytest.approx(figures(expected), rel=1e-5)
    written = [[each["filtered_resps"] for each in result["samples"]["writing"]] for result in (found, expected)]
    assert written[0] == written[1]
    assert found["config"]["bytemlperf"]["backend"] == "torch-generation"
    json.dumps(found["config"]["bytemlperf"])


class Counting(Table):
    """Counts what it is asked."""

    queries = 0

    def predict(self, compiled, batch):
        Counting.queries += 1
        return super().predict(compiled, batch)


def test_answers_that_lm_eval_has_cached_are_not_asked_again(plain, evaluated, tmp_path):
    cache = {"use_cache": str(tmp_path / "answers")}
    with BackendLM(**plain.ours, backend=Counting(), max_length=CONTEXT, options={"length": CONTEXT}) as model:
        first, asked = evaluated(model, **cache), Counting.queries
        assert asked > 12 + 12
        again = evaluated(model, **cache)
        assert Counting.queries == asked
    assert figures(first) == figures(again)


def test_the_library_finds_the_model_and_its_own():
    assert get_model("bytemlperf") is BackendLM
    assert get_model("dummy").__name__ == "DummyLM"


@pytest.mark.slow
def test_the_command_has_the_model_and_writes_results(plain, tmp_path):
    for name, told in small_tasks.configurations(tmp_path).items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    job = Job(task=plain.spec.name, model=plain.spec, weights=plain.weights, backend="tests.lm_eval.vendors:Table")
    (tmp_path / "job.json").write_text(json.dumps(to_json(job)), encoding="utf-8")
    given = {"model": str(tmp_path / "job.json"), "tokenizer": plain.tokenizer, "options": {"length": CONTEXT}}
    command = [
        sys.executable, "-m", "bytemlperf.lm_eval", "--model", "bytemlperf", "--model_args", json.dumps(given),
        "--tasks", "choosing,writing", "--include_path", str(tmp_path), "--output_path", str(tmp_path / "out"),
    ]  # fmt: skip
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "out").rglob("results_*.json")
    told = json.loads(written.read_text(encoding="utf-8"))
    assert set(told["results"]) == {"choosing", "writing"}
    assert told["config"]["model"] == "bytemlperf"
    assert told["config"]["bytemlperf"]["backend"] == "table"
    assert "|choosing" in done.stdout

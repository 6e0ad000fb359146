"""Workload files of language models of ByteMLPerf's layout, made here."""

import copy
import json

import attrs
import pytest

from bytemlperf.errors import SpecError
from bytemlperf.workload import Asked, Check, read_language_workload, write_language_workload
from bytemlperf.workload.jobfile import read_job_file

FILE = {
    "model": "chatglm2-6b-torch-fp16",
    "test_accuracy": True,
    "test_perf": True,
    "min_tp_size": 2,
    "accuracy_config": {"dataset": "llm_perf/datasets/merged_52_test.csv", "min_new_tokens": 1, "max_new_tokens": 512},
    "perf_config": {
        "tp_sizes": [1, 2, 4],
        "batch_sizes": [1, 8],
        "input_tokens": [1024, 2048],
        "output_tokens": 200,
        "perf_time": 100,
    },
}


def changed(path, value):
    data = copy.deepcopy(FILE)
    *outer, key = path.split(".")
    target = data
    for each in outer:
        target = target[each]
    if value is KeyError:
        del target[key]
    else:
        target[key] = value
    return data


def test_timed_runs_become_jobs():
    read = read_language_workload(FILE)
    jobs = read.workload.timed_jobs(weights="random", seed=3)
    assert [(job.options, job.prompts.input[0]) for job in jobs] == [
        ({"tensor_parallel": ranks}, length) for ranks in (2, 4) for length in (1024, 2048)
    ]
    first = jobs[0]
    assert (first.task, first.weights, first.seed, first.asked) == (FILE["model"], "random", 3, Asked.GENERATE)
    assert first.prompts.output == (200, 200)
    assert [(each.clients, each.max_duration_s) for each in first.scenarios] == [(1, 100), (8, 100)]
    assert first.checks == (Check.COMPILE, Check.PERFORMANCE)
    assert "1 ranks are below min_tp_size" in read.warnings[0]
    alone = read_language_workload(changed("min_tp_size", 1)).workload
    assert alone.timed_jobs()[0].options == {}
    assert read_language_workload(changed("test_perf", False)).workload.timed_jobs() == ()


def test_the_52_questions_become_a_job():
    job = read_language_workload(FILE).workload.question_job("merged_52_test.csv", stop=(2,), tokenizer="glm")
    assert (job.asked, job.dataset.name, job.checks) == (Asked.GENERATE, "multiple-choice", (Check.NUMERIC,))
    assert job.dataset.options == {"path": "merged_52_test.csv", "tokenizer": "glm"}
    assert (job.prompts.output, job.prompts.stop, job.options) == ((1, 512), (2,), {"tensor_parallel": 2})
    assert read_language_workload(changed("test_accuracy", False)).workload.question_job("x") is None


def test_the_52_questions_are_scored_by_another_job():
    job = read_language_workload(FILE).workload.perplexity_job("merged_52_test.csv", tokenizer="glm")
    assert (job.asked, job.dataset.name, job.checks) == (Asked.SCORE, "multiple-choice", (Check.ACCURACY,))
    assert job.dataset.options == {"path": "merged_52_test.csv", "tokenizer": "glm", "score_prompts": True}
    assert job.options == {"tensor_parallel": 2}
    assert read_language_workload(changed("test_accuracy", False)).workload.perplexity_job("x") is None


FLAT = {
    "model": "chatglm2-torch-fp16-6b", "test_accuracy": True, "test_perf": True, "min_new_tokens": 0,
    "max_new_tokens": 256, "clients": 10, "tp_sizes": [1, 2], "batch_sizes": [8], "input_tokens": [1024],
    "dataset": "llm_perf/datasets/merged_52_test.csv", "perf_time": 180,
}  # fmt: skip


def test_a_file_without_sections_is_read_and_written_back():
    read = read_language_workload(FLAT)
    workload = read.workload
    assert [(job.options, job.prompts.output) for job in workload.timed_jobs()] == [
        ({}, (256, 256)), ({"tensor_parallel": 2}, (256, 256)),
    ]  # fmt: skip
    assert [each.max_duration_s for each in workload.timed_jobs()[0].scenarios] == [180]
    assert workload.question_job("x").prompts.output == (1, 256)
    assert ["not used" in each or "exactly 256 tokens" in each for each in read.warnings] == [True, True, False]
    assert write_language_workload(read) == FLAT
    changes = attrs.evolve(
        workload, ranks=(4,), output_tokens=64, max_new_tokens=64, questions="other.csv", min_ranks=2
    )
    written = write_language_workload(attrs.evolve(read, workload=changes))
    assert written == {**FLAT, "tp_sizes": [4], "max_new_tokens": 64, "dataset": "other.csv", "min_tp_size": 2}
    with pytest.raises(SpecError, match="one length of answers"):
        write_language_workload(attrs.evolve(read, workload=attrs.evolve(workload, output_tokens=64)))
    assert read_language_workload({**FLAT, "later": 1}).extras == {"later": 1}


@pytest.mark.parametrize("key", sorted(set(FLAT) - {"clients", "max_new_tokens"}))
def test_what_a_file_without_sections_lacks_is_named(key):
    with pytest.raises(SpecError) as caught:
        read_language_workload({name: value for name, value in FLAT.items() if name != key})
    assert caught.value.where == f"$.{key}"


def test_a_file_is_written_back_as_it_was_but_for_what_changed():
    data = changed("perf_config.later", {"x": [1]})
    data["note"] = "kept"
    read = read_language_workload(data)
    assert read.extras == {"note": "kept", "perf_config.later": {"x": [1]}}
    assert sum("unknown key" in each for each in read.warnings) == 2
    assert any("$.perf_config.later" in each for each in read.warnings)
    assert write_language_workload(read) == data
    workload = attrs.evolve(read.workload, ranks=(2,), output_tokens=100, accuracy=False)
    written = write_language_workload(attrs.evolve(read, workload=workload))
    expected = copy.deepcopy(data)
    expected["test_accuracy"] = False
    expected["perf_config"] |= {"tp_sizes": [2], "output_tokens": 100}
    assert written == expected
    assert read_language_workload(written).workload == workload


WRONG = {
    "model": [None, "", "a b", KeyError],
    "test_perf": [1, None, KeyError],
    "min_tp_size": [0, True, "1", KeyError],
    "accuracy_config": [None, [], KeyError],
    "perf_config": ["x", KeyError],
    "perf_config.tp_sizes": [[], [0], [1, 1], 1, KeyError],
    "perf_config.batch_sizes": [["1"], KeyError],
    "perf_config.input_tokens": [None, KeyError],
    "perf_config.output_tokens": [0, 1.5, KeyError],
    "perf_config.perf_time": [-1, KeyError],
    "accuracy_config.dataset": ["", 5, KeyError],
    "accuracy_config.min_new_tokens": [0, 513, KeyError],
}


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in WRONG.items() for value in values])
def test_what_is_missing_or_wrong_is_named_with_its_place(tmp_path, path, value):
    file = tmp_path / "glm.json"
    file.write_text(json.dumps(changed(path, value)))
    with pytest.raises(SpecError) as caught:
        read_language_workload(file)
    assert caught.value.where.startswith(f"glm.json: $.{path}")


def test_the_command_line_says_what_to_do_with_such_a_file(tmp_path):
    file = tmp_path / "glm.json"
    file.write_text(json.dumps(FILE))
    with pytest.raises(SpecError, match="asks for several jobs"):
        read_job_file(file)

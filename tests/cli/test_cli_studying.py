"""The commands plan, interleave and find-limit."""

import json

import pytest

from bytemlperf.cli import main

TASK = "digits-resnet-onnx-fp32"
ECHO = "bytemlperf.testing.backends:EchoBackend"
SLEEP = "bytemlperf.testing.backends:SleepBackend"


def test_a_plan_is_printed_as_text_and_as_json(capsys):
    arguments = ["plan", TASK, "--backend", "null", "--checks", "performance", "--iterations", "500"]
    assert main([*arguments, "--expected-latency", "10"]) == 0
    assert "p99 at 95 % of 500 queries" in capsys.readouterr().out
    assert main([*arguments, "--json", "--width", "10"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["minutes"], plan["wish"]["width"]) == (None, 0.1)


def test_a_plan_of_a_bad_request_ends_with_2(capsys):
    assert main(["plan", "nosuch", "--backend", "null"]) == 2
    assert "nosuch" in capsys.readouterr().err


def test_interleave_tells_the_slower_one_by_its_exit_code(capsys, tmp_path):
    written = tmp_path / "decision.md"
    sides = ["--a", ECHO, "--b", SLEEP, "--b-option", "latency_us=8000", "--weights", "random"]
    shown = ["--minutes", "0.001", "--figure", "p50", "--json", "--markdown", str(written)]
    code = main(["interleave", TASK, *sides, *shown])
    found = json.loads(capsys.readouterr().out)
    assert (code, found["decision"], found["equal_outputs"]) == (1, "slower", True)
    assert "verdict: slower" in written.read_text()


def test_find_limit_writes_its_files_and_tells_that_none_was_found(capsys, tmp_path):
    backend = ["--backend", SLEEP, "--option", "latency_us=2000", "--weights", "random"]
    asked = ["--bound", "0.5", "--percentile", "50", "--minutes", "0.06", "--out", str(tmp_path / "limit")]
    code = main(["find-limit", TASK, *backend, *asked])
    assert code == 1
    assert "no rate is shown to keep p50 within 0.5" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "limit" / "limit.json").exists()


@pytest.mark.parametrize("command", [["interleave", TASK, "--a", ECHO], ["find-limit", TASK]])
def test_what_is_needed_is_asked_for(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "required" in capsys.readouterr().err

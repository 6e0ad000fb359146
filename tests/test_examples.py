"""Every example runs as a user would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

PRINTS = {
    "01_three_lines": ("digits-resnet-onnx-fp32 on onnxruntime", "accuracy/top1", "passed at a bound of 0.0001"),
    "02_own_model": ("classifier on onnxruntime", "right by chance: 0.2"),
    "03_write_a_backend": ("digits-resnet-torch-fp32 on mychip", "failed - compile_error - the chip has too few cores"),
    "04_pieces_alone": ("latency/p50", "n = 200"),
    "05_platform": ("digits-resnet-onnx-fp32 torch failed", "conversion_error", "again: complete with 0 new rows of 4"),
    "06_push_and_phases": (
        "mypush:MyPush fixed_batch/clients=4",
        "myphased:MyPhased fixed_batch/clients=4",
        "MyPhased prepare",
    ),
    "07_add_a_model": ("numeric/batch=16/fp32/devices=1 passed", "accuracy was not measured: the weights are random"),
    "08_old_interpreter": ("-> complete", "numeric/batch=16/fp32/devices=1 passed"),
    "09_add_a_dataset": ("n = 40",),
    "10_add_a_metric": ("n = 360",),
    "11_live_module": ("features ['batch', '16']", "numeric pass", "the live module was exported to onnx"),
    "12_saved_model": ("features ['batch', '16']", "performance pass"),
    "14_pair_a_metric": ("accuracy/balanced_accuracy 0.", "on the same 360 samples (paired bootstrap)"),
    "20_compare_reports": (
        "Holm over 2 figures",
        "accuracy/top1 is equivalent by paired samples",
        "a gate would end with",
    ),
    "22_mlperf_logs": ("answers are those of the accuracy run", "single_stream valid: True - errors in the log: 0"),
    "21_audit_results": ("littles_law - QPS x AVG Latency / BS is 3.95 queries in flight", "precision_mismatch - "),
    "22_choose_between_two": ("% queries a second: ", "outputs are the same: True", "verdict: "),
    "23_find_the_limit": ("p90 within 50 ms at 95 %", "files: ['limit.json', 'limit.md', 'limit.png']"),
    "24_how_long": ("p50 at 95 % of 500 queries", "queries for an interval within 50 %"),
    "30_scenarios": ("single_stream", "multi_stream", "early_stopping", "server", "offline", "closed_loop"),
    "40_language_models": (
        "torch complete closed_loop",
        "openai complete server",
        "throughput/output_tokens_per_s",
        "queries with ttft_ms <= 500, tpot_ms <= 100 / queries planned",
        "tokens that are the reference's choice: 1 [",
    ),
    "42_lm_eval": ("|sums |", "|acc   |", "small-gpt2-torch-fp32 on torch-generation - weights: random"),
    "41_tensor_parallel": (
        "tp_size=2 complete",
        "rank_1_weight_bytes",
        "cannot be divided among 3 ranks",
        "expected one of 1, 2, 4",
    ),
    "13_bytemlperf_files": ("unknown key", "fixed_batch/clients=2", "written back as they were: True True", '"QPS"'),
}
"""What each example must say; one that is not listed here fails."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run_example(cache, tmp_path):
    """Run an example in an empty folder, where nothing can be fetched; return what it printed."""

    def run(name: str, *arguments: str) -> str:
        env = os.environ | {
            "BYTEMLPERF_CACHE": str(cache),
            "HF_HUB_OFFLINE": "1",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
        }
        command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def old_interpreter(tmp_path):
    """A command that starts a Python which has numpy and not bytemlperf, so that the stand-in is used."""
    packages = tmp_path / "packages"
    packages.mkdir()
    numpy = Path(np.__file__).parent
    for found in (numpy, numpy.with_name("numpy.libs")):
        if found.exists():
            (packages / found.name).symlink_to(found)
    command = tmp_path / "python"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{packages}" exec "{sys.executable}" -S "$@"\n')
    command.chmod(0o755)
    return command


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("[0-9]*.py")))
def test_example_runs_and_says(name, run_example):
    printed = run_example(name)

    assert not [text for text in PRINTS[name] if text not in printed], printed


def test_a_backend_runs_where_bytemlperf_is_not_installed(run_example, old_interpreter):
    probe = subprocess.run([old_interpreter, "-c", "import bytemlperf"], capture_output=True, check=False)
    assert probe.returncode, "the interpreter has bytemlperf after all"

    printed = run_example("08_old_interpreter", str(old_interpreter))

    assert "-> complete" in printed
    assert "numeric/batch=16/fp32/devices=1 passed" in printed


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_is_short(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]

    assert len(lines) < 60

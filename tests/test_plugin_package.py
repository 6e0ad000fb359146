"""A real package of somebody else, installed: its parts are found by entry points and work like the built-in ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

PACKAGE = Path(__file__).parent / "plugin_package"
DISTRIBUTION = "bytemlperf-thirdparty 1.2"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which the package was installed, without a network."""
    folder = tmp_path_factory.mktemp("site")
    command = ["install", "--no-deps", "--no-build-isolation", "--target", str(folder), str(PACKAGE)]
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *command],
        env={**os.environ, "PIP_NO_INDEX": "1"},
        check=True,
        timeout=120,
        capture_output=True,
    )
    return folder


@pytest.fixture
def told(site, tmp_path):
    """Run code in a new process that finds the package; return the JSON that it prints last."""

    def run(code):
        ended = _run(site, tmp_path, ["-c", code])
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    return run


def _run(site, tmp_path, arguments):
    env = {**os.environ, "PYTHONPATH": str(site), "TMPDIR": str(tmp_path), "BYTEMLPERF_CACHE": str(tmp_path / "cache")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_all_four_are_listed_and_nothing_of_the_package_is_loaded_for_it(told):
    names, loaded = told(
        "import json, sys\n"
        "from bytemlperf import registry\n"
        "names = {kind: getattr(registry, kind).names() for kind in registry.GROUPS}\n"
        "print(json.dumps([names, [name for name in sys.modules if name.startswith('thirdparty')]]))\n"
    )
    assert {"thirdparty-numpy", "thirdparty-broken", "torch"} <= set(names["backends"])
    assert {"thirdparty-points", "digits"} <= set(names["datasets"])
    assert {"thirdparty-hits", "top1"} <= set(names["metrics"])
    assert {"thirdparty-nearest-torch-fp32", "resnet50-torch-fp32"} <= set(names["models"])
    assert loaded == []


def test_the_command_lists_them_with_their_distribution(site, tmp_path):
    command = ["-c", "import sys; from bytemlperf.cli import main; sys.exit(main(sys.argv[1:]))"]
    listed = _run(site, tmp_path, [*command, "list", "models", "--json"])
    rows = {row["name"]: row["distribution"] for row in json.loads(listed.stdout)}
    assert rows["thirdparty-nearest-torch-fp32"] == DISTRIBUTION
    shown = _run(site, tmp_path, [*command, "show", "thirdparty-numpy", "--json"])
    assert json.loads(shown.stdout)["version"] == "thirdparty 1.2"


EVALUATE = """
import json, sys
from bytemlperf import FixedBatch, run

report = run(
    "thirdparty-nearest-torch-fp32", backend="thirdparty-numpy", scenarios=[FixedBatch(iterations=10)],
    numeric_samples=7, {fields}
)
print(json.dumps([report.to_dict(), sorted(name for name in sys.modules if name.startswith("thirdparty"))]))
"""


def test_its_model_runs_on_its_backend_with_its_data_and_its_metric(told):
    report, loaded = told(EVALUATE.format(fields=""))
    assert (report["status"], report["failures"]) == ("complete", [])
    assert (report["backend"]["name"], report["backend"]["isolation"]) == ("thirdparty-numpy", "worker")
    assert (report["backend"]["version"], report["backend"]["tried_on"]) == ("thirdparty 1.2", ["thirdparty:0"])
    assert (report["dataset"]["name"], report["dataset"]["samples"]) == ("thirdparty-points", 40)
    assert report["artifact"]["provenance"] == "pretrained"
    rows = {(row["kind"], row["batch_size"]): row for row in report["rows"]}
    assert set(rows) == {("accuracy", 1), ("numeric", 1), ("numeric", 5), ("performance", 1), ("performance", 5),
                         ("compile", 1)}  # fmt: skip
    hits = _figure(rows["accuracy", 1], "accuracy/thirdparty-hits")
    assert (hits["value"], hits["n"]) == (36 / 40, 40)
    assert [rows["numeric", size]["passed"] for size in (1, 5)] == [True, True]
    assert "in torch, float64" in rows["numeric", 5]["note"]
    assert rows["performance", 5]["devices"] == ["thirdparty:0"]
    assert "thirdparty.backend" not in loaded, "only the worker imports a backend"
    assert {"thirdparty.hits", "thirdparty.model", "thirdparty.points"} <= set(loaded)


def _figure(row, name):
    figures = row["metrics"].get("estimates", row["metrics"])
    return figures[name]


CONFIGURED = """
import json
from bytemlperf import FixedBatch, run

reports = [
    run(
        name, backend="{backend}", weights="random", checks=["numeric", "performance"], numeric_samples=3,
        scenarios=[FixedBatch(iterations=2)], options={{"threads": 1}},
    )
    for name in ("thirdparty-llama-torch-fp32", "thirdparty-bert-torch-fp32", "thirdparty-glm-torch-fp32")
]
print(json.dumps([report.to_dict() for report in reports]))
"""


@pytest.mark.parametrize("backend", ["torch", pytest.param("onnxruntime", marks=pytest.mark.slow)])
def test_its_models_of_known_architectures_are_configurations_and_run(told, backend):
    reports = told(CONFIGURED.format(backend=backend))
    assert len(reports) == 3
    for report in reports:
        assert (report["status"], report["failures"], report["backend"]["name"]) == ("complete", [], backend)
        assert report["artifact"]["provenance"] == "random"
        rows = {(row["kind"], row["batch_size"]): row for row in report["rows"]}
        assert [rows["numeric", size]["passed"] for size in (1, 3)] == [True, True]
        assert {("performance", 1), ("performance", 3)} <= set(rows)


GENERATED = """
import json
from bytemlperf import ClosedLoop, Lengths, run

reports = [
    run(
        name, backend="torch", weights="random", prompts=Lengths(input=(3, 8), output=4, samples=6),
        checks=["numeric", "performance"], scenarios=[ClosedLoop(clients=2, queries=6)], numeric_samples=3,
        options={"threads": 1},
    )
    for name in ("thirdparty-llama-torch-fp32", "thirdparty-glm-torch-fp32")
]
print(json.dumps([report.to_dict() for report in reports]))
"""


def test_its_language_models_generate_the_tokens_of_their_definitions(told):
    reports = told(GENERATED)
    assert len(reports) == 2
    for report in reports:
        assert (report["status"], report["failures"]) == ("complete", [])
        numeric, performance = (next(row for row in report["rows"] if row["kind"] == kind)
                                for kind in ("numeric", "performance"))  # fmt: skip
        assert (numeric["passed"], _figure(numeric, "tokens/agreement")["n"]) == (True, 3 * 4)
        assert _figure(performance, "tokens/output")["value"] == 6 * 4


def test_its_backends_own_option_reaches_it(told):
    report, _ = told(EVALUATE.format(fields="checks=['numeric'], batch_sizes=[5], options={'error': 0.25}"))
    assert [failure["code"] for failure in report["failures"]] == ["numeric_mismatch"]
    assert [row["passed"] for row in report["rows"]] == [False]


def test_a_broken_part_is_named_with_its_distribution_and_cause_and_hurts_no_other(told):
    message, names, healthy = told(
        "import json\n"
        "from bytemlperf import backends\n"
        "from bytemlperf.errors import BackendUnavailableError\n"
        "try:\n"
        "    backends.get('thirdparty-broken')\n"
        "except BackendUnavailableError as error:\n"
        "    message = str(error)\n"
        "print(json.dumps([message, backends.names(), backends.get('thirdparty-numpy').name]))\n"
    )
    assert f"backend 'thirdparty-broken' of {DISTRIBUTION} cannot be loaded from thirdparty.broken" in message
    assert "ImportError: libthirdparty.so.3: cannot open shared object file" in message
    assert "thirdparty-broken" in names
    assert healthy == "thirdparty-numpy"


def test_a_broken_backend_is_a_failed_report(told):
    failures, status = told(
        "import json\n"
        "from bytemlperf import run\n"
        "report = run('thirdparty-nearest-torch-fp32', backend='thirdparty-broken')\n"
        "print(json.dumps([report.to_dict()['failures'], report.status]))\n"
    )
    assert status == "failed"
    assert [(failure["code"], failure["blame"]) for failure in failures] == [("backend_unavailable", "environment")]
    assert "libthirdparty.so.3" in failures[0]["message"]


def test_a_name_that_a_built_in_has_is_an_error_that_names_both(told):
    message, others = told(
        "import json\n"
        "from bytemlperf import datasets, run\n"
        "from bytemlperf.errors import SpecError\n"
        "try:\n"
        "    run('resnet50-torch-fp32', weights='random', dataset='imagenet2012')\n"
        "except SpecError as error:\n"
        "    message = str(error)\n"
        "print(json.dumps([message, datasets.get('digits').__name__]))\n"
    )
    assert "two distributions declare the dataset 'imagenet2012'" in message
    assert "bytemlperf 0" in message
    assert DISTRIBUTION in message
    assert others == "Digits"


def test_the_shipped_weights_are_those_of_the_nearest_prototype():
    weights = load_file(PACKAGE / "src" / "thirdparty" / "weights" / "nearest.safetensors")
    points = np.random.default_rng(2).standard_normal((50, 4))
    distances = np.square(points[:, None] - weights["scores.weight"]).sum(axis=2)
    scores = points @ weights["scores.weight"].T + weights["scores.bias"]
    np.testing.assert_array_equal(scores.argmax(axis=1), distances.argmin(axis=1))

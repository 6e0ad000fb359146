"""`list models`, `show` and `cache` tell what is there, in 80 columns or as JSON, and load no framework for a list."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys

import pytest

from bytemlperf import zoo
from bytemlperf.cli import main
from bytemlperf.fetch import cache_dir, kept
from bytemlperf.registry import models


@pytest.fixture(autouse=True)
def _narrow(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def stocked():
    """An export of three months ago, and random weights of today."""
    kept(cache_dir() / "converted" / "a", "m", lambda path: path.write_text("graph"), about={"model": "old-onnx"})
    kept(cache_dir() / "random" / "b", "m", lambda path: path.write_text("weights"), about={"model": "new-torch"})
    old = (dt.datetime.now(dt.UTC) - dt.timedelta(days=90)).timestamp()
    os.utime(cache_dir() / "converted" / "a" / ".entry.json", (old, old))


def _json(capsys, *arguments, code=0):
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_models_are_listed_in_80_columns_with_what_they_cost(capsys):
    assert main(["list", "models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["models", "params", "FLOP", "bytes", "licence", "cached"]
    assert [line.split()[0] for line in lines[1:]] == list(models.names())
    (row,) = [line for line in lines if line.startswith("resnet50-torch-fp32")]
    assert row.split() == ["resnet50-torch-fp32", "25.6M", "8.18G", "102M", "BSD-3-Clause", "-"]


@pytest.mark.parametrize(("columns", "licence"), [("80", "Llama-2-Commu…"), ("120", "Llama-2-Community")])
def test_a_wide_terminal_has_room_for_licences(capsys, monkeypatch, columns, licence):
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["list", "models", "--purpose", "sota"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("llama2-7b-torch-fp16")]
    assert licence in row.split()


def test_show_says_that_nobody_publishes_the_weights(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["show", "widedeep-tf-fp32"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^sources +none: give weights of your own", told, re.MULTILINE)
    assert "ByteMLPerf's own archive only" in " ".join(told.split())
    assert re.search(r"^batch_sizes +1024, 4096, 16384$", told, re.MULTILINE)  # no commas of thousands among them


def test_models_are_listed_as_plain_numbers(capsys):
    rows = {row["name"]: row for row in _json(capsys, "list", "models")}
    row = rows["resnet50-torch-fp32"]
    assert (row["parameters"], row["cached"], row["domain"]) == (25_557_032, "none", "cv")
    assert row["flops"] == zoo.cost("resnet50-torch-fp32").flops
    assert rows["digits-resnet-torch-fp32"]["cached"] == "pinned"


@pytest.mark.parametrize(
    ("filters", "has", "lacks"),
    [
        (["--purpose", "regular"], "resnet50-torch-fp32", "digits-resnet-torch-fp32"),
        (["--framework", "onnx"], "digits-resnet-onnx-fp32", "digits-resnet-torch-fp32"),
        (["--domain", "cv", "--cached"], "digits-resnet-torch-fp32", "resnet50-torch-fp32"),
    ],
)
def test_models_are_filtered(capsys, filters, has, lacks):
    names = {row["name"] for row in _json(capsys, "list", "models", *filters)}
    assert has in names
    assert lacks not in names


def test_an_unknown_filter_and_a_filter_of_something_else_are_bad_requests(capsys):
    assert main(["list", "models", "--domain", "vision"]) == 2
    assert "cv" in capsys.readouterr().err
    assert main(["list", "backends", "--domain", "cv"]) == 2
    assert "only models" in capsys.readouterr().err


def test_a_list_of_models_loads_no_framework_and_no_client():
    code = (
        "import sys; from bytemlperf.cli import main; main(['list', 'models']); "
        "print({'torch', 'tensorflow', 'onnxruntime', 'onnx', 'huggingface_hub', 'safetensors'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_model_that_cannot_be_loaded_is_listed_as_broken_and_hurts_no_other(capsys, tmp_path, monkeypatch):
    info = tmp_path / "site" / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bytemlperf.models]\nbroken-torch-fp32 = no_such_package_here:SPEC\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    rows = {row["name"]: row for row in _json(capsys, "list", "models")}
    assert "no_such_package_here" in rows["broken-torch-fp32"]["problem"]
    assert rows["resnet50-torch-fp32"]["parameters"] == 25_557_032
    assert main(["list", "models"]) == 0
    printed = capsys.readouterr()
    assert "no_such_package_here" in printed.err
    assert "broken" in printed.out


def test_show_tells_layers_cost_source_licence_and_presence(capsys):
    assert main(["show", "resnet50-torch-fp32"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "8.18G at batch 1",
        "102MB of weights",
        "53 Conv2d (23,454,912)",
        "timm/resnet50.tv_in1k",
        "BSD-3-Clause",
        "0.7613",
        "shape [batch, 3, 224, 224]",
        "cached no",
    ):
        assert words in text


def test_show_gives_the_same_as_json(capsys):
    data = _json(capsys, "show", "digits-resnet-torch-fp32")
    assert data["layers"]["Conv2d"]["parameters"] > data["layers"]["Linear"]["parameters"]
    assert (data["cached"], data["parameters"]) == ("pinned", 95_890)
    assert data["cost"]["flops"] == zoo.cost("digits-resnet-torch-fp32").flops


def test_the_cache_is_listed(capsys, stocked):
    assert main(["cache", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["kind", "of", "size", "unused", "for"]
    assert lines[1].split() == ["converted", "old-onnx", "5", "B", "90", "d"]
    assert lines[2].split() == ["random", "new-torch", "7", "B", "0", "min"]
    assert lines[3].startswith("12 B in the cache, 2 items")
    assert all(len(line) <= 80 for line in lines[:3])
    rows = _json(capsys, "cache", "list", "--older-than", "30")
    assert [(row["kind"], row["name"], row["size_bytes"], row["about"]["model"]) for row in rows] == [
        ("converted", "old-onnx", 5, "old-onnx")
    ]


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (["--kind", "random"], {"old-onnx"}),
        (["--kind", "random", "--kind", "converted"], set()),
        (["--model", "onnx"], {"new-torch"}),
        (["--older-than", "30"], {"new-torch"}),
        (["--all"], set()),
    ],
)
def test_the_cache_is_cleared_as_asked(capsys, stocked, which, left):
    gone = _json(capsys, "cache", "clear", *which)
    assert {row["name"] for row in gone} == {"old-onnx", "new-torch"} - left
    assert {row["name"] for row in _json(capsys, "cache", "list")} == left


def test_clearing_everything_must_be_said(capsys, stocked):
    assert main(["cache", "clear"]) == 2
    assert "--all" in capsys.readouterr().err
    assert len(_json(capsys, "cache", "list")) == 2


def test_the_cache_is_verified(capsys, stocked):
    assert main(["cache", "verify"]) == 0
    capsys.readouterr()
    (cache_dir() / "random" / "b" / "m").write_text("damaged")
    problems = _json(capsys, "cache", "verify", code=1)
    assert list(problems) == [str(cache_dir() / "random" / "b")]


def test_the_place_of_the_cache_is_told(capsys):
    assert main(["cache", "path"]) == 0
    assert capsys.readouterr().out.strip() == str(cache_dir())
    assert _json(capsys, "cache", "path") == {"path": str(cache_dir())}


def test_an_export_is_listed_with_what_decided_it(capsys):
    artifact = zoo.resolve("digits-resnet-onnx-fp32")
    (row,) = _json(capsys, "cache", "list", "--kind", "converted")
    assert row["name"] == "digits-resnet-onnx-fp32"
    assert row["about"]["weights"] == artifact.derived_from
    assert row["about"]["sha256"] == artifact.sha256
    assert {"torch", "onnx", "onnxscript", "definition", "conversion"} <= set(row["about"])

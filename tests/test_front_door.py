"""`import bytemlperf` is light, and what it offers is written three times in the same words."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import bytemlperf

HEAVY = (
    "huggingface_hub",
    "lm_eval",
    "numpy",
    "onnx",
    "onnxruntime",
    "safetensors",
    "tensorflow",
    "torch",
    "transformers",
)
SOURCE = Path(bytemlperf.__file__)


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def _type_checking_imports() -> dict[str, str]:
    """Name -> module of what the front door imports for type checkers."""
    imports = {}
    for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                assert isinstance(line, ast.ImportFrom), ast.unparse(line)
                imports |= {name.asname or name.name: str(line.module) for name in line.names}
    return imports


def test_importing_the_front_door_loads_nothing_heavy():
    code = f"import bytemlperf, sys, json; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    assert json.loads(_python(code)) == []


def test_importing_the_front_door_prints_nothing():
    assert _python("import bytemlperf") == ""


def test_all_has_no_doubles():
    assert len(bytemlperf.__all__) == len(set(bytemlperf.__all__))


def test_all_and_exports_are_equal():
    assert set(bytemlperf.__all__) == set(bytemlperf._EXPORTS)


def test_type_checkers_and_programs_get_a_name_from_the_same_room():
    homes = {name: f"bytemlperf.{home}" if home else "bytemlperf" for name, home in bytemlperf._EXPORTS.items()}
    assert _type_checking_imports() == homes


def test_every_export_can_be_had():
    for name in bytemlperf.__all__:
        assert getattr(bytemlperf, name) is not None


def test_dir_lists_what_is_exported():
    assert set(bytemlperf.__all__) <= set(dir(bytemlperf))


def test_the_version_is_that_of_the_distribution():
    assert bytemlperf.__version__ == version("bytemlperf")


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(bytemlperf, "no_such_name")

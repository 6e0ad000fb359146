"""The issuer's files and the stand-in package: old syntax, and the real package's fields, defaults and codes."""

import ast
import importlib.util
import inspect
import json
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import bytemlperf.artifact
import bytemlperf.backends
import bytemlperf.errors
import bytemlperf.issuer
import bytemlperf.sample
import bytemlperf.spec
from bytemlperf.backends import seam
from bytemlperf.errors import BenchmarkError
from bytemlperf.spec import to_json

ISSUER = Path(bytemlperf.issuer.__file__).parent
FILES = sorted(ISSUER.rglob("*.py"))
BESIDE = {file.stem for file in ISSUER.glob("*.py")}
STANDARD = set(sys.stdlib_module_names)

TELL = """
import dataclasses, inspect, json, sys
sys.path.insert(0, sys.argv[1])
import bytemlperf, bytemlperf.backends as backends
from bytemlperf.backends import seam

def plain(value):
    if value is dataclasses.MISSING:
        return "required"
    try:
        json.dumps(value)
    except TypeError:
        return repr(value)
    return value

def fields(kind):
    made = {}
    for each in dataclasses.fields(kind):
        factory = getattr(each, "default_factory", dataclasses.MISSING)
        made[each.name] = plain(each.default if factory is dataclasses.MISSING else factory())
    return made

told = {"file": bytemlperf.__file__, "all": sorted(backends.__all__), "classes": {}, "methods": {}, "seam": {}}
for name in backends.__all__:
    kind = getattr(backends, name)
    if dataclasses.is_dataclass(kind):
        told["classes"][name] = fields(kind)
    elif issubclass(kind, Exception):
        told.setdefault("errors", {})[name] = [kind.code, [base.__name__ for base in kind.__mro__]]
    else:
        told["methods"][name] = {
            each: [list(inspect.signature(value).parameters), bool(getattr(value, "__isabstractmethod__", False))]
            for each, value in vars(kind).items() if inspect.isfunction(value) and not each.startswith("_")
        }
told["formats"] = {k: v for k, v in vars(backends.Format).items() if k.isupper()}
told["facts"] = {k: plain(v) for k, v in vars(backends.Backend).items() if k in sys.argv[2].split(",")}
told["seam"] = {k: list(inspect.signature(v).parameters) for k, v in vars(seam).items()
                if inspect.isfunction(v) and v.__module__ == seam.__name__ and not k.startswith("_")}
print(json.dumps(told))
"""
FACTS = "name,formats,dynamic_batch,fixed_batch_formats,spans_devices,tried_on"
REAL = [bytemlperf.backends, bytemlperf.artifact, bytemlperf.sample, bytemlperf.spec, bytemlperf.errors]
WITH_OTHER_DEFAULTS = {
    ("CompileOptions", "work_dir"),  # a folder of the machine
    ("ModelSpec", "model"),  # the name, which only an instance has
    ("CompileInfo", "precision"),
}


@pytest.fixture(scope="module")
def told():
    command = [sys.executable, "-c", TELL, str(ISSUER / "guest"), FACTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = json.loads(done.stdout)
    assert Path(found["file"]).parent == ISSUER / "guest" / "bytemlperf"
    return found


def real(name):
    return next(getattr(module, name) for module in REAL if hasattr(module, name))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ISSUER)))
def test_every_file_is_written_in_the_syntax_of_python_3_7(file):
    ast.parse(file.read_text(), feature_version=(3, 7))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ISSUER)))
def test_every_file_imports_only_the_standard_library_numpy_and_what_lies_beside_it(file):
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    beside = {"bytemlperf"} if "guest" in file.parts else BESIDE
    assert imported - STANDARD - beside <= {"numpy", "ml_dtypes"}


def test_what_runs_later_than_python_3_7_is_not_called():
    newer = {"removeprefix", "removesuffix", "is_relative_to", "unparse", "pairwise", "batched"}
    for file in FILES:
        called = {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}
        assert not called & newer, file


def test_every_class_has_the_real_ones_fields(told):
    for name, fields in told["classes"].items():
        assert list(fields) == [field.name for field in attrs.fields(real(name))], name


def test_every_default_is_the_real_one(told):
    compared = 0
    for name, fields in told["classes"].items():
        for field in attrs.fields(real(name)):
            if field.default is attrs.NOTHING or (name, field.name) in WITH_OTHER_DEFAULTS:
                continue
            default = field.default.factory() if isinstance(field.default, attrs.Factory) else field.default
            expected = "Forward()" if field.name == "ask" else to_json(default)
            assert fields[field.name] == expected, f"{name}.{field.name}"
            compared += 1
    assert compared > 50


def test_every_error_has_the_real_ones_code_and_bases(told):
    for name, (code, bases) in told["errors"].items():
        kind = real(name)
        assert code == kind.code, name
        expected = [base.__name__ for base in kind.__mro__ if base.__name__ in told["errors"]]
        assert [base for base in bases if base in told["errors"]] == expected, name


def test_a_backend_may_raise_any_error_that_is_its_own_or_the_requests(told):
    kinds = [bytemlperf.errors.BackendError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    missing = {kind.__name__ for kind in kinds if kind.__module__ == "bytemlperf.errors"} - set(told["errors"])
    assert missing == {"BackendError"}


def test_every_base_class_has_the_real_ones_methods(told):
    for name in ("Backend", "AsyncBackend", "Phased"):
        expected = {
            each: [list(inspect.signature(value).parameters), bool(getattr(value, "__isabstractmethod__", False))]
            for each, value in vars(getattr(bytemlperf.backends, name)).items()
            if inspect.isfunction(value) and not each.startswith("_")
        }
        assert told["methods"][name] == expected, name


def test_facts_and_formats_are_the_real_ones(told):
    assert told["formats"] == {each.name: each.value for each in bytemlperf.spec.Format}
    facts = {name: getattr(bytemlperf.backends.Backend, name, None) for name in FACTS.split(",")}
    for name, value in told["facts"].items():
        assert value in (json.loads(json.dumps(facts[name], default=repr)), "", "frozenset()"), name


def test_the_seam_has_the_same_functions(told):
    expected = {
        name: list(inspect.signature(value).parameters)
        for name, value in vars(seam).items()
        if inspect.isfunction(value) and value.__module__ == seam.__name__ and not name.startswith("_")
    }
    del expected["ask_to"]  # only the harness writes what is asked
    assert told["seam"] == expected


def test_messages_are_built_alike():
    spec = importlib.util.spec_from_file_location("guest_errors", ISSUER / "guest" / "bytemlperf" / "errors.py")
    guest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(guest)
    facts = {"where": "$.x", "got": 3, "expected": "four", "remedy": "add one"}
    assert str(guest.BenchmarkError("wrong", **facts)) == str(BenchmarkError("wrong", **facts))
    assert str(guest.BenchmarkError("wrong")) == str(BenchmarkError("wrong"))

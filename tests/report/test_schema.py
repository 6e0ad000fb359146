"""The published schema fits what is written, and nothing else."""

import copy
import json
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator
from tests.report.report_samples import accuracy_row, compile_row, failed_report, performance_row, report

from bytemlperf.errors import SpecError
from bytemlperf.report import SCHEMA_VERSION, schema
from bytemlperf.report.schema.building import build

DATA = json.loads(json.dumps(report(rows=[compile_row(), accuracy_row(), performance_row()]).to_dict()))
FAILED = json.loads(json.dumps(failed_report().to_dict()))
FREE = {"metrics", "bytemlperf", "labels", "files", "sha256", "packages", "compiles", "harness", "optimizations"}
FREE |= {"options", "config"}


def places(data, path=()):
    yield path
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


def at(data, path):
    for key in path:
        data = data[key]
    return data


def changed(data, path, change):
    copied = copy.deepcopy(data)
    change(at(copied, path))
    return copied


def test_the_published_schema_is_the_one_of_the_classes():
    assert schema.load() == build(), "run tests/report/write_schema.py; after a release, with a new version"


def test_the_published_schema_is_a_schema_and_ships_with_the_package():
    Draft202012Validator.check_schema(schema.load())
    assert files("bytemlperf.report.schema").joinpath(f"report-{SCHEMA_VERSION}.json").is_file()


def test_every_key_is_described():
    lacking = [
        f"{name}.{key}"
        for name, rule in {"Report": schema.load(), **schema.load()["$defs"]}.items()
        for key, member in rule["properties"].items()
        if "description" not in member
    ]
    assert lacking == []


def shapes(data):
    """Yield one place of each kind, such as one of `rows[#].key`."""
    seen = set()
    for path in places(data):
        named = tuple("#" if isinstance(part, int) or "/" in part else part for part in path)
        if named not in seen:
            seen.add(named)
            yield path


def objects(data):
    """Yield the places of objects whose keys are fixed."""
    return (path for path in shapes(data) if isinstance(at(data, path), dict) and (not path or path[-1] not in FREE))


@pytest.mark.parametrize("data", [DATA, FAILED])
def test_every_missing_key_is_found(data):
    tried = [(path, key) for path in objects(data) for key in at(data, path)]
    for path, key in tried:
        with pytest.raises(SpecError, match=r"schema"):
            schema.validate(changed(data, path, lambda place, key=key: place.pop(key)))
    assert len(tried) > 100


@pytest.mark.parametrize("data", [DATA, FAILED])
def test_every_unknown_key_is_found(data):
    for path in objects(data):
        with pytest.raises(SpecError, match=r"surprise"):
            schema.validate(changed(data, path, lambda place: place.update(surprise=1)))


def test_every_wrong_type_is_found():
    tried = [path for path in shapes(DATA) if path]
    for path in tried:
        wrong = [[None]] if isinstance(at(DATA, path), dict) else {"a": [[]]}
        with pytest.raises(SpecError, match=r"schema") as caught:
            schema.validate(
                changed(DATA, path[:-1], lambda place, path=path, wrong=wrong: place.__setitem__(path[-1], wrong))
            )
        assert caught.value.where.startswith("$")
    assert len(tried) > 100


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), "1.1"),
        (("status",), "done"),
        (("verdict", "outcome"), "maybe"),
        (("rows", 0, "kind"), "speed"),
        (("rows", 0, "precision"), "fp32"),
        (("job", "scenarios", 0, "kind"), "unknown"),
        (("artifact", "provenance"), "stolen"),
        (("backend", "isolation"), "outer space"),
        (("job_key",), "x"),
        (("digest",), "0"),
        (("duration_s",), None),
        (("job",), None),
        (("rows", 0, "batch_size"), 1.5),
    ],
)
def test_a_wrong_value_is_found(path, value):
    with pytest.raises(SpecError):
        schema.validate(changed(DATA, path[:-1], lambda place: place.update({path[-1]: value})))


def test_null_is_allowed_where_a_fact_may_be_missing():
    for name in ("artifact", "dataset", "backend"):
        schema.validate(DATA | {name: None})

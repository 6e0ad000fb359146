"""Whatever a report file holds, only our own errors come out of reading it."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.report.report_samples import accuracy_row, compile_row, performance_row, report

from bytemlperf.errors import BenchmarkError
from bytemlperf.report import Report, Row
from bytemlperf.spec import from_json, to_json

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DATA = json.loads(json.dumps(report(rows=[compile_row(), accuracy_row(), performance_row()]).to_dict()))
ROW = to_json(performance_row())
WORDS = st.sampled_from(["1.0", "1.9", "complete", "pass", "fp32", "performance/x", "2026-01-31T12:00:00Z", "a/b", "~"])
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats()
    | st.text(max_size=4)
    | st.characters(categories=["Cs"])
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places(data, path=()):
    yield path
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


def replaced(data, path, value):
    if not path:
        return value
    data = copy.deepcopy(data)
    here = data
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    return data


def check(data):
    """Read data: our error, or a report that can be written, read again and shown."""
    try:
        read = Report.from_dict(data, verify=False)
    except BenchmarkError:
        return
    written = json.loads(json.dumps(read.to_dict(), allow_nan=False))
    assert Report.from_dict(written).to_dict() == written
    assert read.table() is not None
    assert str(read)
    json.dumps(read.to_bytemlperf(), allow_nan=False)


@pytest.mark.parametrize("version", ["1.0", "1.9"])
@given(drawn=st.data())
@SETTINGS
def test_one_place_replaced_by_anything_is_read_or_refused(version, drawn):
    path = drawn.draw(st.sampled_from(list(places(DATA))))
    data = replaced(DATA, path, drawn.draw(ANYTHING))
    check({**data, "schema_version": version} if isinstance(data, dict) and path[:1] != ("schema_version",) else data)


@given(data=st.dictionaries(st.sampled_from(list(DATA)) | st.text(max_size=4), ANYTHING, max_size=5))
@SETTINGS
def test_arbitrary_objects_are_read_or_refused(data):
    check({"schema_version": "1.3"} | data)


@given(drawn=st.data())
@SETTINGS
def test_rows_of_a_resumed_run_are_read_or_refused(drawn):
    path = drawn.draw(st.sampled_from(list(places(ROW))))
    try:
        row = from_json(Row, replaced(ROW, path, drawn.draw(ANYTHING)))
    except BenchmarkError:
        return
    assert from_json(Row, json.loads(json.dumps(to_json(row), allow_nan=False))) == row

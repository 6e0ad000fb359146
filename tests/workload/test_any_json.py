"""Whatever JSON comes in, only our own errors come out."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bytemlperf.errors import BenchmarkError
from bytemlperf.spec import ModelSpec, TensorSpec, from_json, to_json
from bytemlperf.workload import Job, Limits, Workload

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = st.sampled_from(["fp32", "onnx", "cv", "batch", "26*batch", "pinned", "compile", "fixed_batch", "nan", "x", ""])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.characters(categories=["Cs"])  # half a character, which Python's JSON reader lets in
    | WORDS
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

TENSOR = {"name": "x", "original_name": "x:0", "shape": ["batch", 3], "dtype": "float32", "valid": None, "high": 10}
MODEL = {
    "name": "tiny-onnx-fp32",
    "framework": "onnx",
    "format": "onnx",
    "inputs": [TENSOR],
    "outputs": [{**TENSOR, "name": "y"}],
    "recipe": {"architecture": "package.module:build", "version": "1", "config": {"width": 4, "names": ["a", "b"]}},
    "sources": [{"kind": "hub", "location": "org/model", "files": ["a"], "sha256": {"a": "0" * 64}}],
    "reference_accuracy": [{"metric": "top1", "value": 0.9, "source": "paper"}],
    "batch_sizes": [1, 8],
}
WORKLOAD = {
    "task": "tiny-onnx-fp32",
    "model": MODEL,
    "dataset": {"name": "digits", "options": {"path": "data", "sizes": [1, 2]}, "samples": 10},
    "checks": ["accuracy", "performance"],
    "batch_sizes": [1, 8],
    "scenarios": [{"kind": "fixed_batch", "clients": 2, "iterations": 5, "warmup": {"max_queries": 3}}],
}
LIMITS = {"compile_s": 10, "memory_bytes": 2**30, "max_crashes": 0}
JOB = {
    **WORKLOAD,
    "backend": "torch",
    "precision": "fp16",
    "devices": ["cpu"],
    "options": {"threads": 2, "fast": True},
    "limits": LIMITS,
    "labels": {"who": "me"},
}
KINDS = [(TensorSpec, TENSOR), (ModelSpec, MODEL), (Workload, WORKLOAD), (Limits, LIMITS), (Job, JOB)]


def places(data, path=()):
    yield path
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


def replaced(data, path, value):
    """Return the data with another value in one place."""
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


def check(kind, data):
    """Read data as a kind: our error, or a value that can be written, compared and hashed."""
    try:
        value = from_json(kind, data)
    except BenchmarkError:
        return
    written = json.dumps(to_json(value), allow_nan=False).encode()
    assert from_json(kind, json.loads(written)) == value
    if isinstance(value, Job):
        assert len(value.key) == 64


@pytest.mark.parametrize(("kind", "data"), KINDS)
def test_the_examples_are_read(kind, data):
    value = from_json(kind, data)
    assert from_json(kind, to_json(value)) == value


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS])
@given(data=ANYTHING)
@SETTINGS
def test_arbitrary_json_is_read_or_refused(kind, data):
    check(kind, data)


@pytest.mark.parametrize(("kind", "data"), KINDS)
@given(drawn=st.data())
@SETTINGS
def test_one_place_replaced_by_anything_is_read_or_refused(kind, data, drawn):
    path = drawn.draw(st.sampled_from(list(places(data))))
    check(kind, replaced(data, path, drawn.draw(ANYTHING)))


@pytest.mark.parametrize(("kind", "data"), KINDS)
def test_every_place_replaced_by_a_wrong_type_names_it(kind, data):
    for path in places(data):
        if not path or path[-1] in {"config", "options", "labels", "sha256"} or set(path) & {"config", "options"}:
            continue
        with pytest.raises(BenchmarkError) as caught:
            from_json(kind, replaced(data, path, {"a": {"b": [None]}}))
        text = str(caught.value)
        assert str(next(key for key in reversed(path) if isinstance(key, str))) in text, (path, text)


@pytest.mark.parametrize(("kind", "data"), KINDS)
def test_every_object_with_an_unknown_key_names_it(kind, data):
    for path in places(data):
        here = data
        for key in path:
            here = here[key]
        if isinstance(here, dict) and not set(path) & {"config", "options", "labels", "sha256"}:
            with pytest.raises(BenchmarkError, match=r"unknown key.*surprise"):
                from_json(kind, replaced(data, path, {**here, "surprise": 1}))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_lacks_are_refused_with_their_place(number):
    with pytest.raises(BenchmarkError, match=r"\$\.options\.threads"):
        from_json(Job, {"task": "t", "options": {"threads": number}})
    with pytest.raises(BenchmarkError, match=r"reference_accuracy\[0\]\.value"):
        from_json(ModelSpec, replaced(MODEL, ("reference_accuracy", 0, "value"), number))


def test_half_a_character_is_refused_with_its_place():
    with pytest.raises(BenchmarkError, match=r"\$\.task"):
        from_json(Job, {"task": "\ud800"})
    with pytest.raises(BenchmarkError, match=r"\$\.options"):
        from_json(Job, {"task": "t", "options": {"a": "\udfff"}})


def test_nesting_without_end_is_refused():
    deep = current = {}
    for _ in range(100_000):
        current["a"] = current = {}
    with pytest.raises(BenchmarkError):
        from_json(Job, {"task": "t", "labels": deep})

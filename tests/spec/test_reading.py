"""Values to JSON and back: nothing is guessed, every problem is told with its place."""

import json

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bytemlperf.errors import SpecError
from bytemlperf.scenarios import FixedBatch, Warmup
from bytemlperf.spec import (
    AccuracyTarget,
    Axis,
    Domain,
    DType,
    Format,
    Framework,
    ModelSpec,
    Purpose,
    Recipe,
    ReferenceAccuracy,
    Source,
    SourceKind,
    TensorSpec,
    canonical_json,
    digest,
    from_json,
    to_json,
)
from bytemlperf.workload import Check, DatasetRequest, Job, Limits

TENSOR = {"name": "x", "shape": ["batch", 3], "dtype": "float32"}
MODEL = {
    "name": "tiny-onnx-fp32",
    "framework": "onnx",
    "format": "onnx",
    "inputs": [TENSOR],
    "outputs": [{**TENSOR, "name": "y"}],
}

# ---------------------------------------------------------------------------------------------------------- round trips

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name.isidentifier())
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INTS = st.integers(-(2**63), 2**63)
SCALARS = st.booleans() | INTS | FLOATS | TEXTS
CONFIGS = st.dictionaries(TEXTS, st.none() | SCALARS | st.lists(SCALARS, max_size=3).map(tuple), max_size=3)


def optional(strategy):
    return st.none() | strategy


def tuples(strategy, **bounds):
    return st.lists(strategy, max_size=3, **bounds).map(tuple)


AXES = st.integers(0, 10**6) | st.builds(Axis, NAMES, st.integers(1, 10**6))


@st.composite
def tensors(draw):
    import keyword

    return TensorSpec(
        name=draw(NAMES.filter(lambda name: not keyword.iskeyword(name))),
        original_name=draw(optional(TEXTS)),
        shape=draw(tuples(AXES)),
        dtype=draw(st.sampled_from(DType)),
        valid=draw(optional(NAMES)),
        high=draw(optional(st.integers(1, 2**40))),
    )


SIDES = tuples(tensors(), unique_by=lambda tensor: tensor.name)
SOURCES = st.builds(
    Source,
    kind=st.sampled_from(SourceKind),
    location=TEXTS,
    revision=optional(TEXTS),
    files=tuples(TEXTS),
    sha256=st.dictionaries(TEXTS, TEXTS, max_size=2),
    licence=TEXTS,
    verified=st.booleans(),
)
MODELS = st.builds(
    ModelSpec,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True),
    model=TEXTS,
    domain=st.sampled_from(Domain),
    purpose=st.sampled_from(Purpose),
    framework=st.sampled_from(Framework),
    format=st.sampled_from(Format),
    precision=st.sampled_from(DType),
    inputs=SIDES,
    outputs=SIDES,
    dataset=optional(TEXTS),
    metrics=tuples(TEXTS),
    preprocessing=optional(TEXTS),
    recipe=optional(st.builds(Recipe, architecture=st.just("package.module:build"), version=TEXTS, config=CONFIGS)),
    twin=optional(TEXTS),
    sources=tuples(SOURCES),
    batch_sizes=tuples(st.integers(1, 1024)),
    parameters=optional(st.integers(0, 2**50)),
    reference_accuracy=tuples(st.builds(ReferenceAccuracy, metric=TEXTS, value=FLOATS, source=TEXTS)),
    accuracy_targets=tuples(
        st.builds(
            AccuracyTarget,
            metric=TEXTS,
            share=st.floats(0, 1, exclude_min=True),
            precision=optional(st.sampled_from(DType)),
            source=TEXTS,
        )
        | st.builds(AccuracyTarget, metric=TEXTS, bound=st.floats(allow_nan=False, allow_infinity=False))
    ),
    description=TEXTS,
)
SECONDS = st.floats(1e-6, 1e9) | st.integers(1, 10**9)
LIMITS = st.builds(
    Limits,
    compile_s=SECONDS,
    step_s=SECONDS,
    query_s=SECONDS,
    total_s=optional(SECONDS),
    grace_s=SECONDS,
    memory_bytes=optional(st.integers(1, 2**50)),
    disk_bytes=optional(st.integers(1, 2**50)),
    max_crashes=st.integers(0, 100),
)
WARMUPS = st.builds(
    Warmup, max_queries=st.integers(0, 10**6), window=st.integers(1, 100), tolerance=SECONDS, max_seconds=SECONDS
)
SCENARIOS = st.builds(FixedBatch, clients=st.integers(1, 99), iterations=st.integers(1, 10**6), warmup=WARMUPS)
JOBS = st.builds(
    Job,
    task=st.just("tiny-onnx-fp32"),
    model=optional(MODELS),
    weights=st.sampled_from(["pinned", "random", "some/path"]),
    dataset=optional(st.builds(DatasetRequest, name=TEXTS, options=CONFIGS, samples=optional(st.integers(1, 10**9)))),
    checks=tuples(st.sampled_from(Check)),
    batch_sizes=optional(st.lists(st.integers(1, 1024), min_size=1, max_size=3, unique=True).map(tuple)),
    scenarios=tuples(SCENARIOS, unique_by=lambda scenario: scenario.key),
    repeats=st.integers(1, 100),
    numeric_samples=st.integers(1, 10**6),
    seed=st.integers(0, 2**63 - 1),
    backend=TEXTS,
    precision=optional(st.sampled_from(DType)),
    devices=tuples(TEXTS),
    options=CONFIGS,
    limits=LIMITS,
    labels=st.dictionaries(TEXTS, TEXTS, max_size=3),
)


def there_and_back(value):
    return from_json(type(value), json.loads(json.dumps(to_json(value), allow_nan=False)))


@settings(max_examples=150, deadline=None)
@given(tensors())
def test_a_tensor_comes_back(value):
    assert there_and_back(value) == value


@settings(max_examples=100, deadline=None)
@given(MODELS)
def test_a_model_comes_back(value):
    assert there_and_back(value) == value
    assert digest(there_and_back(value)) == digest(value)


@settings(max_examples=100, deadline=None)
@given(JOBS)
def test_a_job_comes_back_with_its_key(value):
    assert there_and_back(value) == value
    assert there_and_back(value).key == value.key


# ------------------------------------------------------------------------------------------------------------- problems


@pytest.mark.parametrize(
    ("change", "where", "text"),
    [
        ({"name": None}, "$.name", "wrong type"),
        ({"framework": "touch"}, "$.framework", "did you mean 'torch'"),
        ({"inputs": {}}, "$.inputs", "expected a list"),
        ({"inputs": [3]}, "$.inputs[0]", "expected an object"),
        ({"inputs": [TENSOR, {**TENSOR, "name": "b", "dtype": "fp23"}]}, "$.inputs[1].dtype", "did you mean 'fp32'"),
        ({"inputs": [{**TENSOR, "shape": ["batch", "x y"]}]}, "$.inputs[0].shape[1]", "expression in batch"),
        ({"inputs": [{**TENSOR, "high": "10"}]}, "$.inputs[0].high", "wrong type"),
        ({"inputs": [{**TENSOR, "high": True}]}, "$.inputs[0].high", "wrong type"),
        ({"parameters": 1.0}, "$.parameters", "wrong type"),
        ({"description": 3}, "$.description", "wrong type"),
        ({"sources": [{"kind": "hub"}]}, "$.sources[0].location", "missing key"),
        ({"sources": [{"kind": "hub", "location": "x", "sha256": {"a": 3}}]}, "$.sources[0].sha256.a", "wrong type"),
        ({"recipe": {"architecture": "m:f", "config": {"a": [[1]]}}}, "$.recipe.config.a", "wrong type"),
        ({"domian": "cv"}, "$.domian", "did you mean 'domain'"),
        ({"zzz": 1}, "$.zzz", "known keys: name"),
    ],
)
def test_a_problem_is_told_with_its_place(change, where, text):
    with pytest.raises(SpecError, match=text.replace("(", r"\(")) as caught:
        from_json(ModelSpec, {**MODEL, **change})
    assert caught.value.where == where
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("key", ["name", "framework", "format", "inputs", "outputs"])
def test_a_missing_key_is_named(key):
    data = dict(MODEL)
    del data[key]
    with pytest.raises(SpecError, match="missing key") as caught:
        from_json(ModelSpec, data)
    assert caught.value.where == f"$.{key}"


def test_all_problems_of_a_document_are_told_at_once():
    wrong = {**MODEL, "framework": 3, "domian": "cv", "inputs": [{**TENSOR, "dtype": "fp23", "nmae": "x"}]}
    with pytest.raises(SpecError, match=r"^4 problems: ") as caught:
        from_json(ModelSpec, wrong)
    for place in ("$.framework", "$.domian", "$.inputs[0].dtype", "$.inputs[0].nmae"):
        assert place in str(caught.value)


def test_very_many_problems_are_counted():
    wrong = {**MODEL, "metrics": list(range(25))}
    with pytest.raises(SpecError, match=r"^25 problems: .*\$\.metrics\[9\].*; and 15 more$") as caught:
        from_json(ModelSpec, wrong)
    assert "$.metrics[10]" not in str(caught.value)


def test_places_begin_where_the_document_says():
    with pytest.raises(SpecError) as caught:
        from_json(TensorSpec, {**TENSOR, "dtype": "fp23"}, where="$.job.inputs[3]")
    assert caught.value.where == "$.job.inputs[3].dtype"


@pytest.mark.parametrize("data", [None, 3, "text", [], [TENSOR]])
def test_what_is_no_object_is_refused(data):
    with pytest.raises(SpecError, match="expected an object") as caught:
        from_json(TensorSpec, data)
    assert caught.value.where == "$"


@pytest.mark.parametrize(
    ("scenario", "where", "text"),
    [
        (3, "$.scenarios[0]", "an object with a key 'kind'"),
        ({}, "$.scenarios[0].kind", "missing key"),
        ({"kind": "fixed"}, "$.scenarios[0].kind", "unknown kind"),
        ({"kind": []}, "$.scenarios[0].kind", "unknown kind"),
        ({"kind": "fixed_batch", "clinets": 2}, "$.scenarios[0].clinets", "did you mean 'clients'"),
        ({"kind": "fixed_batch", "clients": 0}, "$.scenarios[0].clients", "whole number >= 1"),
        ({"kind": "fixed_batch", "warmup": {"window": 0}}, "$.scenarios[0].warmup.window", "whole number >= 1"),
    ],
)
def test_a_scenario_is_told_apart_by_its_kind(scenario, where, text):
    with pytest.raises(SpecError, match=text) as caught:
        from_json(Job, {"task": "t", "scenarios": [scenario]})
    assert caught.value.where == where


# ------------------------------------------------------------------------------------------------------------- writing


def test_only_plain_json_is_written():
    written = to_json(Job(task="t", precision="fp16", options={"sizes": (1, 2)}))
    assert written == json.loads(json.dumps(written))
    assert (written["precision"], written["options"], written["dataset"]) == ("float16", {"sizes": [1, 2]}, None)
    assert written["scenarios"][0]["kind"] == "fixed_batch"


def test_axes_are_written_as_text():
    assert to_json(TensorSpec(name="x", shape=("26*batch", 2), dtype="int64"))["shape"] == ["26*batch", 2]


def test_canonical_json_is_one_text():
    assert canonical_json({"b": [1, None], "a": {"d": True, "c": "é"}}) == '{"a":{"c":"é","d":true},"b":[1,null]}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": float("nan")})


def test_a_digest_is_the_sha256_of_the_text():
    import hashlib

    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


def test_values_of_other_attrs_classes_are_read_too():
    @attrs.frozen(kw_only=True)
    class Options:
        level: int = 1
        names: tuple[str, ...] = ()

    assert from_json(Options, {"level": 3, "names": ["a"]}) == Options(level=3, names=("a",))
    with pytest.raises(SpecError, match="did you mean 'level'"):
        from_json(Options, {"levle": 3})

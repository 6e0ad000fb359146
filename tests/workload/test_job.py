"""Jobs, workloads and limits as values: the key, what is normalised, what is refused."""

import hashlib
import json

import attrs
import pytest

from bytemlperf.errors import SpecError
from bytemlperf.scenarios import MLPERF_SEEDS, FixedBatch
from bytemlperf.spec import AccuracyTarget, DType, to_json
from bytemlperf.workload import MEASURED, Acceptance, Check, DatasetRequest, Job, Lengths, Limits, TokenBounds, Workload

# ------------------------------------------------------------------------------------------------------------------ key


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"who": "me"}},
        {"limits": Limits(total_s=60)},
        {"checks": ["performance", "compile", "numeric", "accuracy"]},
        {"checks": MEASURED},
        {"devices": []},
        {"asks": "forward"},
        {"scenarios": [FixedBatch()]},
    ],
)
def test_the_key_is_the_same_where_the_same_is_measured(change):
    assert Job(task="t", **change).key == Job(task="t").key


CHANGES = [
    {"task": "u"},
    {"weights": "random"},
    {"dataset": "digits"},
    {"dataset": DatasetRequest(name="digits", samples=10)},
    {"dataset": DatasetRequest(name="digits", options={"path": "x"})},
    {"checks": ["compile"]},
    {"batch_sizes": (1,)},
    {"batch_sizes": (1, 8)},
    {"scenarios": ()},
    {"scenarios": (FixedBatch(iterations=5),)},
    {"repeats": 2},
    {"numeric_samples": 8},
    {"integrity": ("caching",)},
    {"prompts": Lengths(input=9)},
    {"prompts": Lengths(stop=(2,))},
    {"prompts": Lengths(), "bounds": TokenBounds(ttft_ms=100)},
    {"asks": "score"},
    {"seed": 1},
    {"seeds": MLPERF_SEEDS},
    {"acceptance": Acceptance(level=0.9)},
    {"acceptance": Acceptance(targets=[AccuracyTarget(metric="top1", share=0.999)])},
    {"backend": "torch"},
    {"precision": "fp16"},
    {"devices": ("cuda:0",)},
    {"options": {"threads": 2}},
    {"options": {"threads": 2.5}},
    {"options": {"threads": "2"}},
    {"options": {"threads": True}},
]


def test_the_key_changes_with_all_that_decides_what_is_measured():
    keys = [Job(**{"task": "t", **change}).key for change in [{}, *CHANGES]]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 for key in keys)


def test_every_field_but_limits_and_labels_is_in_the_key():
    changed = {name for change in CHANGES for name in change}
    assert {field.name for field in attrs.fields(Job)} - changed == {"limits", "labels", "model"}


def test_the_key_is_the_sha256_of_sorted_json():
    job = Job(task="t", options={"b": 1, "a": "é"}, limits=Limits(total_s=1), labels={"who": "me"})
    identity = {name: value for name, value in to_json(job).items() if name not in ("limits", "labels")}
    identity["scenarios"][0]["warmup"]["max_seconds"] = 60  # a whole number is written as one, also where it is a float
    identity["asks"] = "forward"  # what is asked is told where a job leaves it out
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert job.key == hashlib.sha256(text.encode()).hexdigest()


# ------------------------------------------------------------------------------------------------------------ workloads


def test_a_data_set_can_be_named_alone():
    assert Workload(task="t", dataset="digits").dataset == DatasetRequest(name="digits")


def test_checks_are_in_the_order_in_which_they_are_done():
    assert Workload(task="t", checks=["performance", "accuracy"]).checks == (Check.ACCURACY, Check.PERFORMANCE)


def test_a_misspelt_check_is_refused_with_a_guess():
    with pytest.raises(SpecError, match="did you mean 'accuracy'"):
        Workload(task="t", checks=["acuracy"])


@pytest.mark.parametrize("sizes", [(), (0,), (-1,), (1, 1), (1.5,), (True,), ("1",), "12", 8])
def test_batch_sizes_are_distinct_whole_numbers(sizes):
    with pytest.raises(SpecError, match=r"batch sizes|list"):
        Workload(task="t", batch_sizes=sizes)


def test_scenarios_are_distinct():
    with pytest.raises(SpecError, match="not distinct"):
        Workload(task="t", scenarios=(FixedBatch(iterations=5), FixedBatch(iterations=6)))
    with pytest.raises(SpecError, match="not distinct"):
        Workload(task="t", scenarios=("fixed_batch",))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("repeats", 0),
        ("repeats", 1.0),
        ("numeric_samples", 0),
        ("seed", -1),
        ("seed", True),
    ],
)
def test_numbers_out_of_range_are_refused(field, value):
    with pytest.raises(SpecError, match=rf"\$\.{field}"):
        Workload(task="t", **{field: value})


@pytest.mark.parametrize("samples", [0, -1, 1.5])
def test_a_part_of_a_data_set_has_samples(samples):
    with pytest.raises(SpecError, match=r"\$\.samples"):
        DatasetRequest(name="digits", samples=samples)


def test_precision_is_a_dtype_or_the_models_own():
    assert Job(task="t", precision="bf16").precision is DType.BFLOAT16
    assert Job(task="t").precision is None


@pytest.mark.parametrize("field", ["options", "labels"])
def test_the_callers_own_mapping_stays_apart(field):
    given = {"a": "b"}
    job = Job(task="t", **{field: given})
    given["a"] = "changed"
    assert getattr(job, field) == {"a": "b"}
    with pytest.raises(SpecError, match="a mapping"):
        Job(task="t", **{field: [("a", "b")]})


# --------------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Limits)])
@pytest.mark.parametrize("value", [-1, "1", True, float("nan"), float("inf"), [1]])
def test_a_limit_that_is_none_is_refused_by_name(name, value):
    with pytest.raises(SpecError, match=rf"\$\.{name}"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", ["total_s", "memory_bytes", "disk_bytes"])
def test_some_bounds_can_be_left_out(name):
    assert getattr(Limits(**{name: None}), name) is None


@pytest.mark.parametrize("name", ["compile_s", "step_s", "query_s", "grace_s", "max_crashes"])
def test_other_bounds_cannot(name):
    with pytest.raises(SpecError, match=rf"\$\.{name}"):
        Limits(**{name: None})


def test_no_crash_at_all_can_be_allowed_but_no_time_cannot():
    assert Limits(max_crashes=0).max_crashes == 0
    with pytest.raises(SpecError, match="above 0"):
        Limits(step_s=0)

"""Files of ByteMLPerf's layout, made here; each member changed in every way."""

import copy
import json

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bytemlperf.errors import SpecError
from bytemlperf.scenarios import FixedBatch
from bytemlperf.spec import Domain, DType, Format, Framework, Purpose, TensorSpec
from bytemlperf.workload import Check, read_model_info, read_workload, write_model_info, write_workload
from bytemlperf.workload.bytemlperf import WORKLOAD_KEYS
from bytemlperf.workload.bytemlperf_model import MODEL_KEYS, canonical_names

WORKLOAD = {
    "model": "tiny-torch-fp32",
    "test_perf": True,
    "test_accuracy": True,
    "test_numeric": False,
    "clients": 3,
    "iterations": 100,
    "batch_sizes": [4, 8],
    "data_percent": 100,
    "compile_only": False,
}
MODEL = {
    "model": "tiny-torch-fp32",
    "model_path": "general_perf/model_zoo/popular/tiny/tiny.pt",
    "framework": "Pytorch",
    "framework_version": "1.9.1",
    "model_format": "pt",
    "model_precision": "FP32",
    "inputs": "ids.1,mask.1",
    "outputs": "start_logits,end_logits",
    "input_shape": {"ids.1": [1, 384], "mask.1": [1, 384]},
    "input_type": "LONG,FLOAT32",
    "dataset_name": "open_squad",
    "max_batch_size": 64,
    "is_quantized": False,
    "layout": "NHWC",
}
NULL_MODEL = MODEL | dict.fromkeys(["inputs", "outputs", "input_shape", "input_type", "dataset_name", "max_batch_size"])
READERS = [
    (read_workload, write_workload, WORKLOAD, WORKLOAD_KEYS),
    (read_model_info, write_model_info, MODEL, MODEL_KEYS),
]
OPTIONAL = {"is_quantized", "layout"}

# For each member: values of the wrong type or out of range, all of which must be refused.
WRONG_TYPES = {
    "flag": [None, 0, 1, "true", [], {}],
    "text": [None, True, 0, 1.5, "", " ", [], ["x"], {}],
    "whole": [True, 0, -1, 1.5, "3", [], {}, 2**31],
}
WRONG = {
    "model": [*WRONG_TYPES["text"], "a b", "../x", "-x"],
    "test_perf": WRONG_TYPES["flag"],
    "test_accuracy": WRONG_TYPES["flag"],
    "test_numeric": WRONG_TYPES["flag"],
    "compile_only": WRONG_TYPES["flag"],
    "clients": [None, *WRONG_TYPES["whole"], 2**16],
    "iterations": [None, *WRONG_TYPES["whole"]],
    "batch_sizes": [None, 4, "4,8", [], [0], [4, 4], [True], ["4"], [4, None], [[4]], {}],
    "data_percent": [True, -1, 101, 1.5, "100", [], {}],
    "model_path": WRONG_TYPES["text"],
    "framework": [*WRONG_TYPES["text"], "Torch7"],
    "framework_version": WRONG_TYPES["text"],
    "model_format": [*WRONG_TYPES["text"], "h5"],
    "model_precision": [*WRONG_TYPES["text"], "FP23"],
    "inputs": [*WRONG_TYPES["text"], "ids.1", "ids.1,", "ids.1,ids.1", "ids.1,other"],
    "outputs": [*WRONG_TYPES["text"], "a,,b", "a,a"],
    "input_shape": [None, 1, "x", [], {}, {"ids.1": [1, 2]}, {**MODEL["input_shape"], "other": [1]}],
    "input_type": [*WRONG_TYPES["text"], "LONG", "LONG,LONG,LONG", "LONG,FLOAT23", "LONG,"],
    "dataset_name": [True, 0, 1.5, " ", [], {}],
    "max_batch_size": WRONG_TYPES["whole"],
    "is_quantized": WRONG_TYPES["flag"],
    "layout": [*WRONG_TYPES["text"], "NHCW"],
}
WRONG_SHAPES = [None, 0, "x", {}, [], [0], [1, -1], [1, None], [1, True], [1, 1.5], [1, [2]], [1, "hidden"], [1, "1/2"]]


@pytest.mark.parametrize(("read", "write", "data", "keys"), READERS)
def test_a_file_is_written_back_as_it_was(read, write, data, keys, tmp_path):
    file = tmp_path / "file.json"
    file.write_text(json.dumps(data))
    written = write(read(file))
    assert written == data
    assert list(written) == list(data)
    assert set(data) == set(keys)


@pytest.mark.parametrize(("read", "write", "data", "keys"), READERS)
def test_every_missing_member_is_named(read, write, data, keys):
    for key in keys:
        rest = {name: value for name, value in data.items() if name != key}
        if key in OPTIONAL:
            assert write(read(rest)) == rest
            continue
        with pytest.raises(SpecError, match=rf"missing key \(at \$\.{key}\)"):
            read(rest)


@pytest.mark.parametrize(("read", "write", "data", "keys"), READERS)
def test_every_wrong_value_is_named_with_file_and_path(read, write, data, keys, tmp_path):
    file = tmp_path / "wrong.json"
    for key in keys:
        for value in WRONG[key]:
            file.write_text(json.dumps(data | {key: value}))
            with pytest.raises(SpecError) as caught:
                read(file)
            assert "wrong.json: $." in str(caught.value), (key, value)
            assert f"$.{key}" in str(caught.value), (key, value)


@pytest.mark.parametrize(("read", "write", "data", "keys"), READERS)
def test_unknown_members_are_kept_and_told(read, write, data, keys):
    for value in (None, True, 1.5, "x", [1, {"a": []}]):
        odd = data | {"multi_cores": value}
        foreign = read(odd)
        assert foreign.extras == {"multi_cores": value}
        assert any("$.multi_cores" in warning for warning in foreign.warnings)
        assert write(foreign) == odd


def test_a_misspelt_member_is_guessed():
    odd = {name: value for name, value in WORKLOAD.items() if name != "batch_sizes"} | {"batchsizes": [4]}
    with pytest.raises(SpecError, match=r"\$\.batch_sizes.*'batchsizes'"):
        read_workload(odd)
    assert "did you mean 'batch_sizes'" in read_workload(WORKLOAD | {"batchsizes": [4]}).warnings[0]


def test_a_place_in_a_list_is_named():
    with pytest.raises(SpecError, match=r"\$\.batch_sizes\[1\]"):
        read_workload(WORKLOAD | {"batch_sizes": [4, 0]})
    with pytest.raises(SpecError, match=r"\$\.input_type\[1\].*did you mean 'float32'"):
        read_model_info(MODEL | {"input_type": "LONG,FLOAT23"})


def test_a_workload_is_told_in_our_words():
    workload = read_workload(WORKLOAD).workload
    assert workload.task == "tiny-torch-fp32"
    assert workload.checks == (Check.COMPILE, Check.ACCURACY, Check.PERFORMANCE)
    assert workload.scenarios == (FixedBatch(clients=3, iterations=100),)
    assert workload.batch_sizes == (4, 8)


def test_compile_only_leaves_the_rest_out_and_is_written_back():
    foreign = read_workload(WORKLOAD | {"compile_only": True})
    assert foreign.workload.checks == (Check.COMPILE,)
    assert any("test_accuracy, test_perf count for nothing" in warning for warning in foreign.warnings)
    assert write_workload(foreign) == WORKLOAD | {"compile_only": True}


@pytest.mark.parametrize(("value", "percent"), [(None, 100), (0, 100), (1, 1), (100, 100)])
def test_share_of_the_data_set(value, percent):
    foreign = read_workload(WORKLOAD | {"data_percent": value})
    assert foreign.data_percent == percent
    assert any("data_percent" in warning for warning in foreign.warnings) == (percent != 100)


def test_a_changed_workload_is_written_and_the_rest_kept():
    foreign = read_workload(WORKLOAD | {"note": "ours"})
    changed = attrs.evolve(
        foreign.workload, batch_sizes=(1,), checks=[Check.COMPILE], scenarios=[FixedBatch(clients=1, iterations=5)]
    )
    written = write_workload(attrs.evolve(foreign, workload=changed))
    expected = {"clients": 1, "iterations": 5, "batch_sizes": [1], "test_perf": False, "test_accuracy": False}
    assert written == WORKLOAD | expected | {"compile_only": True, "note": "ours"}


def test_what_the_original_cannot_say_is_refused():
    foreign = read_workload(WORKLOAD)
    two = attrs.evolve(foreign.workload, scenarios=[FixedBatch(clients=1), FixedBatch(clients=2)])
    with pytest.raises(SpecError, match="one fixed-batch scenario"):
        write_workload(attrs.evolve(foreign, workload=two))
    with pytest.raises(SpecError, match="names its batch sizes"):
        write_workload(attrs.evolve(foreign, workload=attrs.evolve(foreign.workload, batch_sizes=None)))


def test_a_model_is_told_in_our_words():
    foreign = read_model_info(MODEL)
    spec = foreign.spec
    assert (spec.name, spec.model, spec.framework) == ("tiny-torch-fp32", "tiny", Framework.TORCH)
    assert (spec.format, spec.precision, spec.purpose) == (Format.TORCHSCRIPT, DType.FLOAT32, Purpose.POPULAR)
    assert spec.dataset == "open_squad"
    assert spec.inputs == (
        TensorSpec(name="ids", original_name="ids.1", shape=["batch", 384], dtype="int64"),
        TensorSpec(name="mask", original_name="mask.1", shape=["batch", 384], dtype="float32"),
    )
    assert foreign.output_names == ("start_logits", "end_logits")
    assert (foreign.model_path, foreign.max_batch_size) == (MODEL["model_path"], 64)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("resnet50-tf-fp32", Domain.CV),
        ("bert-torch-fp32", Domain.NLP),
        ("widedeep-tf-fp32", Domain.REC),
        ("videobert-onnx-fp32", Domain.MM),
        ("something-onnx-fp16", Domain.OTHER),
    ],
)
def test_a_known_models_domain(name, domain):
    assert read_model_info(MODEL | {"model": name}).spec.domain is domain


def test_first_axis_counts_samples_but_for_the_text_of_an_image_and_text_model():
    data = MODEL | {"inputs": "pairs,text", "input_shape": {"pairs": [26, 2], "text": [100, 77]}}
    foreign = read_model_info(data)
    assert [tensor.sized(4) for tensor in foreign.spec.inputs] == [(104, 2), (100, 77)]
    assert any("$.input_shape.text" in warning for warning in foreign.warnings)
    assert write_model_info(foreign) == data


def test_axis_lengths_may_be_expressions_over_the_files_numbers():
    shapes = {"ids.1": ["batch", "max_batch_size * 6"], "mask.1": ["2*batch", "max_batch_siez"]}
    with pytest.raises(SpecError, match=r"\$\.input_shape\.mask\.1\[1\].*did you mean 'max_batch_size'"):
        read_model_info(MODEL | {"input_shape": shapes})
    shapes["mask.1"][1] = "(4 + 2) / 3"
    data = MODEL | {"input_shape": shapes}
    assert [tensor.sized(2) for tensor in read_model_info(data).spec.inputs] == [(2, 384), (4, 2)]
    assert write_model_info(read_model_info(data)) == data


@pytest.mark.parametrize("shape", WRONG_SHAPES)
def test_a_wrong_shape_is_named(shape):
    with pytest.raises(SpecError, match=r"\$\.input_shape\.ids\.1"):
        read_model_info(MODEL | {"input_shape": {"ids.1": shape, "mask.1": [1, 384]}})


def test_a_language_model_without_tensors_is_read_and_written_back():
    foreign = read_model_info(NULL_MODEL | {"model_format": "pth"})
    assert foreign.spec.inputs == foreign.spec.outputs == foreign.output_names == ()
    assert (foreign.spec.dataset, foreign.max_batch_size, foreign.spec.format) == (None, None, Format.TORCH)
    assert any("no inputs and outputs" in warning for warning in foreign.warnings)
    assert any("safetensors" in warning for warning in foreign.warnings)
    assert write_model_info(foreign) == NULL_MODEL | {"model_format": "pth"}


@pytest.mark.parametrize("key", ["inputs", "outputs", "input_shape", "input_type"])
def test_null_beside_given_tensors_is_refused(key):
    with pytest.raises(SpecError, match=rf"\$\.{key}"):
        read_model_info(MODEL | {key: None})


@pytest.mark.parametrize(
    ("theirs", "ours"), [("open_imagenet", "imagenet2012"), ("fake_dataset", "synthetic"), ("", None)]
)
def test_data_sets_get_our_names(theirs, ours):
    data = MODEL | {"dataset_name": theirs}
    assert read_model_info(data).spec.dataset == ours
    assert write_model_info(read_model_info(data)) == data


def test_a_changed_model_is_written_and_the_rest_kept():
    foreign = read_model_info(MODEL | {"best_batch": 4})
    spec = attrs.evolve(
        foreign.spec,
        name="tiny-onnx-fp16",
        framework="onnx",
        format="onnx",
        precision="fp16",
        dataset="imagenet2012",
        inputs=[
            TensorSpec(name="x", shape=["26*batch", 2], dtype="int64"),
            TensorSpec(name="text", shape=[3], dtype="str"),
        ],
    )
    written = write_model_info(attrs.evolve(foreign, spec=spec))
    expected = {"model": "tiny-onnx-fp16", "framework": "Onnx", "model_format": "onnx", "model_precision": "FP16"}
    expected |= {"inputs": "x,text", "input_shape": {"x": [26, 2], "text": [3]}, "input_type": "INT64,STRING"}
    assert written == MODEL | expected | {"dataset_name": "open_imagenet", "best_batch": 4}


def test_a_model_that_the_original_cannot_say_is_refused():
    foreign = read_model_info(MODEL)
    fixed = attrs.evolve(foreign.spec, inputs=[TensorSpec(name="x", shape=[3, 4], dtype="fp32")])
    with pytest.raises(SpecError, match="multiplies the first axis"):
        write_model_info(attrs.evolve(foreign, spec=fixed))
    with pytest.raises(SpecError, match="no such format"):
        write_model_info(attrs.evolve(foreign, spec=attrs.evolve(foreign.spec, format="stablehlo")))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a/logits:0", "b/logits:0"), ("a_logits", "b_logits")),
        (("x.1", "x.2"), ("x_1", "x_2")),
        (("x:0", "x"), ("x_0", "x")),
        (("import", "class:0"), ("import_", "class_")),
        (("Convsample_dim_0", "é", ":0"), ("Convsample_dim_0", "_", "_0")),
        (("é", "è"), ("_", "__2")),
        (("a/", "b/"), ("a_", "b_")),
        (("a/x:0", "a/x:1", "b/x"), ("a_x_0", "a_x_1", "b_x")),
    ],
)
def test_canonical_names_are_distinct_identifiers(names, expected):
    found = canonical_names(names)
    assert found == expected
    assert all(name.isidentifier() for name in found)


def test_reading_leaves_its_source_alone():
    before = copy.deepcopy(MODEL)
    foreign = read_model_info(MODEL)
    write_model_info(foreign)["input_shape"]["ids.1"][0] = 7
    assert before == MODEL
    assert write_model_info(foreign) == before


@given(st.lists(st.text(alphabet="ab/:.01_é", min_size=1, max_size=5), unique=True, min_size=1, max_size=6))
@settings(deadline=None)
def test_any_distinct_names_get_distinct_identifiers(names):
    found = canonical_names(tuple(names))
    assert len(set(found)) == len(names)
    assert all(name.isidentifier() for name in found)

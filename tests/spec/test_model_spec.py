"""Models as data: names, distinct tensors, sources; what cannot be is refused."""

import math

import pytest

from bytemlperf.errors import SpecError
from bytemlperf.spec import (
    AccuracyTarget,
    Domain,
    DType,
    Format,
    Framework,
    ModelSpec,
    Purpose,
    Recipe,
    Source,
    SourceKind,
    TensorSpec,
)

X = TensorSpec(name="x", shape=("batch", 3), dtype="fp32")
Y = TensorSpec(name="y", shape=("batch", 10), dtype="fp32")


def model(**fields):
    made = {"name": "tiny-onnx-fp32", "framework": "onnx", "format": "onnx", "inputs": (X,), "outputs": (Y,)}
    return ModelSpec(**{**made, **fields})


def test_text_becomes_members_and_lists_become_tuples():
    made = model(domain="cv", purpose="regular", precision="fp16", inputs=[X], metrics=["top1"], batch_sizes=[1, 8])
    assert (made.domain, made.purpose, made.framework) == (Domain.CV, Purpose.REGULAR, Framework.ONNX)
    assert (made.format, made.precision) == (Format.ONNX, DType.FLOAT16)
    assert (made.inputs, made.metrics, made.batch_sizes) == ((X,), ("top1",), (1, 8))


def test_the_model_is_called_like_the_task_where_nothing_else_is_said():
    assert model().model == "tiny-onnx-fp32"
    assert model(model="tiny").model == "tiny"


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "-x", ".hidden", "é", "x\n"])
def test_a_name_that_cannot_be_part_of_a_file_name_is_refused(name):
    with pytest.raises(SpecError, match="cannot be part of a file name"):
        model(name=name)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_tensor_named_twice_is_refused(side):
    with pytest.raises(SpecError, match=rf"{side} of tiny-onnx-fp32 name a tensor twice; got \['x'\]"):
        model(**{side: (X, Y, X)})


@pytest.mark.parametrize(
    ("field", "value", "guess"),
    [
        ("framework", "touch", "torch"),
        ("format", "onxn", "onnx"),
        ("domain", "nlpp", "nlp"),
        ("purpose", "reglar", "regular"),
        ("precision", "bfp16", "fp16"),
    ],
)
def test_a_misspelt_choice_is_refused_with_a_guess(field, value, guess):
    with pytest.raises(SpecError, match=f"did you mean '{guess}'"):
        model(**{field: value})


@pytest.mark.parametrize("field", ["inputs", "outputs", "metrics", "sources", "batch_sizes", "reference_accuracy"])
@pytest.mark.parametrize("value", ["text", 3, None])
def test_what_is_no_list_is_refused(field, value):
    with pytest.raises(SpecError, match="list"):
        model(**{field: value})


@pytest.mark.parametrize("architecture", ["", "module", "module:", ":name", "a b:c", "module:a.b", "1x:y", 3])
def test_a_recipe_names_a_function(architecture):
    with pytest.raises(SpecError, match="no reference"):
        Recipe(architecture=architecture)


def test_a_recipes_lists_become_tuples_and_the_callers_dict_stays_its_own():
    config = {"sizes": [1, 2], "name": "x"}
    recipe = Recipe(architecture="package.module:build", config=config)
    config["name"] = "changed"
    assert recipe.config == {"sizes": (1, 2), "name": "x"}


def test_a_source_keeps_its_own_digests():
    digests = {"model.bin": "0" * 64}
    source = Source(kind="hub", location="org/model", sha256=digests)
    digests.clear()
    assert source.kind is SourceKind.HUB
    assert source.sha256 == {"model.bin": "0" * 64}


def test_a_source_of_an_unknown_kind_is_refused():
    with pytest.raises(SpecError, match="did you mean 'hub'"):
        Source(kind="hubb", location="x")


def test_fields_are_given_by_keyword():
    with pytest.raises(TypeError):
        ModelSpec("tiny")


@pytest.mark.parametrize(
    "fields",
    [{}, {"share": 0.99, "bound": 0.7}, {"share": 0.0}, {"share": 1.01}, {"bound": math.inf}, {"share": "0.99"}],
)
def test_a_target_is_either_a_share_or_a_bound(fields):
    with pytest.raises(SpecError, match=r"either a share above 0 and at most 1, or a finite bound"):
        AccuracyTarget(metric="top1", **fields)
    assert AccuracyTarget(metric="top1", share=1, precision="fp16").precision is DType.FLOAT16

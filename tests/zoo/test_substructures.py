"""The parts of models: all rows are there, by name, in torch and as ONNX, and say the truth."""

from __future__ import annotations

import pytest
import torch

from bytemlperf import zoo
from bytemlperf.registry import load, models
from bytemlperf.spec import Framework, from_json, to_json
from bytemlperf.spec.model import ModelSpec
from bytemlperf.zoo import substructures
from bytemlperf.zoo.substructures import ROWS


def test_there_is_each_part_at_each_length_or_shape_in_both_frameworks():
    kinds = {"transformer-encoder": 5, "transformer-decoder": 5, "conv-group": 4, "conv-depthwise": 4}
    kinds |= {"conv-pointwise": 4, "gru": 3, "lstm": 3}

    for kind, count in kinds.items():
        of_kind = [spec for name, spec in ROWS.items() if name.startswith(f"{kind}-")]
        assert [spec.framework for spec in of_kind].count(Framework.TORCH) == count
        assert [spec.framework for spec in of_kind].count(Framework.ONNX) == count
    assert len(ROWS) == 2 * sum(kinds.values())
    assert {f"transformer-encoder-{length}-onnx-fp32" for length in (64, 128, 256, 384, 512)} <= set(ROWS)


def test_every_row_is_installed_under_its_name():
    assert set(ROWS) <= set(models.names())
    for name, spec in ROWS.items():
        assert zoo.get(name) is spec
        assert from_json(ModelSpec, to_json(spec)) == spec


@pytest.mark.parametrize("name", [name for name in ROWS if name.endswith("-torch-fp32")])
def test_a_row_builds_a_module_of_the_declared_size_and_shape(name):
    spec = ROWS[name]
    with torch.device("meta"):
        module = load(spec.recipe.architecture)(**spec.recipe.config)
        answer = module(*(torch.empty(each.sized(2)) for each in spec.inputs))

    assert sum(each.numel() for each in module.parameters()) == spec.parameters
    assert tuple(answer.shape) == spec.outputs[0].sized(2)


def test_twins_are_the_same_but_for_the_framework():
    for name, spec in ROWS.items():
        twin = ROWS[spec.twin]
        assert twin.twin == name
        assert (twin.recipe, twin.inputs, twin.outputs) == (spec.recipe, spec.inputs, spec.outputs)
        assert twin.framework is not spec.framework


def test_an_unknown_row_is_no_attribute():
    with pytest.raises(AttributeError, match="GRU_1X1"):
        _ = substructures.GRU_1X1

"""What is exported as ONNX gives on onnxruntime what its torch definition gives, at batch 1 and 2."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from bytemlperf import zoo
from bytemlperf.conversion.torch_module import named_outputs, torch_artifact_module
from bytemlperf.datasets import open_dataset
from bytemlperf.spec import Format
from bytemlperf.workload import DatasetRequest
from bytemlperf.zoo.substructures import ROWS
from bytemlperf.zoo.twins import torch_twin

PARTS = tuple(name for name, spec in ROWS.items() if spec.format is Format.ONNX)
QUICK = ("conv-pointwise-144x56-onnx-fp32", "gru-128x64-onnx-fp32")
MODELS = (
    "clip-onnx-fp32",
    "conformer-encoder-onnx-fp32",
    "digits-resnet-onnx-fp32",
    "unet-onnx-fp32",
    "vae-decoder-onnx-fp32",
    "vae-encoder-onnx-fp32",
    "videobert-onnx-fp32",
    "yolov5-onnx-fp32",
)
NAMES = [*(pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in (*PARTS, *MODELS))]


def test_every_onnx_row_of_the_catalog_is_among_them():
    assert set(MODELS) | set(PARTS) == {name for name in zoo.names() if zoo.get(name).format is Format.ONNX}


def torch_answers(spec, inputs, cache):
    twin = torch_twin(spec)
    module = torch_artifact_module(zoo.resolve(twin, weights="random", seed=7, cache=cache))
    with torch.inference_mode():
        return [
            {name: answer.numpy() for name, answer in named_outputs(module(*given), spec.outputs).items()}
            for given in ([torch.from_numpy(each[tensor.name]) for tensor in spec.inputs] for each in inputs)
        ]


def onnx_answers(spec, inputs, cache):
    path = zoo.resolve(spec, weights="random", seed=7, cache=cache).path
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == [each.file_name for each in spec.inputs]
    names = [each.file_name for each in spec.outputs]
    return [
        dict(
            zip(
                (each.name for each in spec.outputs),
                session.run(names, {tensor.file_name: each[tensor.name] for tensor in spec.inputs}),
                strict=True,
            )
        )
        for each in inputs
    ]


@pytest.mark.parametrize("name", NAMES)
def test_an_export_gives_what_its_torch_definition_gives_at_batch_1_and_2(name, tmp_path):
    spec = zoo.get(name)
    samples = open_dataset(DatasetRequest(name="synthetic"), spec)
    inputs = [{key: np.asarray(value) for key, value in samples.load(range(size)).items()} for size in (1, 2)]
    found = onnx_answers(spec, inputs, tmp_path)
    for size, actual, expected in zip((1, 2), found, torch_answers(spec, inputs, tmp_path), strict=True):
        for output in spec.outputs:
            ours, theirs = actual[output.name], expected[output.name]
            assert ours.shape == theirs.shape == output.sized(size)
            assert np.abs(theirs).max() > 0
            assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max(), (output.name, size)

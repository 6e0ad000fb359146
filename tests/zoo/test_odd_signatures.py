"""Inputs that do not simply grow with the batch: batched, padded and taken apart again, each sample has its answer."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

from bytemlperf import run, zoo
from bytemlperf.conversion.torch_module import named_outputs, torch_artifact_module
from bytemlperf.datasets import batches
from bytemlperf.datasets.axes import split_samples
from bytemlperf.datasets.synthetic import Synthetic, SyntheticOptions
from bytemlperf.registry import backends
from bytemlperf.report import Outcome
from bytemlperf.spec import Format
from bytemlperf.workload import Check
from bytemlperf.zoo.twins import torch_twin

SAMPLES = 5
SIZE = 2


def small(name, config, shapes, high=None):
    """Return a row of the catalog with a small configuration: the same names, types and axes that grow."""
    spec = zoo.get(name)
    bounds = high or {}

    def shaped(tensors):
        return tuple(
            attrs.evolve(each, shape=shapes[each.name], high=bounds.get(each.name, each.high)) for each in tensors
        )

    recipe = attrs.evolve(spec.recipe, config=config)
    inputs, outputs = shaped(spec.inputs), shaped(spec.outputs)
    return attrs.evolve(spec, recipe=recipe, inputs=inputs, outputs=outputs, parameters=None)


def rows_of_columns():
    config = {"columns": 4, "buckets": 30, "numbers": 3, "embedding_width": 4, "hidden": (8,)}
    shapes = {"categorical": ("4*batch", 2), "numeric": ("batch", 3), "probabilities": ("batch", 2)}
    return small("widedeep-tf-fp32", config, shapes, high={"categorical": 30})


def unbatched_text():
    config = {"image_size": 16, "patch_size": 8, "vision_width": 8, "vision_layers": 1, "vision_heads": 2}
    config |= {"text_width": 8, "text_layers": 1, "text_heads": 2, "shared_width": 8, "vocabulary": 50, "context": 5}
    shapes = {"image": ("batch", 3, 16, 16), "text": (7, 5)}
    shapes |= {"logits_per_image": ("batch", 7), "logits_per_text": (7, "batch")}
    return small("videobert-onnx-fp32", config, shapes, high={"text": 50})


def unbatched_time():
    config = {
        "block_channels": (8, 8),
        "attention": (True, False),
        "blocks": 1,
        "text_width": 6,
        "heads": 2,
        "groups": 4,
    }
    latent = ("batch", 4, 4, 4)
    shapes = {"sample": latent, "timestep": (1,), "encoder_hidden_states": ("batch", 3, 6), "out_sample": latent}
    return small("unet-onnx-fp32", config, shapes)


def mask_of_truth_values():
    config = {"height": 8, "steps": 6, "channels": 8, "heads": 2, "layers": 1, "kernel": 4}
    shapes = {"src": ("batch", 3, 8, 24), "src_pad_mask": ("batch", 6), "memory": ("batch", 6, 8)}
    return small("conformer-encoder-onnx-fp32", config, shapes)


def whole_numbers_as_floats():
    config = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config |= {"intermediate_size": 24, "type_vocab_size": 2}
    shapes = {"input_segment": ("batch", 12), "input_token": ("batch", 12), "score": ("batch", 1)}
    return small("roformer-tf-fp32", config, shapes, high={"input_token": 50})


ODD = (rows_of_columns, unbatched_text, unbatched_time, mask_of_truth_values, whole_numbers_as_floats)
SPECS = {each.__name__: each for each in ODD}


def answers_of_batches(spec, artifact, loader):
    """Ask in batches of two, the last of them padded; return each output by sample."""
    engine = {Format.ONNX: "onnxruntime", Format.SAVED_MODEL: "tensorflow"}[spec.format]
    backend = backends.get(engine)()
    compiled = backend.compile(artifact, backend.options_type())
    asked = batches(loader, spec.inputs, range(SAMPLES), batch_size=SIZE)
    assert asked.padding.tolist() == [0, 0, 1]
    answers = [backend.predict(compiled, asked.batch(index)) for index in range(3)]
    backend.release(compiled)
    return {
        each.name: np.concatenate([split_samples(answer[each.name], each, samples=SIZE) for answer in answers])[
            :SAMPLES
        ]
        for each in spec.outputs
    }


def answers_one_by_one(spec, loader, cache):
    """Ask the torch definition for each sample alone."""
    twin = torch_twin(spec)
    module = torch_artifact_module(zoo.resolve(twin, weights="random", cache=cache))
    found = {each.name: [] for each in spec.outputs}
    for index in range(SAMPLES):
        arrays = loader.load([index])
        with torch.no_grad():
            answer = named_outputs(module(*(torch.from_numpy(arrays[each.name]) for each in spec.inputs)), spec.outputs)
        for each in spec.outputs:
            found[each.name].append(split_samples(answer[each.name].numpy(), each, samples=1))
    return {name: np.concatenate(parts) for name, parts in found.items()}


@pytest.mark.parametrize("name", SPECS)
def test_each_sample_has_its_own_answer_whatever_batch_it_is_in(name, tmp_path):
    spec = SPECS[name]()
    loader = Synthetic.open(spec, SyntheticOptions(samples=SAMPLES))
    artifact = zoo.resolve(spec, weights="random", cache=tmp_path)

    together = answers_of_batches(spec, artifact, loader)
    alone = answers_one_by_one(spec, loader, tmp_path)

    for output, expected in alone.items():
        assert together[output].shape == expected.shape
        assert np.abs(together[output] - expected).max() / np.abs(expected).max() < 1e-4
        assert np.abs(expected[1:] - expected[:-1]).max() > 1e-3  # else any sample's answer would do


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_a_whole_evaluation_agrees_with_the_reference(name):
    report = run(
        SPECS[name](),
        weights="random",
        dataset="synthetic",
        checks=["numeric"],
        batch_sizes=[SIZE],
        numeric_samples=SAMPLES,
    )

    assert not report.failures
    assert [each.outcome for each in report.verdict.reasons if each.check is Check.NUMERIC] == [Outcome.PASS]

"""The two large language models at their full width, with few layers: equal to others' in float32, sound in float16."""

import numpy as np
import pytest
import torch
from tests.zoo.architectures import language
from tests.zoo.architectures.chatglm2_oracle import as_glm, glm, numpy_logits
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.glm.modeling_glm import GlmRotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from bytemlperf import zoo
from bytemlperf.conversion.torch_building import undrawn
from bytemlperf.registry import load
from bytemlperf.zoo.architectures.initialise_torch import initialise

pytestmark = pytest.mark.slow

LAYERS = {"llama2-7b-torch-fp16": "num_hidden_layers", "chatglm2-6b-torch-fp16": "num_layers"}


def few_layers(name, layers, dtype):
    """Build a row of the catalog with all but its layers; no weight is written yet."""
    recipe = zoo.get(name).recipe
    config = {**recipe.config, LAYERS[name]: layers, "dtype": dtype}
    return undrawn(lambda: load(recipe.architecture)(**config)).eval(), config


def filled(name, layers):
    module, config = few_layers(name, layers, "float32")
    return language.filled(module), config


@torch.no_grad()
def test_llama_2_is_that_of_transformers_at_full_width():
    ours, config = filled("llama2-7b-torch-fp16", 2)
    rope = {"rope_type": "default", "rope_theta": config.get("rope_theta", 1e4)}
    arguments = {key: value for key, value in config.items() if key not in ("dtype", "rope_theta")}
    theirs_config = LlamaConfig(**arguments, rope_parameters=rope, attn_implementation="eager")
    assert (theirs_config.hidden_size, theirs_config.vocab_size, theirs_config.intermediate_size) == (
        4096,
        32000,
        11008,
    )
    with torch.device("meta"):
        theirs = LlamaForCausalLM(theirs_config).eval()
    theirs.model.rotary_emb = LlamaRotaryEmbedding(theirs_config)
    theirs.load_state_dict(ours.state_dict(), strict=True, assign=True)
    ids = language.tokens(2, 24, below=32_000)
    assert language.relative(ours(ids), theirs(ids).logits) <= 1e-5


@torch.no_grad()
def test_chatglm2_is_the_glm_of_transformers_at_full_width():
    ours, config = filled("chatglm2-6b-torch-fp16", 2)
    assert (config["hidden_size"], config["padded_vocab_size"], config["ffn_hidden_size"]) == (4096, 65024, 13696)
    with torch.device("meta"):
        theirs = glm(config)
    theirs.model.rotary_emb = GlmRotaryEmbedding(theirs.config)
    mapped = as_glm(ours.state_dict(), heads=32, groups=2, dim=128)
    theirs.load_state_dict(mapped, strict=True, assign=True)
    ids = language.tokens(2, 24, below=65_024)
    assert language.relative(ours(ids), theirs(ids).logits) <= 1e-5


@torch.no_grad()
def test_chatglm2_is_what_its_description_says_at_full_width():
    ours, _ = filled("chatglm2-6b-torch-fp16", 1)
    ids = language.tokens(1, 5, below=65_024)
    expected = numpy_logits(ours.state_dict(), ids[0].numpy(), heads=32, groups=2, dim=128, layers=1, theta=1e4)
    assert np.abs(ours(ids)[0].double().numpy() - expected).max() <= 1e-5 * np.abs(expected).max()


def spreads(module, ids):
    """Run a module and return the largest value and the spread of what each of its layers gives, by name."""
    found = {}

    def look(name):
        def hook(_layer, _given, output):
            if isinstance(output, torch.Tensor) and output.is_floating_point():
                found[name] = (output.dtype, float(output.abs().max()), float(output.float().std()))

        return hook

    hooks = [each.register_forward_hook(look(name)) for name, each in module.named_modules() if name]
    logits = module(ids)
    for hook in hooks:
        hook.remove()
    return logits, found


@torch.no_grad()
@pytest.mark.parametrize("name", LAYERS)
def test_activations_of_random_weights_are_sound_in_float16_at_full_width(name):
    module, config = few_layers(name, 2, "float16")
    initialise(module, 0)
    vocabulary = config.get("vocab_size") or config["padded_vocab_size"]
    logits, found = spreads(module, language.tokens(1, 16, below=vocabulary, seed=1))
    assert len(found) > 2 * 6
    for layer, (dtype, largest, spread) in found.items():
        assert dtype is torch.float16, layer
        assert 1e-4 < spread < 100, (layer, spread)
        assert largest < 6_550, (layer, largest)  # a tenth of what float16 holds
    assert logits.isfinite().all()
    assert 0.1 < float(logits.float().std()) < 10
    assert len(logits[0].argmax(dim=-1).unique()) > 8  # places are told apart
    others = module(language.tokens(1, 16, below=vocabulary, seed=2))
    assert language.relative(others.float(), logits.float()) > 0.1

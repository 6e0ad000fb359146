import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bytemlperf.zoo.architectures.initialise_torch import initialise
from bytemlperf.zoo.architectures.layers_torch import build_convolution, build_gru, build_lstm
from bytemlperf.zoo.architectures.transformer_torch import build_decoder, build_encoder

SMALL = {"channels": 24, "heads": 3, "inner": 40}
BASE = {"channels": 768, "heads": 12, "inner": 3072}
NAMES = {"output": "out_proj", "widen": "linear1", "narrow": "linear2"}


def random_block(build, config) -> nn.Module:
    """Random weights whose norms are no identities, so that a swapped norm is seen."""
    block = build(**config)
    initialise(block, 3)
    with torch.no_grad():
        for layer in block.modules():
            if isinstance(layer, nn.LayerNorm):
                layer.weight.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(4))
                layer.bias.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(5))
    return block


def torchs_own(block: nn.Module) -> dict[str, Tensor]:
    """Return a block's weights under the names of PyTorch's own transformer layers, which join three of them."""
    ours = block.state_dict()
    found = {}
    for name, value in ours.items():
        owner, *rest = name.split(".")
        if owner == "feed_forward":
            found[f"{NAMES[rest[0]]}.{rest[1]}"] = value
        elif owner.startswith("norm"):
            found[name] = value
        elif rest[0] == "output":
            found[f"{_attention(owner)}.out_proj.{rest[1]}"] = value
        elif rest[0] == "query":
            parts = [ours[f"{owner}.{part}.{rest[1]}"] for part in ("query", "key", "value")]
            found[f"{_attention(owner)}.in_proj_{rest[1]}"] = torch.cat(parts)
    return found


def _attention(owner: str) -> str:
    return {"attention": "self_attn", "cross_attention": "multihead_attn"}[owner]


def normal(*shape: int, seed: int = 7) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("config", "length"), [(SMALL, 7), (BASE, 64)], ids=["small", "base"])
def test_an_encoder_block_equals_torchs_own(config, length):
    block = random_block(build_encoder, config)
    sizes = (config["channels"], config["heads"], config["inner"])
    theirs = nn.TransformerEncoderLayer(*sizes, activation="gelu", batch_first=True, layer_norm_eps=1e-12).eval()
    theirs.load_state_dict(torchs_own(block), strict=True)
    hidden = normal(2, length, config["channels"])

    with torch.no_grad():
        assert relative_difference(block(hidden), theirs(hidden)) < 1e-5


@pytest.mark.parametrize(("config", "length"), [(SMALL, 7), (BASE, 64)], ids=["small", "base"])
def test_a_decoder_block_equals_torchs_own(config, length):
    block = random_block(build_decoder, config)
    sizes = (config["channels"], config["heads"], config["inner"])
    theirs = nn.TransformerDecoderLayer(*sizes, activation="gelu", batch_first=True, layer_norm_eps=1e-12).eval()
    theirs.load_state_dict(torchs_own(block), strict=True)
    hidden, memory = normal(2, length, config["channels"]), normal(2, length + 3, config["channels"], seed=8)
    mask = nn.Transformer.generate_square_subsequent_mask(length)

    with torch.no_grad():
        expected = theirs(hidden, memory, tgt_mask=mask, tgt_is_causal=True)
        assert relative_difference(block(hidden, memory), expected) < 1e-5


@pytest.mark.parametrize("build", [build_encoder, build_decoder])
def test_heads_that_do_not_divide_are_refused(build):
    with pytest.raises(ValueError, match="do not divide"):
        build(channels=24, heads=5)


@pytest.mark.parametrize(("kernel", "groups"), [(3, 4), (3, 8), (1, 1)], ids=["group", "depthwise", "pointwise"])
def test_a_convolution_is_the_sum_over_its_window_and_group(kernel, groups):
    layer = random_block(build_convolution, {"in_channels": 8, "channels": 8, "kernel": kernel, "groups": groups})
    features = normal(2, 8, 5, 6)
    weight, bias = (value.double().numpy() for value in layer.state_dict().values())
    pad = kernel // 2
    padded = np.pad(features.double().numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
    grouped = windows.reshape(2, groups, 8 // groups, 5, 6, kernel, kernel)
    filters = weight.reshape(groups, 8 // groups, 8 // groups, kernel, kernel)
    expected = np.einsum("bgiyxkl,goikl->bgoyx", grouped, filters).reshape(2, 8, 5, 6) + bias[:, None, None]

    with torch.no_grad():
        np.testing.assert_allclose(layer(features).numpy(), expected, rtol=1e-4, atol=1e-5)


def gru_step(weights, given, state):
    """PyTorch's documented GRU: reset, update and new gate; the bias of the new gate's state lies inside the reset."""
    from_input = given @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
    from_state = state @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
    (reset_i, update_i, new_i), (reset_s, update_s, new_s) = np.split(from_input, 3), np.split(from_state, 3)
    update = sigmoid(update_i + update_s)
    new = np.tanh(new_i + sigmoid(reset_i + reset_s) * new_s)
    return (1 - update) * new + update * state


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def weights_of(layer):
    return {name.removeprefix("layer."): value.double().numpy() for name, value in layer.state_dict().items()}


def test_a_gru_is_its_formula_step_by_step():
    layer = random_block(build_gru, {"input_size": 3, "hidden_size": 5})
    sequence, state, states = normal(1, 6, 3), np.zeros(5), []
    for given in sequence[0].double().numpy():
        state = gru_step(weights_of(layer), given, state)
        states.append(state)

    with torch.no_grad():
        np.testing.assert_allclose(layer(sequence)[0].numpy(), states, rtol=1e-4, atol=1e-6)


def test_an_lstm_is_its_formula_step_by_step():
    layer = random_block(build_lstm, {"input_size": 3, "hidden_size": 5})
    weights, sequence = weights_of(layer), normal(1, 6, 3)
    state, cell, states = np.zeros(5), np.zeros(5), []
    for given in sequence[0].double().numpy():
        gates = given @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
        gates = gates + state @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
        entering, forgetting, new, leaving = np.split(gates, 4)
        cell = sigmoid(forgetting) * cell + sigmoid(entering) * np.tanh(new)
        state = sigmoid(leaving) * np.tanh(cell)
        states.append(state)

    with torch.no_grad():
        np.testing.assert_allclose(layer(sequence)[0].numpy(), states, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("config", [{"kernel": 2}, {"groups": 3}])
def test_an_impossible_convolution_is_refused(config):
    with pytest.raises(ValueError, match="is even"):
        build_convolution(in_channels=8, channels=8, **config)

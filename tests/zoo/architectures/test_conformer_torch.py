import pytest
import torch
from torch import Tensor, nn
from transformers import Wav2Vec2ConformerConfig
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
    Wav2Vec2ConformerEncoderLayer,
    Wav2Vec2ConformerRelPositionalEmbedding,
)

from bytemlperf.zoo.architectures.conformer_torch import ConformerEncoder, build
from bytemlperf.zoo.architectures.initialise_torch import initialise

SMALL = {"in_channels": 3, "height": 8, "steps": 16, "channels": 24, "heads": 4, "layers": 2, "kernel": 7}

NAMES = {
    "feed_forward1.norm": "ffn1_layer_norm",
    "feed_forward1.linear1": "ffn1.intermediate_dense",
    "feed_forward1.linear2": "ffn1.output_dense",
    "feed_forward2.norm": "ffn2_layer_norm",
    "feed_forward2.linear1": "ffn2.intermediate_dense",
    "feed_forward2.linear2": "ffn2.output_dense",
    "attention.norm": "self_attn_layer_norm",
    "attention.query": "self_attn.linear_q",
    "attention.key": "self_attn.linear_k",
    "attention.value": "self_attn.linear_v",
    "attention.output": "self_attn.linear_out",
    "attention.position_bias": "self_attn.pos_bias_v",
    "attention.content_bias": "self_attn.pos_bias_u",
    "attention.position": "self_attn.linear_pos",
    "convolution.norm": "conv_module.layer_norm",
    "convolution.pointwise1": "conv_module.pointwise_conv1",
    "convolution.depthwise": "conv_module.depthwise_conv",
    "convolution.batch_norm": "conv_module.batch_norm",
    "convolution.pointwise2": "conv_module.pointwise_conv2",
    "norm": "final_layer_norm",
}


def independent_name(name: str) -> str:
    for ours, theirs in NAMES.items():
        if name == ours or name.startswith(f"{ours}."):
            return theirs + name.removeprefix(ours)
    raise KeyError(name)


def random_encoder(**change: int) -> ConformerEncoder:
    """Random weights whose norms are no identities, so that a swapped norm is seen."""
    network = build(**(SMALL | change))
    initialise(network, 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.LayerNorm | nn.BatchNorm1d):
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.uniform_(-0.1, 0.1, generator=generator)
            if isinstance(layer, nn.BatchNorm1d):
                layer.get_buffer("running_mean").uniform_(-0.1, 0.1, generator=generator)
                layer.get_buffer("running_var").uniform_(0.5, 1.5, generator=generator)
    return network


def inputs(*, batch: int = 2, steps: int = 16, height: int = 8) -> tuple[Tensor, Tensor]:
    source = torch.randn(batch, 3, height, 4 * steps, generator=torch.Generator().manual_seed(7))
    return source, torch.zeros(batch, steps, dtype=torch.bool)


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    ("change", "padding"), [({}, 0), ({}, 5), ({"channels": 512, "heads": 8, "steps": 128, "kernel": 31}, 0)]
)
def test_a_block_equals_an_independent_implementation(change: dict[str, int], padding: int) -> None:
    network = random_encoder(**change)
    block, steps, channels = network.blocks[0], len(network.distances) // 2 + 1, network.distances.shape[1]
    config = Wav2Vec2ConformerConfig(
        hidden_size=channels,
        num_attention_heads=block.attention.heads,
        intermediate_size=4 * channels,
        hidden_act="swish",
        conv_depthwise_kernel_size=block.convolution.kernel,
        position_embeddings_type="relative",
        max_source_positions=steps,
    )
    theirs = Wav2Vec2ConformerEncoderLayer(config).eval()
    theirs.load_state_dict({independent_name(name): value for name, value in block.state_dict().items()}, strict=True)
    features = torch.randn(2, steps, channels, generator=torch.Generator().manual_seed(1))
    padded = torch.zeros(2, steps, dtype=torch.bool)
    padded[1, steps - padding :] = True
    mask = torch.zeros(2, 1, 1, steps).masked_fill(padded[:, None, None], torch.finfo(torch.float32).min)

    with torch.no_grad():
        distances = Wav2Vec2ConformerRelPositionalEmbedding(config)(features)
        torch.testing.assert_close(network.distances, distances[0], rtol=0, atol=1e-4)
        answer = block(features, network.distances, padded)
        expected = theirs(features, attention_mask=mask, relative_position_embeddings=distances)

    if padding:  # theirs lets padding through its convolution: only where it does not reach are both the same
        answer, expected = answer[:, : steps - padding - 3], expected[:, : steps - padding - 3]
    assert relative_difference(answer, expected) < 1e-5


def test_what_is_padded_changes_no_other_step() -> None:
    network = random_encoder()
    source, padded = inputs()
    padded[:, 12:] = True
    other = source.clone()
    other[..., 52:] = 9.0  # what the subsampling of the first 12 steps does not see

    with torch.no_grad():
        memory, changed = network(source, padded), network(other, padded)

    assert torch.equal(memory[:, :12], changed[:, :12])
    assert not torch.equal(memory[:, 13:], changed[:, 13:])


def test_a_sequence_that_is_all_padding_gives_numbers() -> None:
    source, padded = inputs()

    with torch.no_grad():
        assert random_encoder()(source, ~padded).isfinite().all()


def test_random_weights_tell_inputs_apart() -> None:
    network = build(**SMALL)
    initialise(network, 0)

    with torch.no_grad():
        memory = network(*inputs())

    assert 0.5 < float(memory.std()) < 2
    assert relative_difference(memory[1:], memory[:-1]) > 0.1


def test_an_even_kernel_keeps_the_number_of_steps() -> None:
    with torch.no_grad():
        assert random_encoder(kernel=8)(*inputs()).shape == (2, 16, 24)


@pytest.mark.parametrize("change", [{"heads": 5}, {"height": 6}])
def test_impossible_configurations_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        build(**(SMALL | change))

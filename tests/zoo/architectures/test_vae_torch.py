import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from bytemlperf.zoo.architectures.initialise_torch import initialise
from bytemlperf.zoo.architectures.vae_torch import build_decoder, build_encoder

SMALL = {"block_channels": (8, 16, 16), "blocks": 1, "groups": 4}
FULL = {"block_channels": (128, 256, 512, 512), "blocks": 2, "groups": 32}
CONFIGS = [SMALL, pytest.param(FULL, marks=pytest.mark.slow)]
RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def shaken(network: nn.Module) -> None:
    """Random weights whose norms are no identities, so that a swapped norm is seen."""
    initialise(network, 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.GroupNorm):
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.uniform_(-0.1, 0.1, generator=generator)


def independent_vae(ours: nn.Module, config: dict[str, object]) -> AutoencoderKL:
    """Load our weights into another implementation, under the names that it has today."""
    channels = config["block_channels"]
    assert isinstance(channels, tuple)
    theirs = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=config["blocks"],
        norm_num_groups=config["groups"],
        latent_channels=4,
    ).eval()
    theirs.load_state_dict({independent_name(name): value for name, value in ours.state_dict().items()}, strict=True)
    return theirs


def independent_name(name: str) -> str:
    if "attentions" not in name:
        return name
    for ours, theirs in RENAMED.items():
        name = name.replace(f".{ours}.", f".{theirs}.")
    return name


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("config", CONFIGS)
def test_latent_images_equal_an_independent_implementation(config: dict[str, object]) -> None:
    ours = build_encoder(**config)
    shaken(ours)
    theirs = independent_vae(ours, config)
    image = normal(2, 3, 256, 256) if config is FULL else normal(2, 3, 24, 32)

    with torch.no_grad():
        latent, expected = ours(image), theirs.encode(image).latent_dist.mode()

    assert relative_difference(latent, expected) < 1e-5


@pytest.mark.parametrize("config", CONFIGS)
def test_images_equal_an_independent_implementation(config: dict[str, object]) -> None:
    ours = build_decoder(**config)
    shaken(ours)
    theirs = independent_vae(ours, config)
    latent = normal(1, 4, 32, 32) if config is FULL else normal(2, 4, 6, 8)

    with torch.no_grad():
        image, expected = ours(latent), theirs.decode(latent).sample

    assert relative_difference(image, expected) < 1e-5


def test_names_and_numbers_of_parameters_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = build_encoder()
    sizes = {name: value.numel() for name, value in network.named_parameters()}
    encoding = sum(size for name, size in sizes.items() if name.startswith(("encoder.", "quant_conv.")))

    assert sum(sizes.values()) == 83_653_863
    assert encoding == 34_163_664
    assert len(sizes) == 248
    assert "decoder.mid_block.attentions.0.proj_attn.bias" in sizes


@pytest.mark.parametrize(("build", "shape"), [(build_encoder, (2, 3, 32, 32)), (build_decoder, (2, 4, 8, 8))])
def test_random_weights_tell_inputs_apart(build, shape) -> None:
    network = build(**SMALL)
    initialise(network, 0)

    with torch.no_grad():
        answer = network(normal(*shape))

    assert 0.005 < float(answer.std()) < 10
    assert relative_difference(answer[1:], answer[:-1]) > 0.1


def test_groups_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        build_encoder(**(SMALL | {"groups": 3}))

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from bytemlperf.zoo.architectures.initialise_torch import initialise
from bytemlperf.zoo.architectures.unet_torch import UNet, build

SMALL = {
    "block_channels": (16, 32, 32),
    "attention": (True, True, False),
    "blocks": 2,
    "text_width": 24,
    "heads": 4,
    "groups": 8,
}
FULL = {
    "block_channels": (320, 640, 1280, 1280),
    "attention": (True, True, True, False),
    "blocks": 2,
    "text_width": 768,
    "heads": 8,
    "groups": 32,
}


def shaken(network: nn.Module) -> None:
    """Random weights whose norms are no identities, so that a swapped norm is seen."""
    initialise(network, 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.LayerNorm | nn.GroupNorm):
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.uniform_(-0.1, 0.1, generator=generator)


def independent_unet(config: dict[str, object]) -> UNet2DConditionModel:
    attends = config["attention"]
    assert isinstance(attends, tuple)
    down = tuple("CrossAttnDownBlock2D" if each else "DownBlock2D" for each in attends)
    up = tuple("CrossAttnUpBlock2D" if each else "UpBlock2D" for each in reversed(attends))
    with torch.device("meta"):
        network = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=config["block_channels"],
            down_block_types=down,
            up_block_types=up,
            layers_per_block=config["blocks"],
            cross_attention_dim=config["text_width"],
            attention_head_dim=config["heads"],
            norm_num_groups=config["groups"],
        )
    return network.to_empty(device="cpu").eval()


def inputs(size: int, batch: int, text_width: int, time: int = 731) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    sample = torch.randn(batch, 4, size, size, generator=generator)
    return sample, torch.tensor([time]), torch.randn(batch, 7, text_width, generator=generator)


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def random_unet(config: dict[str, object]) -> UNet:
    network = build(**config)
    initialise(network, 0)
    return network


@pytest.mark.parametrize(
    ("config", "size", "batch"),
    [
        (SMALL, 8, 3),
        (SMALL | {"blocks": 1, "block_channels": (32, 16), "attention": (False, True)}, 12, 1),
        pytest.param(FULL, 32, 1, marks=pytest.mark.slow),
    ],
    ids=["small", "narrowing", "full"],
)
def test_the_noise_equals_an_independent_implementation(config: dict[str, object], size: int, batch: int) -> None:
    ours = build(**config)
    shaken(ours)
    theirs = independent_unet(config)
    theirs.load_state_dict(ours.state_dict(), strict=True, assign=True)
    sample, time, text = inputs(size, batch, int(str(config["text_width"])))

    with torch.no_grad():
        noise, expected = ours(sample, time, text), theirs(sample, time, text).sample

    assert relative_difference(noise, expected) < 1e-4


def test_names_and_number_of_parameters_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = build()

    assert sum(parameter.numel() for parameter in network.parameters()) == 859_520_964
    assert len(network.state_dict()) == 686


def test_random_weights_tell_samples_times_and_texts_apart() -> None:
    network = random_unet(SMALL)
    sample, time, text = inputs(16, 2, 24)

    with torch.no_grad():
        noise = network(sample, time, text)
        later = network(sample, time + 200, text)
        told_else = network(sample, time, text.flip(0))

    assert noise.isfinite().all()
    assert 0.01 < float(noise.std()) < 10
    assert relative_difference(noise[1:], noise[:-1]) > 0.1
    assert relative_difference(later, noise) > 1e-3
    assert relative_difference(told_else, noise) > 1e-3


def test_one_time_is_for_the_whole_batch() -> None:
    network = random_unet(SMALL)
    sample, time, text = inputs(8, 3, 24)

    with torch.no_grad():
        together, alone = network(sample, time, text), network(sample[1:2], time, text[1:2])

    assert relative_difference(together[1:2], alone) < 1e-5


@pytest.mark.parametrize("change", [{"attention": (True,)}, {"groups": 5}, {"heads": 3}])
def test_impossible_configurations_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"differ in length|do not divide"):
        build(**(SMALL | change))

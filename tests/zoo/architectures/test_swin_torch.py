import pytest
import torch
from torch import Tensor, nn
from transformers import SwinConfig, SwinForImageClassification

from bytemlperf.zoo.architectures.initialise_torch import initialise
from bytemlperf.zoo.architectures.swin_torch import SwinTransformer, build

SMALL = {
    "image_size": 64,
    "embed_dim": 24,
    "depths": (2, 2),
    "num_heads": (2, 4),
    "window_size": 4,
    "num_classes": 10,
}
LARGE = {
    "image_size": 384,
    "embed_dim": 192,
    "depths": (2, 2, 18, 2),
    "num_heads": (6, 12, 24, 48),
    "window_size": 12,
    "num_classes": 1000,
}


def random_swin(config: dict[str, object]) -> SwinTransformer:
    """Random weights whose norms are no identities, so that a swapped norm is seen."""
    network = build(**config)
    initialise(network, 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.LayerNorm):
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.uniform_(-0.1, 0.1, generator=generator)
    return network


def independent_swin(config: dict[str, object]) -> SwinForImageClassification:
    names = {"num_classes": "num_labels"}
    given = {
        names.get(key, key): list(value) if isinstance(value, tuple) else value
        for key, value in config.items()
        if key != "mlp_ratio"
    }
    with torch.device("meta"):
        network = SwinForImageClassification(SwinConfig(**given))
    return network.to_empty(device="cpu").eval()


def independent_name(name: str) -> str:
    """Say where today's independent implementation keeps what the checkpoints call ``name``."""
    renamed = (
        ("attention.self.query", "attention.q_proj"),
        ("attention.self.key", "attention.k_proj"),
        ("attention.self.value", "attention.v_proj"),
        ("attention.self.", "attention.relative_position_bias."),
        ("attention.output.dense", "attention.o_proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
    )
    for ours, theirs in renamed:
        if ours in name:
            return name.replace(ours, theirs)
    return name


def images(size: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(7))


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    "config", [SMALL, SMALL | {"image_size": 96, "window_size": 6}, pytest.param(LARGE, marks=pytest.mark.slow)]
)
def test_logits_equal_an_independent_implementation(config: dict[str, object]) -> None:
    ours, theirs = random_swin(config), independent_swin(config)
    state = {independent_name(name): value for name, value in ours.state_dict().items()}
    theirs.load_state_dict(state, strict=True)
    for name, index in ours.named_buffers():
        if name.endswith("relative_position_index"):
            theirs.get_buffer(independent_name(name)).copy_(index.flatten())
    batch = images(int(str(config["image_size"])), batch=1 if config is LARGE else 2)

    with torch.no_grad():
        assert relative_difference(ours(batch), theirs(batch).logits) < 1e-4


def test_offsets_are_those_of_an_independent_implementation() -> None:
    ours = build(**SMALL).get_buffer("swin.encoder.layers.0.blocks.0.attention.self.relative_position_index")
    theirs = SwinForImageClassification(SwinConfig(window_size=4)).swin.encoder.layers[0].blocks[0].attention

    assert torch.equal(ours.flatten(), theirs.relative_position_bias.relative_position_index)


def test_large_has_the_published_number_of_parameters_and_names() -> None:
    with torch.device("meta"):
        network = build()
    names = dict(network.state_dict())

    assert sum(parameter.numel() for parameter in network.parameters()) == 196_735_516
    block = "swin.encoder.layers.2.blocks.17"
    assert {
        "swin.embeddings.patch_embeddings.projection.weight",
        f"{block}.attention.self.query.bias",
        f"{block}.attention.self.relative_position_bias_table",
        f"{block}.attention.output.dense.weight",
        f"{block}.intermediate.dense.weight",
        f"{block}.output.dense.bias",
        "swin.encoder.layers.2.downsample.reduction.weight",
        "swin.layernorm.weight",
        "classifier.bias",
    } <= set(names)
    assert f"{block}.mask" not in names


def test_what_the_published_file_carries_besides_is_passed_over() -> None:
    network = build(**SMALL)
    state = network.state_dict()
    index = {"swin.encoder.layers.0.blocks.0.attention.self.relative_position_index": torch.zeros(16, 16)}

    network.load_state_dict({**state, **index}, strict=True)
    with pytest.raises(RuntimeError, match="relative_position_other"):
        network.load_state_dict({**state, "relative_position_other": torch.zeros(1)}, strict=True)


def test_random_weights_tell_images_apart() -> None:
    network = build(**SMALL)
    initialise(network, 0)
    batch = images(64)

    with torch.no_grad():
        logits, exact = network(batch), build(**SMALL).double()
        exact.load_state_dict(network.double().state_dict())
        assert relative_difference(logits, exact(batch.double())) < 1e-5

    assert 0.05 < logits.std() < 10
    assert relative_difference(logits[1:], logits[:-1]) > 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": (2,)}, "same stages"),
        ({"window_size": 5}, "do not divide"),
        ({"image_size": 72}, "do not divide"),
    ],
)
def test_impossible_configurations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**(SMALL | change))

import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel

from bytemlperf.zoo.architectures.clip_torch import Clip, TextEncoder, build, build_text_encoder
from bytemlperf.zoo.architectures.initialise_torch import initialise

SMALL = {
    "image_size": 48,
    "patch_size": 16,
    "vision_width": 32,
    "vision_layers": 2,
    "vision_heads": 4,
    "text_width": 24,
    "text_layers": 2,
    "text_heads": 2,
    "shared_width": 16,
    "vocabulary": 90,
    "context": 11,
}
FULL = {
    "image_size": 224,
    "patch_size": 32,
    "vision_width": 768,
    "vision_layers": 12,
    "vision_heads": 12,
    "text_width": 512,
    "text_layers": 12,
    "text_heads": 8,
    "shared_width": 512,
    "vocabulary": 49_408,
    "context": 77,
}


def shaken(network: nn.Module) -> None:
    """Random weights whose norms are no identities, so that a swapped norm is seen."""
    initialise(network, 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.LayerNorm):
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.uniform_(-0.1, 0.1, generator=generator)


def text_config(width: int, layers: int, heads: int, vocabulary: int, context: int) -> dict[str, object]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": context,
        "eos_token_id": 2,  # as in the published configurations: the end of a text is its highest id
        "bos_token_id": 0,
    }


def independent_clip(config: dict[str, int]) -> CLIPModel:
    vision = {
        "hidden_size": config["vision_width"],
        "intermediate_size": 4 * config["vision_width"],
        "num_hidden_layers": config["vision_layers"],
        "num_attention_heads": config["vision_heads"],
        "image_size": config["image_size"],
        "patch_size": config["patch_size"],
    }
    text = text_config(*(config[name] for name in ("text_width", "text_layers", "text_heads", "vocabulary", "context")))
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=config["shared_width"])).eval()


def weights(network: nn.Module) -> dict[str, Tensor]:
    return network.state_dict()


def inputs(config: dict[str, int], *, images: int, texts: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    size = config["image_size"]
    image = torch.randn(images, 3, size, size, generator=generator)
    return image, torch.randint(config["vocabulary"], (texts, config["context"]), generator=generator)


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def random_clip(config: dict[str, int]) -> Clip:
    network = build(**config)
    shaken(network)
    return network


@pytest.mark.parametrize("config", [SMALL, pytest.param(FULL, marks=pytest.mark.slow)])
def test_logits_equal_an_independent_implementation(config: dict[str, int]) -> None:
    ours, theirs = random_clip(config), independent_clip(config)
    theirs.load_state_dict(weights(ours), strict=True)
    image, text = inputs(config, images=2, texts=5)

    with torch.no_grad():
        per_image, per_text = ours(image, text)
        expected = theirs(pixel_values=image, input_ids=text)

    assert relative_difference(per_image, expected.logits_per_image) < 1e-5
    assert relative_difference(per_text, expected.logits_per_text) < 1e-5


@pytest.mark.parametrize(
    "config",
    [(24, 2, 3, 90, 11), pytest.param((768, 12, 12, 49_408, 77), marks=pytest.mark.slow)],
    ids=["small", "L/14"],
)
def test_texts_equal_an_independent_implementation(config: tuple[int, ...]) -> None:
    ours: TextEncoder = build_text_encoder(
        **dict(zip(("width", "layers", "heads", "vocabulary", "context"), config, strict=True))
    )
    shaken(ours)
    theirs = CLIPTextModel(CLIPTextConfig(**text_config(*config))).eval()
    theirs.load_state_dict({name.removeprefix("text_model."): value for name, value in weights(ours).items()})
    ids = torch.randint(config[3], (3, config[4]), generator=torch.Generator().manual_seed(7), dtype=torch.int32)

    with torch.no_grad():
        hidden, pooled = ours(ids)
        expected = theirs(input_ids=ids)

    assert relative_difference(hidden, expected.last_hidden_state) < 1e-5
    assert relative_difference(pooled, expected.pooler_output) < 1e-5


def test_names_and_number_of_parameters_are_the_published_ones() -> None:
    with torch.device("meta"):
        clip, text = build(), build_text_encoder()

    assert sum(parameter.numel() for parameter in clip.parameters()) == 151_277_313
    assert sum(parameter.numel() for parameter in text.parameters()) == 123_060_480
    assert len(clip.state_dict()) == 398
    assert {
        "logit_scale",
        "text_model.encoder.layers.11.mlp.fc2.bias",
        "vision_model.pre_layrnorm.weight",
        "visual_projection.weight",
    } <= set(clip.state_dict())
    assert "text_model.final_layer_norm.weight" in text.state_dict()


def test_positions_that_the_published_files_carry_are_passed_over() -> None:
    clip = build(**SMALL)
    positions = {f"{part}_model.embeddings.position_ids": torch.arange(4)[None] for part in ("text", "vision")}

    clip.load_state_dict({**clip.state_dict(), **positions}, strict=True)


def test_random_weights_tell_images_and_texts_apart() -> None:
    network = build(**SMALL)
    initialise(network, 0)
    image, text = inputs(SMALL, images=4, texts=6)

    with torch.no_grad():
        logits, _ = network(image, text)

    assert logits.isfinite().all()
    assert float(logits.std(dim=0).max()) > 0.02 * float(logits.abs().max())
    assert float(logits.std(dim=1).max()) > 0.1 * float(logits.abs().max())


def test_the_end_of_a_text_is_its_highest_id() -> None:
    network = build_text_encoder(width=24, layers=1, heads=3, vocabulary=90, context=6)
    initialise(network, 0)

    with torch.no_grad():
        hidden, pooled = network(torch.tensor([[1, 5, 89, 3, 89, 0], [89, 1, 2, 3, 4, 5]]))

    assert torch.equal(pooled, torch.stack([hidden[0, 2], hidden[1, 0]]))


@pytest.mark.parametrize("change", [{"patch_size": 9}, {"vision_heads": 5}, {"text_heads": 5}])
def test_impossible_configurations_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="does not divide"):
        build(**(SMALL | change))

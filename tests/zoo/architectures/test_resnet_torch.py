import pytest
import torch
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification

from bytemlperf.zoo.architectures.initialise_torch import initialise
from bytemlperf.zoo.architectures.resnet_torch import ResNet, build

RESNET_50 = (3, 4, 6, 3)


def random_images(*, batch: int, size: int) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(7))


def random_resnet(depths: tuple[int, ...], *, num_classes: int = 1000) -> ResNet:
    """Random weights whose norms are no identities, so that a swapped norm is seen."""
    network = build(depths=depths, num_classes=num_classes)
    initialise(network, 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.mul_(torch.rand(layer.weight.shape, generator=generator) + 0.5)
                layer.bias.uniform_(-0.1, 0.1, generator=generator)
                layer.get_buffer("running_mean").uniform_(-0.1, 0.1, generator=generator)
                layer.get_buffer("running_var").uniform_(0.5, 1.5, generator=generator)
    return network


def independent_resnet(depths: tuple[int, ...], *, num_classes: int) -> ResNetForImageClassification:
    config = ResNetConfig(
        layer_type="bottleneck",
        downsample_in_bottleneck=False,
        depths=list(depths),
        num_labels=num_classes,
    )
    return ResNetForImageClassification(config).eval()


def independent_name(name: str) -> str:
    """Say where the independent implementation keeps what we call ``name``."""
    owner, parameter = name.rsplit(".", 1)
    if owner == "fc":
        return f"classifier.1.{parameter}"
    if owner in {"conv1", "bn1"}:
        return f"resnet.embedder.embedder.{_KINDS[owner[:-1]]}.{parameter}"
    stage, block, layer, *projection = owner.split(".")
    prefix = f"resnet.encoder.stages.{int(stage.removeprefix('layer')) - 1}.layers.{block}"
    if projection:
        return f"{prefix}.shortcut.{('convolution', 'normalization')[int(projection[0])]}.{parameter}"
    return f"{prefix}.layer.{int(layer[-1]) - 1}.{_KINDS[layer[:-1]]}.{parameter}"


_KINDS = {"conv": "convolution", "bn": "normalization"}


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def test_resnet50_has_the_published_number_of_parameters() -> None:
    network = build()

    assert sum(parameter.numel() for parameter in network.parameters()) == 25_557_032


def test_names_are_those_of_the_hub_checkpoints() -> None:
    names = set(build(depths=(2, 1, 1, 1)).state_dict())

    assert len(build().state_dict()) == 320
    assert {
        "conv1.weight",
        "bn1.num_batches_tracked",
        "layer1.0.conv1.weight",
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.running_var",
        "layer1.1.bn3.bias",
        "layer4.0.conv3.weight",
        "fc.weight",
        "fc.bias",
    } <= names
    assert "layer1.1.downsample.0.weight" not in names


def test_stride_sits_on_the_middle_convolution() -> None:
    block = build().get_submodule("layer2.0")

    strides = [block.get_submodule(name).stride for name in ("conv1", "conv2", "conv3")]

    assert strides == [(1, 1), (2, 2), (1, 1)]


@pytest.mark.parametrize(
    ("depths", "classes", "size"),
    [((1, 2, 1, 1), 100, 64), ((1, 2, 1, 1), 100, 97), (RESNET_50, 1000, 224)],
    ids=["small", "odd", "full"],
)
def test_logits_equal_an_independent_implementation(depths: tuple[int, ...], classes: int, size: int) -> None:
    ours = random_resnet(depths, num_classes=classes)
    theirs = independent_resnet(depths, num_classes=classes)
    images = random_images(batch=2, size=size)

    theirs.load_state_dict({independent_name(name): value for name, value in ours.state_dict().items()})

    with torch.no_grad():
        assert relative_difference(ours(images), theirs(images).logits) < 1e-5


@pytest.mark.parametrize("depths", [(1, 1, 1, 1), RESNET_50])
def test_random_weights_give_logits_that_a_numeric_check_can_use(depths: tuple[int, ...]) -> None:
    network = build(depths=depths)
    initialise(network, 0)
    images = random_images(batch=2, size=128)

    with torch.no_grad():
        logits = network(images)
        exact = network.double()(images.double())

    assert logits.isfinite().all()
    assert 0.1 < logits.std() < 10
    assert relative_difference(logits[1:], logits[:-1]) > 0.1
    assert relative_difference(logits, exact) < 3e-6


def test_batch_does_not_change_the_answer_to_one_image() -> None:
    network = random_resnet((1, 1, 1, 1))
    images = random_images(batch=3, size=64)

    with torch.no_grad():
        assert relative_difference(network(images[1:2]), network(images)[1:2]) < 1e-5


@pytest.mark.parametrize("depths", [(3, 4, 6), (3, 4, 6, 0)])
def test_build_refuses_impossible_depths(depths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="four counts"):
        build(depths=depths)

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bytemlperf.zoo.architectures.initialise_torch import initialise
from bytemlperf.zoo.architectures.yolov5_torch import ANCHORS, Conv, build

# Parameters of each layer of YOLOv5s, as published with its architecture summary; together 7,235,389.
LAYERS = (
    *(3_520, 18_560, 18_816, 73_984, 115_712, 295_424, 625_152, 1_180_672, 1_182_720, 656_896, 131_584, 0, 0),
    *(361_984, 33_024, 0, 0, 90_880, 147_712, 0, 296_448, 590_336, 0, 1_182_720, 229_245),
)
FUSED_PARAMETERS = 7_225_885
GIGAFLOPS = 16.5


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def images(size: int, *, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(7))


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def test_each_layer_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = build()

    assert tuple(count(layer) for layer in network.model) == LAYERS


def test_with_norms_folded_there_are_as_many_parameters_as_published() -> None:
    with torch.device("meta"):
        network = build()
    convolutions = [layer for layer in network.modules() if isinstance(layer, Conv)]

    # A norm's scale and offset go into the filters and one bias a channel.
    folded = count(network) - sum(layer.bn.num_features for layer in convolutions)

    assert len(convolutions) == 57
    assert folded == FUSED_PARAMETERS


def test_the_work_is_the_published_one() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build()(torch.empty(1, 3, 640, 640))

    assert counter.get_total_flops() / 1e9 == pytest.approx(GIGAFLOPS, rel=0.01)


def test_names_are_those_of_the_checkpoints() -> None:
    with torch.device("meta"):
        names = set(build().state_dict())

    assert {
        "model.0.conv.weight",
        "model.2.m.0.cv2.bn.running_var",
        "model.9.cv2.conv.weight",
        "model.17.cv3.bn.bias",
        "model.24.anchors",
        "model.24.m.2.bias",
    } <= names
    assert len(names) == 57 * 6 + 3 * 2 + 1


def test_shapes_are_those_of_640_pixels() -> None:
    with torch.device("meta"):
        shapes = [tuple(each.shape) for each in build()(torch.empty(2, 3, 640, 640))]

    assert shapes == [(2, 25_200, 85), (2, 3, 80, 80, 85), (2, 3, 40, 40, 85), (2, 3, 20, 20, 85)]


def test_boxes_of_zeros_are_the_anchors_in_the_middle_of_their_cells() -> None:
    network = build(width=0.125, num_classes=2)
    with torch.no_grad():
        for parameter in network.model[-1].parameters():
            parameter.zero_()
        boxes = network(images(64, batch=1))[0][0]

    first_scale = boxes[: 3 * 8 * 8].view(3, 8, 8, 7)
    assert first_scale[0, 2, 5].tolist() == [44.0, 20.0, *ANCHORS[0][0], 0.5, 0.5, 0.5]
    assert first_scale[2, 0, 0].tolist() == [4.0, 4.0, *ANCHORS[0][2], 0.5, 0.5, 0.5]
    assert boxes[-1].tolist() == [48.0, 48.0, *ANCHORS[2][2], 0.5, 0.5, 0.5]


def test_predictions_are_the_published_formula_of_the_undecoded() -> None:
    network = build(width=0.125, num_classes=2)
    initialise(network, 0)

    with torch.no_grad():
        predictions, _, middle, _ = network(images(64, batch=1))

    x, y, width, height, *rest = middle[0, 1, 3, 2].sigmoid().tolist()
    anchor = ANCHORS[1][1]
    expected = [(2 * x - 0.5 + 2) * 16, (2 * y - 0.5 + 3) * 16, (2 * width) ** 2 * anchor[0]]
    expected += [(2 * height) ** 2 * anchor[1], *rest]
    assert predictions[0, 3 * 8 * 8 + 4 * 4 + 3 * 4 + 2].tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("config", [{"width": 0.25}, pytest.param({}, marks=pytest.mark.slow)], ids=["n", "s"])
def test_random_weights_tell_images_apart_and_round_little(config: dict[str, float]) -> None:
    network = build(**config)
    initialise(network, 0)
    batch = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(7))  # as synthetic samples are

    with torch.no_grad():
        outputs = network(batch)
        exact = network.double()(batch.double())

    for output, right in zip(outputs, exact, strict=True):
        assert relative_difference(output[1:], output[:-1]) > 0.1
        assert relative_difference(output, right) < 1e-4
    for raw in outputs[1:]:
        assert 0.2 < float(raw.std()) < 10


def test_nothing_to_detect_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to detect"):
        build(num_classes=0)

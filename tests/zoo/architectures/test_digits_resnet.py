from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import torch
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

from bytemlperf.zoo.architectures import digits_resnet_tf, digits_resnet_torch
from bytemlperf.zoo.architectures.initialise_torch import initialise

PACKAGE = Path(str(files("bytemlperf")))
DIGITS = PACKAGE / "datasets/data/digits.npz"
WEIGHTS = PACKAGE / "zoo/weights/digits-resnet.safetensors"
HELD_OUT = 360


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return load_file(WEIGHTS)


@pytest.fixture(scope="module")
def trained(weights: dict[str, np.ndarray]) -> digits_resnet_torch.DigitsResNet:
    network = digits_resnet_torch.build()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network


def held_out_images() -> np.ndarray:
    with np.load(DIGITS, allow_pickle=False) as digits:
        return (digits["images"][-HELD_OUT:, None] / 16).astype(np.float32)


def held_out_labels() -> np.ndarray:
    with np.load(DIGITS, allow_pickle=False) as digits:
        return digits["labels"][-HELD_OUT:]


def logits_of(network: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(images)).numpy()


def relative_difference(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def test_digits_are_those_that_scikit_learn_ships() -> None:
    original = load_digits()

    with np.load(DIGITS, allow_pickle=False) as digits:
        images, labels = digits["images"], digits["labels"]

    assert images.dtype == labels.dtype == np.uint8
    assert np.array_equal(images, original.images)
    assert np.array_equal(labels, original.target)


def test_data_and_weights_stay_below_one_megabyte() -> None:
    assert DIGITS.stat().st_size + WEIGHTS.stat().st_size < 1_000_000


def test_network_has_its_documented_number_of_parameters() -> None:
    network = digits_resnet_torch.build()

    assert sum(parameter.numel() for parameter in network.parameters()) == 95_890


def test_build_returns_evaluation_mode() -> None:
    assert not digits_resnet_torch.build().training


def test_committed_weights_fit_and_are_finite_float32(weights: dict[str, np.ndarray]) -> None:
    learned = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}

    assert set(weights) == set(digits_resnet_torch.build().state_dict())
    assert all(value.dtype == np.float32 for value in learned.values())
    assert all(np.isfinite(value).all() for value in learned.values())


def test_held_out_digits_are_read(trained: digits_resnet_torch.DigitsResNet) -> None:
    answers = [max(range(10), key=list(row).__getitem__) for row in logits_of(trained, held_out_images())]

    correct = sum(answer == label for answer, label in zip(answers, held_out_labels(), strict=True))

    assert correct / HELD_OUT >= 0.97


def test_tensorflow_twin_gives_the_same_logits(
    trained: digits_resnet_torch.DigitsResNet, weights: dict[str, np.ndarray]
) -> None:
    images = held_out_images()

    twin = digits_resnet_tf.build(weights).serve(tf.constant(images))["logits"].numpy()

    assert relative_difference(twin, logits_of(trained, images)) < 1e-5


@pytest.mark.parametrize(("width", "blocks"), [(8, 1), (6, 3)])
def test_twins_agree_in_other_configurations(width: int, blocks: int) -> None:
    network = digits_resnet_torch.build(width=width, blocks=blocks)
    initialise(network, 2)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    images = np.random.default_rng(3).random((5, 1, 8, 8), dtype=np.float32)

    twin = digits_resnet_tf.build(weights, width=width, blocks=blocks)

    assert relative_difference(twin.serve(images)["logits"].numpy(), logits_of(network, images)) < 1e-5


def test_twin_refuses_weights_of_another_configuration(weights: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="width=8"):
        digits_resnet_tf.build(weights, width=8)
    with pytest.raises(ValueError, match="blocks=1"):
        digits_resnet_tf.build(weights, blocks=1)


def test_saved_model_takes_image_and_returns_logits(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    module = digits_resnet_tf.build(weights)
    images = held_out_images()[:3]

    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.serve})
    signature = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]

    assert set(signature.structured_input_signature[1]) == {"image"}
    assert signature.structured_input_signature[1]["image"].shape.as_list() == [None, 1, 8, 8]
    assert set(signature.structured_outputs) == {"logits"}
    for batch in (1, 3):
        answer = signature(image=tf.constant(images[:batch]))["logits"].numpy()
        assert relative_difference(answer, module.serve(images[:batch])["logits"].numpy()) < 1e-6


def test_random_weights_tell_inputs_apart() -> None:
    network = digits_resnet_torch.build()
    initialise(network, 0)

    logits = logits_of(network, held_out_images()[:20])

    assert np.isfinite(logits).all()
    assert 0.01 < logits.std() < 10
    assert relative_difference(logits[1:], logits[:-1]) > 0.1

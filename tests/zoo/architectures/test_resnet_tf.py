import numpy as np
import pytest
import torch
from torch import nn

from bytemlperf.zoo.architectures import resnet_tf, resnet_torch
from bytemlperf.zoo.architectures.initialise_torch import initialise

CONFIG = {"depths": (1, 2, 1, 1), "num_classes": 20, "channels_last": True, "probabilities": True}


def torch_twin(**config):
    """Random weights whose norms are no identities, so that a swapped norm is seen."""
    network = resnet_torch.build(**config)
    initialise(network, 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.mul_(torch.rand(layer.weight.shape, generator=generator) + 0.5)
                layer.get_buffer("running_mean").uniform_(-0.1, 0.1, generator=generator)
                layer.get_buffer("running_var").uniform_(0.5, 1.5, generator=generator)
    return network


def weights_of(network):
    return {name: value.numpy() for name, value in network.state_dict().items()}


def relative_difference(actual, expected):
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (CONFIG, 64),
        (CONFIG, 97),
        (CONFIG | {"channels_last": False, "probabilities": False}, 64),
        pytest.param(CONFIG | {"depths": (3, 4, 6, 3), "num_classes": 1000}, 224, marks=pytest.mark.slow),
    ],
    ids=["small", "odd", "logits", "full"],
)
def test_the_twins_answer_alike(config, size, rng):
    twin = torch_twin(**config)
    ours = resnet_tf.build(weights_of(twin), **config)
    shape = (2, size, size, 3) if config["channels_last"] else (2, 3, size, size)
    images = rng.standard_normal(shape, dtype=np.float32)

    with torch.no_grad():
        expected = twin(torch.from_numpy(images)).numpy()

    assert relative_difference(ours.serve(images)["softmax_tensor"].numpy(), expected) < 1e-4


def test_probabilities_of_both_layouts_are_the_softmax_of_the_logits(rng):
    plain = torch_twin(depths=(1, 1, 1, 1), num_classes=20)
    other = resnet_torch.build(**(CONFIG | {"depths": (1, 1, 1, 1)}))
    other.load_state_dict(plain.state_dict())
    images = torch.from_numpy(rng.standard_normal((2, 3, 64, 64), dtype=np.float32))

    with torch.no_grad():
        expected = plain(images).softmax(dim=1)
        torch.testing.assert_close(other(images.permute(0, 2, 3, 1)), expected)


@pytest.mark.parametrize("change", [{"depths": (1, 1, 1, 1)}, {"num_classes": 10}])
def test_weights_of_another_network_are_refused(change):
    weights = weights_of(resnet_torch.build(**CONFIG))

    with pytest.raises(ValueError, match="do not fit"):
        resnet_tf.build(weights, **(CONFIG | change))

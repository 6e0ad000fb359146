"""Fill a PyTorch module with seeded random weights that keep its activations in scale."""

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, nn
from torch.nn import init

EMBEDDING_STD = 0.02
"""Standard deviation of embeddings. Source: BERT (arXiv:1810.04805) and GPT-2 code."""

_RELU_GAIN = (1 - 1 / math.pi) ** -0.5
"""Scale that makes the variance of a rectified normal equal to its second moment."""

_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)


@runtime_checkable
class SelfInitialising(Protocol):
    """A module that fills parameters of its own, after its children were filled."""

    def initialise_parameters(self, generator: Generator) -> None:
        """Fill the module's own parameters in place, drawing from ``generator`` only."""


def initialise(module: nn.Module, seed: int) -> None:
    """Fill every parameter of ``module`` in place, the same for the same seed.

    Convolutions are Kaiming normal over the fan out, linear and recurrent layers and all
    biases follow PyTorch's defaults, embeddings are normal with ``EMBEDDING_STD``, norms
    are one and zero with fresh running statistics. PyTorch's global generator is neither
    read nor moved. Layers are filled last to first, children before parents, so that of
    two layers that share a weight the first has the last word.

    Args:
        module: Any module; a layer with parameters that is of none of these kinds must
            be ``SelfInitialising``. Values are drawn on the parameters' device.
        seed: Seed of the generator.

    Raises:
        TypeError: A layer holds parameters and is of no known kind.

    Source: He et al., arXiv:1502.01852, for convolutions; the ``reset_parameters`` of
        PyTorch 2 for the rest.
    """
    first = next(module.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    generator = Generator(device=device).manual_seed(seed)
    with torch.no_grad():
        for name, layer in reversed(list(module.named_modules())):
            _initialise_layer(name, layer, generator)


def centre_filters(convolution: nn.Conv2d) -> None:
    """Take each filter's mean away and scale it to keep the variance behind a ReLU.

    Values behind a ReLU are positive, so the plain filters of a deep random network hand on
    their common mean and little of what tells two inputs apart; batch norms with fresh
    statistics do not remove it. Centred filters do, at any depth. In place.

    Source: Brock et al., "Characterizing signal propagation to close the performance gap in
        unnormalized ResNets", 2021 (arXiv:2101.08692), scaled weight standardisation.
    """
    weight = convolution.weight
    with torch.no_grad():
        weight.sub_(weight.mean(dim=(1, 2, 3), keepdim=True))
        weight.mul_(_RELU_GAIN * math.sqrt(weight.shape[0] / weight.shape[1]))


def _initialise_layer(name: str, layer: nn.Module, generator: Generator) -> None:
    if isinstance(layer, SelfInitialising):
        layer.initialise_parameters(generator)
        return
    for kinds, fill in _FILLERS:
        if isinstance(layer, kinds):
            fill(layer, generator)
            return
    if next(layer.parameters(recurse=False), None) is not None:
        raise TypeError(f"no rule to initialise {name or 'the module'!r} ({type(layer).__name__})")


def _fill_convolution(layer: nn.Module, generator: Generator) -> None:
    weight = layer.get_parameter("weight")
    init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu", generator=generator)
    _fill_bias(layer, math.prod(weight.shape[1:]), generator)


def _fill_linear(layer: nn.Module, generator: Generator) -> None:
    weight = layer.get_parameter("weight")
    fan_in = weight.shape[1]
    weight.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)
    _fill_bias(layer, fan_in, generator)


def _fill_bias(layer: nn.Module, fan_in: int, generator: Generator) -> None:
    bias = dict(layer.named_parameters(recurse=False)).get("bias")
    if bias is not None:
        bias.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)


def _fill_norm(layer: nn.Module, _generator: Generator) -> None:
    for name, parameter in layer.named_parameters(recurse=False):
        parameter.fill_(1.0 if name == "weight" else 0.0)
    for name, buffer in layer.named_buffers(recurse=False):
        buffer.fill_(1 if name == "running_var" else 0)


def _fill_embedding(layer: nn.Module, generator: Generator) -> None:
    weight = layer.get_parameter("weight")
    weight.normal_(std=EMBEDDING_STD, generator=generator)
    padding = getattr(layer, "padding_idx", None)
    if padding is not None:
        weight[padding].zero_()


def _fill_recurrent(layer: nn.Module, generator: Generator) -> None:
    bound = _hidden_size(layer) ** -0.5
    for parameter in layer.parameters(recurse=False):
        parameter.uniform_(-bound, bound, generator=generator)


def _hidden_size(layer: nn.Module) -> int:
    assert isinstance(layer, nn.RNNBase | nn.RNNCellBase)
    return layer.hidden_size


_Filler = Callable[[nn.Module, Generator], None]

_FILLERS: tuple[tuple[tuple[type[nn.Module], ...], _Filler], ...] = (
    (_CONVOLUTIONS, _fill_convolution),
    ((nn.Linear,), _fill_linear),
    (_NORMS, _fill_norm),
    ((nn.Embedding, nn.EmbeddingBag), _fill_embedding),
    ((nn.RNNBase, nn.RNNCellBase), _fill_recurrent),
)

"""Draw seeded random weights for a PyTorch module, each from its own name, so that activations keep their scale.

A weight depends on the seed, its name and its module's kind alone: neither on its neighbours nor on
the order. So weights can be drawn one at a time, of a module that has no memory for them
(``torch.device("meta")``), and by several processes at once.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Generator, Tensor, nn
from torch.nn import init

VERSION = "2"
"""Changes whenever another weight is drawn for the same seed; 1 drew all of a module in a row."""

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

Draw: TypeAlias = Callable[[Tensor, Generator], object]
"""Fills one tensor in place, drawing from the generator only."""


@runtime_checkable
class SelfInitialising(Protocol):
    """A module that says itself how weights in it are drawn."""

    def draws(self) -> Mapping[str, Draw]:
        """Return how weights are drawn, by their name from here; what an outer module says goes first."""


def initialise(module: nn.Module, seed: int) -> None:
    """Fill every weight of ``module`` in place; see `drawn_weights`."""
    state = module.state_dict()
    with torch.no_grad():
        for name, values in drawn_weights(module, seed):
            state[name].copy_(values)


def drawn_weights(module: nn.Module, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Draw the weights of a module one after the other, in the order of its state.

    Convolutions are Kaiming normal over the fan out, linear and recurrent layers and all biases
    follow PyTorch's defaults, embeddings are normal with ``EMBEDDING_STD``, norms are one and zero
    with fresh running statistics; a ``SelfInitialising`` module says otherwise. A weight that has
    several names is drawn as its first. PyTorch's global generator is neither read nor moved.

    Args:
        module: Any module, on any device, `meta` too; its own values are left alone.
        seed: Of all weights: another seed, other weights.

    Yields:
        Name in the state and values on the CPU: float32 (other types as they are). The caller owns them.
        Buffers without a rule keep their values; they must have some.

    Raises:
        TypeError: A parameter is of a layer of no known kind, or such a buffer has no values.

    Source: He et al., arXiv:1502.01852, for convolutions; the ``reset_parameters`` of PyTorch 2 for
        the rest.
    """
    rules = _rules(module)
    first_names: dict[int, str] = {}
    for name, weight in module.state_dict(keep_vars=True).items():
        first = first_names.setdefault(id(weight), name)
        yield name, _drawn(first, weight, rules.get(first), seed)


def centred_filters(weight: Tensor, generator: Generator) -> None:
    """Draw a convolution's filters without a mean, scaled to keep the variance behind a ReLU.

    Values behind a ReLU are positive, so the plain filters of a deep random network hand on
    their common mean and little of what tells two inputs apart; batch norms with fresh
    statistics do not remove it. Centred filters do, at any depth.

    Source: Brock et al., "Characterizing signal propagation to close the performance gap in
        unnormalized ResNets", 2021 (arXiv:2101.08692), scaled weight standardisation.
    """
    _kaiming(weight, generator)
    weight.sub_(weight.mean(dim=(1, 2, 3), keepdim=True))
    weight.mul_(_RELU_GAIN * math.sqrt(weight.shape[0] / weight.shape[1]))


def constant(value: float) -> Draw:
    """Return a draw that fills a tensor with one value."""
    return lambda tensor, _: tensor.fill_(value)


def normal(std: float) -> Draw:
    """Return a draw from the normal distribution around 0."""
    return lambda tensor, generator: tensor.normal_(std=std, generator=generator)


def uniform(bound: float) -> Draw:
    """Return a draw from the uniform distribution between ``-bound`` and ``bound``."""
    return lambda tensor, generator: tensor.uniform_(-bound, bound, generator=generator)


def normal_weights(module: nn.Module, *, std: float = EMBEDDING_STD) -> dict[str, Draw]:
    """Return what transformers start from: linear weights as small normals, biases zero.

    Source: the code of BERT and GPT-2.
    """
    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    zeros = {f"{name}.bias": constant(0) for name, layer in layers if layer.bias is not None}
    return {**{f"{name}.weight": normal(std) for name, _ in layers}, **zeros}


def _drawn(name: str, weight: Tensor, draw: Draw | None, seed: int) -> Tensor:
    if draw is None:
        if isinstance(weight, nn.Parameter) or weight.is_meta:
            raise TypeError(f"no rule to initialise {name!r}")
        return weight.detach().cpu().clone()
    values = torch.empty(weight.shape, dtype=torch.float32 if weight.is_floating_point() else weight.dtype)
    with torch.no_grad():
        draw(values, Generator().manual_seed(_seed_of(name, seed)))
    return values


def _seed_of(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1


def _rules(module: nn.Module) -> dict[str, Draw]:
    """Return a draw for each name of the module's state, as far as there is one."""
    rules: dict[str, Draw] = {}
    for prefix, layer in module.named_modules(remove_duplicate=False):  # the outer first
        own = layer.draws() if isinstance(layer, SelfInitialising) else {}
        for name, draw in (*own.items(), *_usual(layer).items()):
            rules.setdefault(f"{prefix}.{name}" if prefix else name, draw)
    return rules


def _usual(layer: nn.Module) -> Mapping[str, Draw]:
    for kinds, rule in _KINDS:
        if isinstance(layer, kinds):
            return rule(layer)
    return {}


def _kaiming(weight: Tensor, generator: Generator) -> None:
    init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu", generator=generator)


def _convolution(layer: nn.Module) -> dict[str, Draw]:
    fan_in = math.prod(layer.get_parameter("weight").shape[1:])
    return {"weight": _kaiming, "bias": uniform(fan_in**-0.5)}


def _linear(layer: nn.Module) -> dict[str, Draw]:
    bound = layer.get_parameter("weight").shape[1] ** -0.5
    return {"weight": uniform(bound), "bias": uniform(bound)}


def _norm(_layer: nn.Module) -> dict[str, Draw]:
    ones, zeros = constant(1), constant(0)
    return {
        "weight": ones,
        "bias": zeros,
        "running_mean": zeros,
        "running_var": ones,
        "num_batches_tracked": zeros,
    }


def _embedding(layer: nn.Module) -> dict[str, Draw]:
    return {"weight": embedding(getattr(layer, "padding_idx", None))}


def embedding(padding: int | None = None, *, std: float = EMBEDDING_STD) -> Draw:
    """Return a normal draw for an embedding whose row ``padding`` is zero."""

    def draw(weight: Tensor, generator: Generator) -> None:
        weight.normal_(std=std, generator=generator)
        if padding is not None:
            weight[padding].zero_()

    return draw


def _recurrent(layer: nn.Module) -> dict[str, Draw]:
    assert isinstance(layer, nn.RNNBase | nn.RNNCellBase)
    draw = uniform(layer.hidden_size**-0.5)
    return {name: draw for name, _ in layer.named_parameters(recurse=False)}


_Rule = Callable[[nn.Module], Mapping[str, Draw]]

_KINDS: tuple[tuple[tuple[type[nn.Module], ...], _Rule], ...] = (
    (_CONVOLUTIONS, _convolution),
    ((nn.Linear,), _linear),
    (_NORMS, _norm),
    ((nn.Embedding, nn.EmbeddingBag), _embedding),
    ((nn.RNNBase, nn.RNNCellBase), _recurrent),
)

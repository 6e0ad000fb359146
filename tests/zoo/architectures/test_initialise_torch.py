import math

import pytest
import torch
from torch import Generator, nn

from bytemlperf.zoo.architectures.initialise_torch import (
    EMBEDDING_STD,
    centred_filters,
    drawn_weights,
    initialise,
    uniform,
)


def every_kind() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "conv": nn.Conv2d(16, 64, 3),
            "transposed": nn.ConvTranspose2d(8, 4, 2),
            "linear": nn.Linear(400, 300),
            "batch_norm": nn.BatchNorm2d(8),
            "plain_norm": nn.LayerNorm(8, elementwise_affine=False),
            "layer_norm": nn.LayerNorm(8),
            "embedding": nn.Embedding(500, 40, padding_idx=0),
            "gru": nn.GRU(12, 25, bidirectional=True),
            "relu": nn.ReLU(),
        }
    )


def state(module: nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in module.state_dict().values()])


def test_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, second, third = every_kind(), every_kind(), every_kind()

    for module, seed in ((first, 5), (second, 5), (third, 6)):
        initialise(module, seed)

    assert torch.equal(state(first), state(second))
    assert not torch.equal(state(first), state(third))


def test_nothing_of_the_old_weights_is_left() -> None:
    fresh, used = every_kind(), every_kind()
    with torch.no_grad():
        for value in used.state_dict().values():
            value.fill_(3)

    initialise(fresh, 5)
    initialise(used, 5)

    assert torch.equal(state(fresh), state(used))


def test_global_generator_is_neither_read_nor_moved() -> None:
    module = every_kind()
    torch.manual_seed(1)
    initialise(module, 5)
    after_one = state(module)
    drawn = torch.rand(3)

    torch.manual_seed(1)
    undisturbed = torch.rand(3)
    torch.manual_seed(2)
    initialise(module, 5)

    assert torch.equal(drawn, undisturbed)
    assert torch.equal(after_one, state(module))


def test_each_kind_has_its_scale() -> None:
    module = every_kind()

    initialise(module, 5)

    parameters = dict(module.named_parameters())
    assert float(parameters["conv.weight"].detach().std()) == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.05)
    assert float(parameters["linear.weight"].detach().std()) == pytest.approx(1 / math.sqrt(3 * 400), rel=0.05)
    assert float(parameters["linear.bias"].detach().abs().max()) <= 1 / 20
    assert float(parameters["embedding.weight"].detach()[1:].std()) == pytest.approx(EMBEDDING_STD, rel=0.05)
    assert float(parameters["gru.weight_hh_l0_reverse"].detach().abs().max()) == pytest.approx(1 / 5, rel=0.02)


def test_padding_rows_are_zero_and_norms_are_fresh() -> None:
    module = every_kind()

    initialise(module, 5)

    values = module.state_dict()
    assert not values["embedding.weight"][0].any()
    assert (values["batch_norm.weight"] == 1).all()
    assert (values["batch_norm.running_var"] == 1).all()
    assert not values["batch_norm.running_mean"].any()
    assert not values["layer_norm.bias"].any()
    assert values["batch_norm.num_batches_tracked"] == 0


def test_shared_weight_follows_the_layer_that_comes_first() -> None:
    module = nn.Sequential(nn.Embedding(500, 40), nn.Linear(40, 500, bias=False))
    module[1].weight = module[0].weight

    initialise(module, 5)

    assert float(module[1].weight.detach().std()) == pytest.approx(EMBEDDING_STD, rel=0.05)


class Offset(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.empty(4))


class SelfMadeOffset(Offset):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def draws(self):
        return {
            "offset": lambda tensor, generator: tensor.uniform_(5, 6, generator=generator),
            "linear.bias": lambda tensor, _: tensor.zero_(),
        }


def test_module_may_say_how_weights_in_it_are_drawn() -> None:
    module = SelfMadeOffset()

    initialise(module, 5)

    assert ((module.offset >= 5) & (module.offset <= 6)).all()
    assert not module.linear.bias.any()
    assert module.linear.weight.any()


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = SelfMadeOffset()

    def draws(self):
        return {"inner.offset": uniform(0.5)}


def test_an_outer_module_has_the_say_over_an_inner_one() -> None:
    module = Outer()

    initialise(module, 5)

    assert float(module.inner.offset.detach().abs().max()) <= 0.5
    assert not module.inner.linear.bias.any()


def test_unknown_layer_with_parameters_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"'1\.offset'"):
        initialise(nn.Sequential(nn.ReLU(), Offset()), 5)


def test_weights_are_drawn_without_memory_for_the_module() -> None:
    module = every_kind()
    initialise(module, 5)
    with torch.device("meta"):
        absent = every_kind()

    drawn = dict(drawn_weights(absent, 5))

    assert list(drawn) == list(module.state_dict())
    assert all(torch.equal(drawn[name], value) for name, value in module.state_dict().items())


def test_a_weight_depends_on_its_own_name_and_on_no_neighbour() -> None:
    alone, beside = nn.ModuleDict({"linear": nn.Linear(400, 300)}), every_kind()

    initialise(alone, 5)
    initialise(beside, 5)

    assert torch.equal(alone["linear"].weight, beside["linear"].weight)


def test_halves_and_wholes_are_the_same_draw() -> None:
    drawn = dict(drawn_weights(every_kind().half(), 5))

    assert drawn["linear.weight"].dtype is torch.float32
    assert torch.equal(drawn["linear.weight"], dict(drawn_weights(every_kind(), 5))["linear.weight"])


class Counted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.arange(4))


def test_a_buffer_without_a_rule_keeps_its_values_and_must_have_some() -> None:
    assert torch.equal(dict(drawn_weights(Counted(), 5))["places"], torch.arange(4))
    with torch.device("meta"):
        absent = Counted()
    with pytest.raises(TypeError, match="'places'"):
        list(drawn_weights(absent, 5))


def test_module_without_parameters_is_left_alone() -> None:
    initialise(nn.ReLU(), 5)


def test_centred_filters_keep_the_variance_behind_a_relu() -> None:
    convolution = nn.Conv2d(256, 64, 1, bias=False)
    rectified = torch.randn(8, 256, 16, 16, generator=Generator().manual_seed(1)).relu()

    with torch.no_grad():
        centred_filters(convolution.weight, Generator().manual_seed(2))
        outputs = convolution(rectified)
    assert float(convolution.weight.detach().mean(dim=(1, 2, 3)).abs().max()) < 1e-6
    assert float(outputs.var()) == pytest.approx(1, rel=0.1)

"""The product of float16 weights and float32 activations, compiled and in plain torch, against float64."""

import pytest
import torch

from bytemlperf.backends.torch_generation.half import HalfEmbedding, HalfWeights, keep_half
from bytemlperf.backends.torch_generation.native import half_linear, tiled_linear

SHAPES = [(1, 1, 1), (5, 7, 3), (24, 64, 4), (25, 100, 5), (600, 33, 9), (49, 4096, 2), (3, 11, 17), (2, 7, 6)]
SHAPES += [(70, 1560, 27), (9, 800, 8), (33, 700, 53), (37, 4_100, 61), (66, 9_001, 131)]
SHAPES += [(20, 5, 33), (64, 20, 40), (1, 31, 48), (17, 33, 100), (90, 700, 65), (50, 12_000, 257)]
SHAPES += [(39, 530, rows) for rows in range(10, 14)] + [(38, 1_030, rows) for rows in range(64, 80, 3)]


TILES = 33
"""Rows from which a processor's tiles are used, if it has them."""
BUILDS = {"compiled": (), "without tiles": ("amx-tile",), "AVX2": ("amx-tile", "avx512f")}


@pytest.fixture(scope="module", params=[*BUILDS, "tiled"])
def product(request, tmp_path_factory):
    if request.param == "tiled":
        return tiled_linear()
    found = half_linear(tmp_path_factory.mktemp("kernels"), BUILDS[request.param])
    if found is None:
        pytest.skip("no C compiler, or no x86-64 with AVX2")
    return found


@pytest.mark.parametrize(("outputs", "width", "rows"), SHAPES)
def test_within_the_stated_bound_of_the_exact_product(product, outputs, width, rows):
    generator = torch.Generator().manual_seed(outputs + width)
    weight = torch.randn(outputs, width, generator=generator).half()
    activations = torch.randn(rows, width, generator=generator)
    exact = activations.double() @ weight.double().t()
    magnitudes = activations.double().abs() @ weight.double().abs().t()
    bound = (width / 8 + 4 if rows < TILES else width / 6 + 20) * 2**-24 * magnitudes
    answer = product(weight, activations)
    assert answer.dtype is torch.float32
    assert ((answer.double() - exact).abs() <= bound + 1e-30).all()


@pytest.mark.parametrize("rows", [1, TILES])
def test_infinite_and_small_weights_are_kept(product, rows):
    weight = torch.tensor([[float("inf"), 0.0], [6e-8, 0.0], [65504.0, 1.0]]).half()
    answer = product(weight, torch.tensor([[1.0, 2.0]]).expand(rows, 2).contiguous())
    assert answer.tolist() == [[float("inf"), float(weight[1, 0]), 65506.0]] * rows


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 3.4e38])
def test_what_one_activation_makes_of_its_row_is_float32s_own(product, value):
    rows = torch.ones(TILES, 3)
    rows[7, 1] = value
    weight = torch.tensor([[0.5, 0.25, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, -1.0]]).half()
    expected = rows @ weight.float().t()
    torch.testing.assert_close(product(weight, rows), expected, rtol=1e-6, atol=0, equal_nan=True)


def test_only_what_is_large_stays_half(tmp_path):
    module = torch.nn.Sequential(torch.nn.Embedding(10, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 3)).half()
    expected = module.float()(torch.tensor([[1, 2]]))
    module = module.half()
    embedding, linear = module[0].weight.data_ptr(), module[2].weight.data_ptr()
    assert keep_half(module, tmp_path) in {"compiled", "tiled"}
    assert isinstance(module[0], HalfEmbedding)
    assert isinstance(module[2], HalfWeights)
    assert (module[0].weight.data_ptr(), module[2].weight.data_ptr()) == (embedding, linear)  # not copied
    assert module[1].weight.dtype is torch.float32
    torch.testing.assert_close(module(torch.tensor([[1, 2]])), expected, atol=2e-3, rtol=0)


def test_the_library_is_kept_and_a_machine_without_a_compiler_does_without(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert half_linear(tmp_path) is None

"""What the tests of language models share: weights that hide nothing, and what must hold for any causal model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bytemlperf.causal import CausalModel
from bytemlperf.zoo.architectures.initialise_torch import initialise


def filled(module: nn.Module, seed: int = 3) -> nn.Module:
    """Random weights under which all counts: attention is far from even, no norm an identity, no bias zero."""
    initialise(module, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() > 1:
                wide = 1.0 if "embed" in name or "wte" in name or "wpe" in name else min(parameter.shape) ** -0.5
                parameter.mul_(wide / parameter.std())
            else:
                noise = torch.empty(parameter.shape).uniform_(-0.2, 0.2, generator=generator)
                parameter.add_(noise.to(parameter.dtype))
    return module


def tokens(rows: int, length: int, *, below: int, seed: int = 5) -> Tensor:
    return torch.randint(1, below, (rows, length), generator=torch.Generator().manual_seed(seed))


def relative(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def new_cache(model: CausalModel, rows: int, length: int) -> list[tuple[Tensor, Tensor]]:
    """A cache whose content is never right by chance."""
    shape = model.shape
    size = (rows, shape.kv_heads, length, shape.head_dim)
    return [(torch.full(size, 7.0), torch.full(size, -7.0)) for _ in range(shape.layers)]


def rows_of(cache: list[tuple[Tensor, Tensor]], rows: slice, length: int) -> list[tuple[Tensor, Tensor]]:
    """A view of some rows and the first positions, as an engine makes it."""
    return [(keys[rows, :, :length], values[rows, :, :length]) for keys, values in cache]


@torch.no_grad()
def check_prefill_and_decode(model: nn.Module) -> None:
    """Chunked prefill, then one token at a time, gives what one full forward gives at every position."""
    assert isinstance(model, CausalModel)
    ids = tokens(2, 11, below=model.shape.vocabulary)
    full = model(ids)
    cache = new_cache(model, 3, 16)
    places = torch.arange(11).expand(2, 11)
    steps = [(0, 4), (4, 7), *((at, at + 1) for at in range(7, 11))]
    parts = [model(ids[:, a:b], places[:, a:b], rows_of(cache, slice(1, 3), b)) for a, b in steps]
    assert relative(torch.cat(parts, dim=1), full) < 1e-5
    assert all((keys[0] == 7).all() and (values[0] == -7).all() for keys, values in cache)  # nobody else's row


@torch.no_grad()
def check_ragged_rows(model: nn.Module) -> None:
    """Rows of several lengths in one batch give what each gives alone, in prefill and in decode."""
    assert isinstance(model, CausalModel)
    lengths, longest = (3, 8, 5), 10
    ids = tokens(3, longest, below=model.shape.vocabulary)
    alone = [model(ids[row : row + 1])[0] for row in range(3)]
    places = torch.stack([torch.arange(8).clamp(max=length - 1) for length in lengths])
    cache = new_cache(model, 3, 16)
    prefill = model(ids.gather(1, places), places, cache)
    for row, length in enumerate(lengths):
        assert relative(prefill[row, :length], alone[row][:length]) < 1e-5
    for step in range(2):
        at = torch.tensor(lengths)[:, None] + step
        decoded = model(ids.gather(1, at), at, rows_of(cache, slice(0, 3), longest))
        for row in range(3):
            assert relative(decoded[row, 0], alone[row][at[row, 0]]) < 1e-5


@torch.no_grad()
def check_positions_without_cache(model: nn.Module) -> None:
    """Positions that are given count: those of the plain order change nothing, others do."""
    assert isinstance(model, CausalModel)
    ids = tokens(2, 6, below=model.shape.vocabulary)
    places = torch.arange(6).expand(2, 6)
    assert relative(model(ids, places), model(ids)) < 1e-5
    assert relative(model(ids, places * 2), model(ids)) > 1e-3


def part(whole: nn.Module, local: nn.Module, rank: int, ranks: int) -> nn.Module:
    """Fill a rank's part from the whole model's weights by its plan."""
    assert isinstance(local, CausalModel)
    plan = local.shards()
    state = {
        name: torch.cat(
            [value[(slice(None),) * plan[name].axis + (piece,)] for piece in plan[name].slices(rank, ranks)],
            plan[name].axis,
        )
        if name in plan
        else value
        for name, value in whole.state_dict().items()
    }
    local.load_state_dict(state, strict=True)
    return local


@torch.no_grad()
def check_ranks(whole: nn.Module, parts: list[nn.Module]) -> None:
    """The ranks' parts, stepping together and adding up what each has, give what the whole gives."""
    import threading

    ranks = len(parts)
    ids = tokens(2, 6, below=whole.shape.vocabulary)
    barrier, slots, answers = threading.Barrier(ranks, timeout=30), [None] * ranks, [None] * ranks

    def combine(rank):
        def add(tensor):
            slots[rank] = tensor
            barrier.wait()
            total = sum(slots)
            barrier.wait()
            return total

        return add

    def run(rank):
        with torch.inference_mode():
            answers[rank] = parts[rank](ids)

    for rank, local in enumerate(parts):
        part(whole, local, rank, ranks)
        local.combine = combine(rank)
    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        assert relative(answer, whole(ids)) < 1e-5


@torch.no_grad()
def check_random_weights(model: nn.Module, *, length: int = 32) -> None:
    """Seeded weights keep activations finite in float16, and outputs tell inputs apart."""
    initialise(model, 0)
    vocabulary = model.shape.vocabulary
    first, second = (tokens(1, length, below=vocabulary, seed=seed) for seed in (1, 2))
    logits, others = model(first), model(second)
    assert logits.isfinite().all()
    assert 0.1 < float(logits.std()) < 10
    assert relative(others, logits) > 0.1
    halves = model.half()(first).float()
    assert halves.isfinite().all()
    assert relative(halves, logits) < 2e-2

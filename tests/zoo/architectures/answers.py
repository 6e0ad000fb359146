"""What the tests of encoders share: texts with padding, and comparison where there are tokens."""

from __future__ import annotations

import torch
from tests.zoo.architectures import language
from torch import Tensor, nn

from bytemlperf.zoo.architectures.initialise_torch import initialise


def texts(rows: int, length: int, *, below: int, types: int = 2, padding: int = 0, seed: int = 1):
    """Ids, mask and token types; each row but the first is shorter than the one before."""
    ids = language.tokens(rows, length, below=below, seed=seed)
    ids = torch.where(ids == padding, below - 1, ids)
    places = torch.arange(length)
    mask = torch.stack([places < length - row * (length // 4) for row in range(rows)]).long()
    kinds = (places >= length // 3).long().expand(rows, length) % types
    return torch.where(mask == 1, ids, padding), mask, kinds * mask


@torch.no_grad()
def difference(ours: nn.Module, theirs: nn.Module, inputs) -> float:
    """Largest difference of either output at tokens, over the largest value."""
    ids, mask, kinds = inputs
    expected = theirs(input_ids=ids, attention_mask=mask, token_type_ids=kinds)
    pairs = zip(ours(ids, mask, kinds), (expected.start_logits, expected.end_logits), strict=True)
    return max(language.relative(a[mask == 1], b[mask == 1]) for a, b in pairs)


@torch.no_grad()
def check_padding_is_not_read(model: nn.Module, inputs) -> None:
    """What stands behind a text's end changes nothing in it, and a row of padding alone stays finite."""
    ids, mask, kinds = inputs
    other = torch.where(mask == 1, ids, ids.max())
    for plain, changed in zip(model(ids, mask, kinds), model(other, mask, kinds), strict=True):
        assert language.relative(changed[mask == 1], plain[mask == 1]) < 1e-5
    assert all(each.isfinite().all() for each in model(ids, torch.zeros_like(mask), kinds))


@torch.no_grad()
def check_random_weights(model: nn.Module, *, below: int, types: int = 2) -> None:
    """Seeded weights keep activations finite in float16, and outputs tell inputs apart."""
    initialise(model, 0)
    inputs, others = (texts(2, 48, below=below, types=types, seed=seed) for seed in (1, 2))
    mask = inputs[1]
    start, end = model(*inputs)
    halves = [each.float() for each in model.half()(*inputs)]
    model.float()
    for plain, other, half in zip((start, end), model(*others), halves, strict=True):
        assert plain.isfinite().all()
        assert half.isfinite().all()
        assert 0.05 < float(plain[mask == 1].std()) < 10
        assert language.relative(other[mask == 1], plain[mask == 1]) > 0.1
        assert language.relative(half[mask == 1], plain[mask == 1]) < 2e-2


@torch.no_grad()
def check_joined(split: nn.Module, joined: nn.Module, inputs) -> None:
    """Both outputs in one tensor are the same outputs."""
    joined.load_state_dict(split.state_dict())
    logits: Tensor = joined(*inputs)
    assert torch.equal(logits, torch.stack(split(*inputs), dim=-1))


def count(build, config=None) -> int:
    with torch.device("meta"):
        return sum(each.numel() for each in build(**(config or {})).parameters())

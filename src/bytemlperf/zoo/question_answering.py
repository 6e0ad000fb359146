"""What models that find an answer within a text take and give, under ByteMLPerf's names."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import TensorSpec

LENGTH: Final = 384
"""Tokens of a question and a window of its text."""

DATASET: Final = "squad-1.1"

METRICS: Final = ("squad",)


def inputs(*, vocabulary: int, types: int) -> tuple[TensorSpec, ...]:
    """Return ids, mask and token types as the original's TorchScript files name them.

    Args:
        vocabulary: Token ids.
        types: Token types.
    """
    mask = "attention_mask"
    return (
        _tokens("input_ids", "input_ids.1", high=vocabulary, valid=mask),
        _tokens(mask, "attention_mask.1", high=2),
        _tokens("token_type_ids", "token_type_ids.1", high=types, valid=mask),
    )


def outputs() -> tuple[TensorSpec, ...]:
    """Return the logits of an answer's start and end, which count where there is a token."""
    shape, mask = ("batch", LENGTH), "attention_mask"
    return (
        TensorSpec(name="start_logits", shape=shape, dtype="float32", valid=mask),
        TensorSpec(name="end_logits", shape=shape, dtype="float32", valid=mask),
    )


def _tokens(name: str, original: str, *, high: int, valid: str | None = None) -> TensorSpec:
    return TensorSpec(name=name, original_name=original, shape=("batch", LENGTH), dtype="int64", high=high, valid=valid)

"""Which inputs of a model take token ids, the mask and the segments; told by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.casting import numpy_dtype
from bytemlperf.errors import SpecError
from bytemlperf.spec import Axis, TensorSpec

if TYPE_CHECKING:
    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec

_NAMES: Final[Mapping[str, frozenset[str]]] = {
    "ids": frozenset({"ids", "input_ids", "input_token", "input_tokens", "text", "token_ids", "tokens"}),
    "mask": frozenset({"attention_mask", "input_mask", "mask", "valid"}),
    "types": frozenset({"input_segment", "segment_ids", "segments", "token_type_ids", "types"}),
    "positions": frozenset({"position_ids", "positions"}),
}
"""Canonical names of inputs by what they take."""


@attrs.frozen(kw_only=True)
class TokenInputs:
    """The inputs of a model of texts.

    Attributes:
        seq_len: Tokens of a sample.
        tensors: Inputs by what they take: `ids`, and `mask`, `types` and `positions` where the model has them.
        vocabulary: Number of tokens that the model knows; None where the spec does not say.
    """

    seq_len: int
    tensors: Mapping[str, TensorSpec]
    vocabulary: int | None = None

    @classmethod
    def of(cls, spec: ModelSpec, *, dataset: str, seq_len: int | None = None) -> TokenInputs:
        """Find the inputs by their names.

        Args:
            spec: The model.
            dataset: Name for messages.
            seq_len: Tokens of a sample where the data set fixes them; None takes the model's.

        Raises:
            SpecError: If an input has another name, there is none for ids, or shapes differ from [batch, seq_len].
        """
        tensors = {role: tensor for tensor in spec.inputs for role, names in _NAMES.items() if tensor.name in names}
        shapes = {tensor.shape for tensor in tensors.values()}
        if len(tensors) != len(spec.inputs) or "ids" not in tensors or len(shapes) != 1:
            raise _misfit(spec, dataset)
        match next(iter(shapes)):
            case (Axis(), int(length)) if length and seq_len in (None, length):
                return cls(seq_len=length, tensors=tensors, vocabulary=tensors["ids"].high)
            case _:
                raise _misfit(spec, dataset)

    def arrays(self, ids: Array, mask: Array, types: Array | None = None) -> dict[str, Array]:
        """Return inputs by the model's names, in its types.

        Args:
            ids: Whole numbers [n, seq_len].
            mask: 1 where there is a token, else 0, [n, seq_len].
            types: Of the segments, [n, seq_len]; None for 0.
        """
        given = {
            "ids": ids,
            "mask": mask,
            "types": np.zeros_like(ids) if types is None else types,
            "positions": np.broadcast_to(np.arange(ids.shape[1]), ids.shape),
        }
        return {
            each.name: np.ascontiguousarray(given[role], numpy_dtype(each.dtype)) for role, each in self.tensors.items()
        }

    def check_vocabulary(self, size: int, *, dataset: str) -> None:
        """Refuse a tokenizer that knows more tokens than the model.

        Raises:
            SpecError: If it does.
        """
        if self.vocabulary is not None and size > self.vocabulary:
            expected = f"at most the model's {self.vocabulary} tokens"
            raise SpecError(f"the tokenizer of data set {dataset!r} is another model's", got=size, expected=expected)


def _misfit(spec: ModelSpec, dataset: str) -> SpecError:
    known = sorted(name for names in _NAMES.values() for name in names)
    return SpecError(
        f"data set {dataset!r} does not fit model {spec.name!r}",
        got=[f"{each.name}: {each.dtype}{[str(axis) for axis in each.shape]}" for each in spec.inputs],
        expected=f"inputs [batch, seq_len] of token ids, mask and segments, named as one of {', '.join(known)}",
    )

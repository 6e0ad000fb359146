"""What goes into a backend and comes out: batches, questions, chunks of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError
from bytemlperf.spec.fields import as_float, as_tuple, at_least, instance, not_negative, share_or_all

if TYPE_CHECKING:
    from collections.abc import Iterator

Array: TypeAlias = NDArray[Any]
Value: TypeAlias = "Array | Sequence[Value] | None"
Outputs: TypeAlias = "Mapping[str, Value]"
"""Answers by canonical name. Sequences and None exist only for ONNX's own backend tests."""


def _as_rows(value: Iterable[Iterable[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(each) for each in value)


@attrs.frozen
class Forward:
    """Ask for the model's outputs: those of its spec, each at the batch's size; of a language model its `logits`."""


@attrs.frozen(kw_only=True)
class Generation:
    """Ask a language model for new tokens after one row of input tokens, int64 [1, length].

    Each part of the answer has `tokens`, int64 [1, n], n new ones; with `logits` also `logits`, float32
    [1, n, vocabulary], of which each token was chosen. An engine that tells no tokens but their text has `text`
    instead, uint8 [n], the part's UTF-8.

    Attributes:
        max_new_tokens: Upper bound of tokens.
        min_new_tokens: Stop tokens count for nothing before that many.
        temperature: 0 is greedy.
        top_k: Draw from that many likeliest tokens; 0 for all.
        top_p: Draw from the likeliest tokens that together have this probability.
        seed: Of the draws.
        stop: Token ids that end the answer.
        logits: Also give `logits` for each token.

    Raises:
        SpecError: If a value is out of its range, or there are to be more tokens at least than at most.
    """

    max_new_tokens: int = attrs.field(validator=at_least(1))
    min_new_tokens: int = attrs.field(default=0, validator=at_least(0))
    temperature: float = attrs.field(default=0.0, converter=as_float, validator=not_negative())
    top_k: int = attrs.field(default=0, validator=at_least(0))
    top_p: float = attrs.field(default=1.0, converter=as_float, validator=share_or_all())
    seed: int = attrs.field(default=0, validator=at_least(0))
    stop: tuple[int, ...] = attrs.field(
        default=(), converter=as_tuple, validator=attrs.validators.deep_iterable(at_least(0))
    )
    logits: bool = attrs.field(default=False, validator=instance(bool))

    def __attrs_post_init__(self) -> None:
        """Refuse more tokens at least than at most."""
        if self.min_new_tokens > self.max_new_tokens:
            raise SpecError(
                "more tokens at least than at most",
                where="$.min_new_tokens",
                got=self.min_new_tokens,
                expected=f"at most max_new_tokens, {self.max_new_tokens}",
            )


@attrs.frozen(kw_only=True)
class Score:
    """Ask a language model how likely tokens are, of one row of input tokens, int64 [1, length].

    The answer has `log_likelihood`, float64 [1, n], the natural logarithm of the probability that all tokens of a
    span follow what is before them; and `greedy`, bool [1, n], whether each of them is the likeliest (the first of
    equals). There is a column for each span, then for each continuation. Logits are reduced where the model is: no
    array over the vocabulary leaves the backend.

    Attributes:
        spans: (first, last + 1) positions of input tokens; the first token has nothing before it, so from 1 on.
        continuations: Token ids, each of which is scored by itself as what follows the whole input.

    Raises:
        SpecError: If nothing is asked, a span is empty or begins before 1, or a continuation has no token.

    Example:
        >>> Score(spans=[(1, 8)]).spans
        ((1, 8),)
    """

    spans: tuple[tuple[int, int], ...] = attrs.field(default=(), converter=_as_rows)
    continuations: tuple[tuple[int, ...], ...] = attrs.field(default=(), converter=_as_rows)

    def __attrs_post_init__(self) -> None:
        """Refuse what has no answer."""
        if not self.spans and not self.continuations:
            raise SpecError("a score of nothing", where="$.spans", expected="a span or a continuation")
        wrong = [each for each in self.spans if len(each) != 2 or not 1 <= each[0] < each[1]]  # noqa: PLR2004 - a pair
        if wrong:
            raise SpecError("a span cannot be", where="$.spans", got=wrong[0], expected="1 <= first < last + 1")
        if not all(self.continuations):
            raise SpecError("a continuation has no token", where="$.continuations")


Ask: TypeAlias = Forward | Generation | Score


@attrs.frozen(kw_only=True, eq=False)
class Batch:
    """What a backend is asked: contiguous arrays by canonical name.

    Attributes:
        inputs: Each input's array at the engine's batch size and dtype. Not copied.
        size: Samples in it, padding included.
        padding: How many of them, at the end, only fill up the engine's batch size.
        ask: What to answer.
    """

    inputs: Mapping[str, Array]
    size: int
    padding: int = 0
    ask: Ask = attrs.field(factory=Forward)


@attrs.frozen(eq=False)
class Chunk:
    """A part of an answer.

    Attributes:
        outputs: What has come, by canonical name.
        tokens: New tokens in it; several with speculative decoding, 0 for a role header.
    """

    outputs: Outputs
    tokens: int = 1


class Reply(Protocol):
    """The harness' side of one query. Any thread may call it; each call stamps on entry and waits for nothing."""

    cancelled: bool

    def chunk(self, outputs: Outputs, tokens: int | Callable[[], int] = 1) -> None:
        """Give a part of the answer.

        Args:
            outputs: What has come; borrowed until this returns.
            tokens: New tokens in it; or what counts them, which is called once, after the stamp.
        """

    def done(
        self,
        outputs: Outputs | None = None,
        tokens: int | None = None,
        reported: Mapping[str, float] | None = None,
    ) -> None:
        """End the answer.

        Args:
            outputs: The last or only part; borrowed until this returns.
            tokens: The server's own total, where it counts.
            reported: The engine's own figures; kept apart as `vendor_reported`.
        """

    def fail(self, error: BaseException) -> None:
        """End the answer with an error; other queries go on."""


@attrs.frozen(kw_only=True)
class CalibrationSet:
    """Samples for quantisation: .npy files, inputs without labels, apart from those that are scored.

    Attributes:
        path: Folder with one `<input>.npy` each, first axis over samples.
        ids: Which samples of the data set they are.
        sha256: Digest over the files.
    """

    path: Path
    ids: tuple[int, ...]
    sha256: str

    def batches(self, size: int) -> Iterator[Mapping[str, Array]]:
        """Yield inputs of up to `size` samples, memory-mapped and read-only."""
        arrays = {file.stem: np.load(file, mmap_mode="r") for file in sorted(self.path.glob("*.npy"))}
        for start in range(0, len(self.ids), size):
            yield {name: array[start : start + size] for name, array in arrays.items()}


@attrs.frozen(kw_only=True, eq=False)
class BatchSet:
    """Prepared batches, padded to the engine's size, in the engine's dtypes.

    Attributes:
        inputs: Each input as [batches, *its shape at `size`].
        size: Samples in every batch, padding included.
        padding: int64[batches], how many of them at the end are padding.
        samples: int64[batches, size], index of each sample in its data set; -1 for padding.
        ask: What to answer.
        axes: Along which axis of a batch its samples lie, by input; inputs that are not named are shared by all.
        lengths: int64[batches], how much of its inputs' last axis a batch has; None for all.
        asks: What to answer, for each batch; empty where all are asked `ask`.
    """

    inputs: Mapping[str, Array]
    size: int
    padding: NDArray[np.int64]
    samples: NDArray[np.int64]
    ask: Ask = attrs.field(factory=Forward)
    axes: Mapping[str, int] = attrs.field(factory=dict)
    lengths: NDArray[np.int64] | None = None
    asks: tuple[Ask, ...] = ()

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.padding)

    def batch(self, index: int) -> Batch:
        """Return one batch; its arrays are views that cannot be written to."""
        inputs = {name: array[index, ...] for name, array in self.inputs.items()}
        if self.lengths is not None:
            inputs = {name: array[..., : self.lengths[index]] for name, array in inputs.items()}
        for view in inputs.values():
            view.flags.writeable = False
        ask = self.asks[index] if self.asks else self.ask
        return Batch(inputs=inputs, size=self.size, padding=int(self.padding[index]), ask=ask)

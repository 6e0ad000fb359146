"""What prompts a language model is asked in timed runs: seeded tokens of exact lengths."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.spec.fields import as_tuple, at_least, instance
from bytemlperf.workload.sampling import Sampling


def _as_range(value: int | Iterable[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    low, high = tuple(value)
    return low, high


def _as_text(value: str | Path) -> str:
    return str(value) if isinstance(value, Path) else value


def _range(_: Lengths, attribute: attrs.Attribute[tuple[int, int]], value: tuple[int, int]) -> None:
    low, high = value
    if any(isinstance(each, bool) or not isinstance(each, int) for each in value) or not 1 <= low <= high:
        raise SpecError(
            "lengths cannot be",
            where=f"$.prompts.{attribute.name}",
            got=value,
            expected="a whole number of at least 1, or a lowest and a highest one",
        )


@attrs.frozen(kw_only=True)
class Lengths:
    """Lengths of prompts and answers, in tokens: fixed, uniform, or as a file has them.

    Without `stop` an answer has exactly its length: it is neither ended by a token nor cut.

    Attributes:
        input: Tokens of a prompt; a pair for uniform ones from the lowest to the highest, both included.
        output: Tokens of an answer; likewise. With `stop` an answer has as many at least and at most as the pair says.
        file: CSV of real requests, whose lengths are used in the place of these, in order: with a header that names
            `input_tokens` and `output_tokens`, or the columns of published traces: `ContextTokens` and
            `GeneratedTokens` (Azure's LLM inference traces), `Request tokens` and `Response tokens` (BurstGPT).
        samples: Distinct prompts, which a run goes round.
        stop: Token ids that end an answer.
        sampling: How each token is chosen.

    Raises:
        SpecError: If a length is no whole number above 0.
    """

    input: tuple[int, int] = attrs.field(default=(128, 128), converter=_as_range, validator=_range)
    output: tuple[int, int] = attrs.field(default=(32, 32), converter=_as_range, validator=_range)
    file: str = attrs.field(default="", converter=_as_text, validator=instance(str))
    samples: int = attrs.field(default=64, validator=at_least(1))
    stop: tuple[int, ...] = attrs.field(
        default=(), converter=as_tuple, validator=attrs.validators.deep_iterable(at_least(0))
    )
    sampling: Sampling = attrs.field(factory=Sampling, validator=instance(Sampling))

"""From what lm-evaluation-harness asks to questions of a backend: cut to the model's context, joined, in waves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import numpy as np

from bytemlperf.datasets.scored import token_queries
from bytemlperf.errors import SpecError
from bytemlperf.sample import Generation, Score

if TYPE_CHECKING:
    from bytemlperf.sample import BatchSet

Ids: TypeAlias = Sequence[int]

SCORES_IN_A_WAVE: Final = 1024
"""Contexts that are asked for in one series."""
ANSWERS_IN_A_WAVE: Final = 256
"""The same for answers, which take longer: what is cached is kept after each wave."""
_MOST_TOGETHER: Final = 16
"""Continuations of one context that are asked in one query."""
_SAMPLING: Final = frozenset(
    {"do_sample", "max_gen_toks", "num_beams", "seed", "temperature", "top_k", "top_p", "until"}
)


@attrs.frozen(eq=False)
class Joined:
    """Continuations of one context.

    Attributes:
        context: Token ids.
        continuations: Token ids of each.
        places: Which request each continuation is of.
    """

    context: tuple[int, ...]
    continuations: list[tuple[int, ...]] = attrs.field(factory=list)
    places: list[int] = attrs.field(factory=list)


def fitted(context: Ids, continuation: Ids, *, reads: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return a context and its continuation, the context cut from the left to what the model reads.

    The last token is predicted and never read, so both together have `reads + 1` tokens at most.

    Args:
        context: Token ids.
        continuation: Token ids.
        reads: Most tokens that the model reads.

    Raises:
        SpecError: If there is no token to predict or none before it, or the continuation alone is too long.

    Example:
        >>> fitted([1, 2, 3, 4], [5, 6], reads=3)
        ((3, 4), (5, 6))
    """
    if not len(context) or not len(continuation):
        raise SpecError(
            "a continuation cannot be scored", got="no token", expected="one token at least, and one before"
        )
    if len(continuation) > reads:
        raise SpecError(
            "a continuation is longer than what the model reads",
            got=len(continuation),
            expected=f"{reads} tokens at most",
        )
    kept = min(len(context), reads + 1 - len(continuation))
    return tuple(context[len(context) - kept :]), tuple(continuation)


def joined(pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[Joined]:
    """Put continuations of the same context together: the context is read once for them.

    Args:
        pairs: Context and continuation of each request.

    Example:
        >>> [each.places for each in joined([((1,), (2,)), ((3,), (4,)), ((1,), (5,))])]
        [[0, 2], [1]]
    """
    found: list[Joined] = []
    open_: dict[tuple[int, ...], Joined] = {}
    for place, (context, continuation) in enumerate(pairs):
        group = open_.get(context)
        if group is None or len(group.places) == _MOST_TOGETHER:
            group = open_[context] = Joined(context)
            found.append(group)
        group.continuations.append(continuation)
        group.places.append(place)
    return found


def score_queries(wave: Sequence[Joined]) -> BatchSet:
    """Return a query for each context."""
    asks = [Score(continuations=each.continuations) for each in wave]
    return token_queries([np.array(each.context, np.int64) for each in wave], asks)


def generation(settings: Mapping[str, Any], *, seed: int, stop: Sequence[int]) -> Generation:
    """Return what settings of a task ask of a backend, as lm-evaluation-harness normalises them.

    Args:
        settings: `max_gen_toks`, and what says how tokens are drawn.
        seed: Of the draws, where the settings name none.
        stop: Token ids that end an answer.

    Raises:
        SpecError: If they ask for something that backends are not asked.
    """
    unknown = sorted(name for name, value in settings.items() if name not in _SAMPLING and value is not None)
    if unknown or settings.get("num_beams", 1) != 1:
        raise SpecError(
            "a task generates in a way that backends are not asked for",
            where="generation_kwargs",
            got=", ".join(unknown) or f"num_beams={settings['num_beams']}",
            expected=", ".join(sorted(_SAMPLING)),
        )
    return Generation(
        max_new_tokens=settings["max_gen_toks"],
        temperature=float(settings.get("temperature", 0.0)) if settings.get("do_sample") else 0.0,
        top_k=int(settings.get("top_k") or 0),
        top_p=float(settings.get("top_p") or 1.0),
        seed=int(settings.get("seed", seed)),
        stop=tuple(stop),
    )


def waves(total: int, size: int) -> Iterator[slice]:
    """Yield slices over `total` in pieces of `size`."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))

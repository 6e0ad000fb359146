"""Whether as many tokens come as are counted, and no further ones after the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.evaluation.integrity import Case, Tested, Untested
from bytemlperf.failure import error_of
from bytemlperf.metrics import Estimate, Metrics
from bytemlperf.sample import Array, Ask, BatchSet, Generation
from bytemlperf.scenarios import Plan, Warmup
from bytemlperf.worker import Answers, Series

if TYPE_CHECKING:
    from bytemlperf.evaluation.performing import Timed
    from bytemlperf.evaluation.subject import Subject
    from bytemlperf.evaluation.workbench import Workbench
    from bytemlperf.trace import Trace

ANSWERS: Final = 100
"""Answers that are looked at.

Source: compliance/TEST06/audit.config, mlcommons/inference at b66003e.
"""
_MOST_PARTS: Final = 1024
TOKENS: Final = "tokens"
"""Output in which tokens come."""


@attrs.frozen(kw_only=True, eq=False)
class _Answer:
    """One answer of tokens: what came, in parts, and what was said of it.

    Attributes:
        parts: Tokens of each part.
        reported: Tokens that were counted for the figures.
        told: Tokens that each part was said to have; empty where it came whole.
        ask: What was asked.
    """

    parts: Sequence[NDArray[np.int64]]
    reported: int
    told: Sequence[int]
    ask: Ask

    @property
    def tokens(self) -> NDArray[np.int64]:
        return np.concatenate(self.parts) if self.parts else np.zeros(0, np.int64)

    @property
    def counted_wrong(self) -> bool:
        return len(self.tokens) != self.reported

    @property
    def first_is_missing(self) -> bool:
        """Whether the first part that is said to have a token has none: then the time to it is of nothing."""
        first = next((number for number, count in enumerate(self.told) if count), None)
        return first is not None and (first >= len(self.parts) or not len(self.parts[first]))

    @property
    def goes_on(self) -> bool:
        """Whether something stands behind a token that ends the answer, once it may end."""
        return any(place < len(self.tokens) - 1 for place in self._ends)

    @property
    def has_another_length(self) -> bool:
        """Whether there are more tokens than were asked for, or too few without one that ends the answer."""
        if not isinstance(self.ask, Generation):
            return False
        count = len(self.tokens)
        return count > self.ask.max_new_tokens or (count < self.ask.max_new_tokens and not self._ends)

    @property
    def _ends(self) -> list[int]:
        """Places of tokens that end the answer, from where it may end."""
        if not isinstance(self.ask, Generation):
            return []
        first = max(self.ask.min_new_tokens - 1, 0)
        return [place for place, token in enumerate(self.tokens.tolist()) if place >= first and token in self.ask.stop]


def token_count(subject: Subject, timed: Timed, bench: Workbench, case: Case) -> Tested | Untested:
    """Count the tokens of answers taken from a timed run against those that were counted for the figures.

    Source: MLPerf's TEST06: as many tokens as are reported, the first one when it is said to come, nothing behind the
    token that ends an answer. Besides: no more tokens than were asked for, and fewer only before such a token.

    Raises:
        BenchmarkError: If a query failed.
    """
    batches = timed.batches(bench, case.batch_size)
    count = min(len(batches), ANSWERS)
    plan = Plan(batch=np.arange(count, dtype=np.int64), warmup=Warmup(max_queries=0))
    sampled = np.arange(count, dtype=np.int64)
    recording = bench.issue(
        Series(plan=plan, batches=batches, sampled=sampled, chunks_per_query=_room(batches), step=case.key(subject))
    )
    if recording.failures:
        raise error_of(recording.failures[0])
    if recording.trace.chunks_lost:
        return Untested(reason=f"{recording.trace.chunks_lost} parts of answers were not stamped")
    found = _answers(recording.answers, recording.trace, batches)
    if not found:
        return Untested(reason=f"the answers are no tokens: there is no output {TOKENS!r}")
    return _judged(found)


def _room(batches: BatchSet) -> int:
    """Return how many parts an answer may have."""
    asks = [batches.batch(query).ask for query in range(len(batches))]
    return max((ask.max_new_tokens + 2 if isinstance(ask, Generation) else _MOST_PARTS for ask in asks), default=1)


def _answers(answers: Answers, trace: Trace, batches: BatchSet) -> list[_Answer]:
    """Return the answers that are tokens."""
    return [
        _Answer(
            parts=[_flat(part) for part in answers.parts(query)],
            reported=int(trace.tokens[query]),
            told=trace.chunk_tokens[trace.chunk_query == query].tolist(),
            ask=batches.batch(query).ask,
        )
        for query in answers
        if any(TOKENS in part for part in answers.parts(query))
    ]


def _flat(part: Mapping[str, Array]) -> NDArray[np.int64]:
    return np.asarray(part.get(TOKENS, ()), np.int64).ravel()


def _judged(answers: Sequence[_Answer]) -> Tested:
    stop = any(isinstance(each.ask, Generation) and each.ask.stop for each in answers)
    wrong = {
        "answers whose tokens are not as many as were counted": sum(each.counted_wrong for each in answers),
        "answers whose first token is not in the part that is said to bring it": sum(
            each.first_is_missing for each in answers
        ),
        "answers that go on after their end": sum(each.goes_on for each in answers),
        "answers of another length than was asked for": sum(each.has_another_length for each in answers),
    }
    there, reported = sum(len(each.tokens) for each in answers), sum(each.reported for each in answers)
    faults = [f"{count} {what}" for what, count in wrong.items() if count]
    looked_at = "" if stop else "; what ends an answer is not known, so that was not looked at"
    return Tested(
        metrics=Metrics(
            {
                "integrity/tokens": _count(there, len(answers), "tokens in the answers that were taken"),
                "integrity/reported_tokens": _count(reported, len(answers), "tokens that were counted for them"),
            }
        ),
        passed=not faults,
        note=(
            f"of {len(answers)} answers: {'; '.join(faults) or 'each has the tokens that were counted'}; "
            f"{there} tokens came and {reported} were counted{looked_at}"
        ),
    )


def _count(value: int, n: int, definition: str) -> Estimate:
    return Estimate(value=value, unit="tokens", n=n, definition=definition, note="a count")

"""Whether a run counts by MLPerf's rules, and if not why, and what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.metrics.sample_times import SampleTimes
from bytemlperf.scenarios import MLPerfScenario, MultiStream, Offline, Server, SingleStream
from bytemlperf.spec.fields import as_tuple, choice
from bytemlperf.statistics import early_decision, percentile, queries_needed

_NS_PER_MS: Final = 1_000_000


class Cause(StrEnum):
    """Every cause for which a run is invalid."""

    LOST_SAMPLES = "lost_samples"
    MIN_DURATION = "min_duration"
    MIN_QUERIES = "min_queries"
    MIN_SAMPLES = "min_samples"
    LATENCY_BOUND = "latency_bound"
    TTFT_BOUND = "ttft_bound"
    TPOT_BOUND = "tpot_bound"
    EARLY_STOPPING = "early_stopping"
    TTFT_EARLY_STOPPING = "ttft_early_stopping"
    TPOT_EARLY_STOPPING = "tpot_early_stopping"


BOUNDS: Final = frozenset({Cause.LATENCY_BOUND, Cause.TTFT_BOUND, Cause.TPOT_BOUND})
"""Causes that the backend has to answer for; the others say that the run was too short or incomplete for a claim."""


def _as_cause(value: str | Cause) -> Cause:
    return choice(Cause)(value)


@attrs.frozen(kw_only=True)
class InvalidReason:
    """One cause with its facts.

    Attributes:
        cause: Which rule is broken.
        message: What was found and what the rule asks for, one sentence.
        recommendation: What to change.
    """

    cause: Cause = attrs.field(converter=_as_cause)
    message: str
    recommendation: str

    def __str__(self) -> str:
        """Write both sentences."""
        return f"{self.message}; {self.recommendation}"


@attrs.frozen(kw_only=True)
class Validity:
    """A verdict on a run.

    Attributes:
        reasons: Why it is invalid; none for a valid run.
    """

    reasons: tuple[InvalidReason, ...] = attrs.field(default=(), converter=as_tuple)

    @property
    def valid(self) -> bool:
        """Whether no rule is broken."""
        return not self.reasons

    @property
    def holds_bounds(self) -> bool | None:
        """Whether the run is valid; False where it broke a bound of its scenario, None where it claims too little."""
        return False if self.causes & BOUNDS else self.valid or None

    @property
    def causes(self) -> frozenset[Cause]:
        """The rules that are broken."""
        return frozenset(reason.cause for reason in self.reasons)

    @property
    def text(self) -> str:
        """`valid`, or all reasons in one line."""
        return "; ".join(f"{reason.message} ({reason.recommendation})" for reason in self.reasons) or "valid"

    def __str__(self) -> str:
        """Write `valid`, or each reason on a line."""
        return "\n".join(["invalid:", *(f"- {reason}" for reason in self.reasons)]) if self.reasons else "valid"


def validity(scenario: MLPerfScenario, times: SampleTimes, *, loaded: int) -> Validity:
    """Judge a run by MLPerf's rules.

    Valid is a run of enough time, queries and samples that keeps its bounds and stopped no earlier than its percentile
    can be claimed at 99 % confidence. Beyond LoadGen, which waits for ever, a lost sample makes a run invalid.

    Args:
        scenario: The load pattern of the run.
        times: Of the samples that were answered.
        loaded: Samples that were in memory: `len(plan.loaded)`.

    Source: results.cc l.287-381 and l.489-511, early_stopping.cc (mlcommons/inference at b66003e).
    """
    reasons = [_lost(times), *_bounds(scenario, times), _duration(scenario, times), *_counts(scenario, times, loaded)]
    return Validity(reasons=tuple(each for each in [*reasons, *_early_stopping(scenario, times)] if each is not None))


def _lost(times: SampleTimes) -> InvalidReason | None:
    if not times.lost:
        return None
    return InvalidReason(
        cause=Cause.LOST_SAMPLES,
        message=f"{times.lost} samples failed or were not answered",
        recommendation="see the failures of the run",
    )


def _duration(scenario: MLPerfScenario, times: SampleTimes) -> InvalidReason | None:
    if isinstance(scenario, Offline):
        what, taken, advice = "samples took", times.latency_ns, "raise expected_qps, so that more samples are asked for"
    elif isinstance(scenario, Server):
        what, taken, advice = "queries arrived for", times.scheduled_ns[-1:], "do not cut the run short"
    else:
        what, taken = "queries were sent for", times.sent_ns[-1:]
        advice = "lower expected_latency_ms, so that more queries are in store"
    taken_ns = int(taken.max(initial=0))
    if taken_ns >= scenario.min_duration_ns:
        return None
    return InvalidReason(
        cause=Cause.MIN_DURATION,
        message=f"{what} {taken_ns / 1e9:.6g} s, less than min_duration_s = {scenario.min_duration_s:g}",
        recommendation=advice,
    )


def _counts(scenario: MLPerfScenario, times: SampleTimes, loaded: int) -> tuple[InvalidReason | None, ...]:
    advice = "the run ended early: raise max_queries, max_duration_s or max_outstanding, or see its failures"

    def short(cause: Cause, what: str, got: int, needed: int) -> InvalidReason | None:
        if got >= needed:
            return None
        return InvalidReason(
            cause=cause, message=f"{got} {what}, fewer than the {needed} needed", recommendation=advice
        )

    return (
        short(Cause.MIN_QUERIES, "queries", times.queries, scenario.required_queries(loaded)),
        short(Cause.MIN_SAMPLES, "samples", len(times), scenario.required_samples(loaded)),
    )


@attrs.frozen(kw_only=True, eq=False)
class _Bound:
    """Latencies and what they have to keep."""

    name: str
    values: NDArray[np.int64]
    bound_ms: float
    broken: Cause
    unsure: Cause

    @property
    def bound_ns(self) -> int:
        return round(self.bound_ms * _NS_PER_MS)


def _bounds_of(scenario: Server, times: SampleTimes) -> tuple[_Bound, ...]:
    if scenario.ttft_bound_ms is None or scenario.tpot_bound_ms is None:
        latency = _Bound(
            name="latency",
            values=times.latency_ns,
            bound_ms=scenario.bound_ms,
            broken=Cause.LATENCY_BOUND,
            unsure=Cause.EARLY_STOPPING,
        )
        return (latency,)
    ttft = _Bound(
        name="time to first token",
        values=_none_for(times.ttft_ns),
        bound_ms=scenario.ttft_bound_ms,
        broken=Cause.TTFT_BOUND,
        unsure=Cause.TTFT_EARLY_STOPPING,
    )
    tpot = _Bound(
        name="time per further token",
        values=_none_for(times.tpot_ns),
        bound_ms=scenario.tpot_bound_ms,
        broken=Cause.TPOT_BOUND,
        unsure=Cause.TPOT_EARLY_STOPPING,
    )
    return ttft, tpot


def _none_for(values: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return np.zeros(0, np.int64) if values is None else values


def _bounds(scenario: MLPerfScenario, times: SampleTimes) -> list[InvalidReason | None]:
    if not isinstance(scenario, Server):
        return []
    return [_broken(bound, scenario.percentile) for bound in _bounds_of(scenario, times)]


def _broken(bound: _Bound, p: float) -> InvalidReason | None:
    if not len(bound.values):
        found = f"there is no {bound.name} to be judged"
    elif (value := int(percentile(bound.values, p))) > bound.bound_ns:
        found = f"p{100 * p:g} of {bound.name} is {value / _NS_PER_MS:.6g} ms, over its bound of {bound.bound_ms:g} ms"
    else:
        return None
    return InvalidReason(cause=bound.broken, message=found, recommendation="lower target_qps, so that latency falls")


def _early_stopping(scenario: MLPerfScenario, times: SampleTimes) -> list[InvalidReason | None]:
    if isinstance(scenario, Server):
        return [_unsure(bound, scenario.percentile) for bound in _bounds_of(scenario, times) if len(bound.values)]
    if isinstance(scenario, SingleStream | MultiStream):
        return [_too_few(times.queries, scenario.percentile)]
    return []


def _unsure(bound: _Bound, p: float) -> InvalidReason | None:
    found = early_decision(bound.values, p, bound=bound.bound_ns)
    if found.met:
        return None
    return InvalidReason(
        cause=bound.unsure,
        message=f"{found.over} of {found.n} queries are over the bound of {bound.name}: "
        f"to claim p{100 * p:g} takes {found.needed}",
        recommendation=f"run at least {found.missing} more queries, which is enough if each keeps the bound",
    )


def _too_few(queries: int, p: float) -> InvalidReason | None:
    needed = queries_needed(1, p)
    if queries >= needed:
        return None
    return InvalidReason(
        cause=Cause.EARLY_STOPPING,
        message=f"{queries} queries are too few for p{100 * p:g}",
        recommendation=f"run at least {needed} queries",
    )

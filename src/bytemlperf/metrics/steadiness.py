"""Whether the latencies of a run belong to one steady state, and how many independent ones they are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.metrics.estimate import Estimate, Metrics
from bytemlperf.statistics import Drift, Start, drift, effective_sample_size, steady_start

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bytemlperf.trace import Trace

MATTERS: Final = 0.05
"""Share by which latency must change over a run, or its mean by its start, before a warning is given."""
DRIFT_LEVEL: Final = 0.99
"""Confidence of a warning of drift."""
WORTH_TOLD: Final = 0.5
"""Share of the queries below which their effective number is told beside n."""

_TOO_FEW: Final = "too few queries: it takes 50"


@attrs.frozen(kw_only=True)
class Unsteady:
    """Something about a run's course that a reader of its figures must know.

    Attributes:
        code: `drift` or `not_steady`.
        message: What was found, one sentence.
    """

    code: str
    message: str


def in_time(trace: Trace) -> NDArray[np.int64]:
    """Return latencies of answered queries in ns, in the order in which they were due."""
    asked = np.argsort(trace.scheduled_ns[trace.answered], kind="stable")
    return trace.latency_ns[asked]


def steadiness(trace: Trace) -> Metrics:
    """Describe the course of a run: `steadiness/effective_n`, `/start` and `/drift`.

    Nothing of a run whose queries are all due at once (Offline): there each waits for those before it.

    Args:
        trace: Of the timed part of one run.
    """
    values = in_time(trace)
    if not _has_course(trace) or not values.size:
        return Metrics()
    return Metrics(
        {
            "steadiness/effective_n": Estimate(
                value=effective_sample_size(values),
                unit="queries",
                n=values.size,
                definition="independent latencies that those in order of time are worth, for their mean "
                "(initial monotone sequence)",
            ),
            "steadiness/start": _start(values),
            "steadiness/drift": _drift(values),
        }
    )


def _has_course(trace: Trace) -> bool:
    due = trace.scheduled_ns[trace.answered]
    return bool(due.size > 1 and due.max() > due.min())


def _start(values: NDArray[np.int64]) -> Estimate:
    found = steady_start(values)
    return Estimate(
        value=None if found is None else found.truncated,
        unit="queries",
        n=values.size,
        definition="leading queries without which the mean of the others is known best (MSER-5); they are in all "
        "figures",
        note=_TOO_FEW if found is None else "" if found.settled else "no steady state in the first half",
    )


def _drift(values: NDArray[np.int64]) -> Estimate:
    found = drift(values)
    definition = (
        "change of latency by a fitted line or a single step, whichever fits better, as a share; medians of blocks"
    )
    if found is None:
        return Estimate(value=None, unit="1", n=values.size, definition=definition, note=_TOO_FEW)
    shown = found.shown(level=DRIFT_LEVEL, least=0)
    return Estimate(
        value=found.size,
        unit="1",
        n=values.size,
        definition=definition,
        note=f"{'shown' if shown else 'not shown'} at {100 * DRIFT_LEVEL:g} %: p = {found.p:.2g}",
    )


def unsteady(trace: Trace) -> tuple[Unsteady, ...]:
    """Tell what of a run's course its reader must know: nothing where it is steady, or too short to tell.

    Args:
        trace: Of the timed part of one run.
    """
    values = in_time(trace)
    if not _has_course(trace) or not values.size:
        return ()
    found = [_drifts(drift(values), values.size), _starts(steady_start(values), values.size)]
    return tuple(each for each in found if each is not None)


def _drifts(found: Drift | None, n: int) -> Unsteady | None:
    if found is None or not found.shown(level=DRIFT_LEVEL, least=MATTERS):
        return None
    if found.stepwise:
        how = f"steps by {100 * found.shift:+.1f} % after {found.shift_at} of {n} queries"
    else:
        how = f"moves by {100 * found.trend:+.1f} % over the run"
    return Unsteady(code="drift", message=f"latency {how} (p = {found.p:.2g}): its figures mix two states")


def _starts(found: Start | None, n: int) -> Unsteady | None:
    if found is None or not found.mean:
        return None
    change = found.steady_mean / found.mean - 1
    if abs(change) < MATTERS:
        return None
    if not found.settled:
        return Unsteady(code="not_steady", message=f"no steady state was reached in the first half of {n} queries")
    text = f"the first {found.truncated} of {n} queries are unlike the rest: without them the mean changes by"
    return Unsteady(code="not_steady", message=f"{text} {100 * change:+.1f} %; warm up longer")

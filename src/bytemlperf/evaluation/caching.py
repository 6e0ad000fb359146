"""Whether answers are kept and given again: the same samples over and over against samples that come once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from bytemlperf.evaluation.faster import Speedup, speedup, threshold_for
from bytemlperf.evaluation.integrity import LEVEL, Case, Tested, Untested
from bytemlperf.failure import error_of
from bytemlperf.metrics import Metrics
from bytemlperf.scenarios import Plan, SingleStream, Warmup
from bytemlperf.statistics import repeats_log_ratio
from bytemlperf.worker import Series

if TYPE_CHECKING:
    from bytemlperf.evaluation.performing import Timed
    from bytemlperf.evaluation.subject import Subject
    from bytemlperf.evaluation.workbench import Workbench

BLOCK: Final = 5
"""Queries of one kind in a row."""
LEAST_BLOCKS: Final = 4
MOST_BLOCKS: Final = 40
LEAD: Final = 20
"""Queries of the same batch before it begins, so that all that can be ready is."""
_DEFINITION: Final = (
    "median latency of batches that come once / that of one batch asked again and again, over blocks of 5 queries of "
    "either kind in turn, one client; interval by Welch's t on the logarithms of the blocks"
)


def caching(subject: Subject, timed: Timed, bench: Workbench, case: Case) -> Tested | Untested:
    """Ask for one batch again and again, in turn with batches that come once: in one series, so that drift cancels.

    Source: MLPerf's TEST04, which compares two runs; at most 10 % faster (20 % where a sample takes at most 200 us).

    Raises:
        BenchmarkError: If a query failed.
    """
    batches = timed.batches(bench, case.batch_size)
    blocks = min((len(batches) - 1) // BLOCK, MOST_BLOCKS)
    if blocks < LEAST_BLOCKS:
        needed = LEAST_BLOCKS * BLOCK + 1
        return Untested(reason=f"it takes {needed} different batches, and the data gives {len(batches)}")
    plan = Plan(batch=_order(blocks), warmup=Warmup(max_queries=0))
    recording = bench.issue(Series(plan=plan, batches=batches, step=case.key(subject)))
    if recording.failures:
        raise error_of(recording.failures[0])
    trace = recording.trace
    return _judged((trace.done_ns - trace.sent_ns)[LEAD:].reshape(blocks, 2, BLOCK))


def _order(blocks: int) -> NDArray[np.int64]:
    """Batch 0 for a lead, then blocks of new batches and of batch 0 in turn."""
    new = np.arange(1, 1 + blocks * BLOCK).reshape(blocks, 1, BLOCK)
    again = np.zeros((blocks, 1, BLOCK), np.int64)
    return np.concatenate([np.zeros(LEAD, np.int64), np.concatenate([new, again], axis=1).ravel()])


def _judged(latency_ns: NDArray[np.int64]) -> Tested:
    """Judge latencies [blocks, new or again, queries]."""
    middles = np.maximum(np.median(latency_ns, axis=2), 1.0)
    new, again = middles[:, 0], middles[:, 1]
    found = speedup(repeats_log_ratio(again, new), n=len(new), level=LEVEL)
    threshold = threshold_for(SingleStream(), float(new.mean()))
    return Tested(
        metrics=Metrics({"integrity/same_sample_speedup": found.estimate(_DEFINITION, LEVEL)}),
        passed=_passed(found, 1 + threshold),
        note=f"the same batch is answered {100 * (found.value - 1):.1f} % faster [{100 * (found.low - 1):.1f}, "
        f"{100 * (found.high - 1):.1f}] than new ones; MLPerf's TEST04 allows {100 * threshold:.0f} %",
    )


def _passed(found: Speedup, most: float) -> bool | None:
    if found.low > most:
        return False
    return True if found.high <= most else None

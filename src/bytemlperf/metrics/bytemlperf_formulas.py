"""ByteMLPerf's own figures by its own formulas, to be shown beside ours, never in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from bytemlperf.metrics.moments import Moments
from bytemlperf.metrics.pairs import Pair, matched
from bytemlperf.statistics import percentile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bytemlperf.sample import Array
    from bytemlperf.trace import Trace

Figures: TypeAlias = Mapping[str, int | float | str | None]
"""Figures under the original's own keys; a `Note` says why one is None."""

_NS_PER_MS: Final = 1e6
_LATENCY_DIGITS: Final = 2
_DIFF_DIGITS: Final = 5
_CHUNK: Final = 1 << 18


def bytemlperf_figures(trace: Trace, batch_size: int) -> Figures:
    """Compute `BS`, `QPS`, `AVG Latency` and `P99 Latency` (ms) as ByteMLPerf does.

    Latency is the duration of the call, sent to done, which is what the original times. Both latencies are rounded to
    0.01 ms, and QPS = int(1000 * BS / AVG Latency) is made from the rounded one: samples per second of one client,
    however many there are. Where the average rounds to 0 the original fails; here QPS is None and `Note` says why.

    Args:
        trace: Of the timed part of one run; queries without an answer are left out.
        batch_size: Samples in a query.

    Source:
        ByteMLPerf at a30b4f9, general_perf/backends/CPU/runtime_backend_cpu.py, `benchmark`.
    """
    calls_ns = (trace.done_ns - trace.sent_ns)[trace.answered]
    if not calls_ns.size:
        nothing = "no query was answered"
        return {"BS": batch_size, "QPS": None, "AVG Latency": None, "P99 Latency": None, "Note": nothing}
    average_ms = round(float(calls_ns.mean()) / _NS_PER_MS, _LATENCY_DIGITS)
    tail_ms = round(percentile(calls_ns, 0.99) / _NS_PER_MS, _LATENCY_DIGITS)
    figures = {"BS": batch_size, "QPS": None, "AVG Latency": average_ms, "P99 Latency": tail_ms}
    if not average_ms:
        return figures | {"Note": "the average latency rounds to 0.00 ms, and the formula divides by it"}
    return figures | {"QPS": int(1000.0 * batch_size / average_ms)}


def bytemlperf_diff(outputs: Mapping[str, Array], reference: Mapping[str, Array]) -> Mapping[str, float]:
    """Compute ByteMLPerf's five figures of the difference, by its own formulas.

    d = reference - output over all outputs flattened together, NaN and infinity replaced by 0 on both sides, which can
    make a broken backend look good. `Mean Diff`, `Std Diff` and `Max Diff` are of |d|; `Max Rel-Diff` and
    `Mean Rel-Diff` of |d / reference| with a reference of exactly 0 replaced by 1. All are rounded to 5 decimals.

    Args:
        outputs: What came, by canonical name (the original goes by position).
        reference: What should have come.

    Raises:
        MalformedOutputError: If names or shapes differ or an output is not of numbers.
        SpecError: If the reference is not of numbers.

    Source:
        ByteMLPerf at a30b4f9, general_perf/datasets/test_accuracy.py, `draw_all_diff`.

    Example:
        >>> bytemlperf_diff({"y": np.array([1.0, 2.5])}, {"y": np.array([1.0, 2.0])})["Mean Rel-Diff"]
        0.125
    """
    sums = DiffSums()
    for pair in matched(outputs, reference, reference):
        sums.update(pair)
    return sums.compute()


class DiffSums:
    """What is kept of answers for `bytemlperf_diff`, when they come in parts."""

    def __init__(self) -> None:
        """Begin without answers."""
        self._absolute = Moments()
        self._relative = Moments()

    def update(self, pair: Pair) -> None:
        """Take in an output and its reference; masked positions are 0 on both sides, as for the original's SQuAD."""
        for output, reference in _chunks(pair):
            with np.errstate(over="ignore", invalid="ignore"):
                difference = reference - output
                relative = np.nan_to_num(difference / np.where(reference == 0, 1.0, reference))
                self._absolute = self._absolute.plus(Moments.of(np.abs(difference)))
                self._relative = self._relative.plus(Moments.of(np.abs(relative)))

    def compute(self) -> Mapping[str, float]:
        """Return the five figures; an empty mapping before the first answer, and without what is beyond a double."""
        if not self._absolute.n:
            return {}
        figures = {
            "Mean Diff": self._absolute.mean,
            "Std Diff": self._absolute.std,
            "Max Diff": self._absolute.peak,
            "Max Rel-Diff": self._relative.peak,
            "Mean Rel-Diff": self._relative.mean,
        }
        return {name: round(value, _DIFF_DIGITS) for name, value in figures.items() if np.isfinite(value)}


def _chunks(pair: Pair) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    output, reference = pair.output.reshape(-1), pair.reference.reshape(-1)
    counts = None if pair.counts is None else pair.counts.reshape(-1)
    for start in range(0, output.size, _CHUNK):
        here = slice(start, start + _CHUNK)
        kept = True if counts is None else counts[here]
        yield _zeroed(output[here], kept), _zeroed(reference[here], kept)


def _zeroed(values: Array, kept: NDArray[np.bool_] | bool) -> NDArray[np.float64]:  # noqa: FBT001 - one mask for all
    return np.where(np.isfinite(values) & kept, values, 0).astype(np.float64)

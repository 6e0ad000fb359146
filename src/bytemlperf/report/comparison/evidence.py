"""What is known of one figure in both reports, as far down to the raw data as there are any."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.errors import BenchmarkError
from bytemlperf.metrics import Figure, RightOrWrong, Units, figures_in_pairs, paired, sample_metric
from bytemlperf.metrics import names as metric_names
from bytemlperf.metrics.estimate import joined
from bytemlperf.report.comparison.result import Basis
from bytemlperf.report.rows import RowKind
from bytemlperf.statistics import (
    Contrast,
    Interval,
    StandardError,
    error_of_interval,
    interval_log_ratio,
    mean_log_ratio,
    quantile_log_ratio,
    rate_error,
    repeats_log_ratio,
    share_contrast,
    student_contrast,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bytemlperf.metrics import Estimate, Pairing, SampleMetric
    from bytemlperf.report.comparison.matching import Measured, Pair
    from bytemlperf.trace import Trace

_PERCENTILE: Final = re.compile(r"latency/p(\d{1,2}(?:\.\d+)?)")
_LOWER_IS_BETTER: Final = frozenset({"ns", "us", "ms", "s", "B", "J", "W"})


@attrs.frozen(kw_only=True)
class Evidence:
    """What data say of one figure.

    Attributes:
        contrast: b against a: the logarithm of the ratio, or the difference.
        p_difference: Exact where the contrast's own is not; None takes the contrast's.
        basis: What varies.
        n_a: Observations of that kind behind a.
        n_b: The same behind b.
        method: Definition and source.
        note: What a reader must know.
    """

    contrast: Contrast
    p_difference: float | None = None
    basis: Basis
    n_a: int
    n_b: int
    method: str
    note: str = ""


def higher_is_better(kind: RowKind, figure: str, unit: str) -> bool | None:
    """Tell which way is good: of a score its metric says so, of anything else its unit; None where neither does."""
    if kind is RowKind.ACCURACY:
        metric = _metric(figure)
        return None if metric is None else metric.higher_is_better
    if unit.endswith("/s"):
        return True
    return False if unit in _LOWER_IS_BETTER else None


def _metric(figure: str) -> SampleMetric | None:
    """Return the metric that a figure is of: of that name, or else one that says that it makes the figure."""
    name = figure.removeprefix("accuracy/").split("/")[0].split(".")[0]
    if name in metric_names():
        return _made(name)
    found = (metric for metric in map(_made, metric_names()) if metric is not None)
    return next((metric for metric in found if f"accuracy/{name}" in figures_in_pairs(metric)), None)


def _made(name: str) -> SampleMetric | None:
    try:
        return sample_metric(name)
    except BenchmarkError:  # a plug-in that cannot be loaded here, or not without arguments
        return None


def evidence(pair: Pair, figure: str, a: Estimate, b: Estimate) -> Evidence | None:
    """Weigh a figure that both rows have; None where one value stands against another."""
    if pair.a.row.kind is RowKind.ACCURACY:
        return _of_samples(pair, figure, a, b)
    if not a.value or not b.value or min(a.value, b.value) <= 0:
        return None
    if max(pair.a.processes, pair.b.processes) > 1:
        return _of_processes(pair, figure) or _of_intervals(pair, a, b)
    return _of_queries(pair, figure) or _of_intervals(pair, a, b)


def _of_processes(pair: Pair, figure: str) -> Evidence | None:
    values = [_values(each, figure) for each in (pair.a, pair.b)]
    if not all(values):
        return None
    sizes = [len(each) for each in values]
    return Evidence(
        contrast=repeats_log_ratio(*values),
        basis=Basis.PROCESSES,
        n_a=sizes[0],
        n_b=sizes[1],
        method="Welch's t on the logarithm of each process' figure (Georges, Buytaert and Eeckhout, OOPSLA 2007)",
        note="one side is one process: the other's spread stands for both" if min(sizes) == 1 else "",
    )


def _values(measured: Measured, figure: str) -> list[float]:
    found = [each[figure].value for each in measured.by_process if figure in each]
    values = [value for value in found if value is not None and value > 0]
    return values if len(values) == len(measured.traces) else []


def _of_queries(pair: Pair, figure: str) -> Evidence | None:
    if len(pair.a.traces) != 1 or len(pair.b.traces) != 1:
        return None
    a, b = pair.a.traces[0], pair.b.traces[0]
    if not a.answered.any() or not b.answered.any():
        return None
    found = _contrast(figure, a, b)
    if found is None:
        return None
    return Evidence(
        contrast=found[0],
        basis=Basis.QUERIES,
        n_a=int(a.answered.sum()),
        n_b=int(b.answered.sum()),
        method=found[1],
    )


def _contrast(figure: str, a: Trace, b: Trace) -> tuple[Contrast, str] | None:
    percentile = _PERCENTILE.fullmatch(figure)
    if figure.startswith("latency/") and min(a.latency_ns.min(), b.latency_ns.min()) <= 0:
        return None
    if percentile is not None and float(percentile[1]) > 0:
        contrast: Contrast = quantile_log_ratio(_in_time(a), _in_time(b), float(percentile[1]) / 100)
        return contrast, "exact distributions of both quantiles by rank (David and Nagaraja, Order Statistics, 7.1)"
    if figure == "latency/mean":
        method = "Welch's t, first order on logarithms, effective number of queries (Geyer 1992)"
        return mean_log_ratio(_in_time(a), _in_time(b)), method
    if figure in {"throughput/samples_per_s", "throughput/queries_per_s"}:
        errors = [_rate(each, samples=figure == "throughput/samples_per_s") for each in (a, b)]
        method = "Welch's t, first order on logarithms, over 20 batches of completions (Schmeiser 1982)"
        return student_contrast(*errors), method
    return None


def _in_time(trace: Trace) -> NDArray[np.int64]:
    return trace.latency_ns[np.argsort(trace.scheduled_ns[trace.answered], kind="stable")]


def _rate(trace: Trace, *, samples: bool) -> StandardError:
    ended = trace.status != 0
    begin = trace.started_ns or int(trace.scheduled_ns[ended].min())
    weights = trace.size[trace.answered] if samples else None
    return rate_error(trace.done_ns[trace.answered], weights=weights, start_ns=begin).logarithm()


def _of_intervals(pair: Pair, a: Estimate, b: Estimate) -> Evidence | None:
    intervals = [_interval(each) for each in (a, b)]
    if intervals[0] is None or intervals[1] is None:
        return None
    assert a.value is not None
    assert b.value is not None
    degrees = [each.processes - 1 if each.processes > 1 else math.inf for each in (pair.a, pair.b)]
    contrast = interval_log_ratio(
        a.value, intervals[0], b.value, intervals[1], a_degrees=degrees[0], b_degrees=degrees[1]
    )
    return Evidence(
        contrast=contrast,
        basis=Basis.INTERVALS,
        n_a=a.n,
        n_b=b.n,
        method="limits recovered from the intervals that the reports keep (Zou and Donner 2008)",
        note="raw stamps are not there",
    )


def _interval(estimate: Estimate) -> Interval | None:
    """Return an estimate's interval if it has an end; a side without one is infinite."""
    low = -math.inf if estimate.low is None else estimate.low
    high = math.inf if estimate.high is None else estimate.high
    inside = estimate.value is not None and low <= estimate.value <= high
    return (
        Interval(low=low, high=high, level=estimate.level) if inside and (low, high) != (-math.inf, math.inf) else None
    )


def _of_samples(pair: Pair, figure: str, a: Estimate, b: Estimate) -> Evidence | None:
    return _paired(pair, figure) or _unpaired(figure, a, b)


def _paired(pair: Pair, figure: str) -> Evidence | None:
    how = _in_units(pair, figure)
    found = None if how is None else paired(how.b, how.a, how.figure)
    if how is None or found is None or not found.contrast.interval().bounded:
        return None
    whole = found.n == how.a.count == how.b.count
    note, method = _told(found)
    return Evidence(
        contrast=found.contrast,
        p_difference=None if found.differing is None else found.differing.p,
        basis=Basis.PAIRED_SAMPLES,
        n_a=found.n,
        n_b=found.n,
        method=method,
        note=joined(note, "" if whole else f"over the {found.n} {found.noun} that both have"),
    )


@attrs.frozen(kw_only=True, eq=False)
class _InUnits:
    """What units brought to a figure on both sides, and how it is made of them."""

    a: Units
    b: Units
    figure: Figure


def _in_units(pair: Pair, figure: str) -> _InUnits | None:
    """Return what was kept of a figure, and how the metric that gave it makes it; None unless both sides kept it."""
    if pair.a.samples is None or pair.b.samples is None:
        return None
    for name in metric_names():
        a, b = pair.a.samples.of(name), pair.b.samples.of(name)
        metric = None if a is None or b is None else _made(name)
        how = None if metric is None else figures_in_pairs(metric).get(figure)
        if a is not None and b is not None and how is not None:
            return _InUnits(a=a, b=b, figure=how)
    return None


def _told(found: Pairing) -> tuple[str, str]:
    """Return what a reader must know of a pairing, and its method."""
    if found.differing is None:
        return "", "paired bootstrap (Hesterberg 2015)"
    only_a, only_b = found.differing.only_reference, found.differing.only_answers
    note = f"{only_a} right only in a, {only_b} only in b" if only_a or only_b else "none is right in one only"
    return (
        note,
        f"exact McNemar test on the {found.noun} that one has right and the other wrong; interval from both cells",
    )


def _unpaired(figure: str, a: Estimate, b: Estimate) -> Evidence | None:
    assert a.value is not None
    assert b.value is not None
    counts = [_count(each.value or 0.0, each.n) for each in (a, b)]
    if isinstance(_metric(figure), RightOrWrong) and counts[0] and counts[1]:
        return Evidence(
            contrast=share_contrast(counts[0], counts[1]),
            basis=Basis.SAMPLES,
            n_a=a.n,
            n_b=b.n,
            method="from the two exact binomial intervals (Newcombe 1998, method 10)",
            note="which samples were right is not kept on both sides: unpaired, and so cautious",
        )
    errors = [_error(each) for each in (a, b)]
    if errors[0] is None or errors[1] is None:
        return None
    return Evidence(
        contrast=student_contrast(errors[0], errors[1]),
        basis=Basis.INTERVALS,
        n_a=a.n,
        n_b=b.n,
        method="limits recovered from the intervals that the reports keep (Zou and Donner 2008)",
        note="unpaired, and so cautious",
    )


def _count(share: float, n: int) -> tuple[int, int] | None:
    count = round(share * n)
    return (count, n) if n and 0 <= share <= 1 and math.isclose(count, share * n, abs_tol=1e-6 * n) else None


def _error(estimate: Estimate) -> StandardError | None:
    interval = _interval(estimate)
    return None if interval is None or estimate.value is None else error_of_interval(estimate.value, interval)

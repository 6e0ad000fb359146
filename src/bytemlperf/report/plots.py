"""Drawings of a report: latencies, throughput against latency, numeric differences. No global state of matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bytemlperf.report.rows import Row
from bytemlperf.report.units import number, scale, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from bytemlperf.metrics.differences import OutputDifference
    from bytemlperf.metrics.estimate import Estimate
    from bytemlperf.metrics.histogram import Histogram
    from bytemlperf.trace import Trace

_DPI: Final = 120
_BASE: Final = 10
_FINE_TICKS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
_COARSE_TICKS: Final = (1.0, 2.0, 5.0)
_BLUE: Final = "#2f6db3"
_MARKS: Final = {"p50": "#2a9d5c", "p90": "#e09f3e", "p99": "#c0392b"}
_FEWEST_BINS: Final = 20
_MOST_BINS: Final = 80
_LONG_TAIL: Final = 3
"""Ratio of longest to median latency from which the axis is logarithmic."""

_THROUGHPUT: Final = "throughput/samples_per_s"


def png(figure: Figure) -> bytes:
    """Draw a figure."""
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    return content.getvalue()


def latency_figure(row: Row, trace: Trace) -> Figure | None:
    """Draw a row's latencies: how often each came, and the share that is no longer. None without answers.

    Args:
        row: For the title and the percentiles' figures.
        trace: Its raw event times.
    """
    latency_ns = trace.latency_ns
    if not latency_ns.size:
        return None
    factor, unit = scale("ns", float(np.median(latency_ns)))
    values = np.sort(latency_ns) / factor
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(f"latency of {_title(row)}, n = {values.size:,}")
    left, right = figure.subplots(1, 2)
    left.hist(values, bins=_bins(values), color=_BLUE)
    left.set(xlabel=f"latency [{unit}]", ylabel="queries")
    right.step(values, np.arange(1, values.size + 1) / values.size, where="post", color=_BLUE)
    right.set(xlabel=f"latency [{unit}]", ylabel="share of queries that took no longer", ylim=(0, 1.02))
    for axes in (left, right):
        _mark_percentiles(axes, row, factor)
        if _is_long_tailed(values):
            _use_log_scale(axes, ratio=values[-1] / values[0])
        axes.grid(visible=True, alpha=0.3)
    right.legend(loc="lower right")
    return figure


def _is_long_tailed(values: NDArray[np.float64]) -> bool:
    """Whether sorted values are so far apart that equal bins would hide where most of them are."""
    return bool(values[0] > 0 and values[-1] > _LONG_TAIL * values[values.size // 2])


def _bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return edges over sorted values, of equal ratios where the tail is long."""
    count = int(np.clip(2 * values.size**0.5, _FEWEST_BINS, _MOST_BINS))
    if _is_long_tailed(values):
        return np.geomspace(values[0], values[-1], count + 1)
    return np.histogram_bin_edges(values, bins=count)


def _use_log_scale(axes: Axes, *, ratio: float) -> None:
    axes.set_xscale("log")
    axes.set_xlabel(f"{axes.get_xlabel()}, logarithmic")
    axes.xaxis.set_major_locator(LogLocator(subs=_FINE_TICKS if ratio < _BASE else _COARSE_TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _mark_percentiles(axes: Axes, row: Row, factor: float) -> None:
    for name, colour in _MARKS.items():
        estimate = row.metrics.get(f"latency/{name}")
        if estimate is not None and estimate.value is not None:
            label = f"{name} = {shown(estimate).value}"
            axes.axvline(estimate.value / factor, color=colour, linestyle="--", linewidth=1.2, label=label)


def throughput_figure(rows: Sequence[Row], *, title: str) -> Figure | None:
    """Draw throughput against latency over batch sizes, a line for each load. None without two points.

    The dot is at the median, the bar goes to the 99th percentile; up and down is the interval of
    the throughput.

    Args:
        rows: Of performance; those without both figures, and those that stand beside the timed runs, are left out.
        title: What they are of.
    """
    series = _series(rows)
    points = [row for each in series.values() for row in each]
    if len(points) < 2:  # noqa: PLR2004 - one point is no curve
        return None
    factor, unit = scale("ns", float(np.median([_value(row, "latency/p50") for row in points])))
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for load, each in series.items():
        _draw_series(axes, load, each, factor)
    axes.set(xlabel=f"latency, median to p99 [{unit}]", ylabel="throughput [samples/s]", title=title)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * 1.06)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(title="load; the number is the batch size")
    return figure


def _series(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    series: dict[str, list[Row]] = {}
    for row in rows:
        if row.headline and _value(row, "latency/p50") is not None and _value(row, _THROUGHPUT) is not None:
            series.setdefault(row.scenario or row.key, []).append(row)
    return {load: sorted(each, key=lambda row: row.batch_size or 0) for load, each in series.items()}


def _draw_series(axes: Axes, load: str, rows: Sequence[Row], factor: float) -> None:
    x = _array(rows, "latency/p50") / factor
    y = _array(rows, _THROUGHPUT)
    tail = np.maximum(_array(rows, "latency/p99", otherwise="latency/p50") / factor - x, 0)
    low, high = (np.abs(_ends(rows, end) - y) for end in ("low", "high"))
    axes.errorbar(x, y, yerr=[low, high], xerr=[np.zeros_like(tail), tail], marker="o", capsize=3, label=load)
    for row, across, up in zip(rows, x, y, strict=True):
        label = "" if row.batch_size is None else str(row.batch_size)
        axes.annotate(label, (across, up), textcoords="offset points", xytext=(-4, 7), ha="right")


def _array(rows: Sequence[Row], name: str, *, otherwise: str | None = None) -> NDArray[np.float64]:
    values = [_value(row, name) for row in rows]
    if otherwise is not None:
        values = [_value(row, otherwise) if value is None else value for row, value in zip(rows, values, strict=True)]
    return np.array(values, np.float64)


def _ends(rows: Sequence[Row], end: str) -> NDArray[np.float64]:
    """Return the ends of the throughputs' intervals; the value itself where there is none."""
    found = [row.metrics[_THROUGHPUT] for row in rows]
    return np.array([each.value if getattr(each, end) is None else getattr(each, end) for each in found], np.float64)


def _value(row: Row, name: str) -> float | None:
    estimate: Estimate | None = row.metrics.get(name)
    return None if estimate is None else estimate.value


def difference_figure(name: str, difference: OutputDifference, *, title: str) -> Figure | None:
    """Draw how an output lies beside its reference: difference, reference and output, counts on a log scale.

    None without values.

    Args:
        name: Of the output.
        difference: With its histograms.
        title: What it is of.

    Source:
        ByteMLPerf at a30b4f9, datasets/test_accuracy.py, `draw_all_diff`: the same three histograms.
    """
    panels = {
        "output - reference": difference.difference,
        "reference": difference.reference,
        "output": difference.output,
    }
    if not all(histogram.counts for histogram in panels.values()):
        return None
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    figure.suptitle(f"{name} of {title}, n = {difference.n:,}{_largest(difference)}")
    for axes, (label, histogram) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        _draw_histogram(axes, label, histogram)
    return figure


def _largest(difference: OutputDifference) -> str:
    return "" if difference.max_rel is None else f", max|d| / max|reference| = {number(difference.max_rel)}"


def _draw_histogram(axes: Axes, label: str, histogram: Histogram) -> None:
    edges = np.array(histogram.edges)
    axes.stairs(np.array(histogram.counts), edges, fill=True, color=_BLUE)
    axes.set_yscale("log")
    axes.set(xlabel=label, ylabel="values", ylim=(0.5, None))
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4))
    axes.locator_params(axis="x", nbins=6)
    axes.grid(visible=True, alpha=0.3)


def error_figure(outputs: Mapping[str, OutputDifference], *, title: str) -> Figure | None:
    """Draw error against quantile, a line for each output, with its bound dashed. None where nothing differs.

    Both axes are logarithmic: the horizontal one is the share of positions whose error is larger, so that the
    largest errors lie on the right, and one wrong channel is told from noise by the step that it makes.

    Args:
        outputs: Differences by output.
        title: What they are of.
    """
    drawn = {name: each for name, each in outputs.items() if each.max_abs}
    if not drawn:
        return None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for index, (name, difference) in enumerate(drawn.items()):
        _draw_curve(axes, name, difference, colour=f"C{index % _BASE}")
    axes.set(xscale="log", yscale="log", title=title)
    axes.set(xlabel="share of values with a larger error", ylabel="|output - reference|")
    axes.invert_xaxis()
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    return figure


def _draw_curve(axes: Axes, name: str, difference: OutputDifference, *, colour: str) -> None:
    share, error = np.array(difference.curve.share), np.array(difference.curve.error)
    larger = np.maximum(1 - share, 1 / max(difference.n, 1))  # the largest of n values is not beyond 1 / n
    seen = error > 0
    axes.plot(larger[seen], error[seen], marker=".", color=colour, label=name)
    bound = _bound(difference)
    if bound:
        axes.axhline(bound, color=colour, linestyle="--", linewidth=1)


def _bound(difference: OutputDifference) -> float | None:
    """Return the bound of max|d|: that of max_rel, times max|reference|."""
    if difference.tolerance is None or not difference.max_rel or difference.max_abs is None:
        return None
    return difference.tolerance * difference.max_abs / difference.max_rel


def _title(row: Row) -> str:
    batch = "" if row.batch_size is None else f", batch {row.batch_size}"
    return f"{row.scenario or row.key}{batch}, {row.precision.short}"

"""A limit for people: on a terminal, as Markdown, as a curve."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table
from rich.text import Text

from bytemlperf.report.files import write_bytes
from bytemlperf.report.markdown import table_lines, text
from bytemlperf.report.units import number
from bytemlperf.studies.limit.search import Held, Point

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from bytemlperf.studies.limit.result import Limit

_COLOURS: Final = {Held.HOLDS: "green", Held.BROKEN: "red", Held.UNDECIDED: "yellow"}
_DRAWN: Final = {Held.HOLDS: "#2a9d5c", Held.BROKEN: "#c0392b", Held.UNDECIDED: "#e09f3e"}


def headline(limit: Limit) -> str:
    """Say in one sentence what was found."""
    target = limit.target
    bound = f"p{100 * target.percentile:g} within {number(target.bound_ms)} ms"
    sure = f"at {100 * target.level:g} %"
    if not limit.consistent:
        return f"no limit: {bound} holds at a rate above one where it is broken, so the machine changed meanwhile"
    if limit.rate_qps is None:
        below = "" if limit.broken_qps is None else f"; it is broken at {number(limit.broken_qps)} queries/s"
        return f"no rate is shown to keep {bound} {sure}{below}"
    broken = "" if limit.broken_qps is None else f", is broken at {number(limit.broken_qps)}"
    return f"{number(limit.rate_qps)} queries/s keep {bound} {sure}; the limit lies above{broken}"


def sections(limit: Limit) -> Iterator[RenderableType]:
    """Yield what is shown on a terminal, in order."""
    yield Text.assemble((f"{limit.task} on {limit.backend}", "bold"), f", batch {limit.batch_size}")
    yield Text(headline(limit), style="bold")
    yield Text("; ".join(_besides(limit)), style="dim")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("rate", "queries", "worth", "over", "mean", "p50", f"p{100 * limit.target.percentile:g}"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("bound", no_wrap=True)
    for point in limit.points:
        table.add_row(*_cells(point), Text(point.held, style=_COLOURS[point.held]))
    yield table
    for warning in limit.warnings:
        yield Text(f"warning: {warning}", style="yellow")


def _besides(limit: Limit) -> Iterator[str]:
    yield f"a closed loop does {number(limit.capacity_qps)} queries/s"
    if limit.knee_qps is not None:
        yield f"knee at {number(limit.knee_qps)}"
    yield f"ended: {limit.ended}"


def _cells(point: Point) -> tuple[str, ...]:
    times = (point.mean_ms, point.p50_ms, point.tail_ms)
    return (
        number(point.rate_qps),
        f"{point.queries:,}",
        f"{point.worth:,.0f}",
        f"{point.over:,}",
        *("-" if each is None else f"{number(each)} ms" for each in times),
    )


def to_markdown(limit: Limit) -> str:
    """Write the result and every rate that was tried."""
    return "\n".join(_lines(limit)) + "\n"


def _lines(limit: Limit) -> Iterator[str]:
    yield f"# {text(limit.task)} on {text(limit.backend)}: {text(headline(limit))}"
    yield from ("", text("; ".join(_besides(limit))), "")
    heads = ("queries/s", "queries", "worth", "over", "mean", "p50", f"p{100 * limit.target.percentile:g}", "bound")
    yield from table_lines(heads, ((*_cells(point), point.held) for point in limit.points))
    if limit.noise is not None:
        yield from (f"Noise before: {text(str(limit.noise))}", "")
    for warning in limit.warnings:
        yield f"- {text(warning)}"


def save(limit: Limit, folder: Path) -> Path:
    """Write all forms into a folder.

    Raises:
        HarnessError: If a file cannot be written.
    """
    from bytemlperf.report.plots import png

    write_bytes(folder / "limit.md", to_markdown(limit).encode())
    if limit.points:
        write_bytes(folder / "limit.png", png(limit_figure(limit)))
    path = folder / "limit.json"
    write_bytes(path, (json.dumps(limit.to_dict(), indent=2) + "\n").encode())
    return path


def limit_figure(limit: Limit) -> Figure:
    """Draw latency over the offered rate: median and tail with its interval, the bound, the limit and the knee."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    tail = f"p{100 * limit.target.percentile:g}"
    answered = [point for point in limit.points if point.tail_ms is not None]
    rates = [point.rate_qps for point in answered]
    axes.plot(rates, [point.p50_ms or 0.0 for point in answered], marker=".", color="#888888", label="p50")
    axes.plot(rates, [point.tail_ms or 0.0 for point in answered], color="#2f6db3", linewidth=1, label=tail)
    for held, colour in _DRAWN.items():
        own = [point for point in answered if point.held is held]
        ends = [_ends(point) for point in own]
        if own:
            x, y = [point.rate_qps for point in own], [point.tail_ms or 0.0 for point in own]
            bars = [[low for low, _ in ends], [high for _, high in ends]]
            axes.errorbar(x, y, yerr=bars, fmt="o", color=colour, capsize=3, label=f"{tail}, bound {held}")
    axes.axhline(limit.target.bound_ms, color="#444444", linestyle="--", linewidth=1, label="bound")
    if limit.rate_qps is not None and limit.broken_qps is not None and limit.consistent:
        axes.axvspan(limit.rate_qps, limit.broken_qps, color="#e09f3e", alpha=0.25, label="the limit lies here")
    if limit.knee_qps is not None:
        axes.axvline(limit.knee_qps, color="#7b4fa3", linestyle=":", label="knee")
    axes.set(xlabel="offered rate [queries/s]", ylabel="latency [ms]", yscale="log")
    axes.set_title(f"{limit.task} on {limit.backend}")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    return figure


def _ends(point: Point) -> tuple[float, float]:
    tail = point.tail_ms or 0.0
    low = tail if point.tail_low_ms is None else point.tail_low_ms
    high = tail if point.tail_high_ms is None else point.tail_high_ms
    return max(tail - low, 0.0), max(high - tail, 0.0)

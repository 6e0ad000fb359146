"""Which drawings a report gives, from its rows and the raw files beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bytemlperf.errors import SpecError
from bytemlperf.report.files import differences_path, plot_path, read_differences, read_trace, trace_path, write_bytes
from bytemlperf.report.rows import RowKind

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from bytemlperf.report.report import Report
    from bytemlperf.report.rows import Row

logger = logging.getLogger(__name__)


def figures(report: Report, folder: Path | None) -> Iterator[tuple[str, Figure]]:
    """Yield every drawing that there is data for, by its path relative to the report's folder.

    Args:
        report: What to draw.
        folder: Where its raw files lie; None for drawings from its rows alone.
    """
    from bytemlperf.report.plots import throughput_figure

    rows = [row for row in report.rows_of(RowKind.PERFORMANCE) if row.headline]
    drawn = throughput_figure(rows, title=f"throughput and latency of {_subject(report)}")
    if drawn is not None:
        yield plot_path("performance", "throughput"), drawn
    if folder is not None:
        for row in rows:
            yield from _latency(row, folder)
        for row in report.rows_of(RowKind.NUMERIC):
            yield from _differences(report, row, folder)


def draw(report: Report, folder: Path) -> tuple[str, ...]:
    """Write every drawing into a report's folder; return their paths, relative to it.

    Raises:
        HarnessError: If one cannot be written.
    """
    from bytemlperf.report.plots import png

    paths = []
    for path, figure in figures(report, folder):
        write_bytes(folder / path, png(figure))
        paths.append(path)
    return tuple(paths)


def _latency(row: Row, folder: Path) -> Iterator[tuple[str, Figure]]:
    from bytemlperf.report.plots import latency_figure

    file = folder / trace_path(row.key)
    if not file.exists():
        return
    try:
        drawn = latency_figure(row, read_trace(file))
    except SpecError as error:
        logger.warning("no drawing of %s: %s", row.key, error)
        return
    if drawn is not None:
        yield plot_path(row.key, "latency"), drawn


def _differences(report: Report, row: Row, folder: Path) -> Iterator[tuple[str, Figure]]:
    from bytemlperf.report.plots import difference_figure, error_figure

    file = folder / differences_path(row.key)
    if not file.exists():
        return
    try:
        outputs = read_differences(file)
    except SpecError as error:
        logger.warning("no drawing of %s: %s", row.key, error)
        return
    for index, (name, difference) in enumerate(outputs.items()):
        drawn = difference_figure(name, difference, title=f"{_subject(report)}, {row.precision.short}")
        if drawn is not None:
            yield plot_path(row.key, "difference" if index == 0 else f"difference_{index + 1}"), drawn
    curves = error_figure(outputs, title=f"error against quantile, {_subject(report)}, {row.precision.short}")
    if curves is not None:
        yield plot_path(row.key, "error"), curves


def _subject(report: Report) -> str:
    return f"{report.job.task} on {report.job.backend}"

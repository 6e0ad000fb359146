"""Rows of a report as MLPerf's files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from bytemlperf.errors import SpecError
from bytemlperf.metrics import sample_times
from bytemlperf.report.files import file_stem, read_trace
from bytemlperf.report.mlperf.exporting import Files, System, make_files
from bytemlperf.report.mlperf.settings import Setup
from bytemlperf.report.rows import IN_MEMORY, RowKind
from bytemlperf.scenarios import MLPerfScenario, Server

if TYPE_CHECKING:
    from bytemlperf.report.report import Report
    from bytemlperf.report.rows import Row
    from bytemlperf.trace import Trace

_TRACES: Final = "traces/"


def export(report: Report, folder: Path, *, trace: bool = False) -> tuple[Path, ...]:
    """Write the files of MLPerf LoadGen for each row of one of MLPerf's scenarios.

    A row's files lie in `<row>/performance/run_1`, those of its further processes in `run_2` and so on.

    Args:
        report: With raw stamps beside it.
        folder: Made if it is not there.
        trace: Also write LoadGen's own trace of each run.

    Returns:
        Paths of the detail logs.

    Raises:
        SpecError: If the report has no such row, or its raw stamps are not there.
        HarnessError: If a file cannot be written.
    """
    rows = tuple(_rows(report))
    if not rows:
        raise SpecError(
            "the report has no row of a scenario of MLPerf's",
            got=[row.scenario for row in report.rows_of(RowKind.PERFORMANCE)],
            expected="a row of SingleStream, MultiStream, Server or Offline",
        )
    made = [
        (folder / file_stem(row.key) / "performance" / f"run_{number}", files)
        for row, scenario in rows
        for number, files in enumerate(_files(report, row, scenario, trace=trace), start=1)
    ]
    return tuple(files.write(place)[0] for place, files in made)


def _rows(report: Report) -> Iterator[tuple[Row, MLPerfScenario]]:
    scenarios = {each.key: each for each in report.job.scenarios if isinstance(each, MLPerfScenario)}
    for row in report.rows_of(RowKind.PERFORMANCE):
        if row.headline and row.scenario in scenarios:
            yield row, scenarios[row.scenario]


def _files(report: Report, row: Row, scenario: MLPerfScenario, *, trace: bool) -> Iterator[Files]:
    for stamps in _stamps(report, row):
        times, asked = sample_times(stamps), None
        if trace:
            asked = stamps.batch[stamps.answered].astype(np.int64)
        setup = _setup(report, row, scenario, tokens=times.tokens is not None)
        yield make_files(setup, _system(report), times, asked=asked)


def _stamps(report: Report, row: Row) -> Iterator[Trace]:
    names = [name for name in row.files if name.startswith(_TRACES)]
    if report.folder is None or not names or not all((report.folder / name).is_file() for name in names):
        raise SpecError(
            "the raw stamps of a row are not there", where=row.key, remedy="run with out=, and load from that folder"
        )
    for name in names:
        yield read_trace(report.folder / name)


def _setup(report: Report, row: Row, scenario: MLPerfScenario, *, tokens: bool) -> Setup:
    in_memory = row.labels.get(IN_MEMORY)
    if not isinstance(in_memory, int) or report.dataset is None:
        raise SpecError("the row does not tell what was in memory", where=f"{row.key}: labels.{IN_MEMORY}")
    bounded = not isinstance(scenario, Server) or scenario.ttft_bound_ms is not None
    return Setup(
        scenario=scenario,
        seeds=report.seeds,
        total_samples=max(in_memory, report.dataset.samples),
        performance_samples=in_memory,
        token_latencies=tokens and bounded,
    )


def _system(report: Report) -> System:
    assert report.dataset is not None, "the setup was made of it"
    return System(
        backend=report.job.backend if report.backend is None else report.backend.name,
        dataset=report.dataset.name,
        started_utc=report.started_utc,
        version=f"bytemlperf {report.environment.packages.get('bytemlperf', 'unknown')}",
    )

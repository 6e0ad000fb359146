"""A run of this package in the files that MLPerf LoadGen writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import SpecError
from bytemlperf.metrics import SampleTimes, validity
from bytemlperf.report.files import write_bytes
from bytemlperf.report.mlperf.lines import LogLine, joined
from bytemlperf.report.mlperf.log import ACCURACY, DETAIL, SUMMARY, TRACE, DetailLog, from_lines
from bytemlperf.report.mlperf.results import (
    early_ends,
    early_texts,
    figure_lines,
    generated_lines,
    verdict_lines,
)
from bytemlperf.report.mlperf.settings import Setup, effective, requested
from bytemlperf.report.mlperf.stamps import IssuedSamples, written
from bytemlperf.report.mlperf.summary import summary
from bytemlperf.scenarios import MultiStream, Plan
from bytemlperf.scenarios.mlperf import ManyQueries

if TYPE_CHECKING:
    from bytemlperf.spec.reading import Json

FORM: Final = "the form of LoadGen 6.0"
"""Which version's keys are written."""

_NS_PER_MS: Final = 1e6
_NO_ANSWERS: Final = "[\n]\n"


@attrs.frozen(kw_only=True)
class System:
    """Who ran what, for a log's head.

    Attributes:
        backend: Name of what was measured.
        dataset: Name of what was asked.
        started_utc: When the job began, such as `2026-01-31T12:00:00Z`.
        version: Of the harness, such as `bytemlperf 0.1.0`.
    """

    backend: str
    dataset: str
    started_utc: str
    version: str


@attrs.frozen(kw_only=True, eq=False)
class Files:
    """The files of one run, by name; `log` is what the detail log among them holds."""

    log: DetailLog
    texts: Mapping[str, str]

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write every file into a folder, each at once or not at all.

        Raises:
            HarnessError: If a file cannot be written.
        """
        return tuple(write_bytes(folder / name, text.encode()) for name, text in self.texts.items())


def make_files(setup: Setup, system: System, times: SampleTimes, *, asked: NDArray[np.int64] | None = None) -> Files:
    """Tell a run as LoadGen would have told it.

    Keys whose values cannot be had are left out: see `LEFT_OUT`.

    Args:
        setup: What the run was set to.
        system: Who ran what.
        times: Of the samples that were answered, in the order of issue.
        asked: int64[n], number of each of these samples in the data set: then LoadGen's own trace is written too,
            about 300 bytes a sample.

    Raises:
        SpecError: If no sample was answered, or times and setup are not of the same run.
    """
    if not setup.token_latencies:
        times = attrs.evolve(times, first_ns=None, tokens=None)
    plan = _plan(setup, times)
    verdict = validity(setup.scenario, times, loaded=setup.in_memory)
    log = from_lines(_lines(setup, system, times, plan), file=DETAIL)
    texts = {
        DETAIL: joined(log.lines),
        SUMMARY: summary(log, verdict, early_texts(setup.scenario, times)),
        ACCURACY: _NO_ANSWERS,
    }
    if asked is None:
        return Files(log=log, texts=texts)
    issued = IssuedSamples(times=attrs.evolve(times, first_ns=None, tokens=None, lost=0), sample=asked)
    return Files(log=attrs.evolve(log, samples=issued), texts={**texts, TRACE: written(issued)})


def _plan(setup: Setup, times: SampleTimes) -> Plan:
    """Make anew what was prepared before any rule cut it short, as LoadGen would have.

    Raises:
        SpecError: If times and setup are not of the same run.
    """
    scenario = setup.scenario
    if isinstance(scenario, ManyQueries):
        scenario = attrs.evolve(scenario, max_queries=None)
    plan = scenario.plan(setup.in_memory, setup.seeds)
    asked, together = len(times) + times.lost, times.samples_per_query
    if together != plan.samples_per_query or asked > len(plan.batch):
        raise SpecError(
            "times are not of this scenario",
            got=f"{asked} samples, {together} a query",
            expected=f"at most {len(plan.batch)}, {plan.samples_per_query} a query",
        )
    if setup.token_latencies and times.tokens is None:
        raise SpecError("there are no tokens whose times could count")
    return plan


def _lines(setup: Setup, system: System, times: SampleTimes, plan: Plan) -> Iterator[LogLine]:
    scenario, loaded = setup.scenario, setup.in_memory
    for pairs in (_head(setup, system), requested(setup), effective(setup), _prepared(setup, plan)):
        yield from _at(0.0, pairs)
    over_ms = int(times.done_ns.max(initial=0)) / _NS_PER_MS
    errors = tuple(early_ends(scenario, times, generated=len(plan), loaded=loaded))
    for text in errors:
        yield LogLine(key="error_runtime", value=text, time_ms=over_ms, is_error=True)
    yield from _at(over_ms, verdict_lines(scenario, times, validity(scenario, times, loaded=loaded)))
    yield from _at(over_ms, figure_lines(scenario, times))
    yield LogLine(key="num_errors", value=len(errors), time_ms=over_ms)


def _at(time_ms: float, pairs: Iterator[tuple[str, Json]]) -> Iterator[LogLine]:
    """Make lines of what has a value."""
    return (LogLine(key=key, value=value, time_ms=time_ms) for key, value in pairs if value is not None)


def _head(setup: Setup, system: System) -> Iterator[tuple[str, Json]]:
    yield "loadgen_version", f"{system.version}, in {FORM}"
    yield "test_datetime", system.started_utc
    yield "sut_name", system.backend
    yield "qsl_name", system.dataset
    yield "qsl_reported_total_count", setup.total_samples
    yield "qsl_reported_performance_count", setup.performance_samples


def _prepared(setup: Setup, plan: Plan) -> Iterator[tuple[str, Json]]:
    assert plan.loaded is not None, "the scenarios of MLPerf name what is loaded"
    again = plan.samples_per_query - 1 if isinstance(setup.scenario, MultiStream) else 0
    yield "loaded_qsl_set", [int(each) for each in np.resize(plan.loaded, len(plan.loaded) + again)]
    yield from generated_lines(setup.scenario, setup.seeds, queries=len(plan), samples_per_query=plan.samples_per_query)

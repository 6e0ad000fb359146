"""Run bursts of prompts of each length at each batch, and put the table together."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from bytemlperf.api import BackendLike, TaskLike, run
from bytemlperf.artifact import ModelArtifact
from bytemlperf.errors import SpecError
from bytemlperf.report import Report, RowKind
from bytemlperf.report.files import read_trace
from bytemlperf.scenarios import Replay, Warmup
from bytemlperf.spec import DType, ModelSpec
from bytemlperf.spec.recipe import ConfigValue
from bytemlperf.studies.phases.measuring import BurstTimes, burst_times
from bytemlperf.studies.phases.probing import MachineLimits, machine_limits
from bytemlperf.studies.phases.result import PhaseRow, PhaseTable
from bytemlperf.workload import Check, Lengths
from bytemlperf.zoo import get as get_model

if TYPE_CHECKING:
    from bytemlperf.worker import Worker

_ITEM_BYTES: Final = {DType.FLOAT64: 8, DType.FLOAT32: 4, DType.FLOAT16: 2, DType.BFLOAT16: 2, DType.INT8: 1}


def phase_table(
    task: TaskLike,
    *,
    backend: BackendLike = "torch",
    weights: str = "random",
    batch_sizes: Iterable[int] = (1, 8),
    input_tokens: Iterable[int] = (128,),
    output_tokens: int = 32,
    ranks: Iterable[int] = (1,),
    bursts: int = 3,
    options: Mapping[str, ConfigValue] | None = None,
    worker: Worker | None = None,
    seed: int = 0,
    limits: MachineLimits | None = None,
) -> PhaseTable:
    """Measure prefill and decode of a language model over batch and length.

    For each number of ranks and each length the model is compiled once; for each batch so many prompts are sent at
    once, again and again. The machine's own limits are measured before, in this process, while nothing else runs.

    Args:
        task: As `run`.
        backend: As `run`; one that generates.
        weights: As `run`.
        batch_sizes: Prompts that are sent at once.
        input_tokens: Tokens of each prompt.
        output_tokens: Tokens of each answer, 2 at least.
        ranks: Processes among which the model is divided, by the backend's option `tensor_parallel`.
        bursts: How often the prompts of a row are sent.
        options: As `run`.
        worker: As `run`.
        seed: As `run`.
        limits: What the machine reaches; None measures it.

    Raises:
        RequestError: As `run`, or for numbers that cannot be.
    """
    sizes, lengths = tuple(batch_sizes), tuple(input_tokens)
    if not sizes or not lengths or min((*sizes, *lengths, bursts)) < 1 or output_tokens < 2:  # noqa: PLR2004 - a gap
        raise SpecError(
            "a table cannot be",
            got=(sizes, lengths, bursts, output_tokens),
            expected="batch sizes, lengths and bursts of 1 at least, answers of 2 tokens at least",
        )
    study = _Study(
        job={"backend": backend, "weights": weights, "seed": seed, "worker": worker},
        options=dict(options or {}),
        sizes=sizes,
        output_tokens=output_tokens,
        bursts=bursts,
        limits=machine_limits() if limits is None else limits,
    )
    for count in ranks:
        for length in lengths:
            study.measure(task, count, length)
    first = study.reports[0].job
    return PhaseTable(
        task=first.task,
        backend=first.backend,
        rows=study.rows,
        limits=study.limits,
        failures=[failure for report in study.reports for failure in report.failures],
    )


@attrs.define(kw_only=True)
class _Study:
    """A table while it is made."""

    job: Mapping[str, Any]
    options: dict[str, ConfigValue]
    sizes: tuple[int, ...]
    output_tokens: int
    bursts: int
    limits: MachineLimits
    rows: list[PhaseRow] = attrs.field(factory=list)
    reports: list[Report] = attrs.field(factory=list)

    def measure(self, task: TaskLike, ranks: int, length: int) -> None:
        """Add the rows of a number of ranks and a length."""
        divided = {} if ranks == 1 else {"tensor_parallel": ranks}
        with tempfile.TemporaryDirectory(prefix="bytemlperf-phases-", ignore_cleanup_errors=True) as folder:
            report = run(
                task,
                prompts=Lengths(input=length, output=self.output_tokens),
                scenarios=[each for size in self.sizes for each in self._bursts(size)],
                checks=[Check.PERFORMANCE],
                options={**self.options, **divided},
                out=Path(folder),
                **self.job,
            )
            times = {size: _times(report, self._bursts(size)) for size in self.sizes}
        self.reports.append(report)
        spec = _model_of(report, task)
        for size in self.sizes:
            row = _row(times[size], ranks=ranks, size=size, length=length)
            self.rows.append(_with_shares(row, spec, self.limits))

    def _bursts(self, size: int) -> list[Replay]:
        return [_burst(size, number) for number in range(self.bursts)]


def _burst(size: int, number: int) -> Replay:
    """Return the load pattern of one burst; bursts differ by a nanosecond, so that each has a row of its own."""
    return Replay(scheduled_ns=(number,) * size, warmup=Warmup(max_queries=1, window=1))


def _times(report: Report, bursts: Sequence[Replay]) -> list[BurstTimes]:
    keys = {each.key for each in bursts}
    rows = [row for row in report.rows_of(RowKind.PERFORMANCE) if row.scenario in keys]
    assert report.folder is not None, "the run had a folder"
    found = [burst_times(read_trace(report.folder / row.files[0])) for row in rows]
    return [each for each in found if each is not None]


def _model_of(report: Report, task: TaskLike) -> ModelSpec:
    if isinstance(task, ModelArtifact):
        return task.spec
    return report.job.model or get_model(report.job.task)


def _row(times: Sequence[BurstTimes], *, ranks: int, size: int, length: int) -> PhaseRow:
    prefill = [each.prefill_ns / 1e9 for each in times]
    decode = [each.decode_ns / 1e9 for each in times if each.decode_ns is not None]
    return PhaseRow(
        ranks=ranks,
        batch=size,
        input_tokens=length,
        bursts=len(times),
        prefill_s=statistics.median(prefill) if prefill else None,
        prefill_range_s=(min(prefill), max(prefill)) if prefill else None,
        decode_s=statistics.median(decode) if decode else None,
    )


def _with_shares(row: PhaseRow, spec: ModelSpec, limits: MachineLimits) -> PhaseRow:
    """Return a row with the shares of the machine's limits, where the number of parameters is known."""
    if spec.parameters is None:
        return row
    read = spec.parameters * _ITEM_BYTES.get(spec.precision, 4)
    operations = 2 * spec.parameters * row.batch * row.input_tokens
    return attrs.evolve(
        row,
        compute_share=operations / row.prefill_s / limits.flops_per_s if row.prefill_s else None,
        bandwidth_share=read / row.decode_s / limits.read_bytes_per_s if row.decode_s else None,
    )

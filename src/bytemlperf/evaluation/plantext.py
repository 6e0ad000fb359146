"""A plan on a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bytemlperf.evaluation.jobplan import JobPlan, Needed, PlannedRow
    from bytemlperf.statistics import Claim

_MINUTE_S = 60.0
_MB = 1e6


def sections(plan: JobPlan) -> Iterator[RenderableType]:
    """Yield what is shown, in order."""
    took = "not known without a pilot or an expected latency" if plan.minutes is None else _time(plan.minutes * 60)
    yield Text.assemble((f"{plan.job.task} on {plan.job.backend}", "bold"), f": {len(plan.rows)} rows, {took}, ")
    yield Text(f"{plan.disk_bytes / _MB:.1f} MB on disk, if a folder is given", style="dim")
    yield _rows(plan)
    for row in plan.rows:
        yield from _claims(row, plan)
    for note in plan.notes:
        yield Text(f"note: {note}", style="dim")


def _rows(plan: JobPlan) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("row", overflow="fold")
    table.add_column("queries", justify="right")
    table.add_column("time", justify="right", no_wrap=True)
    for row in plan.rows:
        queries = "" if row.queries is None else f"{row.queries:,}"
        table.add_row(escape(row.key), queries, "" if row.seconds is None else _time(row.seconds))
    if plan.overhead_s is not None:
        table.add_row("starting, compiling, checking", "", _time(plan.overhead_s))
    return table


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _MINUTE_S else f"{seconds / _MINUTE_S:.1f} min"


def _claims(row: PlannedRow, plan: JobPlan) -> Iterator[RenderableType]:
    if row.claims or row.within or row.needed:
        yield Text(row.key, style="bold")
    for each in row.claims:
        yield Text(f"  {_claim(each)}")
    for each in row.within:
        yield Text(f"  in {plan.wish.minutes:g} min, {_claim(each)}")
    for needed in row.needed:
        yield Text(f"  {_need(needed)}")


def _claim(claim: Claim) -> str:
    name, count = f"p{100 * claim.p:g}", f"{claim.queries:,} queries"
    if not claim.holds:
        return f"{name} cannot be claimed of {count}: its interval takes {claim.needed:,}"
    width = "" if claim.width is None else f", interval within {100 * claim.width:.1f} % (9 runs in 10)"
    early = "" if claim.mlperf_over is None else f"; MLPerf allows {claim.mlperf_over} over a bound"
    return f"{name} at {100 * claim.level:g} % of {count}{width}{early}"


def _need(needed: Needed) -> str:
    name = "mean" if needed.p is None else f"p{100 * needed.p:g}"
    unknown = "more than this pilot can tell"
    told = unknown if needed.for_difference is None else f"{needed.for_difference:,} queries a side"
    apart = f"a difference of {100 * needed.difference:g} % takes {told}"
    if needed.p is None:
        return f"{name}: {apart}"
    wide = unknown if needed.for_width is None else f"{needed.for_width:,} queries"
    return f"{name}: an interval within {100 * needed.width:g} % takes {wide}; {apart}"

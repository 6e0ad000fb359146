"""Several independent processes as the unit of variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.metrics.estimate import Estimate, Metrics, joined
from bytemlperf.statistics import mean_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def across_processes(values: Sequence[Mapping[str, Estimate]], *, level: float = 0.95) -> Metrics:
    """Average each figure over independent processes, with an interval for how processes differ.

    What one process measures shares its memory layout, its clocks' state and its luck, so that the interval of one run
    says nothing of the next. Each process gives one value of each figure; `n` is the number of processes.

    Args:
        values: The figures of each process, in any order.
        level: Confidence of the intervals.

    Returns:
        Every figure that any process has. One that a process lacks is averaged over the others, and the note says so.

    Raises:
        SpecError: If processes give a figure in different units.

    Source:
        Student's t over process means: Georges, Buytaert and Eeckhout, Statistically Rigorous Java Performance
        Evaluation, OOPSLA 2007 (several invocations of the virtual machine).
    """
    names = dict.fromkeys(name for each in values for name in each)
    return Metrics({name: _across(name, values, level=level) for name in names})


def _across(name: str, values: Sequence[Mapping[str, Estimate]], *, level: float) -> Estimate:
    found = [each[name] for each in values if name in each]
    units = sorted({each.unit for each in found})
    if len(units) > 1:
        raise SpecError(f"processes give {name} in different units", got=units, expected="one unit")
    measured = [each.value for each in found if each.value is not None]
    lacking = len(values) - len(measured)
    figure = Estimate(
        value=None,
        unit=units[0],
        level=level,
        n=len(measured),
        definition="mean over independent processes, interval by Student's t over them; in each process: "
        + joined(*(each.definition for each in found)),
        note=joined(
            f"{lacking} of {len(values)} processes gave no value" if lacking else "",
            *(each.note for each in found),
        ),
    )
    return _averaged(figure, measured)


def _averaged(figure: Estimate, measured: Sequence[float]) -> Estimate:
    if not measured:
        return figure
    interval = mean_interval(measured, level=figure.level)
    single = "" if interval.bounded else "one process: how processes differ is not known"
    return attrs.evolve(figure, value=sum(measured) / len(measured)).within(interval).noted(single)

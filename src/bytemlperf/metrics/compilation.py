"""Figures of compilation, from durations that the harness took from outside."""

from __future__ import annotations

from typing import Final

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.metrics.estimate import Estimate, Metrics
from bytemlperf.spec.fields import at_least

_NS_PER_S: Final = 1e9


@attrs.frozen(kw_only=True)
class CompileTimes:
    """Durations in ns of the way from an artifact to its first answer; None where a phase was not measured.

    Attributes:
        convert_ns: Conversion to a format that the backend takes; 0 where none is needed.
        compile_ns: The call of `compile`.
        first_predict_ns: The first call of `predict`, where lazy compilers do their work.

    Raises:
        SpecError: If one is below 0 or no whole number.
    """

    convert_ns: int | None = attrs.field(default=None, validator=at_least(0, optional=True))
    compile_ns: int | None = attrs.field(default=None, validator=at_least(0, optional=True))
    first_predict_ns: int | None = attrs.field(default=None, validator=at_least(0, optional=True))


_START: Final = {
    "cold": "new process, empty cache folder",
    "warm": "new process, the cache folder of the cold start",
}


def compile_figures(
    *,
    cold: CompileTimes | None = None,
    warm: CompileTimes | None = None,
    tune_ns: int | None = None,
    coverage: float | None = None,
    artifact_bytes: int | None = None,
) -> Metrics:
    """Compute what it takes to get a first answer: `compile/cold/...`, `compile/warm/...`, coverage and size.

    Each start has `convert_s`, `compile_s`, `first_predict_s` and their sum, the headline `time_to_first_answer_s`.
    Each is one measurement: intervals come from `across_processes`. Tuning, `compile/tune_s`, is done once for a model
    and stands for itself: it is no part of the headline.

    Args:
        cold: Durations of a new process with an empty cache folder; None where there was none.
        warm: Durations of a new process with the same cache folder.
        tune_ns: Duration of the backend's choosing among its options; None where it did not, and then there is no
            figure.
        coverage: Share of the operators that run on the accelerator, 0 to 1; None where the backend cannot tell.
        artifact_bytes: Size of the files that compilation wrote; None where it is not known.

    Raises:
        SpecError: If coverage is no share, or the size or a duration is below 0.

    Example:
        >>> cold = CompileTimes(convert_ns=500_000_000, compile_ns=1_000_000_000, first_predict_ns=250_000_000)
        >>> compile_figures(cold=cold)["compile/cold/time_to_first_answer_s"].value
        1.75
    """
    starts = {"cold": cold or CompileTimes(), "warm": warm or CompileTimes()}
    figures = {
        f"compile/{name}/{phase}": estimate
        for name, times in starts.items()
        for phase, estimate in _phases(times, _START[name]).items()
    }
    return Metrics(figures | _tuning(tune_ns) | _properties(coverage, artifact_bytes))


def _phases(times: CompileTimes, start: str) -> dict[str, Estimate]:
    phases = {
        "convert_s": (times.convert_ns, "conversion of the artifact to a format that the backend takes"),
        "compile_s": (times.compile_ns, "the call of compile"),
        "first_predict_s": (times.first_predict_ns, "the first call of predict"),
    }
    known = [ns for ns, _ in phases.values() if ns is not None]
    lacking = [name for name, (ns, _) in phases.items() if ns is None]
    total = None if lacking else sum(known)
    note = f"not measured: {', '.join(lacking)}" if lacking else ""
    figures = {name: _seconds(ns, f"duration of {what}; {start}") for name, (ns, what) in phases.items()}
    headline = _seconds(total, f"convert_s + compile_s + first_predict_s; {start}", note=note)
    return figures | {"time_to_first_answer_s": headline}


def _tuning(tune_ns: int | None) -> dict[str, Estimate]:
    if tune_ns is None:
        return {}
    if tune_ns < 0:
        raise SpecError("a duration is below 0", where="$.tune_ns", got=tune_ns, expected="ns, or None")
    what = "duration of tune: the backend chooses its options by measurements of the harness, in a process of its own"
    return {"compile/tune_s": _seconds(tune_ns, f"{what}; no part of time_to_first_answer_s")}


def _seconds(duration_ns: int | None, definition: str, *, note: str = "not measured") -> Estimate:
    if duration_ns is None:
        return Estimate(value=None, unit="s", definition=definition, note=note)
    return Estimate(value=duration_ns / _NS_PER_S, unit="s", n=1, definition=definition)


def _properties(coverage: float | None, artifact_bytes: int | None) -> dict[str, Estimate]:
    if coverage is not None and not 0 <= coverage <= 1:
        raise SpecError("coverage is no share", where="$.coverage", got=coverage, expected="0 to 1, or None")
    if artifact_bytes is not None and artifact_bytes < 0:
        raise SpecError("a size is below 0", where="$.artifact_bytes", got=artifact_bytes, expected="bytes, or None")
    return {
        "compile/coverage": Estimate(
            value=coverage,
            unit="1",
            n=int(coverage is not None),
            definition="share of the model's operators that run on the accelerator, as the backend's segments say",
            note="" if coverage is not None else "not known: the backend cannot tell",
        ),
        "compile/artifact_bytes": Estimate(
            value=artifact_bytes,
            unit="B",
            n=int(artifact_bytes is not None),
            definition="size of the files that compilation wrote",
            note="" if artifact_bytes is not None else "not known",
        ),
    }

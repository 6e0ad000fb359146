"""MLPerf's detail log as a value: read strictly, and written so that reading gives the same value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.metrics import SampleTimes, Validity, validity
from bytemlperf.report.mlperf.keys import is_result, kinds_of
from bytemlperf.report.mlperf.lines import LogLine, parse
from bytemlperf.report.mlperf.settings import PERFORMANCE_ONLY, Setup, read_setup
from bytemlperf.report.mlperf.stamps import IssuedSamples, read_stamps
from bytemlperf.scenarios import MLPerfScenario, Seeds
from bytemlperf.spec.fields import as_tuple
from bytemlperf.spec.reading import Json

DETAIL: Final = "mlperf_log_detail.txt"
SUMMARY: Final = "mlperf_log_summary.txt"
ACCURACY: Final = "mlperf_log_accuracy.json"
TRACE: Final = "mlperf_log_trace.json"
"""Names of the files that LoadGen writes."""


@attrs.frozen(kw_only=True)
class DetailLog:
    """What a log of MLPerf LoadGen, or one in its form, tells of a run.

    Attributes:
        setup: Scenario, seeds and sizes, by the settings.
        mode: LoadGen's test mode, such as `PerformanceOnly`.
        settings: Every `requested_*` and `effective_*` setting by its key.
        results: Every result by its key, as LoadGen names it.
        loaded: Samples that were loaded, in order; None where the log does not tell.
        valid: Whether the log calls the run valid; None where it does not tell.
        errors: What went wrong in the run.
        warnings: What LoadGen warned of.
        extras: Values of keys that are not known here; of a key that comes several times, the first.
        lines: The whole log.
        samples: Times of each sample by the trace beside the log; None where there was none. Not compared.
    """

    setup: Setup
    mode: str
    settings: Mapping[str, Json]
    results: Mapping[str, Json]
    loaded: tuple[int, ...] | None
    valid: bool | None
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    extras: Mapping[str, Json] = attrs.field(repr=False)
    lines: tuple[LogLine, ...] = attrs.field(converter=as_tuple, repr=False)
    samples: IssuedSamples | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def scenario(self) -> MLPerfScenario:
        """The load pattern."""
        return self.setup.scenario

    @property
    def seeds(self) -> Seeds:
        """Of the loaded set, the order of samples and the arrivals."""
        return self.setup.seeds

    @property
    def times(self) -> SampleTimes | None:
        """Times of the samples by the trace; None where there was none."""
        return None if self.samples is None else self.samples.times

    def value(self, key: str) -> Json:
        """Return the first value that the log has for a key; None where it has none."""
        return next((line.value for line in self.lines if line.key == key), None)

    def number(self, key: str) -> float | None:
        """Return a result that is a number; None where it is not told."""
        value = self.results.get(key)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def verdict(self) -> Validity | None:
        """Judge the run anew by the times of its samples; None without them.

        With bounds on tokens the times of the trace do not decide: LoadGen does not write how many tokens there were.
        """
        if self.times is None or self.setup.token_latencies or self.mode != PERFORMANCE_ONLY:
            return None
        return validity(self.scenario, self.times, loaded=self.setup.in_memory)


def from_lines(lines: Iterable[LogLine], *, file: str) -> DetailLog:
    """Return what the lines of a log tell.

    Args:
        lines: In order; values of known keys have their types.
        file: Name of the log, for messages.

    Raises:
        SpecError: If a setting is missing, or is none that a run can have.
    """
    told = tuple(lines)
    values: dict[str, Json] = {}
    for line in told:
        values.setdefault(line.key, line.value)
    known = {key: value for key, value in values.items() if kinds_of(key) is not None}
    loaded, valid = known.get("loaded_qsl_set"), known.get("result_validity")
    return DetailLog(
        setup=read_setup(known, where=file),
        mode=str(known.get("effective_test_mode")),
        settings={key: value for key, value in known.items() if key.startswith(("requested_", "effective_"))},
        results={key: value for key, value in known.items() if is_result(key)},
        loaded=tuple(int(str(each)) for each in loaded) if isinstance(loaded, list) else None,
        valid=_validity(valid, file=file),
        errors=tuple(str(line.value) for line in told if line.is_error),
        warnings=tuple(str(line.value) for line in told if line.is_warning),
        extras={key: value for key, value in values.items() if key not in known},
        lines=told,
    )


def _validity(value: Json, *, file: str) -> bool | None:
    if value is None:
        return None
    if value not in {"VALID", "INVALID"}:
        raise SpecError("no verdict", where=f"{file}: result_validity", got=value, expected="VALID or INVALID")
    return value == "VALID"


def read(path: str | Path) -> DetailLog:
    """Read a detail log, and the trace beside it if there is one.

    Args:
        path: `mlperf_log_detail.txt`, or the folder that holds it.

    Raises:
        SpecError: If there is no such file, or for a line that is malformed or has a value of another type than its
            key, with file and line.

    Example:
        What a run of LoadGen came to::

            log = read("results/resnet50/Server/performance/run_1")
            print(log.scenario, log.valid, log.results["result_99.00_percentile_latency_ns"])
    """
    file = Path(path) / DETAIL if Path(path).is_dir() else Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError("the detail log cannot be read", where=str(file), got=type(error).__name__) from error
    log = from_lines(parse(text, file=file.name), file=file.name)
    beside = file.with_name(TRACE)
    return attrs.evolve(log, samples=read_stamps(beside)) if beside.is_file() else log

"""What makes figures: pure functions of a trace, or of outputs and what they should be.

Every figure is an `Estimate`: value, unit, interval, n and definition. `latency`, `throughput`, `queueing` and
`performance` take a trace; a `SampleMetric` (`get("top1")`) takes outputs and labels; `compare` takes outputs and an
independent reference. `loadgen_result` and `validity` are MLPerf's own figures and verdict, of `sample_times`.
"""

from bytemlperf.metrics.base import RightOrWrong, SampleMetric, TraceMetric
from bytemlperf.metrics.bytemlperf_formulas import bytemlperf_diff, bytemlperf_figures
from bytemlperf.metrics.certain import certain
from bytemlperf.metrics.compilation import CompileTimes, compile_figures
from bytemlperf.metrics.differences import NonFinite, OutputDifference
from bytemlperf.metrics.estimate import Estimate, Metrics, merged
from bytemlperf.metrics.histogram import Histogram
from bytemlperf.metrics.loadgen import LOADGEN_PERCENTILES, loadgen_result
from bytemlperf.metrics.numeric import NumericResult, NumericState, compare
from bytemlperf.metrics.repeats import across_processes
from bytemlperf.metrics.sample_times import SampleTimes, sample_times
from bytemlperf.metrics.timing import (
    calls,
    latency,
    omission,
    performance,
    phases,
    queries,
    queueing,
    throughput,
    watching,
)
from bytemlperf.metrics.tolerance import TOLERANCE, Tolerance, tolerance_of
from bytemlperf.metrics.validity import Cause, InvalidReason, Validity, validity
from bytemlperf.metrics.vendor import vendor_figures
from bytemlperf.registry import metrics as _registry

get = _registry.get
names = _registry.names

__all__ = [
    "LOADGEN_PERCENTILES",
    "TOLERANCE",
    "Cause",
    "CompileTimes",
    "Estimate",
    "Histogram",
    "InvalidReason",
    "Metrics",
    "NonFinite",
    "NumericResult",
    "NumericState",
    "OutputDifference",
    "RightOrWrong",
    "SampleMetric",
    "SampleTimes",
    "Tolerance",
    "TraceMetric",
    "Validity",
    "across_processes",
    "bytemlperf_diff",
    "bytemlperf_figures",
    "calls",
    "certain",
    "compare",
    "compile_figures",
    "get",
    "latency",
    "loadgen_result",
    "merged",
    "names",
    "omission",
    "performance",
    "phases",
    "queries",
    "queueing",
    "sample_times",
    "throughput",
    "tolerance_of",
    "validity",
    "vendor_figures",
    "watching",
]

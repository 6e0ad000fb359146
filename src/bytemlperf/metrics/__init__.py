"""What makes figures: pure functions of a trace, or of outputs and what they should be.

Every figure is an `Estimate`: value, unit, interval, n and definition. `latency`, `throughput`, `queueing` and
`performance` take a trace; a `SampleMetric` (`get("top1")`) takes outputs and labels; `compare` takes outputs and an
independent reference. `loadgen_result` and `validity` are MLPerf's own figures and verdict, of `sample_times`.
"""

from bytemlperf.metrics.acceptance import Basis, Judgement, Requirement, judge_paired, judge_published
from bytemlperf.metrics.base import RightOrWrong, SampleMetric, Scored, TraceMetric, sample_scores
from bytemlperf.metrics.bytemlperf_formulas import bytemlperf_diff, bytemlperf_figures
from bytemlperf.metrics.compilation import CompileTimes, compile_figures
from bytemlperf.metrics.differences import ErrorCurve, NonFinite, OutputDifference
from bytemlperf.metrics.estimate import Estimate, Metrics, merged
from bytemlperf.metrics.histogram import Histogram
from bytemlperf.metrics.loadgen import LOADGEN_PERCENTILES, loadgen_result
from bytemlperf.metrics.numeric import NumericResult, NumericState, compare
from bytemlperf.metrics.repeats import across_processes
from bytemlperf.metrics.sample_times import SampleTimes, sample_times
from bytemlperf.metrics.timing import latency, performance, phases, queries, queueing, throughput
from bytemlperf.metrics.tolerance import TOLERANCE, Tolerance, tolerance_of
from bytemlperf.metrics.validity import Cause, Reason, Validity, validity
from bytemlperf.metrics.vendor import vendor_figures
from bytemlperf.registry import metrics as _registry

get = _registry.get
names = _registry.names

__all__ = [
    "LOADGEN_PERCENTILES",
    "TOLERANCE",
    "Basis",
    "Cause",
    "CompileTimes",
    "ErrorCurve",
    "Estimate",
    "Histogram",
    "Judgement",
    "Metrics",
    "NonFinite",
    "NumericResult",
    "NumericState",
    "OutputDifference",
    "Reason",
    "Requirement",
    "RightOrWrong",
    "SampleMetric",
    "SampleTimes",
    "Scored",
    "Tolerance",
    "TraceMetric",
    "Validity",
    "across_processes",
    "bytemlperf_diff",
    "bytemlperf_figures",
    "compare",
    "compile_figures",
    "get",
    "judge_paired",
    "judge_published",
    "latency",
    "loadgen_result",
    "merged",
    "names",
    "performance",
    "phases",
    "queries",
    "queueing",
    "sample_scores",
    "sample_times",
    "throughput",
    "tolerance_of",
    "validity",
    "vendor_figures",
]

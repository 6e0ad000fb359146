"""What makes figures: pure functions of a trace, or of outputs and what they should be.

Every figure is an `Estimate`: value, unit, interval, n and definition. `latency`, `throughput`, `queueing` and
`performance` take a trace; a `SampleMetric` (`get("top1")`) takes outputs and labels; `compare` takes outputs and an
independent reference. `loadgen_result` and `validity` are MLPerf's own figures and verdict, of `sample_times`.
"""

from bytemlperf.metrics.acceptance import Basis, Judgement, Requirement, judge_paired, judge_published
from bytemlperf.metrics.auc import Auc
from bytemlperf.metrics.base import InUnits, RightOrWrong, SampleMetric, Scored, TraceMetric, figures_in_pairs
from bytemlperf.metrics.binary_accuracy import BinaryAccuracy
from bytemlperf.metrics.bytemlperf_formulas import bytemlperf_diff, bytemlperf_figures
from bytemlperf.metrics.certain import certain
from bytemlperf.metrics.compilation import CompileTimes, compile_figures
from bytemlperf.metrics.detection import DetectionMap
from bytemlperf.metrics.differences import ErrorCurve, NonFinite, OutputDifference
from bytemlperf.metrics.estimate import Estimate, Metrics, merged
from bytemlperf.metrics.histogram import Histogram
from bytemlperf.metrics.loadgen import LOADGEN_PERCENTILES, loadgen_result
from bytemlperf.metrics.log_loss import LogLoss
from bytemlperf.metrics.multiple_choice import MultipleChoice
from bytemlperf.metrics.naming import sample_metric, sample_metrics
from bytemlperf.metrics.numeric import NumericResult, NumericState, compare
from bytemlperf.metrics.pairing import Differing, Pairing, paired
from bytemlperf.metrics.perplexity import Perplexity, PromptPerplexity
from bytemlperf.metrics.repeats import across_processes
from bytemlperf.metrics.sample_times import SampleTimes, sample_times
from bytemlperf.metrics.scoring import Scoring
from bytemlperf.metrics.squad import Squad
from bytemlperf.metrics.steadiness import Unsteady, steadiness, unsteady
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
from bytemlperf.metrics.token_differences import TokenDifferences, TokenState
from bytemlperf.metrics.tokens import goodput, score_figures, token_figures
from bytemlperf.metrics.tolerance import TOLERANCE, Tolerance, tolerance_of
from bytemlperf.metrics.top1 import Top1
from bytemlperf.metrics.top5 import Top5
from bytemlperf.metrics.triplet import TripletAccuracy
from bytemlperf.metrics.units import Figure, Mean, OfSums, Units, Weighed
from bytemlperf.metrics.validity import Cause, InvalidReason, Validity, validity
from bytemlperf.metrics.vendor import reported_figures, vendor_figures
from bytemlperf.metrics.yolov5 import Suppression
from bytemlperf.metrics.zero_shot import ZeroShotTop1
from bytemlperf.registry import metrics as _registry
from bytemlperf.workload import TokenBounds

get = _registry.get
names = _registry.names

__all__ = [
    "LOADGEN_PERCENTILES",
    "TOLERANCE",
    "Auc",
    "Basis",
    "BinaryAccuracy",
    "Cause",
    "CompileTimes",
    "DetectionMap",
    "Differing",
    "ErrorCurve",
    "Estimate",
    "Figure",
    "Histogram",
    "InUnits",
    "InvalidReason",
    "Judgement",
    "LogLoss",
    "Mean",
    "Metrics",
    "MultipleChoice",
    "NonFinite",
    "NumericResult",
    "NumericState",
    "OfSums",
    "OutputDifference",
    "Pairing",
    "Perplexity",
    "PromptPerplexity",
    "Requirement",
    "RightOrWrong",
    "SampleMetric",
    "SampleTimes",
    "Scored",
    "Scoring",
    "Squad",
    "Suppression",
    "TokenBounds",
    "TokenDifferences",
    "TokenState",
    "Tolerance",
    "Top1",
    "Top5",
    "TraceMetric",
    "TripletAccuracy",
    "Units",
    "Unsteady",
    "Validity",
    "Weighed",
    "ZeroShotTop1",
    "across_processes",
    "bytemlperf_diff",
    "bytemlperf_figures",
    "calls",
    "certain",
    "compare",
    "compile_figures",
    "figures_in_pairs",
    "get",
    "goodput",
    "judge_paired",
    "judge_published",
    "latency",
    "loadgen_result",
    "merged",
    "names",
    "omission",
    "paired",
    "performance",
    "phases",
    "queries",
    "queueing",
    "reported_figures",
    "sample_metric",
    "sample_metrics",
    "sample_times",
    "score_figures",
    "steadiness",
    "throughput",
    "token_figures",
    "tolerance_of",
    "unsteady",
    "validity",
    "vendor_figures",
    "watching",
]

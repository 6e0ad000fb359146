"""Evaluate AI accelerators on production models.

`run` is the front door; every piece behind it can be taken alone. Nothing heavy is loaded
until a name is used.

Example:
    A complete evaluation::

        from bytemlperf import run

        report = run("digits-resnet-onnx-fp32", backend="onnxruntime")
        print(report)
"""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bytemlperf import backends, datasets, metrics, zoo
    from bytemlperf.api import plan, run
    from bytemlperf.artifact import ModelArtifact, Provenance
    from bytemlperf.backends import (
        AsyncBackend,
        Backend,
        CompiledModel,
        CompileInfo,
        CompileOptions,
        Device,
        Phased,
        Segment,
        WeightsChange,
    )
    from bytemlperf.datasets import ArrayLoader, DatasetLoader, DatasetOptions
    from bytemlperf.errors import (
        BenchmarkError,
        Blame,
        CompileError,
        FailureCode,
        PredictError,
        SpecError,
        UnknownNameError,
        UnsupportedOperatorError,
    )
    from bytemlperf.evaluation import JobPlan
    from bytemlperf.failure import Failure
    from bytemlperf.metrics import Estimate, Metrics
    from bytemlperf.report import Audit, Comparison, Decision, Report, audit, compare
    from bytemlperf.runner import Recording, Runner
    from bytemlperf.sample import Batch, BatchSet, Chunk, Forward, Generation, Outputs, Reply, Score
    from bytemlperf.scenarios import (
        MLPERF_SEEDS,
        Batching,
        Certainty,
        ClosedLoop,
        ConstantRate,
        FixedBatch,
        GammaArrivals,
        MultiStream,
        Offline,
        Plan,
        Ramp,
        Replay,
        Scenario,
        Seeds,
        Server,
        SingleStream,
        Stop,
        Warmup,
    )
    from bytemlperf.spec import AccuracyTarget, Axis, DType, Format, ModelSpec, Recipe, Source, TensorSpec
    from bytemlperf.studies import Interleaving, Limit, find_limit, interleave
    from bytemlperf.trace import Trace
    from bytemlperf.worker import Worker, inline
    from bytemlperf.workload import (
        Acceptance,
        Asked,
        Check,
        DatasetRequest,
        Job,
        Lengths,
        Limits,
        Sampling,
        TokenBounds,
        Workload,
    )

__all__ = [
    "MLPERF_SEEDS",
    "Acceptance",
    "AccuracyTarget",
    "ArrayLoader",
    "Asked",
    "AsyncBackend",
    "Audit",
    "Axis",
    "Backend",
    "Batch",
    "BatchSet",
    "Batching",
    "BenchmarkError",
    "Blame",
    "Certainty",
    "Check",
    "Chunk",
    "ClosedLoop",
    "Comparison",
    "CompileError",
    "CompileInfo",
    "CompileOptions",
    "CompiledModel",
    "ConstantRate",
    "DType",
    "DatasetLoader",
    "DatasetOptions",
    "DatasetRequest",
    "Decision",
    "Device",
    "Estimate",
    "Failure",
    "FailureCode",
    "FixedBatch",
    "Format",
    "Forward",
    "GammaArrivals",
    "Generation",
    "Interleaving",
    "Job",
    "JobPlan",
    "Lengths",
    "Limit",
    "Limits",
    "Metrics",
    "ModelArtifact",
    "ModelSpec",
    "MultiStream",
    "Offline",
    "Outputs",
    "Phased",
    "Plan",
    "PredictError",
    "Provenance",
    "Ramp",
    "Recipe",
    "Recording",
    "Replay",
    "Reply",
    "Report",
    "Runner",
    "Sampling",
    "Scenario",
    "Score",
    "Seeds",
    "Segment",
    "Server",
    "SingleStream",
    "Source",
    "SpecError",
    "Stop",
    "TensorSpec",
    "TokenBounds",
    "Trace",
    "UnknownNameError",
    "UnsupportedOperatorError",
    "Warmup",
    "WeightsChange",
    "Worker",
    "Workload",
    "audit",
    "backends",
    "compare",
    "datasets",
    "find_limit",
    "inline",
    "interleave",
    "metrics",
    "plan",
    "run",
    "zoo",
]

_HOMES = {
    "api": ("plan", "run"),
    "artifact": ("ModelArtifact", "Provenance"),
    "backends": (
        "AsyncBackend",
        "Backend",
        "CompileInfo",
        "CompileOptions",
        "CompiledModel",
        "Device",
        "Phased",
        "Segment",
        "WeightsChange",
    ),
    "datasets": ("ArrayLoader", "DatasetLoader", "DatasetOptions"),
    "errors": (
        "BenchmarkError",
        "Blame",
        "CompileError",
        "FailureCode",
        "PredictError",
        "SpecError",
        "UnknownNameError",
        "UnsupportedOperatorError",
    ),
    "evaluation": ("JobPlan",),
    "failure": ("Failure",),
    "metrics": ("Estimate", "Metrics"),
    "report": ("Audit", "Comparison", "Decision", "Report", "audit", "compare"),
    "runner": ("Recording", "Runner"),
    "sample": ("Batch", "BatchSet", "Chunk", "Forward", "Generation", "Outputs", "Reply", "Score"),
    "scenarios": (
        "MLPERF_SEEDS",
        "Batching",
        "Certainty",
        "ClosedLoop",
        "ConstantRate",
        "FixedBatch",
        "GammaArrivals",
        "MultiStream",
        "Offline",
        "Plan",
        "Ramp",
        "Replay",
        "Scenario",
        "Seeds",
        "Server",
        "SingleStream",
        "Stop",
        "Warmup",
    ),
    "spec": ("AccuracyTarget", "Axis", "DType", "Format", "ModelSpec", "Recipe", "Source", "TensorSpec"),
    "studies": ("Interleaving", "Limit", "find_limit", "interleave"),
    "trace": ("Trace",),
    "worker": ("Worker", "inline"),
    "workload": (
        "Acceptance",
        "Asked",
        "Check",
        "DatasetRequest",
        "Job",
        "Lengths",
        "Limits",
        "Sampling",
        "TokenBounds",
        "Workload",
    ),
}
_ROOMS = ("backends", "datasets", "metrics", "zoo")
_EXPORTS = {name: home for home, names in _HOMES.items() for name in names} | dict.fromkeys(_ROOMS)

logging.getLogger(__name__).addHandler(logging.NullHandler())

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name from its room, or read the version, on first use."""
        import importlib

        if name == "__version__":
            from importlib.metadata import version

            return version("bytemlperf")
        if name not in _EXPORTS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = _EXPORTS[name]
        found = importlib.import_module(f"{__name__}.{home or name}")
        if home:
            found = getattr(found, name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

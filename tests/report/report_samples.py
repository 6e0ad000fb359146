"""Reports made here, with all that a real one has."""

import numpy as np

from bytemlperf.backends.compiled import CompileInfo, Device, Segment
from bytemlperf.environment import Cpu, Environment, NoiseCertificate, Timer
from bytemlperf.errors import Blame, FailureCode
from bytemlperf.failure import Failure
from bytemlperf.metrics import CompileTimes, bytemlperf_figures, compare, compile_figures, performance
from bytemlperf.metrics.estimate import Estimate
from bytemlperf.report import (
    ArtifactFacts,
    BackendFacts,
    DatasetFacts,
    NotMeasured,
    Part,
    Report,
    ReportWarning,
    Row,
    RowKind,
    judge,
    row_key,
)
from bytemlperf.scenarios import FixedBatch, Seeds
from bytemlperf.spec import DType, TensorSpec
from bytemlperf.trace import Trace
from bytemlperf.workload import MEASURED, Check, Job

PART = "0123456789abcdef0123456789abcdef"
ENVIRONMENT = Environment(
    system="Linux",
    distribution="Debian GNU/Linux 12 (bookworm)",
    kernel="6.1.0-18-amd64",
    machine="x86_64",
    cpu=Cpu(model="Intel(R) Xeon(R) Gold 6342 CPU @ 2.80GHz", physical_cores=24, logical_cores=48, usable_cores=48),
    memory_bytes=512 * 2**30,
    python="3.11.7",
    implementation="CPython",
    packages={"bytemlperf": "0.1.0", "numpy": "2.4.6", "onnxruntime": "1.32.0"},
    host="a" * 64,
    timer=Timer(clock="clock_gettime(CLOCK_MONOTONIC)", source="tsc", resolution_ns=20, read_ns=33.5),
    load_average=(0.5, 0.25, 0.1),
)


def trace(*, queries=200, batch_size=8, clients=1, mean_ns=5_000_000, seed=0):
    """Make the trace of a closed loop with gamma-distributed latencies."""
    latency = np.random.default_rng(seed).gamma(50, mean_ns / 50, size=queries).astype(np.int64)
    client = np.arange(queries) % clients
    done = np.zeros(queries, np.int64)
    for each in range(clients):
        done[client == each] = 1_000 + np.cumsum(latency[client == each])
    return Trace(
        scheduled_ns=done - latency,
        sent_ns=done - latency + 500,
        first_ns=done,
        done_ns=done,
        tokens=np.zeros(queries, np.uint32),
        batch=np.arange(queries, dtype=np.uint32) % 4,
        size=np.full(queries, batch_size, np.uint32),
        client=client.astype(np.uint16),
        status=np.ones(queries, np.uint8),
        started_ns=1_000,
        warmup_queries=10,
        warmup_stable=True,
    )


def differences(*, noise=1e-4, seed=0):
    """Compare two outputs that differ a little."""
    rng = np.random.default_rng(seed)
    reference = {"logits": rng.normal(size=(64, 10)), "pooled_features": rng.normal(size=(64, 32)) ** 3}
    outputs = {name: value + noise * rng.normal(size=value.shape) for name, value in reference.items()}
    specs = tuple(
        TensorSpec(name=name, shape=["batch", value.shape[1]], dtype="fp32") for name, value in reference.items()
    )
    return compare(
        outputs, reference, specs=specs, precision=DType.FLOAT32, independent=True, reference_name="float64 evaluator"
    )


def accuracy_row():
    return Row(
        kind=RowKind.ACCURACY,
        key=row_key("accuracy", batch_size=8, precision=DType.FLOAT32),
        metrics={
            "accuracy/top1": Estimate(
                value=353 / 360, unit="1", low=0.9604, high=0.9921, n=360, definition="share of samples that are right"
            )
        },
        batch_size=8,
        precision="fp32",
        devices=["cpu"],
        passed=True,
        bytemlperf={"Top-1": 0.98056, "Data Percent": 100},
        part=PART,
    )


def numeric_row(*, noise=1e-4):
    result = differences(noise=noise)
    return Row(
        kind=RowKind.NUMERIC,
        key=row_key("numeric", batch_size=8, precision=DType.FLOAT32),
        metrics=result.metrics,
        batch_size=8,
        precision="fp32",
        devices=["cpu"],
        passed=result.passed,
        note="; ".join(result.reasons),
        labels={"reference": "float64 evaluator", "independent": True},
        bytemlperf=result.bytemlperf,
        part=PART,
    )


def performance_row(*, batch_size=8, clients=1, queries=200):
    stamps = trace(queries=queries, batch_size=batch_size, clients=clients, mean_ns=1_000_000 + 500_000 * batch_size)
    return Row(
        kind=RowKind.PERFORMANCE,
        key=row_key(
            "performance",
            scenario=f"fixed_batch/clients={clients}",
            batch_size=batch_size,
            precision=DType.FLOAT32,
            devices=1,
        ),
        metrics=performance(stamps),
        scenario=f"fixed_batch/clients={clients}",
        batch_size=batch_size,
        precision="fp32",
        devices=["cpu"],
        labels={"repeats": 1},
        bytemlperf=bytemlperf_figures(stamps, batch_size),
        part=PART,
    )


def compile_row():
    return Row(
        kind=RowKind.COMPILE,
        key=row_key("compile", batch_size=8, precision=DType.FLOAT32),
        metrics=compile_figures(
            cold=CompileTimes(convert_ns=0, compile_ns=48_200_000, first_predict_ns=6_100_000),
            warm=CompileTimes(convert_ns=0, compile_ns=31_000_000, first_predict_ns=5_900_000),
            coverage=0.75,
            artifact_bytes=1_234_567,
        ),
        batch_size=8,
        precision="fp32",
        devices=["cpu"],
        part=PART,
    )


def compile_info():
    return CompileInfo(
        precision="fp32",
        segments=[
            Segment(name="all", device="cpu", operators=30),
            Segment(name="rest", device="host", operators=10, fallback=True),
        ],
        files=["cache/model.bin"],
        devices=["cpu"],
        optimizations={"level": "all", "threads": 2},
    )


def report(*, rows=None, failures=(), not_measured=(), checks=MEASURED, **more):
    """Make a whole report; the verdict is judged."""
    if rows is None:
        loads = [performance_row(batch_size=size, clients=clients) for clients in (1, 2) for size in (1, 8)]
        rows = [compile_row(), accuracy_row(), numeric_row(), *loads]
    values = {
        "job": Job(
            task="digits-resnet-onnx-fp32",
            backend="onnxruntime",
            checks=checks,
            batch_sizes=(1, 8),
            scenarios=(FixedBatch(clients=1), FixedBatch(clients=2)),
            options={"threads": 2},
            labels={"team": "chips"},
        ),
        "status": "complete",
        "verdict": judge(checks=checks, rows=rows, failures=failures, not_measured=not_measured),
        "rows": rows,
        "failures": failures,
        "environment": ENVIRONMENT,
        "artifact": ArtifactFacts(
            name="digits-resnet-onnx-fp32",
            format="onnx",
            sha256="b" * 64,
            provenance="pretrained",
            origin="bytemlperf 0.1.0",
            derived_from="c" * 64,
            definition="bytemlperf.zoo.architectures.digits_resnet_torch:build version 1",
            parameters=78_042,
            files={"model.onnx": 321_000},
        ),
        "dataset": DatasetFacts(name="digits", fingerprint="d" * 64, samples=360, preprocessing="digits"),
        "backend": BackendFacts(
            name="onnxruntime",
            reference="onnxruntime",
            version="1.32.0",
            formats=["onnx"],
            devices=[Device(id="cpu", name="CPUExecutionProvider")],
            isolation="worker",
            tried_on=["cpu"],
        ),
        "compiles": {compile_row().key: compile_info()},
        "seeds": Seeds(samples=1, schedule=2, weights=3),
        "parts": [Part(id=PART, started_utc="2026-01-31T12:00:00Z", fingerprint=ENVIRONMENT.fingerprint)],
        "noise": NoiseCertificate(
            verdict="quiet", seconds=0.2, others_share=0.01, lost_share=0.002, stolen_share=0.0, longest_gap_ns=40_000
        ),
        "harness": {"harness/blocking": Estimate(value=1_450.0, unit="ns", low=1_400.0, high=1_500.0, n=5000)},
        "not_measured": not_measured,
        "started_utc": "2026-01-31T12:00:00Z",
        "duration_s": 62.5,
    }
    return Report(**{**values, **more})


def failed_report():
    """Make the report of a run in which most things went wrong."""
    return report(
        rows=[performance_row(batch_size=1)],
        status="partial",
        failures=[
            Failure(
                code=FailureCode.CRASH,
                blame=Blame.BACKEND,
                step="performance/fixed_batch/clients=1/batch=8/fp32/devices=1",
                message="the worker was ended by SIGSEGV while it answered query 17",
                signal="SIGSEGV",
                log_tail="loading engine\nalloc 4096 bytes\n[bold]not markup[/bold]\nterminate called after throwing",
            ),
            Failure(
                code=FailureCode.WEIGHTS_UNAVAILABLE,
                blame=Blame.ENVIRONMENT,
                retryable=True,
                step="accuracy",
                message="no network; give a local path with weights=",
            ),
        ],
        warnings=[
            ReportWarning(
                code="unstable",
                step="performance/fixed_batch/clients=1/batch=1/fp32/devices=1",
                message="latency had not settled after 30 queries of warm-up",
            ),
            ReportWarning(code="load", message="the machine was busy when the run began: load 3.2 on 2 cores"),
        ],
        not_measured=[
            NotMeasured(check=Check.ACCURACY, reason="random weights never give an accuracy figure"),
            NotMeasured(check=Check.NUMERIC, reason="no independent reference: the twin's weights are not there"),
        ],
        artifact=None,
    )

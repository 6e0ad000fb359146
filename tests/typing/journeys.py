"""The lines that users write, and the mistakes that a type checker must see. Only type-checked, never run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from bytemlperf import (
    ArrayLoader,
    BatchSet,
    Blame,
    Check,
    ClosedLoop,
    Decision,
    DType,
    Estimate,
    FailureCode,
    FixedBatch,
    Format,
    Interleaving,
    Job,
    Lengths,
    Limit,
    Limits,
    Metrics,
    ModelArtifact,
    ModelSpec,
    Recipe,
    Recording,
    Report,
    Runner,
    Sampling,
    Seeds,
    Server,
    TensorSpec,
    Trace,
    Worker,
    Workload,
    backends,
    find_limit,
    inline,
    interleave,
    metrics,
    plan,
    run,
    zoo,
)
from bytemlperf.evaluation import Event
from bytemlperf.report import Outcome, Status, TableRow
from bytemlperf.spec import Framework


def the_curious_engineer() -> None:
    report = run("digits-resnet-onnx-fp32", backend="onnxruntime")
    assert_type(report, Report)
    assert_type(report.ok, bool)
    assert_type(report.status, Status)
    assert_type(report.verdict.outcome, Outcome)
    assert_type(report.metrics["accuracy/top1"], Estimate)
    assert_type(report.metrics["accuracy/top1"].value, float | None)
    assert_type(report.save("out/"), Path)
    report.to_bytemlperf()
    run("digits-resnet-onnx-fp32", "onnxruntime")  # type: ignore[call-arg]  # only the task is positional
    run("digits-resnet-onnx-fp32", backnd="torch")  # type: ignore[call-arg]  # an unknown keyword
    run("digits-resnet-onnx-fp32", backend=3)  # type: ignore[arg-type]  # no backend
    report.metrics["accuracy/top1"].value + 1  # type: ignore[operator]  # there may be no value
    report.status = Status.FAILED  # type: ignore[misc]  # a report is frozen


def the_engineer_with_a_model_of_her_own(images: NDArray[np.float32], labels: list[int]) -> None:
    artifact = zoo.from_onnx("my_detector.onnx", batch_axis=0)
    assert_type(artifact, ModelArtifact)
    data = ArrayLoader(images=images, labels=labels, metric="top1")
    run(artifact, backend="onnxruntime", precision="fp32", dataset=data, batch_sizes=[1, 8])
    run(artifact, backend="onnxruntime", precision=DType.FLOAT32, scenarios=[FixedBatch(clients=2)])
    run(artifact, backend="onnxruntime", dataset=images)  # type: ignore[arg-type]  # arrays need a loader and names
    run(artifact, backend="onnxruntime", scenarios=["fixed_batch"])  # type: ignore[list-item]  # no scenario
    FixedBatch(2)  # type: ignore[call-arg]  # fields of values are keywords


def a_model_in_ten_lines() -> None:
    spec = ModelSpec(
        name="linear-torch-fp32",
        framework=Framework.TORCH,
        format=Format.TORCH,
        inputs=(TensorSpec(name="x", shape=("batch", 64), dtype="fp32"),),
        outputs=(TensorSpec(name="y", shape=("batch", 10), dtype="fp32"),),
        recipe=Recipe(architecture="torch.nn:Linear", config={"in_features": 64, "out_features": 10}),
    )
    assert_type(zoo.resolve(spec, weights="random", seed=7), ModelArtifact)
    run(spec, backend="torch", weights="random")
    ModelSpec(name="no-tensors")  # type: ignore[call-arg]  # a spec needs its framework, format, inputs and outputs


def the_engineer_who_must_decide() -> None:
    decision = interleave("bert-torch-fp32", a="torch", b="onnxruntime", weights="random", minutes=5)
    assert_type(decision, Interleaving)
    assert_type(decision.decision, Decision)
    assert_type(decision.low, float | None)
    interleave("bert-torch-fp32", a="torch")  # type: ignore[call-arg]  # against what?


def the_load_tester() -> None:
    limit = find_limit("resnet50-torch-fp32", backend="openvino", bound_ms=100, weights="random")
    assert_type(limit, Limit)
    assert_type(limit.rate_qps, float | None)
    find_limit("resnet50-torch-fp32", backend="openvino")  # type: ignore[call-arg]  # which bound?
    assert_type(plan("resnet50-torch-fp32", minutes=5, pilot=True).minutes, float | None)


def the_language_model_engineer() -> None:
    prompts = Lengths(input=128, output=32)
    load = [ClosedLoop(clients=4)]
    report = run("llama2-7b-torch-fp16", backend="torch", weights="random", scenarios=load, prompts=prompts)
    assert_type(report.metrics["ttft/p50"], Estimate)
    server = {"url": "http://127.0.0.1:8000/v1"}
    run("llama2-7b-torch-fp16", backend="openai", options=server, scenarios=[Server(target_qps=2)])
    run("llama2-7b-torch-fp16", backend="torch", prompts=Lengths(input=(8, 32), sampling=Sampling(temperature=0.8)))
    run("llama2-7b-torch-fp16", backend="torch", prompts={"input": 128})  # type: ignore[arg-type]  # no Lengths
    Lengths(128, 32)  # type: ignore[call-arg]  # fields of values are keywords


def the_vendor() -> None:
    report = run(
        "resnet50-torch-fp32",
        backend="mychip_bytemlperf:MyChip",
        options={"cores": 2, "fast": True},
        weights="random",
        worker=Worker(command=("old-env/bin/python",), env={"PYTHONPATH": "backends"}),
    )
    report.raise_for_status()
    run("resnet50-torch-fp32", backend="torch", worker="old-env/bin/python")  # type: ignore[arg-type]  # a Worker


def the_platform(
    folder: Path, events: queue.Queue[Event], stop: threading.Event, store: Callable[[TableRow], None]
) -> None:
    for job in [Job(task=task, backend="torch", limits=Limits(total_s=60)) for task in zoo.names(purpose="regular")]:
        assert_type(job.key, str)
        report = run(job, out=folder / job.key, on_event=events.put, cancel=stop, resume=True)
        for line in report.table():
            store(line)
            assert_type(line["value"], float | None)
            line["speed"]  # type: ignore[typeddict-item]  # no such column
        for failure in report.failures:
            assert_type(failure.code, FailureCode)
            assert_type(failure.blame, Blame)
    run(Workload(task="t", checks=(Check.NUMERIC,)), backend="torch", cancel=True)  # type: ignore[arg-type]  # nothing to ask
    run("t", on_event=store)  # type: ignore[arg-type]  # it would be given an event


def only_the_pieces(batches: BatchSet) -> None:
    artifact = zoo.resolve(zoo.get("resnet50-torch-fp32"), weights="random")
    backend = backends.get("torch")()
    compiled = backend.compile(artifact, backend.options_type(batch_size=8))
    recording = Runner().run(inline(backend, compiled), FixedBatch().plan(len(batches), Seeds()), batches)
    assert_type(recording, Recording)
    assert_type(recording.trace, Trace)
    assert_type(metrics.latency(recording.trace), Metrics)
    outputs: Mapping[str, NDArray[np.float32]] = recording.answers[0]
    metrics.latency(outputs)  # type: ignore[arg-type]  # figures of time are made of a trace

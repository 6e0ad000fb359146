"""Embed the evaluation in a platform: events, limits, cancellation, resumption, a flat table."""

import tempfile
import threading
from pathlib import Path

from bytemlperf import FixedBatch, Job, Limits, run

stop = threading.Event()
seen: list[str] = []
with tempfile.TemporaryDirectory() as folder:
    for backend in ("onnxruntime", "no_such_module:Backend"):
        job = Job(
            task="digits-resnet-onnx-fp32",
            backend=backend,
            batch_sizes=(1, 8),
            scenarios=(FixedBatch(iterations=50),),
            limits=Limits(query_s=10, total_s=300, memory_bytes=4 * 10**9),
            labels={"rack": "7"},
        )
        report = run(
            job, out=Path(folder) / job.key, on_event=lambda event: seen.append(event.kind), cancel=stop, resume=True
        )
        print(backend, report.status, report.verdict.outcome)
        for failure in report.failures:
            print("  failed:", failure.code, "blame:", failure.blame, "-", failure.message)
        for row in report.table()[:3]:
            print("  ", row["row_key"], row["metric"], row["value"], row["unit"])
print(len(seen), "events, the last:", seen[-1])

"""Embed the evaluation in a platform: jobs, events, limits, cancellation, resumption, a flat table."""

import sys
import tempfile
import threading
from pathlib import Path

from bytemlperf import Blame, Check, FixedBatch, Job, Limits, Report, run

stop = threading.Event()  # set it from anywhere: the report of what was finished comes within grace_s and a second
folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())


def evaluate(job: Job) -> tuple[Report, list[str]]:
    """Run a job in its own folder; what is there already, measured by the same job on the same machine, is kept."""
    seen: list[str] = []
    report = run(job, out=folder / job.key, on_event=lambda event: seen.append(event.kind), cancel=stop, resume=True)
    return report, seen


jobs = [
    Job(
        task=task,
        backend=backend,
        options={"threads": 1},
        batch_sizes=(1, 8),
        scenarios=(FixedBatch(iterations=50),),
        checks=(Check.NUMERIC, Check.PERFORMANCE),
        limits=Limits(query_s=10, total_s=300, memory_bytes=4 * 10**9),
        labels={"rack": "7"},  # in the report, not in the key
    )
    for task in ("digits-resnet-onnx-fp32", "digits-resnet-torch-fp32")
    for backend in ("torch", "onnxruntime")
]
for job in jobs:
    report, seen = evaluate(job)
    print(job.task, job.backend, report.status, report.verdict.outcome, len(seen), "events, the last:", seen[-1])
    for failure in report.failures:
        whose = "the vendor's" if failure.blame is Blame.BACKEND else f"the {failure.blame}'s, not the vendor's"
        print("  failed:", failure.code, f"({whose})", "-", failure.message)
    for line in report.table():
        if line["metric"] == "throughput/samples_per_s":
            print("  ", line["row_key"], line["value"], line["unit"])

again, seen = evaluate(jobs[1])
print("again:", again.status, "with", seen.count("row_finished"), "new rows of", len(again.rows))

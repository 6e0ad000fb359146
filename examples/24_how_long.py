"""How long must I measure? What a job would give, and what it takes to say more."""

from bytemlperf import FixedBatch, Job, plan, run

MEDIAN = 0.5
job = Job(
    task="digits-resnet-onnx-fp32",
    backend="onnxruntime",
    options={"threads": 1},
    checks=["performance"],
    batch_sizes=[1],
)

trial = plan(job, scenarios=[FixedBatch(iterations=500)], pilot=True, width=0.5)
print(trial)

(row,) = (each for each in trial.rows if each.needed)
(needed,) = (each for each in row.needed if each.p == MEDIAN)
queries = needed.for_width or 5000
report = run(job, scenarios=[FixedBatch(iterations=queries)])
p50 = report.metrics["latency/p50"]
print(f"planned {queries} queries for an interval within {100 * needed.width:g} %: p50 is {p50}")

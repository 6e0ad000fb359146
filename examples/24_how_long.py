"""How long must I measure? What a job would give, and what it takes to say more."""

from bytemlperf import FixedBatch, plan, run

JOB = {
    "backend": "onnxruntime",
    "options": {"threads": 1},
    "checks": ["performance"],
    "batch_sizes": [1],
}

trial = plan("digits-resnet-onnx-fp32", **JOB, scenarios=[FixedBatch(iterations=500)], pilot=True, width=0.5)
print(trial)

(row,) = [each for each in trial.rows if each.needed]
(median,) = [each for each in row.needed if each.p == 0.5]
queries = median.for_width or 5000
report = run("digits-resnet-onnx-fp32", **JOB, scenarios=[FixedBatch(iterations=queries)])
p50 = report.metrics["latency/p50"]
print(f"planned {queries} queries for an interval within {100 * median.width:g} %: p50 is {p50}")

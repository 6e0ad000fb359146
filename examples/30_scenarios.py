"""Load a model as MLPerf does, and as a service would, and read what each run may claim."""

from bytemlperf import MLPERF_SEEDS, Certainty, ClosedLoop, MultiStream, Offline, Server, SingleStream, run

report = run(
    "digits-resnet-onnx-fp32",
    backend="onnxruntime",
    batch_sizes=[8],
    checks=["performance"],
    scenarios=[
        SingleStream(min_duration_s=0.2, expected_latency_ms=0.1),
        MultiStream(min_queries=20, min_duration_s=0.1),
        Server(target_qps=200, bound_ms=500, min_queries=500, min_duration_s=1, batch_delay_ms=1),
        Offline(expected_qps=2000, min_duration_s=0.2),
        ClosedLoop(clients=2, queries=20_000, max_duration_s=1, certainty=Certainty(percentile=0.5, within=0.2)),
    ],
    seeds=MLPERF_SEEDS,
)
for row in report.rows:
    name = str(row.scenario).partition("/")[0]
    p99, rate = row.metrics["latency/p99"], row.metrics["throughput/samples_per_s"]
    told = "" if row.validity is None else "valid" if row.validity.valid else "invalid"
    print(f"{name:14} p99 {p99}   {rate}   {told}")
    for reason in row.validity.reasons if row.validity else ():
        print(f"    {reason.cause}: {reason}")
    if "certain/p50" in row.metrics:
        print(f"    ended when the median was known: {row.metrics['certain/p50']}")

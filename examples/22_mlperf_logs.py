"""MLPerf's scenarios measured, tested for integrity, and told in MLPerf's own logs."""

from bytemlperf import Offline, SingleStream, run
from bytemlperf.report import RowKind, audit, mlperf

report = run(
    "digits-resnet-onnx-fp32",
    backend="onnxruntime",
    checks=["performance"],
    batch_sizes=[1],
    scenarios=[SingleStream(min_duration_s=0.1, expected_latency_ms=0.1), Offline(min_duration_s=0, min_queries=500)],
    integrity=["accuracy_in_performance", "caching"],
    out="run",
)
for row in report.rows_of(RowKind.INTEGRITY):
    print(row.key, "->", row.note)
for path in report.to_mlperf("mlperf", trace=True):
    log = mlperf.read(path)
    print(log.scenario.kind_name, "valid:", log.valid, "- errors in the log:", len(audit(path).errors))

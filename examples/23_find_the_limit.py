"""Find the highest rate of arrivals at which a bound of latency is kept, and draw the curve."""

from bytemlperf import find_limit

limit = find_limit(
    "digits-resnet-onnx-fp32",
    backend="onnxruntime",
    options={"threads": 1},
    bound_ms=50,
    percentile=0.9,  # 0.99, and minutes=10, for a limit that matters
    minutes=0.15,
)
print(limit)

print("files:", sorted(path.name for path in limit.save("limit").parent.iterdir()))
if limit.found:
    print(f"{limit.rate_qps:.0f} queries/s hold at {100 * limit.target.level:g} %")

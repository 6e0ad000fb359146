"""Compare two saved reports: what changed, how sure it is, and what a gate would say."""

from bytemlperf import FixedBatch, Report, compare, run

for name, threads in (("base", 2), ("candidate", 1)):
    run(
        "digits-resnet-onnx-fp32",
        backend="onnxruntime",
        options={"threads": threads},
        checks=["accuracy", "performance"],
        batch_sizes=[32],
        scenarios=[FixedBatch(iterations=200)],
        out=name,
    )

comparison = compare(
    Report.load("base"),
    Report.load("candidate"),
    figures=["latency/p50", "accuracy/top1"],
    accuracy_equivalence=0.02,
)
print(comparison)

for figure in comparison.figures:
    print(figure.figure, "is", figure.decision, "by", figure.basis)
print("a gate would end with", comparison.exit_code())

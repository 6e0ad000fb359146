"""Run a backend of your own, mychip.py beside this file: the harness converts, pads, keeps the clock and checks."""

from bytemlperf import FixedBatch, run

report = run(
    "digits-resnet-torch-fp32",  # a torch model for a chip that takes ONNX
    backend="mychip:MyChip",  # runs in a worker process: a crash of the chip's SDK costs one row
    options={"cores": 2},
    batch_sizes=[4],
    scenarios=[FixedBatch(iterations=20)],
)
print(report)
report.raise_for_status()

refused = run("digits-resnet-torch-fp32", backend="mychip:MyChip", options={"cores": 8}, batch_sizes=[4])
print(refused.status, "-", refused.failures[0].code, "-", refused.failures[0].message)

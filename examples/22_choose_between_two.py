"""Choose between two backends: asked in turn, so that what drifts on the machine is on neither side."""

from bytemlperf import interleave

decision = interleave(
    "digits-resnet-torch-fp32",
    a="torch",
    b="onnxruntime",
    weights="random",
    minutes=0.05,  # minutes=5 for a decision that matters
)
print(decision)

print(f"b works through {decision.percent:+.1f} % queries a second: {decision.decision}")
print("outputs are the same:", decision.equal_outputs)

"""Evaluate a model of your own that is built from code: a spec is pure data, and `run` takes it as it is."""

from bytemlperf import FixedBatch, Format, ModelSpec, Recipe, TensorSpec, run
from bytemlperf.spec import Framework

SPEC = ModelSpec(
    name="linear-torch-fp32",
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=(TensorSpec(name="x", shape=("batch", 64), dtype="fp32"),),
    outputs=(TensorSpec(name="y", shape=("batch", 10), dtype="fp32"),),
    # Any function that gives a torch module; a worker must be able to import it.
    recipe=Recipe(architecture="torch.nn:Linear", config={"in_features": 64, "out_features": 10}),
    batch_sizes=(1, 16),
)

if __name__ == "__main__":
    report = run(SPEC, backend="torch", weights="random", scenarios=[FixedBatch(iterations=50)])
    for row in report.rows:
        print(row.key, "passed" if row.passed else "")
    for missing in report.not_measured:
        print(f"{missing.check} was not measured: {missing.reason}")

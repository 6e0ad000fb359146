"""A complete backend: two methods. The harness converts, pads, keeps the clock and checks."""

import onnx
from onnx.reference import ReferenceEvaluator

from bytemlperf import (
    Backend,
    CompiledModel,
    CompileInfo,
    CompileOptions,
    DType,
    FixedBatch,
    Format,
    ModelArtifact,
    run,
)
from bytemlperf.sample import Batch, Outputs


class MyChip(Backend[CompileOptions, ReferenceEvaluator]):
    """Runs ONNX by the reference evaluator; put your SDK's calls in its place."""

    name = "mychip"
    formats = frozenset({Format.ONNX})

    def compile(self, artifact: ModelArtifact, options: CompileOptions) -> CompiledModel[ReferenceEvaluator]:
        """Build the engine."""
        return CompiledModel(ReferenceEvaluator(onnx.load(str(artifact.path))), CompileInfo(precision=DType.FLOAT32))

    def predict(self, compiled: CompiledModel[ReferenceEvaluator], batch: Batch) -> Outputs:
        """Answer a batch; the model's own names are in the artifact's spec."""
        (logits,) = compiled.handle.run(None, dict(batch.inputs))
        return {"logits": logits}


if __name__ == "__main__":
    report = run("digits-resnet-onnx-fp32", backend=MyChip(), batch_sizes=[4], scenarios=[FixedBatch(iterations=20)])
    print(report)

"""A complete backend: two methods and an option of its own. Put your SDK's calls in the place of ONNX's evaluator."""

import attrs
import onnx
from onnx.reference import ReferenceEvaluator

from bytemlperf import Backend, Batch, CompiledModel, CompileInfo, CompileOptions, Format, ModelArtifact, Outputs
from bytemlperf.errors import CompileError

CORES = 4


@attrs.frozen(kw_only=True)
class MyOptions(CompileOptions):
    """What this compiler can be asked: how many `cores` to use."""

    cores: int = 1


class MyChip(Backend[MyOptions, ReferenceEvaluator]):
    """Runs ONNX files."""

    name = "mychip"
    formats = frozenset({Format.ONNX})
    options_type = MyOptions

    def compile(self, artifact: ModelArtifact, options: MyOptions) -> CompiledModel[ReferenceEvaluator]:
        """Build the engine for `options.batch_size` samples."""
        if options.cores > CORES:
            raise CompileError("the chip has too few cores", got=options.cores, expected=f"at most {CORES}")
        engine = ReferenceEvaluator(onnx.load(str(artifact.path)))
        return CompiledModel(engine, CompileInfo(precision="fp32", optimizations={"cores": options.cores}))

    def predict(self, compiled: CompiledModel[ReferenceEvaluator], batch: Batch) -> Outputs:
        """Answer a batch; return when the answer is in host memory."""
        (logits,) = compiled.handle.run(None, dict(batch.inputs))
        return {"logits": logits}

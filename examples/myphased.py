"""A backend that can tell copying in, computing and copying out apart."""

from collections.abc import Mapping

import torch

from bytemlperf import Backend, Batch, CompiledModel, CompileInfo, CompileOptions, Format, ModelArtifact, Outputs
from bytemlperf.backends import Phased

Tensors = Mapping[str, torch.Tensor]


class MyPhased(Backend[CompileOptions, torch.jit.ScriptModule], Phased[torch.jit.ScriptModule, Tensors]):
    """Runs TorchScript; each phase returns only when the device is done with it."""

    name = "myphased"
    formats = frozenset({Format.TORCHSCRIPT})
    dynamic_batch = True

    def compile(self, artifact: ModelArtifact, options: CompileOptions) -> CompiledModel[torch.jit.ScriptModule]:
        """Load the module onto the device."""
        module: torch.jit.ScriptModule = torch.jit.load(str(artifact.path))  # type: ignore[no-untyped-call]
        return CompiledModel(module, CompileInfo(precision="fp32", devices=("cpu",)))

    def predict(self, compiled: CompiledModel[torch.jit.ScriptModule], batch: Batch) -> Outputs:
        """Go through the phases: what is timed as the headline stays host to host."""
        return self.fetch(compiled, self.execute(compiled, self.prepare(compiled, batch)))

    def prepare(self, compiled: CompiledModel[torch.jit.ScriptModule], batch: Batch) -> Tensors:
        """Copy to the device."""
        return {name: torch.tensor(array) for name, array in batch.inputs.items()}

    def execute(self, compiled: CompiledModel[torch.jit.ScriptModule], inputs: Tensors) -> Tensors:
        """Compute."""
        with torch.inference_mode():
            (logits,) = compiled.handle(*inputs.values())
        return {"logits": logits}

    def fetch(self, compiled: CompiledModel[torch.jit.ScriptModule], outputs: Tensors) -> Outputs:
        """Copy to host memory."""
        return {name: tensor.numpy() for name, tensor in outputs.items()}

"""Backends that are wrong and take other formats than ONNX and torch recipes: what they run was brought there."""

from __future__ import annotations

from pathlib import Path

import attrs
import torch
from tests.evaluation.wrong import WrongOptions

from bytemlperf.backends import Backend, CompiledModel, CompileInfo
from bytemlperf.backends.stablehlo import StableHloBackend
from bytemlperf.spec import Format


class SwappedScript(Backend):
    """Runs TorchScript; the channels of the weights of the submodule `at` are in the opposite order."""

    name = "swapped-script"
    formats = frozenset({Format.TORCHSCRIPT})
    options_type = WrongOptions
    dynamic_batch = True

    def compile(self, artifact, options):
        module = torch.jit.load(artifact.path)
        with torch.no_grad():
            for name, each in module.named_parameters():
                if options.at and f".{options.at}." in f".{name}":
                    each.copy_(each.flip(0))
        return CompiledModel((module, artifact.spec), CompileInfo(precision="fp32"))

    def predict(self, compiled, batch):
        module, spec = compiled.handle
        with torch.inference_mode():
            answers = module(*(torch.tensor(batch.inputs[tensor.name]) for tensor in spec.inputs))
        return {tensor.name: each.numpy() for tensor, each in zip(spec.outputs, answers, strict=True)}


class LeastHlo(StableHloBackend):
    """Runs StableHLO, and takes the smaller of two numbers where the larger is asked for: wrong in each ReLU."""

    name = "least-hlo"

    def compile(self, artifact, options):
        folder = Path(options.work_dir) / artifact.path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        for path in artifact.path.parent.iterdir():
            content = path.read_bytes()
            changed = content.replace(b"stablehlo.maximum", b"stablehlo.minimum")
            (folder / path.name).write_bytes(changed if path.suffix == ".mlir" else content)
        return super().compile(attrs.evolve(artifact, path=folder / artifact.path.name), options)

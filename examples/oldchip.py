"""A backend for an SDK that only an old Python has: syntax of Python 3.7, the standard library and numpy.

Where bytemlperf cannot be installed, its small stand-in gives the names that are imported here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Dict  # noqa: UP035 - an old Python has no other

import numpy as np

from bytemlperf import Backend, Batch, CompiledModel, CompileInfo, CompileOptions, Format, ModelArtifact

Weights = Dict[str, np.ndarray]  # noqa: UP006 - as above


class OldChip(Backend[CompileOptions, Weights]):
    """Runs the one layer that it knows: y = x W' + b."""

    name = "oldchip"
    formats = frozenset({Format.TORCH})  # a recipe, and the weights in a safetensors file

    def version(self) -> str:
        """Tell what decides the figures."""
        return f"python {sys.version.split()[0]}, numpy {np.__version__}"

    def compile(self, artifact: ModelArtifact, options: CompileOptions) -> CompiledModel[Weights]:
        """Load the weights; put your SDK's compiler here."""
        return CompiledModel(read_weights(Path(str(artifact.path))), CompileInfo(precision="fp32"))

    def predict(self, compiled: CompiledModel[Weights], batch: Batch) -> Weights:
        """Answer a batch; put your SDK's runtime here."""
        return {"y": batch.inputs["x"] @ compiled.handle["weight"].T + compiled.handle["bias"]}


def read_weights(path: Path) -> Weights:
    """Return the float32 tensors of a safetensors file."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = {name: entry for name, entry in json.loads(content[8:start]).items() if name != "__metadata__"}
    return {
        name: np.frombuffer(content[start:][slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
        for name, entry in tensors.items()
    }

"""Record the exported graph of each ONNX model of the catalog, without its weights.

Run it when a definition has a new version: `python benchmarks/record_graphs.py [TASK ...]`. A graph that differs
under an unchanged version is refused: either the definition changed, and its version must too, or a library
exports it otherwise, and the new graph has to be judged before `--accept`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import attrs
import torch

from bytemlperf import zoo
from bytemlperf.conversion.onnx_digest import graph_digest
from bytemlperf.conversion.torch_onnx import export_onnx
from bytemlperf.registry import load
from bytemlperf.spec import Format, ModelSpec
from bytemlperf.zoo.graphs import RecordedGraph, recorded_graphs

RECORD = Path(zoo.__file__).with_name("graphs.json")


def exported_graph(spec: ModelSpec) -> RecordedGraph:
    """Export a model with whatever weights its module comes with, and digest its graph."""
    assert spec.recipe is not None
    torch.manual_seed(0)
    module = load(spec.recipe.architecture)(**spec.recipe.config)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(module, spec, path)
        digest = graph_digest(path)
    exporter = {name: version(name) for name in ("torch", "onnx", "onnxscript")}
    return RecordedGraph(sha256=digest, version=spec.recipe.version, exporter=exporter)


def main() -> None:
    """Record the models that are asked for, else all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("--accept", action="store_true", help="record graphs that differ under the same version")
    asked = parser.parse_args()
    known = dict(recorded_graphs()) if RECORD.is_file() else {}
    specs = [zoo.get(name) for name in asked.tasks or zoo.names(framework="onnx")]
    for spec in specs:
        if spec.format is not Format.ONNX or spec.recipe is None:
            continue
        found, before = exported_graph(spec), known.get(spec.name)
        differs = before is not None and before.version == found.version and before.sha256 != found.sha256
        if differs and not asked.accept:
            sys.exit(f"{spec.name} has another graph under the same version {found.version}")
        known[spec.name] = found
        print(spec.name, found.sha256, "changed" if differs else "", flush=True)
        fields = {name: attrs.asdict(each) for name, each in sorted(known.items())}
        RECORD.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

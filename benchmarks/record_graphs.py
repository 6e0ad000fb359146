"""Record the graph of each model of the catalog, without its weights, to src/bytemlperf/zoo/graphs.json.

Run it when a definition has a new version: `python benchmarks/record_graphs.py [TASK ...]`. A graph that differs
under an unchanged version is refused: either the definition changed, and its version must too, or a library
exports it otherwise, and the new graph has to be judged before `--accept`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import attrs

from bytemlperf import zoo
from bytemlperf.spec import ModelSpec
from bytemlperf.zoo.graph_digests import graph_digest
from bytemlperf.zoo.graphs import RecordedGraph, exporter, recorded_graphs

RECORD = Path(zoo.__file__).with_name("graphs.json")


def graph_of(spec: ModelSpec) -> RecordedGraph:
    """Export a model with the libraries that are here, and digest its graph."""
    assert spec.recipe is not None
    return RecordedGraph(sha256=graph_digest(spec), version=spec.recipe.version, exporter=exporter(spec.format))


def main() -> None:
    """Record the models that are asked for, else all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help="all, where none is named")
    parser.add_argument("--new", action="store_true", help="leave out models that are recorded")
    parser.add_argument("--accept", action="store_true", help="record graphs that differ under the same version")
    asked = parser.parse_args()
    known = dict(recorded_graphs()) if RECORD.is_file() else {}
    for spec in map(zoo.get, asked.tasks or zoo.names()):
        if spec.recipe is None or (asked.new and spec.name in known):
            continue
        found, before = graph_of(spec), known.get(spec.name)
        differs = before is not None and before.version == found.version and before.sha256 != found.sha256
        if differs and not asked.accept:
            sys.exit(f"{spec.name} has another graph under the same version {found.version}")
        known[spec.name] = found
        print(spec.name, found.sha256, "changed" if differs else "", flush=True)
        fields = {name: attrs.asdict(each) for name, each in sorted(known.items())}
        RECORD.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

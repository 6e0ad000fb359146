"""Count what each model of the catalog costs to run, and write it to src/bytemlperf/zoo/costs.json.

Run `python benchmarks/count_costs.py` after a model was added or its definition changed. A model of
another framework is counted by its torch definition, which has the same weights, or else by its twin.
Models of which neither can be counted are named and left out.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from bytemlperf import zoo
from bytemlperf.errors import BenchmarkError
from bytemlperf.graph import recipe_cost
from bytemlperf.spec import ModelCost, ModelSpec, to_json
from bytemlperf.zoo.obtained import torch_recipe

HOW = "ATen's operators on the meta device, their products by torch.utils.flop_counter"
COSTS = Path(__file__).parents[1] / "src" / "bytemlperf" / "zoo" / "costs.json"


def counted(spec: ModelSpec) -> ModelCost:
    """Count a model, or its twin where its own inputs are not those of the torch definition."""
    try:
        return one(attrs.evolve(spec, recipe=torch_recipe(spec)))
    except BenchmarkError:
        if spec.twin is None:
            raise
        return attrs.evolve(one(zoo.get(spec.twin)), counted=f"its twin {spec.twin}: {HOW}")


def one(spec: ModelSpec) -> ModelCost:
    """Count a model by its torch definition."""
    found = recipe_cost(spec, batch_size=1)
    return ModelCost(
        flops=found.flops,
        weight_bytes=found.weight_bytes,
        moved_bytes=found.bytes,
        counted=f"its torch definition: {HOW}",
    )


def main() -> None:
    """Count, tell, write."""
    costs = {}
    for name in zoo.names():
        try:
            found = counted(zoo.get(name))
        except BenchmarkError as error:
            print(f"{name}: left out, {error}")
            continue
        costs[name] = to_json(found)
        print(f"{name}: {found.flops / 1e9:.3f} GFLOP, {found.weight_bytes / 1e6:.1f} MB of weights")
    COSTS.write_text(json.dumps(costs, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

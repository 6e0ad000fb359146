"""Count what each model of the catalog costs to run, and write it to src/bytemlperf/zoo/costs.json.

Run `python benchmarks/count_costs.py` after a model was added or its definition changed. Models
without a torch architecture, or whose work depends on values, are named and left out.
"""

from __future__ import annotations

import json
from pathlib import Path

from bytemlperf import zoo
from bytemlperf.conversion.torch_counting import count
from bytemlperf.errors import BenchmarkError
from bytemlperf.spec import to_json
from bytemlperf.zoo.obtained import built, torch_recipe

COSTS = Path(__file__).parents[1] / "src" / "bytemlperf" / "zoo" / "costs.json"


def main() -> None:
    """Count, tell, write."""
    costs = {}
    for name in zoo.names():
        spec = zoo.get(name)
        recipe = torch_recipe(spec)
        try:
            if recipe is None:
                raise LookupError("no recipe")  # noqa: TRY301 - told below with the rest
            found = count(lambda recipe=recipe: built(recipe), spec)
        except (BenchmarkError, LookupError) as error:
            print(f"{name}: left out, {error}")
            continue
        costs[name] = to_json(found)
        print(f"{name}: {found.flops / 1e9:.3f} GFLOP, {found.weight_bytes / 1e6:.1f} MB of weights")
    COSTS.write_text(json.dumps(costs, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

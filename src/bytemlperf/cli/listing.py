"""The commands that tell what there is: list, and what show says of a model beyond its spec."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bytemlperf.errors import BenchmarkError, SpecError
from bytemlperf.registry import Registry, backends, datasets, metrics, models
from bytemlperf.spec import ModelSpec, to_json
from bytemlperf.zoo import Cached, cached, cost, get, layers, names

REGISTRIES: Final[Mapping[str, Registry[Any]]] = {
    "models": models,
    "backends": backends,
    "datasets": datasets,
    "metrics": metrics,
}
_FILTERS: Final = ("domain", "purpose", "framework")
_STEPS: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_THREE_DIGITS: Final = 99.95
_LICENCE_COLUMNS: Final = 14
_WIDE: Final = 100
"""Columns of a terminal on which licences are written out."""


def run_list(arguments: argparse.Namespace) -> int:
    """List what is installed; models with what they cost, what may be done with them and whether they are here."""
    if arguments.kind == "models":
        return _list_models(arguments)
    if any(getattr(arguments, name) for name in (*_FILTERS, "cached")):
        raise SpecError("only models are filtered", got=arguments.kind, remedy="bytemlperf list models --domain cv")
    rows = _declared(REGISTRIES[arguments.kind])
    if arguments.json:
        _print_json(list(rows.values()))
        return 0
    table = _table(arguments.kind, "from")
    for row in rows.values():
        table.add_row(row["name"], row["distribution"])
    Console().print(table)
    return 0


def model_facts(spec: ModelSpec) -> dict[str, Any]:
    """Return what `show` says of a model beyond its spec, as plain JSON."""
    counted = cost(spec)
    return {
        "cost": None if counted is None else to_json(counted),
        "layers": {name: to_json(each) for name, each in layers(spec).items()},
        "cached": str(cached(spec)),
    }


def shown_facts(spec: ModelSpec) -> dict[str, Any]:
    """Return a model's spec and facts as a person reads them: what is long is written shortly."""
    facts = model_facts(spec)
    counted = cost(spec)
    told = {}
    if counted is not None:
        of = f" ({counted.counted})" if counted.counted else ""
        moved = f"operators read and write {_short(counted.moved_bytes)}B at batch 1"
        told["flops"] = f"{_short(counted.flops)} at batch 1{of}"
        told["size"] = f"{_short(counted.weight_bytes)}B of weights; {moved}"
    made_of = [f"{each['count']} {name} ({each['parameters']:,})" for name, each in facts["layers"].items()]
    here = {"pinned": "the pinned weights", "random": "random weights of seed 0", "none": "no"}[facts["cached"]]
    spec_fields = {name: value for name, value in to_json(spec).items() if name != "cost"}
    if not spec.sources:
        spec_fields["sources"] = "none: give weights of your own (a path or a URL), or random ones"
    if spec.dataset is not None and not spec.reference_accuracy:
        spec_fields["reference_accuracy"] = "unknown"
    return {**spec_fields, **told, "layers": made_of, "cached": here}


def _list_models(arguments: argparse.Namespace) -> int:
    asked = {name: getattr(arguments, name) for name in _FILTERS}
    chosen = names(**asked)
    rows = [row for row in _declared(models).values() if row["name"] in chosen]
    told = [{**row, **_summary(row["name"])} for row in rows]
    if arguments.cached:
        told = [row for row in told if row.get("cached") in {Cached.PINNED, Cached.RANDOM}]
    if arguments.json:
        _print_json(told)
    else:
        _print_models(told)
    return 0


def _summary(name: str) -> dict[str, Any]:
    """Return what a row says of a model; of one that cannot be loaded, why."""
    try:
        spec = get(name)
        counted = cost(spec)
        return {
            "domain": str(spec.domain),
            "purpose": str(spec.purpose),
            "framework": str(spec.framework),
            "parameters": spec.parameters,
            "flops": None if counted is None else counted.flops,
            "weight_bytes": None if counted is None else counted.weight_bytes,
            "licence": ", ".join(dict.fromkeys(source.licence for source in spec.sources)) or None,
            "cached": str(cached(spec)),
        }
    except BenchmarkError as error:
        return {"problem": str(error)}


def _print_models(rows: list[dict[str, Any]]) -> None:
    console = Console()
    table = _table("models", "params", "FLOP", "bytes", "licence", "cached", right=(1, 2, 3))
    table.columns[4].max_width = _LICENCE_COLUMNS if console.width < _WIDE else None
    for row in rows:
        if "problem" in row:
            table.add_row(row["name"], "", "", "", "broken", "")
            continue
        here = "-" if row["cached"] == Cached.NONE else row["cached"]
        table.add_row(
            row["name"],
            *(_short(row[key]) for key in ("parameters", "flops", "weight_bytes")),
            row["licence"] or "none",
            here,
        )
    console.print(table)
    for row in rows:
        if "problem" in row:
            Console(stderr=True).print(f"{row['name']}: {row['problem']}", markup=False, soft_wrap=True)


def _table(first: str, *others: str, right: tuple[int, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for number, name in enumerate(others, start=1):
        table.add_column(
            name,
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if number in right else "left",
            style=None if right else "dim",
            min_width=None if name == "licence" else len(name),
        )
    return table


def _declared(registry: Registry[Any]) -> dict[str, dict[str, str]]:
    return {
        plugin.name: {"name": plugin.name, "reference": plugin.reference, "distribution": plugin.distribution}
        for plugin in sorted(registry.plugins(), key=lambda plugin: plugin.name)
    }


def _short(value: int | None) -> str:
    """Write a large number with three digits: `25.6M`.

    Example:
        >>> _short(25_557_032), _short(8_178_368_512), _short(512), _short(None)
        ('25.6M', '8.18G', '512', '?')
    """
    if value is None:
        return "?"
    for size, suffix in _STEPS:
        if value >= size:
            number = value / size
            return f"{number:.0f}{suffix}" if number >= _THREE_DIGITS else f"{number:.3g}{suffix}"
    return str(value)


def _print_json(data: object) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")

"""What each model of the zoo takes at full size: build time, size, memory and latency at batch 1, with random weights.

Run it alone on the machine: `python benchmarks/zoo_table.py --out docs/reference/zoo-figures.md`. Each model is
built and run in a process of its own, with a cache of its own that is deleted afterwards. Rows of models that were
not measured this time stay as they are. With `--check` outputs are compared with the reference instead, and nothing
is written.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from bytemlperf import run, zoo
from bytemlperf.environment import capture
from bytemlperf.scenarios import FixedBatch, Warmup
from bytemlperf.workload import Check
from bytemlperf.zoo.substructures import ROWS

HEAD = (
    "| task | parameters | on disk, MB | build, s | peak memory, MB | latency, ms |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
)
LATENCY = "latency/p50"
PACKAGES = ("torch", "onnxruntime", "tensorflow", "jaxlib", "torch-mlir")
"""Whose versions decide these figures."""
GROUPED_FROM = 1000
LARGE = 2_000_000_000
"""Parameters from which a query takes a minute or more, and one has to do."""


def measure(task: str) -> dict[str, float]:
    """Build and run one model in this process and its workers.

    Returns:
        Seconds to draw its weights and bring them into its format, bytes of the result, the memory of the largest
        process at its peak in bytes, the median latency in milliseconds, and whether other work ran beside it.
    """
    started = time.perf_counter()
    artifact = zoo.resolve(task, weights="random")
    build_s = time.perf_counter() - started
    assert artifact.path is not None
    large = (artifact.spec.parameters or 0) > LARGE
    report = run(
        task,
        weights="random",
        dataset="synthetic",
        checks=["performance"],
        batch_sizes=[1],
        scenarios=[FixedBatch(iterations=1 if large else 7, warmup=Warmup(max_queries=1 if large else 2, window=1))],
    )
    report.raise_for_status()
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "parameters": artifact.spec.parameters or 0,
        "bytes": _size(artifact.path),
        "build_s": build_s,
        "peak_bytes": max(peaks) * 1024,
        "latency_ms": (report.metrics[LATENCY].value or 0.0) / 1e6,
        "disturbed": any(warning.code == "disturbed" for warning in report.warnings),
    }


def check(task: str) -> dict[str, float | str]:
    """Compare one model's outputs at full size, two samples one by one, with the reference."""
    started = time.perf_counter()
    report = run(
        task,
        weights="random",
        dataset="synthetic",
        checks=["numeric"],
        batch_sizes=[1],
        numeric_samples=2,
    )
    said = [reason.text for reason in report.verdict.reasons if reason.check is Check.NUMERIC]
    notes = [str(row.note) for row in report.rows if row.note]
    return {"numeric": "; ".join(said), "note": "; ".join(notes), "s": time.perf_counter() - started}


def in_own_process(task: str, mode: str) -> dict[str, float]:
    """Start this script for one model, with a cache that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="zoo-table-") as folder:
        environment = {**os.environ, "BYTEMLPERF_CACHE": folder}
        command = [sys.executable, __file__, "--in-this-process", mode, task]
        ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - itself
    if ended.returncode:
        return {}
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def row(task: str, found: Mapping[str, float]) -> str:
    """Write a model's line of the table."""
    figures = (found["bytes"] / 1e6, found["build_s"], found["peak_bytes"] / 1e6, found["latency_ms"])
    mark = " \\*" if found["disturbed"] else ""
    return f"| `{task}` | {found['parameters']:,.0f} | {' | '.join(map(_three_digits, figures))}{mark} |"


def machine() -> str:
    """Name the machine and the software whose figures these are."""
    facts = capture()
    memory = f"{(facts.memory_bytes or 0) / 2**30:.0f} GiB"
    versions = ", ".join(f"{name} {facts.packages[name]}" for name in PACKAGES if name in facts.packages)
    return (
        f"{facts.cpu.model}, {facts.cpu.usable_cores} cores, {memory}, {facts.system} {facts.kernel}, "
        f"Python {facts.python}, {versions}"
    )


def page(rows: Mapping[str, str]) -> str:
    """Write the page around the lines."""
    wholes = [rows[task] for task in sorted(rows) if task not in ROWS]
    parts = [rows[task] for task in sorted(rows) if task in ROWS]
    return "\n".join(
        [
            "# What the zoo's models take",
            "",
            "Each model at full size with random weights, on the `cpu` backend (its own framework; XLA for",
            "StableHLO) at batch 1. *On disk* are the weights, with the graph where there is one; *build* is drawing",
            "and writing them and exporting the graph; *peak memory* that of the largest process; *latency* the median",
            "of seven queries (one, from two thousand million parameters on), with \\* where other work ran on",
            "the machine meanwhile. For orientation on one machine, not for comparison:",
            "`benchmarks/zoo_table.py --parts` makes the tables anew.",
            "",
            f"Measured on: {machine()}.",
            "",
            *HEAD,
            *wholes,
            *(["", "## Parts of models", "", *HEAD, *parts] if parts else []),
            "",
        ]
    )


def kept_rows(path: Path | None) -> dict[str, str]:
    """Read the lines that a page has already."""
    if path is None or not path.is_file():
        return {}
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return {line.split("`")[1]: line for line in lines}


def main(arguments: Iterable[str] | None = None) -> None:
    """Measure the models that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help="all but the parts of models, where none is named")
    parser.add_argument("--out", type=Path, help="page to write; printed where it is not given")
    parser.add_argument("--check", action="store_true", help="compare with the reference instead")
    parser.add_argument("--parts", action="store_true", help="also the parts of models, where none is named")
    parser.add_argument("--in-this-process", choices=("measure", "check"), help=argparse.SUPPRESS)
    asked = parser.parse_args(None if arguments is None else list(arguments))
    if asked.in_this_process:
        print(json.dumps({"measure": measure, "check": check}[asked.in_this_process](asked.tasks[0])))
        return
    rows = kept_rows(asked.out)
    print(machine(), flush=True)
    for task in asked.tasks or [name for name in zoo.names() if asked.parts or name not in ROWS]:
        found = in_own_process(task, "check" if asked.check else "measure")
        if asked.check or not found:
            print(task, found or "failed", flush=True)
            continue
        rows[task] = row(task, found)
        print(rows[task], flush=True)
        if asked.out is not None:
            asked.out.write_text(page(rows), encoding="utf-8")


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= GROUPED_FROM else f"{float(f'{value:.3g}'):g}"


def _size(path: Path) -> int:
    files = [path] if path.is_file() and path.suffix == ".safetensors" else [*path.parent.rglob("*")]
    return sum(each.stat().st_size for each in files if each.is_file() and each.name != "record.json")


if __name__ == "__main__":
    main()

"""Load a language model of full size from its own shards and stream tokens, and tell what memory and time that takes.

    python benchmarks/language_full_size.py llama2-7b-torch-fp16
    python benchmarks/language_full_size.py chatglm2-6b-torch-fp16 --remove

Random weights are made first, where they are not there yet (13.5 and 12.5 GB of disk, some minutes each). Then one
`run()` in a process of its own compiles the model and streams answers, and all its processes, harness and workers
together, are watched from outside: the sum of their proportional set sizes (memory that several share counts once;
weights that are mapped count as far as they are in memory) is read twice a second, the high-water mark of each more
often. Aim: the highest sum is at most the weights' bytes and 1.5 GB.

The float64 reference of a model of this size runs layer by layer, which takes long: the numeric check is left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import psutil

from bytemlperf import Lengths, run
from bytemlperf.conversion.weight_files import weight_files
from bytemlperf.report import Report
from bytemlperf.scenarios import ClosedLoop, Warmup
from bytemlperf.zoo import resolve

AIM_BYTES = 1.5e9
FIGURES = ("ttft/p50", "tpot/p50", "itl/chunk_gap/p50", "itl/chunk_gap/p99", "throughput/output_tokens_per_s")


class Memory:
    """Watches a process and its descendants on a thread of its own.

    Attributes:
        peak: Highest sum of the proportional set sizes, in bytes.
        high_water: Highest resident set of each process, in bytes, by process id and name.
    """

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self.high_water: dict[str, int] = {}
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        rounds = 0
        while not self._ended.wait(0.1):
            try:
                processes = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for each in processes:
                self._note(each)
            if rounds % 5 == 0:
                self.peak = max(self.peak, sum(_proportional(each.pid) for each in processes))
            rounds += 1

    def _note(self, process: psutil.Process) -> None:
        status = _read(f"/proc/{process.pid}/status")
        lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if "VmHWM" in lines:
            name = f"{process.pid} {lines['Name'].strip()}"
            self.high_water[name] = max(self.high_water.get(name, 0), int(lines["VmHWM"].split()[0]) * 1024)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:  # the process has ended
        return ""


def _proportional(pid: int) -> int:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def stream(model: str, *, prompt: int, answer: int, queries: int, out: Path) -> None:
    """Run the job and write its report; in a process of its own."""
    scenario = ClosedLoop(clients=1, queries=queries, warmup=Warmup(max_queries=1))
    report = run(
        model,
        backend="torch",
        weights="random",
        checks=("compile", "performance"),
        scenarios=[scenario],
        prompts=Lengths(input=prompt, output=answer),
        out=out,
    )
    report.raise_for_status()


def watched(model: str, chosen: argparse.Namespace, folder: Path) -> Memory:
    """Run the job in a process of its own, with its memory watched."""
    options = ["--prompt", str(chosen.prompt), "--answer", str(chosen.answer), "--queries", str(chosen.queries)]
    command = [sys.executable, __file__, model, *options, "--out", str(folder)]
    with subprocess.Popen(command) as process, Memory(process.pid) as memory:  # noqa: S603 - itself
        if process.wait():
            raise SystemExit(process.returncode)
    return memory


def told(report: Report, memory: Memory, weights: int) -> bool:
    """Print the figures; tell whether the aim is held."""
    over = memory.peak - weights
    print(f"weights {weights / 1e9:8.3f} GB")
    print(f"peak    {memory.peak / 1e9:8.3f} GB, all processes together: weights and {over / 1e9:.3f} GB; aim 1.5 GB")
    for name, peak in sorted(memory.high_water.items(), key=lambda each: -each[1])[:4]:
        print(f"        {peak / 1e9:8.3f} GB high-water mark of process {name}")
    for kind in ("compile", "performance"):
        for row in report.rows_of(kind):
            print(kind, json.dumps({"key": row.key}))
            for name, figure in row.metrics.items():
                if kind == "compile" or name in FIGURES:
                    print(f"  {name:34} {figure}")
    return over <= AIM_BYTES


def main() -> int:
    """Make the weights, stream, print; the exit code is 1 where the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--answer", type=int, default=32)
    parser.add_argument("--queries", type=int, default=2)
    parser.add_argument("--remove", action="store_true", help="remove the weights that this run made")
    parser.add_argument("--weights-only", action="store_true", help="make the weights and do no more")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.out is not None:
        stream(chosen.model, prompt=chosen.prompt, answer=chosen.answer, queries=chosen.queries, out=chosen.out)
        return 0
    started = time.perf_counter()
    path = resolve(chosen.model, weights="random").path
    print(f"{chosen.model}: weights there after {time.perf_counter() - started:.0f} s")
    assert path is not None
    held = True
    if not chosen.weights_only:
        with tempfile.TemporaryDirectory() as folder:
            memory = watched(chosen.model, chosen, Path(folder))
            report = Report.load(Path(folder))
            held = told(report, memory, sum(file.stat().st_size for file in weight_files(path)))
    if chosen.remove:
        shutil.rmtree(path.parent)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

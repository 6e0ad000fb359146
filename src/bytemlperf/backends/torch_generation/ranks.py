"""Run a program on rank 0 of torchrun, while the other ranks wait for models to be divided among them.

    torchrun --nproc-per-node 2 -m bytemlperf.backends.torch_generation.ranks script.py --its arguments
    torchrun --nproc-per-node 2 -m bytemlperf.backends.torch_generation.ranks -m bytemlperf run ...

Each engine that the program compiles with `tensor_parallel` of 2 or more has a process of its own on each of the ranks
that it takes; the ranks beyond are idle.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import torch
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]  # as torch's stubs export none

from bytemlperf.backends.torch_generation.launch import end_rank, start_rank
from bytemlperf.backends.torch_generation.place import ENDED, ENGINE, KILL, OVER, VARIABLE, Place
from bytemlperf.errors import BackendUnavailableError, BenchmarkError

POLL_S: Final = 0.1
GOODBYE_S: Final = 10.0
"""Seconds for the others to have heard that all is over."""


def main(program: Sequence[str]) -> int:
    """Run a program, or wait for engines, by the place that torchrun has given; return the exit code.

    Args:
        program: A script and its arguments, or `-m`, a module and its arguments.
    """
    try:
        place = Place.of(os.environ)
        if place is None:
            raise BackendUnavailableError("this is no process of torchrun", remedy="start it by torchrun")
        if not program or program == ["-m"]:
            raise BackendUnavailableError("there is no program to run", expected="a script, or -m and a module")
        store = place.store(serves=place.rank == 0)
    except BenchmarkError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if place.rank == 0:
        return _lead(place, store, program)
    return Follower(place, store).run()


def _lead(place: Place, store: Store, program: Sequence[str]) -> int:
    os.environ[VARIABLE] = place.to_tell()
    try:
        return _run(program)
    finally:
        os.environ.pop(VARIABLE)
        store.set(OVER, "1")
        until = time.monotonic() + GOODBYE_S
        names = [f"{OVER}/{rank}" for rank in range(1, place.ranks)]
        while names and time.monotonic() < until and not store.check(names):
            time.sleep(POLL_S)


def _run(program: Sequence[str]) -> int:
    is_module = program[0] == "-m"
    sys.argv = list(program[1:] if is_module else program)
    try:
        if is_module:
            sys.path.insert(0, str(Path.cwd()))
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(program[0]).resolve().parent))
            runpy.run_path(program[0], run_name="__main__")
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    return 0


@attrs.frozen(eq=False)
class Served:
    """A process of this rank, and what is told of its engine.

    Attributes:
        store: The engine's part of the store.
        process: This rank's.
    """

    store: Store
    process: subprocess.Popen[bytes]


class Follower:
    """Starts this rank's process of each engine that rank 0 announces.

    Args:
        place: Which rank this is.
        store: Where engines are announced.

    Attributes:
        served: Processes of engines that are under way.
    """

    def __init__(self, place: Place, store: Store) -> None:
        self._place, self._store = place, store
        self.served: list[Served] = []
        self._next = 0

    def run(self) -> int:
        """Serve until all is over; return the exit code: 1 if rank 0 is gone."""
        try:
            with contextlib.suppress(KeyboardInterrupt):
                while not self._store.check([OVER]):
                    self._look()
                    time.sleep(POLL_S)
            self._store.set(f"{OVER}/{self._place.rank}", "1")
        except RuntimeError as error:  # torch's own kinds: the store has gone with rank 0
            sys.stderr.write(f"rank 0 is gone: {error}\n")
            return 1
        finally:
            for each in self.served:
                end_rank(each.process)
        return 0

    def _look(self) -> None:
        name = f"{ENGINE}/{self._next}"
        if self._store.check([name]):
            self._next += 1
            told = json.loads(self._store.get(name))
            if self._place.rank < told["ranks"]:
                own = {**told, "rank": self._place.rank, "device": self._device(told["device"])}
                self.served.append(Served(PrefixStore(f"{name}/told", self._store), start_rank(own, log=None)))
        self.served = list(self._still_served())

    def _device(self, first: str) -> str:
        kind = torch.device(first).type
        return kind if kind == "cpu" else f"{kind}:{self._place.local_rank}"

    def _still_served(self) -> Iterator[Served]:
        for each in self.served:
            if each.store.check([KILL]):
                end_rank(each.process)
            code = each.process.poll()
            if code is None:
                yield each
            else:
                end_rank(each.process)
                each.store.set(f"{ENDED}/{self._place.rank}", str(code))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Start the ranks of an engine: as processes of this machine, or by word to those that torchrun has started."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import torch
from torch.distributed import FileStore, PrefixStore, Store  # type: ignore[attr-defined]  # as torch's stubs export none

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import seam
from bytemlperf.backends.torch_generation.group import LOOPBACK
from bytemlperf.backends.torch_generation.place import ENDED, ENGINE, ENGINES, KILL, Place, loaded_key
from bytemlperf.errors import BackendUnavailableError, BenchmarkError, CrashError, FailureCode, error_types
from bytemlperf.spec import to_json

POLL_S: Final = 0.02
END_S: Final = 5.0
"""Seconds for ranks that were sent home to be gone."""
START: Final = (
    "import json, sys\n"
    "sys.path[:] = json.loads(sys.stdin.readline())\n"
    "from bytemlperf.backends.torch_generation.rank import main\n"
    "sys.exit(main())"
)
"""What a rank's interpreter runs: its path comes first, by standard input."""
LOG_TAIL_BYTES: Final = 4_000


@attrs.frozen(kw_only=True)
class Ended:
    """How a rank's process ended.

    Attributes:
        rank: Which.
        code: As `subprocess` gives it: below 0 for a signal.
        log_tail: The last that it wrote.
    """

    rank: int
    code: int
    log_tail: str = ""

    def error(self, ranks: int) -> BenchmarkError:
        """Return it as an error."""
        name = signal.Signals(-self.code).name if self.code < 0 else None
        error = CrashError(
            f"rank {self.rank} of {ranks} {f'was ended by {name}' if name else f'exited with {self.code}'}",
            remedy="the system may have run out of memory" if name == "SIGKILL" else None,
        )
        error.signal, error.exit_code = name, None if name else self.code
        error.log_tail = self.log_tail
        return error


@attrs.frozen(kw_only=True)
class Loaded:
    """What a rank has loaded.

    Attributes:
        weight_bytes: Of its weights, as they are kept.
        cache_bytes: Of its cache.
    """

    weight_bytes: int
    cache_bytes: int


class Ranks(ABC):
    """The ranks of an engine other than the first.

    Attributes:
        store: Where they are found.
        count: How many ranks there are, with the first.
        loopback: Whether they are all on this machine.
    """

    store: Store
    count: int
    loopback: bool

    @property
    def processes(self) -> Mapping[int, int]:
        """Process ids by rank, of those on this machine that this process has started."""
        return {}

    @abstractmethod
    def ended(self) -> Ended | None:
        """Return one that has ended, if any has."""

    @abstractmethod
    def close(self, *, patience_s: float = 0.0) -> None:
        """End those that have not ended by themselves within some seconds; twice is harmless."""

    def loaded(self) -> tuple[Loaded, ...]:
        """Wait until each has loaded its part; return what, from rank 1.

        Raises:
            BenchmarkError: As its kind, if one could not.
            CrashError: If one has died.
        """
        return tuple(self._loaded(rank) for rank in range(1, self.count))

    def _loaded(self, rank: int) -> Loaded:
        key = loaded_key(rank)
        while not self.store.check([key]):
            if (ended := self.ended()) is not None and not self.store.check([loaded_key(ended.rank)]):
                raise ended.error(self.count)
            time.sleep(POLL_S)
        told = json.loads(self.store.get(key))
        if "failed" in told:
            failed = told["failed"]
            raise error_types()[FailureCode(failed["code"])](f"rank {rank} of {self.count}: {failed['message']}")
        return Loaded(**told)


def start_ranks(
    artifact: ModelArtifact, options: attrs.AttrsInstance, *, ranks: int, device: torch.device, timeout_s: float
) -> Ranks:
    """Have the ranks from 1 on build their parts.

    Where the process was started by `place` under torchrun, that are the processes which wait there; else they are
    started on this machine.

    Args:
        artifact: The whole model; its files are at the same path for every rank.
        options: Of the engine.
        ranks: How many, with the first.
        device: Of the first; ranks on this machine take the next ones of its kind.
        timeout_s: Seconds that the first waits for the others.

    Raises:
        BackendUnavailableError: If fewer ranks wait than are asked for.
    """
    told: dict[str, Any] = {
        "artifact": seam.artifact_to(artifact),
        "options": to_json(options),
        "ranks": ranks,
        "timeout_s": timeout_s,
    }
    place = Place.told(os.environ)
    if place is None:
        return LocalRanks(told, device=device, threads=max(1, torch.get_num_threads()))
    if place.ranks < ranks:
        raise BackendUnavailableError(
            "there are fewer ranks than the model is divided among",
            where="$.options.tensor_parallel",
            got=ranks,
            expected=f"{place.ranks} at most, which torchrun has started",
        )
    return AnnouncedRanks(told, place=place, device=device)


class LocalRanks(Ranks):
    """Processes of this machine, which end with this one.

    Args:
        told: What each is told, but for its own place.
        device: Of the first rank.
        threads: Of torch, in each.
    """

    loopback = True

    def __init__(self, told: Mapping[str, Any], *, device: torch.device, threads: int) -> None:
        self.count = int(told["ranks"])
        work = Path(told["options"]["work_dir"])
        work.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="ranks-", dir=work))
        path = str(self._folder / "store")
        self.store = FileStore(path, self.count)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        shared = {**told, "store": {"file": path, "ranks": self.count}, "loopback": True, "threads": threads}
        try:
            for rank in range(1, self.count):
                own = {**shared, "rank": rank, "device": _device_of(device, rank)}
                self._processes[rank] = start_rank(own, log=self._log(rank))
        except BaseException:
            self.close()
            raise

    def _log(self, rank: int) -> Path:
        return self._folder / f"rank-{rank}.log"

    @property
    def processes(self) -> Mapping[int, int]:
        """Process ids by rank."""
        return {rank: each.pid for rank, each in self._processes.items()}

    def ended(self) -> Ended | None:
        """Return one that has ended, if any has; one that a signal ended first."""
        codes = {rank: code for rank, each in self._processes.items() if (code := each.poll()) is not None}
        if not codes:
            return None
        rank = min(codes, key=lambda each: (codes[each] >= 0, each))
        return Ended(rank=rank, code=codes[rank], log_tail=_tail(self._log(rank)))

    def close(self, *, patience_s: float = 0.0) -> None:
        """End them, and take their folder away."""
        until = time.monotonic() + patience_s
        for each in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.wait(max(0.0, until - time.monotonic()))
        for each in self._processes.values():
            end_rank(each)
        shutil.rmtree(self._folder, ignore_errors=True)


class AnnouncedRanks(Ranks):
    """Ranks whose processes others start, when they hear of it in the store.

    Args:
        told: What each is told, but for its own place.
        place: Where the store is.
        device: Of the first rank.
    """

    def __init__(self, told: Mapping[str, Any], *, place: Place, device: torch.device) -> None:
        self.count = int(told["ranks"])
        self.loopback = place.host in {LOOPBACK, "localhost"}
        self._all = place.store()
        number = self._all.add(ENGINES, 1) - 1
        prefix = f"{ENGINE}/{number}/told"
        self.store = PrefixStore(prefix, self._all)
        self._closed = False
        where = {"host": place.host, "port": place.port, "prefix": place.prefixed(prefix)}
        shared = {**told, "store": where, "loopback": self.loopback, "threads": 0, "device": str(device)}
        self._all.set(f"{ENGINE}/{number}", json.dumps(shared))

    def ended(self) -> Ended | None:
        """Return one that has ended, if any has."""
        for rank in range(1, self.count):
            if self.store.check([f"{ENDED}/{rank}"]):
                return Ended(rank=rank, code=int(self.store.get(f"{ENDED}/{rank}")))
        return None

    def close(self, *, patience_s: float = 0.0) -> None:
        """Have those ended that have not ended by themselves."""
        if self._closed:
            return
        self._closed = True
        until = time.monotonic() + patience_s
        while time.monotonic() < until and not all(self._gone()):
            time.sleep(POLL_S)
        with contextlib.suppress(RuntimeError):  # the store is gone, and with it whoever looked into it
            self.store.set(KILL, "1")

    def _gone(self) -> Iterator[bool]:
        return (self.store.check([f"{ENDED}/{rank}"]) for rank in range(1, self.count))


def start_rank(told: Mapping[str, Any], *, log: Path | None) -> subprocess.Popen[bytes]:
    """Start a rank's process, which ends when this one does.

    Args:
        told: What it is told; see `rank.serve`.
        log: Where it writes; None for where this process does.
    """
    with contextlib.ExitStack() as stack:
        output = None if log is None else stack.enter_context(log.open("ab"))
        process = subprocess.Popen(  # noqa: S603 - this interpreter
            [sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=output, stderr=output
        )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended already, which is seen later
        process.stdin.write(json.dumps(sys.path).encode() + b"\n" + json.dumps(told).encode() + b"\n")
        process.stdin.flush()
    return process


def end_rank(process: subprocess.Popen[bytes]) -> None:
    """End a rank's process, if it has not ended, and wait for it."""
    process.kill()
    process.wait()
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _device_of(first: torch.device, rank: int) -> str:
    return "cpu" if first.type == "cpu" else f"{first.type}:{(first.index or 0) + rank}"


def _tail(log: Path) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES, 0))
        return file.read().decode(errors="replace")

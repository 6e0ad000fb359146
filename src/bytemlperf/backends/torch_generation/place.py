"""A process' place among those that torchrun has started, and where they find each other.

    torchrun --nnodes 2 --nproc-per-node 1 ... -m bytemlperf.backends.torch_generation.ranks script.py

Rank 0 runs the script, the others wait for engines to be divided among them; see `ranks`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Self

import attrs
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # as torch's stubs export none

from bytemlperf.errors import BackendUnavailableError

VARIABLE: Final = "BYTEMLPERF_RANKS"
"""Variable by which rank 0 tells whatever it starts where the others wait."""
ENGINES: Final = "engines"
"""Name, in the store, of the count of engines so far."""
ENGINE: Final = "engine"
"""Name below which each engine is announced."""
ENDED: Final = "ended"
"""Name below which it is told how a rank of an engine has ended."""
KILL: Final = "kill"
"""Name whose presence says that the ranks of an engine are to be ended."""
OVER: Final = "over"
"""Name whose presence says that there are no more engines."""
CONNECT_S: Final = 60.0
"""Seconds for the store to be there."""


def loaded_key(rank: int) -> str:
    """Return the name under which a rank tells what it has loaded."""
    return f"loaded/{rank}"


@attrs.frozen(kw_only=True)
class Place:
    """A rank among ranks, by the names that torchrun gives.

    Attributes:
        rank: From 0.
        ranks: How many there are.
        local_rank: From 0 on each machine.
        host: Where the store is.
        port: Where the store is.
        attempt: How often torchrun has started all anew.
        has_store: Whether torchrun itself serves the store.
    """

    rank: int
    ranks: int
    local_rank: int = 0
    host: str
    port: int
    attempt: int = 0
    has_store: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self | None:
        """Read what torchrun, or whoever does as it does, has set; None where it has not.

        Raises:
            BackendUnavailableError: If a variable is missing or is no number.
        """
        if "RANK" not in environment and "WORLD_SIZE" not in environment:
            return None
        try:
            return cls(
                rank=int(environment["RANK"]),
                ranks=int(environment["WORLD_SIZE"]),
                local_rank=int(environment.get("LOCAL_RANK", "0")),
                host=environment["MASTER_ADDR"],
                port=int(environment["MASTER_PORT"]),
                attempt=int(environment.get("TORCHELASTIC_RESTART_COUNT", "0")),
                has_store=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
            )
        except (KeyError, ValueError) as error:
            raise BackendUnavailableError(
                "the place among the ranks is not known",
                got=str(error),
                expected="RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT",
                remedy="start it by torchrun",
            ) from error

    @classmethod
    def told(cls, environment: Mapping[str, str]) -> Self | None:
        """Read what rank 0 told a process that it started; None where it is not part of ranks."""
        told = environment.get(VARIABLE)
        return None if told is None else cls(**json.loads(told))

    def to_tell(self) -> str:
        """Return what `told` reads."""
        return json.dumps(attrs.asdict(self))

    def prefixed(self, name: str) -> str:
        """Return a name in the store, apart from those of earlier attempts."""
        return f"bytemlperf/{self.attempt}/{name}"

    def store(self, *, serves: bool = False, within_s: float = CONNECT_S) -> Store:
        """Return the store.

        Args:
            serves: Whether this process is the one that serves it, where torchrun does not.
            within_s: Seconds for it to be there.

        Raises:
            BackendUnavailableError: If it cannot be reached, or its port is in use.
        """
        serves = serves and not self.has_store
        try:
            store = TCPStore(
                self.host,
                self.port,
                self.ranks if serves else None,
                is_master=serves,
                timeout=timedelta(seconds=within_s),
                wait_for_workers=False,
            )
        except (RuntimeError, TimeoutError) as error:
            raise BackendUnavailableError(
                "the ranks cannot find each other",
                where=f"{self.host}:{self.port}",
                got=str(error).splitlines()[0],
                remedy="take a free port for torchrun's --master-port" if serves else "see that rank 0 runs",
            ) from error
        return PrefixStore(f"bytemlperf/{self.attempt}", store)

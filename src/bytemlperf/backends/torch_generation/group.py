"""The ranks of one engine: they add up what each has, and all but the first follow its orders.

Groups are made directly and not as torch's one default group of a process, so that engines do not know of each other.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, cast

import torch
from torch import Tensor
from torch.distributed import (  # type: ignore[attr-defined]  # torch has Store, its stubs do not export it
    BroadcastOptions,
    ProcessGroup,
    ProcessGroupGloo,
    Store,
)

from bytemlperf.backends.torch_generation.orders import ORDER_LENGTH, Order, beyond, read, written

PATIENCE: Final = timedelta(days=365)
"""How long a rank waits for an order: as long as nobody asks for anything."""
LOOPBACK: Final = "127.0.0.1"


class GroupLostError(Exception):
    """A rank did not take part: it died, hangs, or cannot be reached."""


class Group:
    """What ranks do together; making it waits for all of them.

    Args:
        store: Where ranks find each other.
        rank: This one, from 0.
        ranks: How many there are.
        device: Where the sums are: on the CPU by gloo, on CUDA by nccl.
        timeout_s: Seconds that the first rank waits for the others.
        loopback: Whether all ranks are on this machine, so that nothing listens beyond it.

    Raises:
        GroupLostError: If not all ranks come.
    """

    def __init__(
        self, store: Store, *, rank: int, ranks: int, device: torch.device, timeout_s: float, loopback: bool
    ) -> None:
        self._rank = rank
        self._timeout = timedelta(seconds=timeout_s) if rank == 0 else PATIENCE
        try:
            self._orders = _gloo(store, rank, ranks, self._timeout, loopback=loopback)
            self._sums = self._orders if device.type == "cpu" else _nccl(store, rank, ranks, timeout_s, device)
        except RuntimeError as error:
            raise GroupLostError(str(error)) from error

    def sum(self, part: Tensor) -> Tensor:
        """Add up what each rank has; the same on all of them, bit for bit.

        Raises:
            GroupLostError: If a rank does not take part.
        """
        total = part.contiguous()
        try:
            self._sums.allreduce([total]).wait()
        except RuntimeError as error:
            raise GroupLostError(str(error)) from error
        return total

    def tell(self, order: Order) -> None:
        """Have the other ranks do something; only the first rank may.

        Raises:
            GroupLostError: If a rank does not take part.
        """
        head, rest = written(order)
        self._broadcast(head)
        if rest is not None:
            self._broadcast(rest)

    def hear(self) -> Order:
        """Wait for what the first rank wants done, as long as it takes.

        Raises:
            GroupLostError: If the first rank is gone.
        """
        head = torch.zeros(ORDER_LENGTH, dtype=torch.int64)
        self._broadcast(head)
        count = beyond(head)
        rest = torch.zeros(count, dtype=torch.int64) if count else None
        if rest is not None:
            self._broadcast(rest)
        return read(head, rest)

    def _broadcast(self, numbers: Tensor) -> None:
        asked = BroadcastOptions()
        asked.rootRank, asked.timeout = 0, self._timeout
        try:
            self._orders.broadcast([numbers], asked).wait()
        except RuntimeError as error:
            raise GroupLostError(str(error)) from error


def _gloo(store: Store, rank: int, ranks: int, timeout: timedelta, *, loopback: bool) -> ProcessGroup:
    if not loopback:
        return cast("ProcessGroup", ProcessGroupGloo(store, rank, ranks, timeout))
    options = ProcessGroupGloo._Options()  # type: ignore[attr-defined]  # noqa: SLF001 - torch names it so
    options._devices = [ProcessGroupGloo.create_device(hostname=LOOPBACK)]  # noqa: SLF001 - as above
    options._timeout = timeout  # noqa: SLF001 - as above
    return cast("ProcessGroup", ProcessGroupGloo(store, rank, ranks, options))


def _nccl(store: Store, rank: int, ranks: int, timeout_s: float, device: torch.device) -> ProcessGroup:
    """Return a group of CUDA devices; untried, for want of one."""
    from torch.distributed import PrefixStore, ProcessGroupNCCL  # type: ignore[attr-defined]  # torch has it, its stubs do not export it

    torch.cuda.set_device(device)
    options = ProcessGroupNCCL.Options()
    options._timeout = timedelta(seconds=timeout_s)  # noqa: SLF001 - torch names it so
    return cast("ProcessGroup", ProcessGroupNCCL(PrefixStore("nccl", store), rank, ranks, options))

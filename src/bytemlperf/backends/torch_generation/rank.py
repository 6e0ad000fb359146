"""A rank other than the first: a process that builds its part, then does what the first rank orders."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias

import torch
from torch.distributed import FileStore, PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # as torch's stubs export none

from bytemlperf.backends import seam
from bytemlperf.backends.torch_generation.backend import GenerationOptions
from bytemlperf.backends.torch_generation.building import Built, built
from bytemlperf.backends.torch_generation.cache import Rows
from bytemlperf.backends.torch_generation.group import PATIENCE, Group
from bytemlperf.backends.torch_generation.orders import Move, Step
from bytemlperf.backends.torch_generation.place import loaded_key
from bytemlperf.failure import failure_of
from bytemlperf.spec import from_json

logger = logging.getLogger(__name__)

Told: TypeAlias = Mapping[str, Any]
"""What the first rank tells another at its start, as JSON data."""

STARTUP_S: Final = 120.0
"""Seconds for a rank to reach the store."""


def main() -> int:
    """Read one line of JSON from standard input, and serve until told to stop or until that input ends."""
    told: Told = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    serve(told)
    return 0


def _end_with_parent() -> None:
    """End this process when whoever started it is gone; nothing else comes by that way."""
    sys.stdin.read()
    os._exit(1)


def serve(told: Told) -> None:
    """Build a rank's part, tell the first rank, and follow its orders until the last.

    Raises:
        BenchmarkError: If the part cannot be built; the first rank has been told.
        GroupLostError: If the first rank is gone.
    """
    rank, ranks, store = told["rank"], told["ranks"], opened(told["store"])
    device = torch.device(told["device"])
    if told["threads"]:
        torch.set_num_threads(told["threads"])
    try:
        options = from_json(GenerationOptions, told["options"])
        part = built(seam.artifact(told["artifact"]), options, device, rank=rank)
    except BaseException as error:
        store.set(loaded_key(rank), json.dumps({"failed": _described(error)}))
        raise
    store.set(loaded_key(rank), json.dumps({"weight_bytes": part.weight_bytes, "cache_bytes": part.cache_bytes}))
    group = Group(store, rank=rank, ranks=ranks, device=device, timeout_s=told["timeout_s"], loopback=told["loopback"])
    rows = Rows(part.module.shape, rows=options.slots, length=part.length, dtype=part.activations, device=device)
    part.module.combine = group.sum
    with torch.inference_mode():
        follow(group, part, rows, device)


def follow(group: Group, part: Built, rows: Rows, device: torch.device) -> None:
    """Do what the first rank orders, until it sends the others home."""
    while True:
        order = group.hear()
        if isinstance(order, Step):
            _step(order, part, rows, device)
        elif isinstance(order, Move):
            rows.move(order.source, order.target, order.positions)
        else:
            return


def _step(order: Step, part: Built, rows: Rows, device: torch.device) -> None:
    view = order.view
    positions = None if order.positions is None else order.positions.to(device)
    cache = None if view is None else rows.view(view.first, view.last, view.positions)
    try:
        part.module.hidden(order.tokens.to(device), positions, cache)
    except (RuntimeError, ValueError, IndexError):  # the model's own, of what it was asked: the first rank has it too
        logger.exception("a step failed")


def opened(where: Told) -> Store:
    """Return the store where the ranks of one engine find each other.

    Args:
        where: Its `file`, or `host`, `port` and `prefix`.
    """
    if "file" in where:
        store: Store = FileStore(where["file"], where["ranks"])
    else:
        tcp = TCPStore(where["host"], where["port"], is_master=False, timeout=timedelta(seconds=STARTUP_S))
        store = PrefixStore(where["prefix"], tcp)
    store.set_timeout(PATIENCE)
    return store


def _described(error: BaseException) -> dict[str, str]:
    failure = failure_of(error, step="compile")
    return {"code": str(failure.code), "message": failure.message}

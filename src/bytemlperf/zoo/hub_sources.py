"""Where on the hub a checkpoint is, whichever way its repository has written the weights."""

from __future__ import annotations

from bytemlperf.spec import Source, SourceKind

_NAMES = ("model.safetensors", "pytorch_model.bin")


def checkpoint(
    location: str, *, licence: str, beside: tuple[str, ...] = (), sharded: bool = False
) -> tuple[Source, Source]:
    """Return a repository's weights as two sources: as safetensors, and where it has none, as torch wrote them.

    Neither is pinned or called verified.

    Args:
        location: `owner/name`.
        licence: SPDX id, or a short name.
        beside: Files that belong to them, such as a tokenizer's.
        sharded: Whether the weights are an index and the shards that it names.
    """
    ending = ".index.json" if sharded else ""
    first, second = (
        Source(kind=SourceKind.HUB, location=location, files=(f"{name}{ending}", *beside), licence=licence)
        for name in _NAMES
    )
    return first, second

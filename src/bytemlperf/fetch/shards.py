"""Weights in several files: the index that names them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from bytemlperf.errors import ArtifactError

INDEX_SUFFIXES: Final = (".safetensors.index.json", ".bin.index.json")
"""How the names of indices end."""


def is_index(name: str) -> bool:
    """Tell by its name whether a file is an index of shards.

    Example:
        >>> is_index("model.safetensors.index.json"), is_index("model.safetensors")
        (True, False)
    """
    return name.endswith(INDEX_SUFFIXES)


def weight_map(index: Path) -> Mapping[str, str]:
    """Return in which file each weight is, as an index says it.

    Raises:
        ArtifactError: If it cannot be read, is no index, or names a file outside its folder.
    """
    try:
        found = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArtifactError(
            "an index of shards cannot be read",
            where=index.name,
            got=f"{type(error).__name__}: {error}",
            expected='JSON with a "weight_map" from weights to files',
        ) from error
    if not isinstance(found, dict) or not found or not all(isinstance(each, str) for each in found.values()):
        raise ArtifactError("an index of shards names no files", where=index.name)
    for name in found.values():
        if not name or name != PurePosixPath(name).name or name in {".", ".."} or "\\" in name:
            raise ArtifactError("an index of shards names a file outside its folder", where=index.name, got=name)
    return found


def shards_of(index: Path, *, within: str) -> tuple[str, ...]:
    """Return the files that an index names, as its source calls them.

    Args:
        index: The index.
        within: Its own name in the source, whose folder theirs is.

    Raises:
        ArtifactError: As `weight_map`.
    """
    folder = PurePosixPath(within).parent
    return tuple(sorted({(folder / name).as_posix() for name in weight_map(index).values()}))

"""What the cache holds: listed, verified and cleared."""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import attrs

from bytemlperf.fetch.cache import UNFINISHED, cache_dir
from bytemlperf.fetch.digests import seen
from bytemlperf.fetch.entry import RECORD, Record
from bytemlperf.fetch.hub import hub_folder
from bytemlperf.spec.fields import as_dict


class Kind(StrEnum):
    """What an item of the cache is, which is also its folder's name."""

    HUB = "hub"
    FILES = "files"
    UNPACKED = "unpacked"
    RANDOM = "random"
    CONVERTED = "converted"
    FITTING = "fitting"
    DATASETS = "datasets"
    QUARANTINE = "quarantine"
    PARTIAL = "partial"


_ENTRIES: Final = (
    Kind.FILES, Kind.UNPACKED, Kind.RANDOM, Kind.CONVERTED, Kind.FITTING, Kind.DATASETS, Kind.QUARANTINE
)  # fmt: skip
"""Kinds whose folder holds one folder with a record for each item."""


@attrs.frozen(kw_only=True)
class Item:
    """One thing in the cache.

    Attributes:
        kind: What it is.
        name: Model, repository or source that it is of.
        path: Its folder, or file.
        size_bytes: What it takes.
        used_utc: When it was last used, in UTC; of unfinished things, when they were last written to.
        about: What decided it: versions, digests, commits.
    """

    kind: Kind
    name: str
    path: Path
    size_bytes: int
    used_utc: dt.datetime
    about: Mapping[str, str] = attrs.field(factory=dict, converter=as_dict)


def items(cache: Path | None = None) -> tuple[Item, ...]:
    """Return what the cache holds, by kind and name.

    The hub's files are those in the folder that is used: in the cache, where one is chosen here or by
    BYTEMLPERF_CACHE, else the hub's own folder with all that other tools keep there.
    """
    found = [*_entries(cache_dir(cache)), *_partial(cache_dir(cache)), *_repositories(hub_folder(cache))]
    return tuple(sorted(found, key=lambda item: (item.kind, item.name, str(item.path))))


def verify(cache: Path | None = None) -> Mapping[Path, str]:
    """Read the whole cache and return what is damaged, and how.

    What is damaged stays: it is made or fetched anew when it is asked for.
    """
    problems: dict[Path, str] = {}
    for item in items(cache):
        if item.kind is Kind.HUB:
            problems |= _verified_repository(item.path)
        elif item.kind not in {Kind.QUARANTINE, Kind.PARTIAL}:
            record = Record.read(item.path)
            problem = "its record cannot be read" if record is None else record.damage(item.path, anew=True)
            problems |= {} if problem is None else {item.path: problem}
    return problems


def clear(
    cache: Path | None = None,
    *,
    kinds: Iterable[str | Kind] = (),
    model: str | None = None,
    unused_for: dt.timedelta | None = None,
) -> tuple[Item, ...]:
    """Delete items of the cache and return them.

    Nothing is deleted while somebody makes it. The hub's own folder, which other tools share, is
    left alone unless `kinds` names it.

    Args:
        cache: Cache folder; see `cache_dir`.
        kinds: Only these; all where none is named.
        model: Only items whose name holds this text.
        unused_for: Only items that were not used for that long.

    Raises:
        ValueError: If a kind is unknown.
    """
    chosen = {Kind(each) for each in kinds}
    own = set(Kind) - ({Kind.HUB} if hub_folder(cache) is None else set())
    before = None if unused_for is None else dt.datetime.now(dt.UTC) - unused_for
    going = [
        item
        for item in items(cache)
        if item.kind in (chosen or own)
        and (model is None or model in item.name)
        and (before is None or item.used_utc < before)
    ]
    return tuple(item for item in going if _delete(item))


def _entries(root: Path) -> Iterator[Item]:
    for kind in _ENTRIES:
        for folder in _places(root, kind):
            if folder.name.endswith(UNFINISHED):
                yield _unfinished(folder)
                continue
            record = Record.read(folder)
            about = {} if record is None else record.about
            yield Item(
                kind=kind,
                name=about.get("model") or about.get("source") or "unknown",
                path=folder,
                size_bytes=_size(folder) if record is None else record.size_bytes,
                used_utc=_time(folder if record is None else folder / RECORD),
                about={**about, **({} if record is None else {"made_utc": record.made_utc, "sha256": record.sha256})},
            )


def _places(root: Path, kind: Kind) -> list[Path]:
    """Return the folders of a kind's items; those of data sets lie in a folder for each data set."""
    parents = _folders(root / kind) if kind is Kind.DATASETS else [root / kind]
    return [folder for parent in parents for folder in _folders(parent)]


def _unfinished(folder: Path) -> Item:
    return Item(kind=Kind.PARTIAL, name="unfinished", path=folder, size_bytes=_size(folder), used_utc=_time(folder))


def _partial(root: Path) -> Iterator[Item]:
    folder = root / Kind.PARTIAL
    for path in sorted(folder.glob("*.part")) if folder.is_dir() else ():
        yield Item(
            kind=Kind.PARTIAL,
            name="unfinished download",
            path=path,
            size_bytes=path.stat().st_size,
            used_utc=_time(path),
        )


def _repositories(folder: Path | None) -> Iterator[Item]:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir(folder)
    except (CacheNotFound, ValueError, OSError):
        return
    for repository in found.repos:
        yield Item(
            kind=Kind.HUB,
            name=repository.repo_id,
            path=repository.repo_path,
            size_bytes=repository.size_on_disk,
            used_utc=dt.datetime.fromtimestamp(repository.last_accessed, dt.UTC),
            about={"commits": " ".join(sorted(each.commit_hash for each in repository.revisions))},
        )


def _verified_repository(path: Path) -> dict[Path, str]:
    """Compare the blobs that are named by their sha256 with that name."""
    sha256_digits = 64
    blobs = [each for each in (path / "blobs").glob("*") if len(each.name) == sha256_digits and each.is_file()]
    return {blob: f"its sha256 is {found}" for blob in blobs if (found := seen(blob).sha256) != blob.name}


def _delete(item: Item) -> bool:
    """Delete an item unless somebody is making it; tell whether it was."""
    lock = item.path.parent / f".{_entry_name(item.path)}.lock"
    try:
        with lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if item.path.is_dir():
                shutil.rmtree(item.path)
            else:
                item.path.unlink()
                item.path.with_suffix(".json").unlink(missing_ok=True)
    except OSError:  # held, or not ours
        return False
    return True


def _entry_name(path: Path) -> str:
    """Return the name of the entry that a folder is, or is being made for: `.NAME.random.new`."""
    return path.name[1:].split(".")[0] if path.name.endswith(UNFINISHED) else path.name


def _folders(parent: Path) -> list[Path]:
    return sorted(each for each in parent.iterdir() if each.is_dir()) if parent.is_dir() else []


def _size(path: Path) -> int:
    return sum((Path(where) / name).lstat().st_size for where, _, names in os.walk(path) for name in names)


def _time(path: Path) -> dt.datetime:
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)

"""A source of any kind to files on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bytemlperf.artifact import digest_of
from bytemlperf.errors import SpecError, nearest
from bytemlperf.fetch.cache import CACHE_VARIABLE, cache_dir
from bytemlperf.fetch.fetched import Fetched, verify
from bytemlperf.fetch.hub import hub_files
from bytemlperf.fetch.package import package_file
from bytemlperf.fetch.url import file_name, shown, url_file, url_folder
from bytemlperf.spec import SourceKind

if TYPE_CHECKING:
    from pathlib import Path

    from bytemlperf.spec import Source


def files_of(source: Source, *, cache: Path | None = None) -> Fetched:
    """Fetch a source's files, each compared with its pinned digest.

    On the hub, `location` is the repository. At a URL or in a package, it is the file itself where
    the source names no files, else the folder that holds them. The hub's files lie in the hub's own
    cache, which other tools share, unless a cache folder was chosen here or by BYTEMLPERF_CACHE.

    Args:
        source: Where to get them.
        cache: Cache folder; see `cache_dir`.

    Raises:
        SpecError: If the source is malformed.
        WeightsUnavailableError: If a file cannot be had.
        ChecksumError: If a file is not the pinned one.
    """
    if source.kind is SourceKind.HUB:
        _check_pins(source, source.files)
        return hub_files(source, folder=_hub_folder(cache))
    return _from_url(source, cache) if source.kind is SourceKind.URL else _from_package(source)


def _hub_folder(cache: Path | None) -> Path | None:
    return cache_dir(cache) / "hub" if cache or os.environ.get(CACHE_VARIABLE) else None


def _from_url(source: Source, cache: Path | None) -> Fetched:
    base = source.location
    if source.files:
        _check_pins(source, source.files)
        folder = url_folder(base, source.files, sha256=source.sha256, cache=cache).path
        files = {name: folder / name for name in source.files}
        return Fetched(origin=shown(base), files=files, sha256={name: digest_of(path) for name, path in files.items()})
    name = file_name(base)
    _check_pins(source, (name,))
    entry = url_file(base, sha256=source.sha256.get(name), cache=cache)
    return Fetched(origin=shown(base), files={name: entry.path}, sha256={name: entry.sha256})


def _from_package(source: Source) -> Fetched:
    base = source.location
    places = {name: f"{base.rstrip('/')}/{name}" for name in source.files} or {base.rpartition("/")[2]: base}
    _check_pins(source, tuple(places))
    files = {name: package_file(place) for name, place in places.items()}
    sha256 = {
        name: verify(path, source.sha256.get(name), name=name, remedy="reinstall the package")
        for name, path in files.items()
    }
    return Fetched(origin=base, files=files, sha256=sha256)


def _check_pins(source: Source, names: tuple[str, ...]) -> None:
    """Refuse a digest of a file that the source does not have: it would pin nothing."""
    for name in source.sha256:
        if name not in names:
            guess = nearest(name, names)
            raise SpecError(
                "a sha256 is given for a file that the source does not name",
                got=name,
                expected=f"one of: {', '.join(names)}",
                remedy=f"did you mean {guess[0]!r}?" if guess else None,
            )

"""A source of any kind to files on this machine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from bytemlperf.artifact import digest_of
from bytemlperf.errors import (
    ArtifactError,
    ChecksumError,
    DatasetUnavailableError,
    SpecError,
    WeightsUnavailableError,
)
from bytemlperf.fetch.archive import SUFFIXES, is_archive, unpack
from bytemlperf.fetch.cache import cache_dir, kept
from bytemlperf.fetch.digests import remembered
from bytemlperf.fetch.download import file_name, shown
from bytemlperf.fetch.entry import Entry, content
from bytemlperf.fetch.fetched import Fetched, check_pins
from bytemlperf.fetch.package import package_file
from bytemlperf.fetch.transfer import Transfer
from bytemlperf.fetch.url import check_inner, key_of, url_file, url_folder
from bytemlperf.spec import SourceKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bytemlperf.fetch.archive import Bounds
    from bytemlperf.spec import Source

UNPACKED = "unpacked"
"""Folder in the cache."""


def files_of(source: Source, *, cache: Path | None = None, transfer: Transfer | None = None) -> Fetched:
    """Fetch a source's files, each compared with its pinned digest.

    On the hub, `location` is the repository. At a URL or in a package, it is the file itself where
    the source names no files, else the folder that holds them. Of an archive it is the URL, `files`
    are paths in it (all of them where none is named), and the digest is that of the archive. The
    hub's files lie in the hub's own cache, which other tools share, unless a cache folder was chosen
    here or by BYTEMLPERF_CACHE.

    Args:
        source: Where to get them.
        cache: Cache folder; see `cache_dir`.
        transfer: How they are transferred: mirrors, patience, progress.

    Raises:
        SpecError: If the source is malformed.
        WeightsUnavailableError: If a file cannot be had.
        ChecksumError: If a file is not the pinned one.
        ArtifactError: If an archive cannot be unpacked safely.
    """
    fetch: Mapping[SourceKind, Callable[[Source, Path | None, Transfer], Fetched]] = {
        SourceKind.HUB: _from_hub,
        SourceKind.HUB_DATASET: _from_hub,
        SourceKind.URL: _from_url,
        SourceKind.PACKAGE: _from_package,
        SourceKind.ARCHIVE: _from_archive,
    }
    return fetch[source.kind](source, cache, transfer or Transfer())


def dataset_files(source: Source, *, cache: Path | None = None, transfer: Transfer | None = None) -> Fetched:
    """Fetch the files of a data set as `files_of` does, and tell what goes wrong as a data set's trouble.

    Raises:
        SpecError: If the source is malformed.
        DatasetUnavailableError: If a file cannot be had, or is not the pinned one.
    """
    try:
        return files_of(source, cache=cache, transfer=transfer)
    except ArtifactError as error:
        raise DatasetUnavailableError(
            f"the data of {source.location} cannot be had: {error.what}",
            where=error.where,
            got=error.got,
            expected=error.expected,
            remedy=error.remedy,
        ) from error


def archive_folder(
    url: str,
    *,
    sha256: str | None,
    cache: Path | None = None,
    transfer: Transfer | None = None,
    bounds: Bounds | None = None,
) -> Entry:
    """Fetch the archive at a URL and unpack it, once: later calls read the cache.

    Args:
        url: `https:`, `http:` or `file:`; its name says what it is.
        sha256: Digest of the archive; only one at a `file:` URL may do without.
        cache: Cache folder; see `cache_dir`.
        transfer: How it is transferred.
        bounds: What it may unpack to, and at most be.

    Raises:
        SpecError: If the URL is of another kind, is no archive's or is not pinned.
        WeightsUnavailableError: If it cannot be fetched, or does not fit on the disk.
        ChecksumError: If something else comes.
        ArtifactError: If it cannot be unpacked safely; nothing of it is kept.
    """
    name = file_name(url)
    if not is_archive(name):
        raise SpecError("this is no archive, by its name", got=shown(url), expected=f"one of {', '.join(SUFFIXES)}")
    if sha256 is None and not url.startswith("file:"):
        raise SpecError(
            "an archive is fetched only where its digest is known", got=shown(url), remedy="give its sha256"
        )
    most = None if bounds is None else bounds.total_bytes
    packed = url_file(url, sha256=sha256, cache=cache, transfer=transfer, most_bytes=most)

    def make(path: Path) -> None:
        unpack(packed.path, path, bounds=bounds, transfer=transfer)

    about = {"source": shown(url), "archive": packed.sha256}
    return kept(cache_dir(cache) / UNPACKED / key_of([packed.sha256]), "files", make, about=about)


def _from_hub(source: Source, cache: Path | None, transfer: Transfer) -> Fetched:
    from bytemlperf.fetch.hub import hub_files

    if source.files and not any(name.endswith(".index.json") for name in source.files):
        check_pins(source.sha256, source.files)
    return hub_files(source, cache=cache, transfer=transfer)


def _from_url(source: Source, cache: Path | None, transfer: Transfer) -> Fetched:
    base = source.location
    if source.files:
        check_pins(source.sha256, source.files)
        folder = url_folder(base, source.files, sha256=source.sha256, cache=cache, transfer=transfer).path
        return _below(folder, source.files, shown(base), cache)
    name = file_name(base)
    check_pins(source.sha256, (name,))
    entry = url_file(base, sha256=source.sha256.get(name), cache=cache, transfer=transfer)
    return Fetched(origin=shown(base), files={name: entry.path}, sha256={name: entry.sha256})


def _from_archive(source: Source, cache: Path | None, transfer: Transfer) -> Fetched:
    name = file_name(source.location)
    check_pins(source.sha256, (name,))
    for each in source.files:
        check_inner(each)
    entry = archive_folder(source.location, sha256=source.sha256.get(name), cache=cache, transfer=transfer)
    found = content(entry.path)
    missing = [each for each in source.files if str(PurePosixPath(each)) not in found]
    if missing:
        raise WeightsUnavailableError(
            "the archive does not hold a file", where=shown(source.location), got=found, expected=missing[0]
        )
    names = source.files or tuple(found)
    pin = source.sha256.get(name)
    origin = shown(source.location) + ("" if pin is None else f"#sha256={pin.lower()}")
    return _below(entry.path, names, origin, cache)


def _from_package(source: Source, cache: Path | None, _: Transfer) -> Fetched:
    base = source.location
    places = {name: f"{base.rstrip('/')}/{name}" for name in source.files} or {base.rpartition("/")[2]: base}
    check_pins(source.sha256, tuple(places))
    files = {name: package_file(place) for name, place in places.items()}
    found = {name: _digest(path, cache) for name, path in files.items()}
    for name, sha256 in found.items():
        pin = source.sha256.get(name)
        if pin is not None and sha256 != pin.lower():
            raise ChecksumError(
                f"{name} is not the file that was pinned",
                where=str(files[name]),
                got=sha256,
                expected=pin.lower(),
                remedy="reinstall the package",
            )
    return Fetched(origin=base, files=files, sha256=found)


def _below(folder: Path, names: tuple[str, ...], origin: str, cache: Path | None) -> Fetched:
    files = {name: folder / name for name in names}
    sha256 = {name: _digest(path, cache) for name, path in files.items()}
    return Fetched(origin=origin, files=files, sha256=sha256)


def _digest(path: Path, cache: Path | None) -> str:
    return remembered(path, cache=cache_dir(cache)).sha256 if path.is_file() else digest_of(path)

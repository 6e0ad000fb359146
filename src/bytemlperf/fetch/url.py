"""Files at URLs and at their mirrors: compared with their pinned digest, kept in the cache."""

from __future__ import annotations

import hashlib
import re
import urllib.request
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from bytemlperf.errors import ChecksumError, SpecError, WeightsUnavailableError
from bytemlperf.fetch.cache import cache_dir, kept
from bytemlperf.fetch.digests import seen
from bytemlperf.fetch.download import Wanted, check_scheme, download, file_name, shown
from bytemlperf.fetch.fetched import check_pins
from bytemlperf.fetch.quarantine import refused, set_aside
from bytemlperf.fetch.transfer import MIRROR_VARIABLE, Transfer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.fetch.entry import Entry

FILES: Final = "files"
"""Folder in the cache."""

_FRAGMENT: Final = re.compile(r"(?i)sha256[=:]([0-9a-f]{64})")


def url_folder(
    base: str,
    names: tuple[str, ...],
    *,
    sha256: Mapping[str, str],
    cache: Path | None = None,
    transfer: Transfer | None = None,
) -> Entry:
    """Fetch several files below a URL into one folder, in which they have the same names.

    Args:
        base: URL of the folder; see `url_file` for its kinds.
        names: Paths of the files from there.
        sha256: Pinned digest of each file that has one.
        cache: Cache folder; see `cache_dir`.
        transfer: How they are transferred.

    Raises:
        SpecError: If the URL is of another kind, a name leads out of the folder, or a digest is of none of the files.
        WeightsUnavailableError: If a file cannot be fetched.
        ChecksumError: If something else comes; it is set aside.
    """
    check_pins(sha256, names)
    urls = {name: f"{base.rstrip('/')}/{quote(name)}" for name in names}
    for name, url in urls.items():
        check_scheme(url, pinned=name in sha256)
        check_inner(name)

    def make(path: Path) -> None:
        for name, url in urls.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            _fetch(url, path / name, pin=sha256.get(name), cache=cache_dir(cache), transfer=transfer or Transfer())

    contents = [f"{url} {sha256.get(name) or content_of_local(url)}" for name, url in urls.items()]
    return kept(cache_dir(cache) / FILES / key_of(contents), "files", make, about={"source": shown(base)})


def url_file(
    url: str,
    *,
    sha256: str | None = None,
    cache: Path | None = None,
    transfer: Transfer | None = None,
    most_bytes: int | None = None,
) -> Entry:
    """Fetch the file at a URL, once: later calls read the cache.

    Where a mirror is set, `MIRROR/HOST/PATH` is asked first, and the URL itself where that does not give it.

    Args:
        url: `https:` or `file:`; plain `http:` only where `sha256` says what must come.
        sha256: Pinned digest in hexadecimal; None takes what comes.
        cache: Cache folder; see `cache_dir`.
        transfer: How it is transferred.
        most_bytes: A larger file is refused.

    Raises:
        SpecError: If the URL is of another kind.
        WeightsUnavailableError: If it cannot be fetched; says what was tried.
        ChecksumError: If something else comes; it is set aside.
    """
    check_scheme(url, pinned=sha256 is not None)
    key = key_of([f"{url} {sha256 or content_of_local(url)}"])

    def make(path: Path) -> None:
        how = transfer or Transfer()
        _fetch(url, path, pin=sha256, cache=cache_dir(cache), transfer=how, most_bytes=most_bytes)

    return kept(cache_dir(cache) / FILES / key, file_name(url), make, about={"source": shown(url)})


def split_pin(url: str) -> tuple[str, str | None]:
    """Take a digest off a URL that pins what it gives: `https://host/model.onnx#sha256=...`.

    Raises:
        SpecError: If it ends in a fragment that is none.

    Example:
        >>> split_pin("https://host/model.onnx#sha256=" + "0" * 64)[1] == "0" * 64
        True
    """
    bare, mark, fragment = url.partition("#")
    if not mark:
        return url, None
    found = _FRAGMENT.fullmatch(fragment)
    if found is None:
        raise SpecError(
            "what follows # in a URL is no digest", got=fragment, expected="sha256= and 64 hexadecimal digits"
        )
    return bare, found[1].lower()


def places(url: str, mirror: str | None) -> tuple[str, ...]:
    """Return where a URL's file may be had: at its mirror, where there is one, and at the URL.

    Example:
        >>> places("https://host/a/b.tar", "https://mirror/zoo")
        ('https://mirror/zoo/host/a/b.tar', 'https://host/a/b.tar')
    """
    parts = urlsplit(url)
    if mirror is None or parts.scheme == "file":
        return (url,)
    query = f"?{parts.query}" if parts.query else ""
    return (f"{mirror.rstrip('/')}/{parts.netloc.rpartition('@')[2]}{parts.path}{query}", url)


def check_inner(name: str) -> None:
    """Refuse the name of a source's file that leads out of its folder.

    Raises:
        SpecError: If it does.
    """
    if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
        raise SpecError("the name of a source's file leads out of its folder", got=name)


def key_of(contents: list[str]) -> str:
    """Return a folder's name for what these lines decide."""
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()[:32]


def content_of_local(url: str) -> str:
    """Return what tells two contents of an unpinned local file apart; nothing for a remote one."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return ""
    try:
        return seen(Path(urllib.request.url2pathname(parts.path))).sha256
    except OSError:
        return ""  # told when it is fetched


def _fetch(
    url: str, path: Path, *, pin: str | None, cache: Path, transfer: Transfer, most_bytes: int | None = None
) -> None:
    """Fetch a file from the first place that gives it, and see that it is the pinned one."""
    partial = cache / "partial"
    refusals: list[str] = []
    tried = places(url, transfer.mirror_url)
    for place in tried:
        wanted = Wanted(url=place, pinned=pin is not None, most_bytes=most_bytes)
        try:
            download(wanted, path, transfer=transfer, partial=partial)
            return _check(path, pin, place, cache)
        except (WeightsUnavailableError, ChecksumError) as error:
            if place == tried[-1] and not refusals:
                raise
            refusals.append(str(error))
    raise WeightsUnavailableError(
        f"{file_name(url)} can be had neither from its mirror nor from where it is published",
        got=" | ".join(refusals),
        remedy=f"set {MIRROR_VARIABLE} to another mirror, or bring the file yourself",
    )


def _check(path: Path, pin: str | None, place: str, cache: Path) -> None:
    found = seen(path).sha256
    if pin is None or found == pin.lower():
        return
    home = set_aside(path, found, cache=cache, about={"source": shown(place), "expected": pin.lower()})
    raise refused(path.name, where=shown(place), got=found, expected=pin, kept_at=home)

"""Files at a URL: streamed, compared with their pinned digest, kept in the cache."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.request
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from bytemlperf.errors import SpecError, WeightsUnavailableError
from bytemlperf.fetch.cache import Entry, cache_dir, kept
from bytemlperf.fetch.fetched import verify

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BLOCK_BYTES: Final = 1 << 20


def url_folder(
    base: str,
    names: tuple[str, ...],
    *,
    sha256: Mapping[str, str],
    cache: Path | None = None,
    timeout_s: float = 10.0,
) -> Entry:
    """Fetch several files below a URL into one folder, in which they have the same names.

    Args:
        base: URL of the folder; see `url_file` for its kinds.
        names: Paths of the files from there.
        sha256: Pinned digest of each file that has one.
        cache: Cache folder; see `cache_dir`.
        timeout_s: Longest wait for the server's next byte.

    Raises:
        SpecError: If the URL is of another kind, or a name leads out of the folder.
        WeightsUnavailableError: If a file cannot be fetched.
        ChecksumError: If something else comes; nothing of it is kept.
    """
    urls = {name: f"{base.rstrip('/')}/{quote(name)}" for name in names}
    for name, url in urls.items():
        _check_scheme(urlsplit(url), pinned=name in sha256)
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise SpecError("the name of a source's file leads out of its folder", got=name)

    def make(path: Path) -> None:
        for name, url in urls.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            _download(url, path / name, timeout_s=timeout_s, pinned=name in sha256)
            verify(path / name, sha256.get(name), name=name)

    contents = [f"{url} {sha256.get(name) or _content_of_local(url)}" for name, url in urls.items()]
    return kept(cache_dir(cache) / "files" / _key(contents), "files", make)


def url_file(url: str, *, sha256: str | None = None, cache: Path | None = None, timeout_s: float = 10.0) -> Entry:
    """Fetch the file at a URL, once: later calls read the cache.

    Args:
        url: `https:` or `file:`; plain `http:` only where `sha256` says what must come.
        sha256: Pinned digest in hexadecimal; None takes what comes.
        cache: Cache folder; see `cache_dir`.
        timeout_s: Longest wait for the server's next byte.

    Raises:
        SpecError: If the URL is of another kind.
        WeightsUnavailableError: If it cannot be fetched.
        ChecksumError: If something else comes; nothing of it is kept.
    """
    _check_scheme(urlsplit(url), pinned=sha256 is not None)
    name = file_name(url)
    key = _key([f"{url} {sha256 or _content_of_local(url)}"])

    def make(path: Path) -> None:
        _download(url, path, timeout_s=timeout_s, pinned=sha256 is not None)
        verify(path, sha256, name=name)

    return kept(cache_dir(cache) / "files" / key, name, make)


def file_name(url: str) -> str:
    """Return the last part of a URL's path as a plain file name."""
    last = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".") or "file"


def shown(url: str) -> str:
    """Return a URL as it may stand in a report: no user, no query; of a local file only the name."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return file_name(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _check_scheme(parts: SplitResult, *, pinned: bool) -> None:
    if parts.scheme in {"https", "file"} or (parts.scheme == "http" and pinned):
        return
    raise SpecError(
        "a source's URL is of a kind that is not fetched",
        got=parts.geturl(),
        expected="https: or file:, or http: with a sha256",
    )


def _key(contents: list[str]) -> str:
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()[:32]


def _content_of_local(url: str) -> str:
    """Return what tells two contents of an unpinned local file apart; nothing for a remote one."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return ""
    try:
        with open(urllib.request.url2pathname(parts.path), "rb") as file:  # noqa: PTH123 - the URL's own path rules
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""  # told when it is fetched


def _download(url: str, path: Path, *, timeout_s: float, pinned: bool) -> None:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:  # noqa: S310 - the scheme is checked
            _check_scheme(urlsplit(response.url), pinned=pinned)  # a redirect may lead elsewhere
            size = _copy(response, path)
            announced = response.headers.get("Content-Length")
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, SpecError):
            raise
        raise WeightsUnavailableError("a file cannot be fetched", where=shown(url), got=str(error)) from error
    if announced is not None and int(announced) != size:
        raise WeightsUnavailableError(
            "a file came only in part", where=shown(url), got=size, expected=f"{announced} bytes"
        )


def _copy(response: http.client.HTTPResponse, path: Path) -> int:
    size = 0
    with path.open("wb") as file:
        while block := response.read(_BLOCK_BYTES):
            size += file.write(block)
    return size

"""One file over HTTP, HTTPS or from the file system: resumed where it broke off, tried again where that makes sense."""

from __future__ import annotations

import hashlib
import http
import http.client
import json
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import attrs

from bytemlperf.errors import BenchmarkError, SpecError, WeightsUnavailableError
from bytemlperf.fetch.cache import local_remedy
from bytemlperf.fetch.digests import write_json
from bytemlperf.fetch.telling import one_line
from bytemlperf.fetch.transfer import PASSING, PassingError, Transfer, patiently

if TYPE_CHECKING:
    from email.message import Message

_BLOCK_BYTES: Final = 1 << 20
_PARTIAL: Final = http.HTTPStatus.PARTIAL_CONTENT
_USELESS_RANGE: Final = http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


@attrs.frozen(kw_only=True)
class Wanted:
    """A file to download.

    Attributes:
        url: Where it is.
        pinned: Whether its digest is known; plain `http:` is taken only then.
        most_bytes: A larger one is refused before or while it comes; None takes any.
    """

    url: str
    pinned: bool = False
    most_bytes: int | None = None

    @property
    def name(self) -> str:
        """Its plain name."""
        return file_name(self.url)


def download(wanted: Wanted, path: Path, *, transfer: Transfer, partial: Path) -> None:
    """Download a file to `path`.

    What has come of it is kept in the folder `partial` where the transfer breaks off, and only the
    rest is asked for the next time, by this process or a later one, while the server says that the
    file is still the same. The caller sees to it that nobody else downloads it there.

    Raises:
        SpecError: If the URL is of a kind that is not fetched.
        WeightsUnavailableError: If it cannot be had, does not fit on the disk or is too large.
        OSError: If it cannot be written.
    """
    check_scheme(wanted.url, pinned=wanted.pinned)
    partial.mkdir(parents=True, exist_ok=True)
    piece = _Piece(partial / hashlib.sha256(wanted.url.encode()).hexdigest()[:32])
    try:
        patiently(lambda: _get(wanted, piece, transfer), transfer.patience, f"{shown(wanted.url)}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, BenchmarkError) or local_remedy(error):
            raise  # what is wrong on this machine is told by whoever keeps the cache
        raise WeightsUnavailableError(
            "a file cannot be fetched", where=shown(wanted.url), got=one_line(error)
        ) from error
    piece.move(path)


class _Piece:
    """What has come of a file, and of which state of it."""

    def __init__(self, stem: Path) -> None:
        self.path = stem.with_suffix(".part")
        self._state = stem.with_suffix(".json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def state(self) -> str | None:
        """Return the server's name of the state that this is a piece of."""
        try:
            return str(json.loads(self._state.read_text(encoding="utf-8"))["state"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def begin(self, state: str | None) -> None:
        """Start from nothing."""
        self.path.write_bytes(b"")
        self._state.unlink(missing_ok=True)
        if state is not None:
            write_json(self._state, {"state": state})

    def move(self, path: Path) -> None:
        """Put the whole where it belongs."""
        self.path.replace(path)
        self._state.unlink(missing_ok=True)

    def drop(self) -> None:
        """Forget what has come."""
        self.path.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)


def _get(wanted: Wanted, piece: _Piece, transfer: Transfer) -> None:
    """Ask for a file, or for the rest of it; whatever comes is kept."""
    state = piece.state()
    resumed = {} if state is None or not piece.size() else {"Range": f"bytes={piece.size()}-", "If-Range": state}
    request = urllib.request.Request(wanted.url, headers={**resumed, "Accept-Encoding": "identity"})  # noqa: S310 - the scheme is checked
    try:
        response = urllib.request.urlopen(request, timeout=transfer.timeout_s)  # noqa: S310 - the scheme is checked
    except urllib.error.HTTPError as error:
        with error:
            if error.code == _USELESS_RANGE:
                piece.drop()
            if error.code in PASSING or (error.code == _USELESS_RANGE and resumed):
                raise PassingError(error, error.headers.get("Retry-After")) from error
        raise
    with response:
        check_scheme(response.url, pinned=wanted.pinned)  # a redirect may lead elsewhere
        _receive(response, wanted, piece, transfer)


def _receive(response: http.client.HTTPResponse, wanted: Wanted, piece: _Piece, transfer: Transfer) -> None:
    continues = getattr(response, "status", None) == _PARTIAL
    if not continues:
        piece.begin(_state(response.headers))
    total = _total(response.headers, before=piece.size() if continues else 0)
    _check_size(wanted, total)
    transfer.check_room(piece.path.parent, None if total is None else total - piece.size(), wanted.name)
    try:
        size = _copy(response, wanted, piece, transfer, total)
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise PassingError(error) from error
    if total is not None and size < total:
        raise PassingError(_incomplete(wanted, size, total))
    if total is not None and size > total:
        piece.drop()
        raise PassingError(_incomplete(wanted, size, total))


def _copy(
    response: http.client.HTTPResponse, wanted: Wanted, piece: _Piece, transfer: Transfer, total: int | None
) -> int:
    with piece.path.open("ab") as file:
        size = os.fstat(file.fileno()).st_size
        transfer.tell(wanted.name, size, total)
        while block := response.read(_BLOCK_BYTES):
            size += file.write(block)
            _check_size(wanted, size)
            transfer.tell(wanted.name, size, total)
    return size


def _check_size(wanted: Wanted, size: int | None) -> None:
    if wanted.most_bytes is not None and size is not None and size > wanted.most_bytes:
        raise WeightsUnavailableError(
            "a file is larger than it may be",
            where=shown(wanted.url),
            got=f"{size:,} bytes or more",
            expected=f"at most {wanted.most_bytes:,}",
        )


def _incomplete(wanted: Wanted, size: int, total: int) -> Exception:
    return WeightsUnavailableError(
        "a file came only in part", where=shown(wanted.url), got=size, expected=f"{total} bytes"
    )


def _state(headers: Message) -> str | None:
    """Return what names a file's state beyond doubt: a strong ETag, or a date.

    Source: RFC 9110, section 13.1.5.
    """
    etag = headers.get("ETag")
    return etag if etag is not None and not etag.startswith("W/") else headers.get("Last-Modified")


def _total(headers: Message, *, before: int) -> int | None:
    length = headers.get("Content-Length")
    return int(length) + before if length is not None else None


def check_scheme(url: str, *, pinned: bool) -> None:
    """Refuse kinds of URL that are not fetched.

    Raises:
        SpecError: If it is neither `https:` nor `file:`, nor `http:` with a pinned digest.
    """
    scheme = urlsplit(url).scheme
    if scheme in {"https", "file"} or (scheme == "http" and pinned):
        return
    raise SpecError(
        "a source's URL is of a kind that is not fetched",
        got=shown(url),
        expected="https: or file:, or http: with a sha256",
    )


def file_name(url: str) -> str:
    """Return the last part of a URL's path as a plain file name."""
    last = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".") or "file"


def shown(url: str) -> str:
    """Return a URL as it may stand in a report: no user, no query; of a local file only the name."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return file_name(url)
    return urlunsplit(SplitResult(parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

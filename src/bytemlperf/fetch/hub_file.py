"""One file of a repository on the hub: found, fetched, compared with what the hub says of it."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, overload

import attrs
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_CACHE, is_offline_mode
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import tqdm

from bytemlperf.errors import BenchmarkError, WeightsUnavailableError
from bytemlperf.fetch.digests import remembered
from bytemlperf.fetch.quarantine import refused, set_aside
from bytemlperf.fetch.telling import one_line
from bytemlperf.fetch.transfer import PASSING, PassingError, Transfer, patiently

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

logger = logging.getLogger(__name__)

OFFLINE_VARIABLE: Final = "HF_HUB_OFFLINE"
"""The hub's own variable: where it is set, only what was fetched before is used."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_GIT_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_BLOCK_BYTES: Final = 1 << 20


@attrs.frozen(kw_only=True)
class Repository:
    """Where on the hub, and where on this machine.

    Attributes:
        id: `owner/name`.
        type: What it holds.
        revision: Commit, branch or tag.
        endpoint: URL of the hub; None for its own.
        folder: The hub's cache folder; None for its own.
        cache: Our own, for digests and what is set aside.
    """

    id: str
    type: Literal["model", "dataset"] = "model"
    revision: str = "main"
    endpoint: str | None = None
    folder: Path | None = None
    cache: Path

    @property
    def page(self) -> str:
        """Where a person asks for access."""
        base = (self.endpoint or "https://huggingface.co").rstrip("/")
        return f"{base}/{'datasets/' if self.type == 'dataset' else ''}{self.id}"


@overload
def hub_file(repository: Repository, name: str, transfer: Transfer) -> Path: ...
@overload
def hub_file(repository: Repository, name: str, transfer: Transfer, *, optional: Literal[True]) -> Path | None: ...
def hub_file(repository: Repository, name: str, transfer: Transfer, *, optional: bool = False) -> Path | None:
    """Return a file of a repository, fetched where it is not there yet or is damaged.

    Args:
        repository: Which one.
        name: The file's path in it.
        transfer: How it is transferred.
        optional: None where the repository has no such file, instead of an error.

    Raises:
        WeightsUnavailableError: If it can neither be fetched nor found.
        ChecksumError: If what comes is twice not what the hub announces.
    """
    where = f"{repository.id}@{repository.revision}/{name}"
    try:
        return _file(repository, name, transfer, where)
    except BenchmarkError:
        raise
    except Exception as error:  # the HTTP client, and its errors, differ between releases of the hub's library
        if optional and isinstance(error, RemoteEntryNotFoundError):
            return None
        raise WeightsUnavailableError(
            "a file of the hub can neither be fetched nor found on this machine",
            where=where,
            got=one_line(error),
            remedy=_remedy(repository, error),
        ) from error


def _remedy(repository: Repository, error: Exception) -> str:
    """Say what helps; kinds of errors are asked from the narrow to the wide."""
    access = f"ask for access at {repository.page}, then set HF_TOKEN to your token or run `hf auth login`"
    remedies: dict[type[Exception], str] = {
        RemoteEntryNotFoundError: "the repository has no such file; its page tells the names",
        GatedRepoError: access,
        RepositoryNotFoundError: f"the name is wrong, or the repository is private: {access}",
        RevisionNotFoundError: "the repository has no such commit, branch or tag",
        HFValidationError: "a repository is called 'owner/name'",
    }
    network = (
        "set HF_ENDPOINT to a mirror that can be reached, "
        "or bring the hub's cache from a machine with a network (HF_HOME, BYTEMLPERF_CACHE)"
    )
    return next((text for kind, text in remedies.items() if isinstance(error, kind)), network)


def _file(repository: Repository, name: str, transfer: Transfer, where: str) -> Path:
    found = _found(repository, name)
    offline = is_offline_mode() or os.environ.get(OFFLINE_VARIABLE, "").upper() in {"1", "ON", "YES", "TRUE"}
    if found is not None and (offline or _GIT_SHA1.fullmatch(repository.revision)):
        problem = _damage(repository, found)
        if problem is None:
            return found
        _set_aside(repository, found, problem)
        found = None
    if offline:
        raise ConnectionError(f"{OFFLINE_VARIABLE} is set, and the file was never fetched, or is damaged")
    try:
        metadata = _metadata(repository, name, transfer, patient=found is None)
    except Exception as error:
        if found is None or isinstance(error, RemoteEntryNotFoundError | GatedRepoError) or _damage(repository, found):
            raise
        logger.warning("%s: the hub gives no answer (%s); what was fetched before is used", where, one_line(error))
        return found
    return _fetched(repository, name, metadata, transfer)


def _metadata(repository: Repository, name: str, transfer: Transfer, *, patient: bool) -> HfFileMetadata:
    """Ask the hub what a file is: one short question, which does not wait for minutes where nobody is."""
    url = hf_hub_url(
        repository.id, name, repo_type=repository.type, revision=repository.revision, endpoint=repository.endpoint
    )

    def ask() -> HfFileMetadata:
        try:
            return get_hf_file_metadata(url, timeout=transfer.timeout_s, endpoint=repository.endpoint)
        except HfHubHTTPError as error:
            if patient and error.response.status_code in PASSING:
                raise PassingError(error, error.response.headers.get("Retry-After")) from error
            raise

    return patiently(ask, transfer.patience, name)


def _fetched(repository: Repository, name: str, metadata: HfFileMetadata, transfer: Transfer) -> Path:
    """Download a file unless the cache has it; once anew where it is not what the hub announced."""
    for last in (False, True):
        path = _downloaded(repository, name, metadata, transfer)
        problem = _damage(repository, path, announced=metadata.etag)
        if problem is None:
            return path
        home = _set_aside(repository, path, problem)
        if last:
            where = f"{repository.id}@{repository.revision}/{name}"
            raise refused(name, where=where, got=problem.got, expected=problem.expected, kept_at=home)
        logger.warning("%s is not what the hub announced, and is fetched again", name)
    raise AssertionError("unreachable: the second time returns or raises")


def _downloaded(repository: Repository, name: str, metadata: HfFileMetadata, transfer: Transfer) -> Path:
    folder = repository.folder or Path(HF_HUB_CACHE)
    is_there = try_to_load_from_cache(
        repository.id, name, cache_dir=folder, revision=metadata.commit_hash, repo_type=repository.type
    )
    if not isinstance(is_there, str):
        transfer.check_room(folder, metadata.size, name)

    def get() -> Path:
        try:
            return Path(
                hf_hub_download(
                    repository.id,
                    name,
                    repo_type=repository.type,
                    revision=repository.revision,
                    cache_dir=repository.folder,
                    endpoint=repository.endpoint,
                    etag_timeout=transfer.timeout_s,
                    tqdm_class=_bar(name, transfer),
                )
            )
        except HfHubHTTPError as error:
            if error.response.status_code in PASSING:
                raise PassingError(error, error.response.headers.get("Retry-After")) from error
            raise
        except OSError as error:
            if "Consistency check failed" in str(error):  # the only word of the library for a file that came in part
                raise PassingError(error) from error
            raise

    return patiently(get, transfer.patience, name)


def _bar(name: str, transfer: Transfer) -> type[tqdm] | None:
    """Return a progress bar that draws nothing and tells whoever listens; the library's own where nobody does."""
    if transfer.on_progress is None:
        return None

    class Told(tqdm):
        """Counts what comes."""

        def __init__(self, *_: object, initial: int = 0, total: int | None = None, **__: object) -> None:
            super().__init__(disable=True)  # type: ignore[no-untyped-call]  # a class without types
            self._done, self._all = initial, total

        def update(self, n: float | None = 1) -> None:
            """Hear that bytes have come."""
            self._done += int(n or 0)
            transfer.tell(name, self._done, self._all)

    return Told


def _found(repository: Repository, name: str) -> Path | None:
    """Return a file that was fetched before, of the commit or of the newest one known of a branch."""
    found = try_to_load_from_cache(
        repository.id, name, cache_dir=repository.folder, revision=repository.revision, repo_type=repository.type
    )
    return Path(found) if isinstance(found, str) else None


@attrs.frozen(kw_only=True)
class _Damage:
    """How a file differs from what the hub announced."""

    got: str
    expected: str


def _damage(repository: Repository, path: Path, announced: str | None = None) -> _Damage | None:
    """Compare a file with its name in the hub's cache, which is what the hub announced: a sha256, or git's sha1."""
    blob = path.resolve()
    expected = announced or (blob.name if blob.parent.name == "blobs" else "")
    if _SHA256.fullmatch(expected):
        got = remembered(path, cache=repository.cache).sha256
    elif _GIT_SHA1.fullmatch(expected):
        got = _git_sha1(blob)
    else:
        return None
    return None if got == expected else _Damage(got=got, expected=expected)


def _git_sha1(path: Path) -> str:
    """Return git's name of a file's content: small files of a repository are announced by it."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _set_aside(repository: Repository, path: Path, problem: _Damage) -> Path:
    """Take a file out of the hub's cache: the content, and the name in the commit that leads to it."""
    logger.warning("%s of %s is not what the hub announced: set aside", path.name, repository.id)
    blob = path.resolve()
    about = {"source": f"{repository.id}@{repository.revision}", "expected": problem.expected, "file": path.name}
    home = set_aside(blob, problem.got, cache=repository.cache, about=about)
    path.unlink(missing_ok=True)
    return home

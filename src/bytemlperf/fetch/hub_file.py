"""One file of a repository on the hub: found, fetched, compared with what the hub says of it."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal, overload

import attrs
from huggingface_hub import HfFileMetadata, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_CACHE, is_offline_mode
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils.tqdm import tqdm

from bytemlperf.errors import BenchmarkError, WeightsUnavailableError
from bytemlperf.fetch.cache import local_remedy
from bytemlperf.fetch.digests import remembered
from bytemlperf.fetch.quarantine import refused, set_aside
from bytemlperf.fetch.telling import one_line
from bytemlperf.fetch.transfer import PASSING, PassingError, Transfer, patiently

logger = logging.getLogger(__name__)

OFFLINE_VARIABLE: Final = "HF_HUB_OFFLINE"
"""The hub's own variable: where it is set, only what was fetched before is used."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_GIT_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_BLOCK_BYTES: Final = 1 << 20
_REFUSED: Final = frozenset({401, 403})
"""HTTP's answers to who may not have a file."""


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

    @property
    def cache_folder(self) -> Path:
        """The hub's cache folder."""
        return self.folder or Path(HF_HUB_CACHE)

    @property
    def storage(self) -> Path:
        """What the hub's cache keeps of it: `blobs`, `snapshots` by commit, and `refs`, the commits of names."""
        return self.cache_folder / repo_folder_name(repo_id=self.id, repo_type=self.type)

    def note_commit(self, commit: str) -> None:
        """Let later calls without a network know what commit the revision was, as the hub's library does."""
        named = self.storage / "refs" / self.revision
        if self.revision == commit or (named.is_file() and named.read_text(encoding="utf-8") == commit):
            return
        with contextlib.suppress(OSError):  # a cache that cannot be written to is asked for anew
            named.parent.mkdir(parents=True, exist_ok=True)
            new = named.with_name(f"{named.name}.{os.getpid()}.tmp")
            new.write_text(commit, encoding="utf-8")
            new.replace(named)

    def place(self, name: str) -> str:
        """Return what to call one of its files."""
        return f"{self.id}@{self.revision}/{name}"


@attrs.frozen(kw_only=True)
class Found:
    """A file of a repository that was looked up.

    Attributes:
        name: Its path in the repository.
        path: Where it was found on this machine; None where it is to come.
        metadata: What the hub says of it; None where the hub was not asked, or gave no answer.
        commit: The commit that it is of.
    """

    name: str
    path: Path | None
    metadata: HfFileMetadata | None
    commit: str


@overload
def look_up(repository: Repository, name: str, transfer: Transfer) -> Found: ...
@overload
def look_up(repository: Repository, name: str, transfer: Transfer, *, optional: Literal[True]) -> Found | None: ...
def look_up(repository: Repository, name: str, transfer: Transfer, *, optional: bool = False) -> Found | None:
    """Find a file on this machine, or hear of it from the hub; nothing is fetched.

    Args:
        repository: Which one.
        name: The file's path in it.
        transfer: How it is transferred.
        optional: None where the repository has no such file, instead of an error.

    Raises:
        WeightsUnavailableError: If it is neither here nor announced.
    """
    try:
        with _told(repository, name):
            return _looked_up(repository, name, transfer)
    except WeightsUnavailableError as error:
        if optional and isinstance(error.__cause__, RemoteEntryNotFoundError):
            return None
        raise


def bring(
    repository: Repository, names: Iterable[str], transfer: Transfer, known: Mapping[str, Found] | None = None
) -> dict[str, Path]:
    """Return files of a commit, fetched several at a time where they are not there yet or are damaged.

    Nothing is begun before the hub has announced them all and the disk is seen to have room for all that are to come.
    The first error is raised once all have ended.

    Args:
        repository: Which one, at a commit.
        names: The files' paths in it.
        transfer: How they are transferred.
        known: Those that were looked up before.

    Raises:
        WeightsUnavailableError: If one can neither be fetched nor found, or they do not fit on the disk.
        ChecksumError: If what comes is twice not what the hub announces.
    """
    wanted, before = tuple(names), known or {}
    with ThreadPoolExecutor(transfer.at_once, thread_name_prefix="bytemlperf-fetch") as pool:
        found = list(pool.map(lambda name: before.get(name) or look_up(repository, name, transfer), wanted))
        coming = {each.name: size for each in found if (size := _missing_bytes(repository, each))}
        what = f"{len(coming)} files of {repository.id}" if len(coming) > 1 else "".join(coming)
        if coming:
            transfer.check_room(repository.cache_folder, sum(coming.values()), what)
        return dict(zip(wanted, pool.map(lambda each: _brought(repository, each, transfer), found), strict=True))


@contextlib.contextmanager
def _told(repository: Repository, name: str) -> Iterator[None]:
    """Turn whatever the hub's library raises into a typed error."""
    try:
        yield
    except BenchmarkError:
        raise
    except Exception as error:  # the HTTP client, and its errors, differ between releases of the hub's library
        local = local_remedy(error)
        what = "can neither be fetched nor found on this machine" if local is None else "cannot be written"
        raise WeightsUnavailableError(
            f"a file of the hub {what}",
            where=repository.place(name),
            got=one_line(error),
            remedy=local or _remedy(repository, error),
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
    otherwise = access if _is_refused(error) else network
    return next((text for kind, text in remedies.items() if isinstance(error, kind)), otherwise)


def _is_refused(error: Exception) -> bool:
    """Tell whether a server says that a file is not for whoever asks, as mirrors do without the hub's own words."""
    return isinstance(error, HfHubHTTPError) and error.response.status_code in _REFUSED


def _brought(repository: Repository, found: Found, transfer: Transfer) -> Path:
    if found.path is not None:
        return found.path
    assert found.metadata is not None  # else there would be a path
    with _told(repository, found.name):
        return _fetched(repository, found.name, found.metadata, transfer)


def _missing_bytes(repository: Repository, found: Found) -> int:
    """Return what is to come of a file, as far as the hub says; 0 where its content is there, if of another commit."""
    if found.metadata is None or found.metadata.size is None:
        return 0
    folder = repository.storage
    places = (folder / "snapshots" / found.commit / found.name, folder / "blobs" / (found.metadata.etag or "none"))
    return 0 if any(place.exists() for place in places) else found.metadata.size


def _looked_up(repository: Repository, name: str, transfer: Transfer) -> Found:
    path = _found(repository, name)
    offline = is_offline_mode() or os.environ.get(OFFLINE_VARIABLE, "").upper() in {"1", "ON", "YES", "TRUE"}
    if path is not None and (offline or _GIT_SHA1.fullmatch(repository.revision)):
        problem = _damage(repository, path)
        if problem is None:
            return Found(name=name, path=path, metadata=None, commit=commit_of(path))
        _set_aside(repository, path, problem)
        path = None
    if offline:
        raise ConnectionError(f"{OFFLINE_VARIABLE} is set, and the file was never fetched, or is damaged")
    try:
        metadata = _metadata(repository, name, transfer, patient=path is None)
    except Exception as error:
        refused_now = isinstance(error, RemoteEntryNotFoundError | GatedRepoError) or _is_refused(error)
        if path is None or refused_now or _damage(repository, path):
            raise
        place, told = repository.place(name), one_line(error)
        logger.warning("%s: the hub gives no answer (%s); what was fetched before is used", place, told)
        return Found(name=name, path=path, metadata=None, commit=commit_of(path))
    return Found(name=name, path=None, metadata=metadata, commit=metadata.commit_hash or repository.revision)


def commit_of(path: Path) -> str:
    """Return the commit under which the hub's cache keeps a file: `snapshots/<commit>/...`."""
    parts = path.parts
    return parts[len(parts) - parts[::-1].index("snapshots")]


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
        path = _downloaded(repository, name, transfer)
        problem = _damage(repository, path, announced=metadata.etag)
        if problem is None:
            return path
        home = _set_aside(repository, path, problem)
        if last:
            raise refused(name, where=repository.place(name), got=problem.got, expected=problem.expected, kept_at=home)
        logger.warning("%s is not what the hub announced, and is fetched again", name)
    raise AssertionError("unreachable: the second time returns or raises")


def _downloaded(repository: Repository, name: str, transfer: Transfer) -> Path:
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

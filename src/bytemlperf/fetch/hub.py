"""Files of a repository on the Hugging Face hub, all of one commit, and which commit that was."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from bytemlperf.errors import SpecError, WeightsUnavailableError
from bytemlperf.fetch.fetched import Fetched, verify

if TYPE_CHECKING:
    from bytemlperf.spec import Source

OFFLINE_VARIABLE: Final = "HF_HUB_OFFLINE"
"""The hub's own variable: where it is set, only what was fetched before is used."""

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def hub_files(
    source: Source, *, folder: Path | None = None, endpoint: str | None = None, timeout_s: float = 5.0
) -> Fetched:
    """Fetch a source's files from the hub, or find them where they were fetched before.

    All files are of one commit. Without a network, or with HF_HUB_OFFLINE set, files that were
    fetched before are used; a pinned commit that is there needs no network at all. The hub's own
    settings hold: HF_ENDPOINT, HF_HOME, a stored token, its progress bar on a terminal.

    Args:
        source: Of kind `hub`; without a revision, the newest commit is taken.
        folder: The hub's cache folder; None for its own, shared with other tools.
        endpoint: URL of a mirror of the hub; None for its own setting.
        timeout_s: Longest wait for a first answer before falling back to what is there.

    Raises:
        SpecError: If the source names no files.
        WeightsUnavailableError: If a file can neither be fetched nor found.
        ChecksumError: If a file is not the pinned one.
    """
    if not source.files:
        raise SpecError("a source on the hub names no files", got=source.location)
    revision = source.revision or "main"
    files: dict[str, Path] = {}
    for name in source.files:
        files[name] = _file(source.location, name, revision, folder=folder, endpoint=endpoint, timeout_s=timeout_s)
        revision = _commit_of(files[name])
    remedy = "delete it, so that it is fetched anew"
    sha256 = {name: verify(path, source.sha256.get(name), name=name, remedy=remedy) for name, path in files.items()}
    return Fetched(origin=f"{source.location}@{revision}", files=files, sha256=sha256)


def _file(
    repository: str, name: str, revision: str, *, folder: Path | None, endpoint: str | None, timeout_s: float
) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # The HTTP client, and with it the class of a lost connection, differs between releases of the hub's library.
    unreachable = cast("tuple[type[Exception], ...]", (*HfHubHTTPError.__bases__, OSError, HFValidationError))
    try:
        found = _found(repository, name, revision, folder)
        if found is not None and (_is_offline() or _COMMIT.fullmatch(revision)):
            return found
        if _is_offline():
            raise ConnectionError(f"{OFFLINE_VARIABLE} is set")
        # One short question first: a download itself tries again for a minute and more before it gives up.
        url = hf_hub_url(repository, name, revision=revision, endpoint=endpoint)
        get_hf_file_metadata(url, timeout=timeout_s, endpoint=endpoint)
        return Path(hf_hub_download(repository, name, revision=revision, cache_dir=folder, endpoint=endpoint))
    except unreachable as error:
        found = None if isinstance(error, HFValidationError) else _found(repository, name, revision, folder)
        if found is not None:
            return found
        raise WeightsUnavailableError(
            "a file of the hub can neither be fetched nor found on this machine",
            where=f"{repository}@{revision}/{name}",
            got=_first_line(error),
        ) from error


def _found(repository: str, name: str, revision: str, folder: Path | None) -> Path | None:
    """Return a file that was fetched before, of the commit or of the newest one known of a branch."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name, cache_dir=folder, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _commit_of(path: Path) -> str:
    """Return the commit under which the hub's cache keeps a file: `snapshots/<commit>/...`."""
    parts = path.parts
    return parts[len(parts) - parts[::-1].index("snapshots")]


def _is_offline() -> bool:
    return os.environ.get(OFFLINE_VARIABLE, "").upper() in {"1", "ON", "YES", "TRUE"}


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__

"""Files of a repository on the Hugging Face hub, all of one commit, and which commit that was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.fetch.cache import CACHE_VARIABLE, cache_dir
from bytemlperf.fetch.digests import remembered
from bytemlperf.fetch.fetched import Fetched, check_pins
from bytemlperf.fetch.quarantine import refused
from bytemlperf.fetch.shards import is_index, shards_of
from bytemlperf.fetch.transfer import Transfer
from bytemlperf.fetch.url import check_inner
from bytemlperf.spec import SourceKind

if TYPE_CHECKING:
    from bytemlperf.fetch.hub_file import Found, Repository
    from bytemlperf.spec import Source

HUB: Final = "hub"
"""Folder in the cache."""

WEIGHTS: Final = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What a repository's weights are called; the first that there is counts.

Source: `transformers`, `modeling_utils`: SAFE_WEIGHTS_NAME, WEIGHTS_NAME and their indices.
"""


def hub_files(source: Source, *, cache: Path | None = None, transfer: Transfer | None = None) -> Fetched:
    """Fetch a source's files from the hub, or find them where they were fetched before.

    All files are of one commit. An index of shards brings its shards along, several at a time.
    Without a network, or with HF_HUB_OFFLINE set, files that were fetched before are used; a pinned
    commit that is there needs no network at all. Each file that comes is compared with the digest
    that the hub announces, and with the source's own. The hub's own settings hold: HF_ENDPOINT,
    HF_HOME, HF_TOKEN or a stored token.

    Args:
        source: Of kind `hub` or `hub-dataset`; without a revision, the newest commit is taken;
            without files, the repository's weights, safetensors first.
        cache: Cache folder; where it is given, or BYTEMLPERF_CACHE is set, the hub's files lie in
            it, else in the hub's own cache, shared with other tools.
        transfer: How they are transferred.

    Raises:
        SpecError: If the name of a file leads out of the repository, a data set names no files, or a digest is given
            for what is not among the files.
        WeightsUnavailableError: If a file can neither be fetched nor found; says why, and the ways out.
        ChecksumError: If a file is not the pinned one, or twice not the one that the hub announces.
        ArtifactError: If an index of shards cannot be read.
    """
    from bytemlperf.fetch.hub_file import bring, look_up  # the hub's library is loaded where it is needed

    how, names = transfer or Transfer(), source.files
    for name in names:
        check_inner(name)
    repository = _repository(source, cache, how)
    first = look_up(repository, names[0], how) if names else _weights(source, repository, how)
    names = names or (first.name,)
    pinned, known = attrs.evolve(repository, revision=first.commit), {first.name: first}
    files = bring(pinned, [name for name in names if is_index(name)], how, known)
    shards = [shard for name, path in files.items() for shard in shards_of(path, within=name)]
    wanted = dict.fromkeys((*names, *shards))
    check_pins(source.sha256, wanted)
    files |= bring(pinned, [name for name in wanted if name not in files], how, known)
    repository.note_commit(first.commit)
    sha256 = _verified(source, files, cache_dir(cache))
    return Fetched(origin=f"{source.location}@{pinned.revision}", files=files, sha256=sha256)


def hub_folder(cache: Path | None = None) -> Path | None:
    """Return the folder of the hub's files; None for the hub's own, which other tools share."""
    return cache_dir(cache) / HUB if cache or os.environ.get(CACHE_VARIABLE) else None


def _repository(source: Source, cache: Path | None, transfer: Transfer) -> Repository:
    from bytemlperf.fetch.hub_file import Repository

    return Repository(
        id=source.location,
        type="dataset" if source.kind is SourceKind.HUB_DATASET else "model",
        revision=source.revision or "main",
        endpoint=transfer.endpoint or os.environ.get("HF_ENDPOINT") or None,
        folder=hub_folder(cache),
        cache=cache_dir(cache),
    )


def _weights(source: Source, repository: Repository, transfer: Transfer) -> Found:
    """Find what a repository's weights are called."""
    from bytemlperf.fetch.hub_file import look_up

    if source.kind is SourceKind.HUB_DATASET:
        raise SpecError("a data set on the hub names no files", got=source.location)
    for name in WEIGHTS[:-1]:
        found = look_up(repository, name, transfer, optional=True)
        if found is not None:
            return found
    return look_up(repository, WEIGHTS[-1], transfer)


def _verified(source: Source, files: dict[str, Path], cache: Path) -> dict[str, str]:
    found = {name: remembered(path, cache=cache).sha256 for name, path in files.items()}
    for name, sha256 in found.items():
        pin = source.sha256.get(name)
        if pin is not None and sha256 != pin.lower():  # the hub vouches for it, other tools use it: it stays
            raise refused(name, where=str(files[name]), got=sha256, expected=pin)
    return found

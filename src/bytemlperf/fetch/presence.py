"""Whether a source's files are on this machine already, without asking anybody or reading them."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from bytemlperf.errors import BenchmarkError
from bytemlperf.fetch.cache import cache_dir
from bytemlperf.fetch.download import file_name
from bytemlperf.fetch.hub import WEIGHTS, hub_folder
from bytemlperf.fetch.package import package_file
from bytemlperf.fetch.shards import is_index, shards_of
from bytemlperf.fetch.url import FILES, content_of_local, key_of
from bytemlperf.spec import SourceKind

if TYPE_CHECKING:
    from bytemlperf.spec import Source


def is_here(source: Source, *, cache: Path | None = None) -> bool:
    """Tell whether a source's files would be found without a network.

    Files are looked for, not read, so that a damaged one counts as there.

    Args:
        source: Where they come from.
        cache: Cache folder; see `cache_dir`.
    """
    if source.kind in {SourceKind.HUB, SourceKind.HUB_DATASET}:
        return _in_hub(source, cache)
    if source.kind is SourceKind.PACKAGE:
        return _in_package(source)
    return _in_files(source, cache)


def shared_hub_folder() -> Path:
    """Return the hub's own cache folder as its environment variables say it, without loading its library.

    Source: huggingface_hub, `constants.py`: HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME.
    """
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()


def _in_hub(source: Source, cache: Path | None) -> bool:
    kind = "datasets" if source.kind is SourceKind.HUB_DATASET else "models"
    repository = (hub_folder(cache) or shared_hub_folder()) / f"{kind}--{source.location.replace('/', '--')}"
    revision = source.revision or "main"
    try:
        commit = (repository / "refs" / revision).read_text(encoding="utf-8").strip()
    except OSError:
        commit = revision
    snapshot = repository / "snapshots" / commit
    if source.files:
        return all(_whole(snapshot, name) for name in source.files)
    return any(_whole(snapshot, name) for name in WEIGHTS)


def _whole(folder: Path, name: str) -> bool:
    """Tell whether a file is there, and with an index its shards."""
    if not (folder / name).is_file():
        return False
    if not is_index(name):
        return True
    try:
        return all((folder / shard).is_file() for shard in shards_of(folder / name, within=name))
    except BenchmarkError:
        return False


def _in_package(source: Source) -> bool:
    if find_spec(source.location.partition(":")[0].partition(".")[0]) is None:
        return False
    try:
        for name in source.files or ("",):
            package_file(source.location + (f"/{name}" if name else ""))
    except BenchmarkError:
        return False
    return True


def _in_files(source: Source, cache: Path | None) -> bool:
    """Look for the entry that `url_file` or `url_folder` would keep; of an archive, for the archive itself."""
    base, pins = source.location, source.sha256
    if source.kind is SourceKind.URL and source.files:
        root = base.rstrip("/")
        urls = {name: f"{root}/{quote(name)}" for name in source.files}
        contents = [f"{url} {pins.get(name) or content_of_local(url)}" for name, url in urls.items()]
        folder = cache_dir(cache) / FILES / key_of(contents)
        return all((folder / "files" / PurePosixPath(name)).is_file() for name in source.files)
    name = file_name(base)
    return (cache_dir(cache) / FILES / key_of([f"{base} {pins.get(name) or content_of_local(base)}"]) / name).is_file()

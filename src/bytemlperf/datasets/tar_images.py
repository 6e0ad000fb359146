"""Images in a tar archive, read in place: nothing is extracted."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from bytemlperf.datasets.binary_form import binary_form
from bytemlperf.datasets.listed_files import LabelledFile, ListedFiles, add_files
from bytemlperf.datasets.repeats import name_digests
from bytemlperf.datasets.resnet_images import decode_rgb
from bytemlperf.datasets.row_files import RowFile, add_array
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from PIL import Image

_VERSION: Final = "tar/v1"
_DATASET: Final = "archives"
_NO_LABEL: Final = -1
_AT_ONCE: Final = 2**20
_DIGESTS, _ROWS = "digests", "rows_by_digest"


class TarImages:
    """Which files an uncompressed tar archive has; its table is read once, and kept in the cache.

    The whole table is read: an archive must have the zeros that end it, and nothing behind them. Python's own reader
    takes a header that is cut off or damaged for the end, and would leave out the files from there on.

    Args:
        path: The archive.
        cache: Folder of the cache; None for the usual one.

    Raises:
        DatasetError: If it is none, is cut off or damaged, or has two files of one name; says which file was the last.
        ArtifactError: If the cache cannot be written.
    """

    def __init__(self, path: Path, *, cache: str | None = None) -> None:
        """Read the archive's table, where it was not read before."""
        status = path.stat()
        key = (_VERSION, path.resolve(), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        folder = binary_form(_DATASET, _Table(path).write, key=key, cache=cache).path
        self.path, self.files = path, ListedFiles(folder)
        self._digests, self._rows = RowFile(folder / _DIGESTS, np.uint64), RowFile(folder / _ROWS, np.int64)

    def find(self, names: Sequence[str]) -> list[LabelledFile | None]:
        """Return the files of these names, without labels; None where the archive has no such file."""
        if not len(self.files):
            return [None] * len(names)
        digests = self._digests.mapped()
        places = np.minimum(np.searchsorted(digests, name_digests(names)), len(digests) - 1)
        found = self.files.of(self._rows[places])
        return [file if file.name == name else None for file, name in zip(found, names, strict=True)]


def read_member(path: Path, file: LabelledFile) -> Image.Image:
    """Decode a file of an archive to RGB; threads may do so at the same time.

    Args:
        path: The archive.
        file: As `TarImages` found it.

    Raises:
        DatasetError: If it is no image, or is damaged.
    """
    return decode_rgb(io.BytesIO(_content(path, file)), path / file.name)


def sha256_of_member(path: Path, file: LabelledFile) -> str:
    """Return the digest of what a file of an archive holds.

    Raises:
        DatasetError: If it cannot be read.
    """
    try:
        return hashlib.sha256(_content(path, file)).hexdigest()
    except OSError as error:
        raise DatasetError("an archive cannot be read", where=f"{path}:{file.name}", got=str(error)) from error


def _content(path: Path, file: LabelledFile) -> bytes:
    assert file.offset is not None, "a file of an archive has a place in it"
    with path.open("rb") as archive:
        return os.pread(archive.fileno(), file.size_bytes, file.offset)


class _Table:
    """The table of an archive, on its way to the cache."""

    def __init__(self, path: Path) -> None:
        self._path, self._count, self._last = path, 0, ""

    def write(self, folder: Path) -> None:
        """Write which files there are, and their order by the digests of their names."""
        add_files(folder, self._members())
        listed = ListedFiles(folder)
        digests = np.concatenate([np.empty(0, np.uint64), *map(name_digests, listed.names())])
        order = np.argsort(digests, kind="stable")
        digests = digests[order]
        for place in np.flatnonzero(digests[1:] == digests[:-1]).tolist():
            first, second = listed.of(order[place : place + 2])
            if first.name == second.name:
                raise self._damaged("two files of an archive have one name", first.name, expected="each name once")
        add_array(folder / _DIGESTS, digests)
        add_array(folder / _ROWS, order)

    def _members(self) -> Iterator[LabelledFile]:
        try:
            with tarfile.open(self._path, "r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # it would remember all of them
                    if member.isfile():
                        yield self._file(member)
                end = archive.offset
            with self._path.open("rb") as file:
                self._check_end(file, end)
        except (tarfile.TarError, OSError) as error:
            raise self._damaged("an archive cannot be read", str(error)) from error

    def _file(self, member: tarfile.TarInfo) -> LabelledFile:
        name = PurePosixPath(member.name).as_posix()  # `./a` is `a`, as in a path
        self._count, self._last = self._count + 1, name
        return LabelledFile(name=name, label=_NO_LABEL, size_bytes=member.size, offset=member.offset_data)

    def _check_end(self, file: IO[bytes], end: int) -> None:
        """Refuse an archive that does not end where its table does."""
        file.seek(end)
        header = file.read(tarfile.BLOCKSIZE)
        if len(header) < tarfile.BLOCKSIZE:
            raise self._damaged("an archive is cut off", f"{end + len(header)} bytes")
        if any(header):
            raise self._damaged("a header of an archive is damaged", f"at byte {end}")
        place = file.tell()
        while more := file.read(_AT_ONCE):
            if any(more):
                raise self._damaged("an archive has more behind its end", f"the end at byte {end}, data after {place}")
            place += len(more)

    def _damaged(self, what: str, got: str, *, expected: str = "a whole, uncompressed tar file") -> DatasetError:
        told = f"{self._count} files, the last {self._last}" if self._count else "no file"
        return DatasetError(what, where=str(self._path), got=f"{got}; read until there: {told}", expected=expected)

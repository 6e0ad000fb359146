"""Images in a tar archive, read in place: nothing is extracted."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from bytemlperf.datasets.resnet_images import decode_rgb
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from PIL import Image

_AT_ONCE: Final = 2**20


class TarImages:
    """The files of an uncompressed tar archive by name; threads read them at the same time.

    The whole table is read: an archive must have the zeros that end it, and nothing behind them. Python's own reader
    takes a header that is cut off or damaged for the end, and would leave out the files from there on.

    Args:
        path: The archive.

    Raises:
        DatasetError: If it is none, is cut off or damaged, or has two files of one name; says which file was the last.
    """

    def __init__(self, path: Path) -> None:
        """Read the archive's table."""
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        try:
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    if member.isfile():
                        self._add(member)
                end = archive.offset
            with path.open("rb") as file:
                self._check_end(file, end)
        except (tarfile.TarError, OSError) as error:
            raise self._damaged("an archive cannot be read", str(error)) from error

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of each file, in the order of the archive."""
        return {name: size for name, (_, size) in self._places.items()}

    def __call__(self, path: Path) -> Image.Image:
        """Decode a file of the archive to RGB.

        Args:
            path: The archive's path and the file's name below it.

        Raises:
            DatasetError: If it is no image, or is damaged.
        """
        return decode_rgb(io.BytesIO(self._content(path.relative_to(self._path).as_posix())), path)

    def sha256(self, name: str) -> str:
        """Return the digest of what a file of the archive holds.

        Raises:
            DatasetError: If it cannot be read.
        """
        try:
            return hashlib.sha256(self._content(name)).hexdigest()
        except OSError as error:
            raise DatasetError("an archive cannot be read", where=f"{self._path}:{name}", got=str(error)) from error

    def _content(self, name: str) -> bytes:
        offset, size = self._places[name]
        with self._path.open("rb") as file:
            return os.pread(file.fileno(), size, offset)

    def _add(self, member: tarfile.TarInfo) -> None:
        name = PurePosixPath(member.name).as_posix()  # `./a` is `a`, as in a path
        if name in self._places:
            raise self._damaged("two files of an archive have one name", name, expected="each name once")
        self._places[name] = (member.offset_data, member.size)

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
        last = next(reversed(self._places), None)
        told = f"{len(self._places)} files, the last {last}" if last else "no file"
        return DatasetError(what, where=str(self._path), got=f"{got}; read until there: {told}", expected=expected)
